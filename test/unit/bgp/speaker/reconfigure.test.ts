import assert from 'node:assert/strict';
import { test } from 'node:test';
import { milliseconds, seconds } from '#lib/time.ts';
import type { BgpIntent, PeerIntent } from '#bgp/engine.ts';
import { type ChangeClass, changeOf, fieldClass, planPeers } from '#bgp/speaker/reconfigure.ts';
import { MESSAGE_TYPE } from '#bgp/wire/messages.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from './network.ts';

const observed = peerIntent({ name: 'p' });

interface Row<F extends keyof PeerIntent> {
  readonly class: ChangeClass;
  readonly to: PeerIntent[F];
  /** What the peer is like before; without it `peerIntent`'s defaults. */
  readonly from?: Partial<PeerIntent>;
  /** What the router has besides, to answer the changed peer. */
  readonly answer?: Partial<PeerIntent>;
  /** The session ends and is back when the field is as before. */
  readonly staysDown?: true;
  /** Why the simulated network cannot show it. */
  readonly notLive?: string;
}

const tcpAoKey = { sendId: 1, receiveId: 2, algorithm: 'hmac-sha1', key: 'x' } as const;
const noRules = { ipv4: [], ipv6: [] };

/** Total over PeerIntent: a new field does not compile without its row. */
const rowsOfFields: { readonly [F in keyof PeerIntent]-?: Row<F> } = {
  name: { class: 'none', to: 'q', notLive: 'another name is another peer; the plan below says so' },
  address: { class: 'reset', to: ip('192.0.2.3'), answer: { sourceAddress: ip('192.0.2.3') } },
  port: { class: 'reset', to: 1179 },
  peerAsn: { class: 'reset', to: 'external' },
  localAsn: { class: 'reset', to: asn(65009) },
  innerAsn: { class: 'reset', to: asn(65010) },
  prependsReceived: { class: 'reset', to: true },
  families: { class: 'reset', to: ['ipv4'] },
  password: { class: 'none', from: { password: 'one' }, to: 'two' },
  sourceAddress: { class: 'reset', to: ip('192.0.2.4'), answer: { address: ip('192.0.2.4') } },
  passive: { class: 'reset', to: true },
  holdTime: { class: 'reset', to: seconds(30) },
  connectRetryTime: { class: 'reset', to: seconds(7) },
  ebgpMultihop: { class: 'reset', to: 2 },
  importPolicy: { class: 'refresh', to: 'None' },
  filters: { class: 'refresh', to: [{ name: 'none', import: noRules, export: noRules, default: 'Reject' }] },
  transit: { class: 'refresh', to: true },
  maxPrefixes: { class: 'refresh', to: 5 },
  gracefulRestart: { class: 'reset', to: { enabled: false, restartTime: seconds(120) } },
  allowedLocalAsns: { class: 'refresh', to: 1 },
  enabled: { class: 'reset', to: false, staysDown: true },
  shutdownText: { class: 'none', to: 'router swap' },
  keepaliveTime: { class: 'reset', to: seconds(10) },
  ttlSecurity: { class: 'reset', to: 1 },
  tcpAo: { class: 'reset', to: [tcpAoKey] },
  listenRange: {
    class: 'none',
    from: { listenRange: { prefix: prefix('192.0.2.0/24'), limit: 2 } },
    to: { prefix: prefix('192.0.2.0/24'), limit: 1 },
    notLive: 'its sessions are peers of their own: listen-ranges.test.ts',
  },
  interface: {
    class: 'reset',
    to: 'eth0',
    notLive: 'nobody says where the neighbour is; unnumbered.test.ts has links',
  },
  maxPrefixesWarning: { class: 'none', to: 50 },
  maxPrefixesRestart: { class: 'none', to: seconds(60) },
  maxAnnounced: { class: 'refresh', to: 1 },
  addPath: { class: 'reset', to: { receive: true, send: 1 } },
  role: { class: 'reset', to: 'Customer' },
  roleRequired: { class: 'reset', to: true },
  enforceFirstAs: { class: 'reset', to: false },
  routeReflectorClient: { class: 'refresh', to: true },
  nextHopMode: { class: 'refresh', to: 'Self' },
  longLivedGracefulRestart: { class: 'reset', to: { staleTime: seconds(600), families: ['ipv4'] } },
  notificationRestart: { class: 'reset', to: true },
  staleTime: { class: 'none', to: seconds(60) },
  bfd: {
    class: 'none',
    to: {
      receiveInterval: milliseconds(300),
      transmitInterval: milliseconds(300),
      detectMultiplier: 3,
      passive: false,
      minimumTtl: 254,
      multihop: false,
    },
  },
  drain: { class: 'refresh', to: 'withdraw' },
};

const block = (text: string): BgpIntent['announcements'][number] => ({ prefix: prefix(text), source: 'block' });

/** Up to one session of `node` with `router`, both of which announce a route of each family. */
async function liveSession(peer: PeerIntent, answer: Partial<PeerIntent> | undefined) {
  const network = new Network();
  const [node, router] = [network.node('node'), network.node('router')];
  node.speaker.setKernelView(kernelView([['192.0.2.1/24', '192.0.2.4/24', '2001:db8::1/64', 'fe80::1/64']]));
  router.speaker.setKernelView(kernelView([['192.0.2.2/24', '192.0.2.3/24', '2001:db8::2/64', 'fe80::2/64']]));
  const toNode: PeerIntent = peerIntent({
    name: 'node',
    address: ip('192.0.2.1'),
    sourceAddress: ip('192.0.2.2'),
    peerAsn: 'external',
    localAsn: asn(65002),
  });
  router.speaker.apply(
    intent({
      asn: asn(65002),
      routerId: ip('10.255.0.2'),
      peers: [toNode, ...(answer === undefined ? [] : [{ ...toNode, ...answer, name: 'changed node' }])],
      announcements: [block('198.51.100.0/24'), block('2001:db8:100::/48')],
    }),
    1,
  );
  let generation = 0;
  const apply = async (changed: PeerIntent): Promise<void> => {
    const announcements = [block('10.60.1.0/26'), block('fd00:60:1::/64')];
    node.speaker.apply(intent({ peers: [changed], announcements }), ++generation);
    await network.advance(1000);
  };
  await apply(peer);
  const session = node.session(peer.name);
  assert.equal(session.state, 'Established');
  return { node, session, apply };
}

for (const [name, row] of Object.entries(rowsOfFields)) {
  const field = name as keyof PeerIntent;
  const before = { ...observed, ...row.from };
  const after = { ...before, [field]: row.to };

  test(`a changed ${field} is ${row.class}`, () => {
    assert.equal(fieldClass[field], row.class);
    assert.equal(changeOf(before, after), row.class);
    assert.equal(changeOf(after, before), row.class);
  });

  if (row.notLive !== undefined) continue;
  test(`a changed ${field} does to a live session what ${row.class} says`, async () => {
    const { node, session, apply } = await liveSession(before, row.answer);
    const sent = session.sentBytes;
    const typesBefore = session.typesSent.length;
    await apply(after);
    const ended = node.events.filter(({ event }) => event === 'session.down').length;
    if (row.class === 'reset') {
      assert.equal(ended, 1, 'the session ended, once');
      assert.equal(session.lastReset?.code, 6, 'with a Cease');
      if (row.staysDown === true) {
        assert.equal(session.state, 'Idle');
        await apply(before);
      }
      assert.notEqual(node.session(before.name), session, 'it is another one');
      assert.equal(node.session(before.name).state, 'Established', 'and it came back');
      return;
    }
    assert.equal(ended, 0);
    assert.equal(node.session(before.name), session, 'the session is the same');
    assert.equal(session.state, 'Established');
    const types = session.typesSent.slice(typesBefore);
    assert.ok(
      types.every((type) => type === MESSAGE_TYPE.UPDATE || type === MESSAGE_TYPE.ROUTE_REFRESH),
      `only routes are said: ${types.join()}`,
    );
    if (row.class === 'none') assert.equal(session.sentBytes, sent, 'nothing was said');
  });
}

test('few fields are beyond the simulated network', () => {
  const notLive = Object.entries(rowsOfFields).filter(([, { notLive: why }]) => why !== undefined);
  assert.deepEqual(
    notLive.map(([field]) => field),
    ['name', 'listenRange', 'interface'],
  );
});

const rows: readonly (readonly [string, Partial<PeerIntent>, ChangeClass])[] = [
  ['nothing', {}, 'none'],
  ['equal values that are other objects', { families: ['ipv4', 'ipv6'], filters: [] }, 'none'],
  ['password, from none', { password: 'x' }, 'reset'],
  ['listenRange, from none', { listenRange: { prefix: prefix('192.0.2.0/24'), limit: 1 } }, 'reset'],
  ['drain to its last step', { drain: 'down' }, 'reset'],
  ['the severest of several', { importPolicy: 'None', peerAsn: asn(1) }, 'reset'],
];

for (const [name, changed, expected] of rows)
  test(`changed ${name} is ${expected}`, () => {
    assert.equal(changeOf(observed, { ...observed, ...changed }), expected);
  });

test('another password is put onto the live session; the first and the last one reset it', () => {
  const one = { ...observed, password: 'one' };
  assert.equal(changeOf(one, { ...one, password: 'two' }), 'none');
  assert.equal(changeOf(one, observed), 'reset');
});

test('a plan names who comes, who goes and who changes', () => {
  const [a, b, c] = ['a', 'b', 'c'].map((name) => peerIntent({ name }));
  if (a === undefined || b === undefined || c === undefined) throw new Error('three peers');
  const plan = planPeers(intent({ peers: [a, b] }), intent({ peers: [{ ...b, transit: true }, c] }));
  assert.deepEqual(plan.removed, ['a']);
  assert.deepEqual(
    plan.added.map(({ name }) => name),
    ['c'],
  );
  assert.deepEqual(
    plan.changed.map(({ peer, change }) => [peer.name, change]),
    [['b', 'refresh']],
  );
});

test('another router id resets every session', () => {
  const plan = planPeers(intent({ peers: [observed] }), intent({ peers: [observed], routerId: ip('10.255.0.9') }));
  assert.deepEqual(
    plan.changed.map(({ change }) => change),
    ['reset'],
  );
});
