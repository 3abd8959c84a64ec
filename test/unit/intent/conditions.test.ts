// What a user reads of sessions, kernel and addresses, from intent and facts.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BgpFacts, NeighbourFacts, PeerFacts } from '#bgp/engine.ts';
import type { KernelFacts } from '#dataplane/intent.ts';
import { compile } from '#intent/compile.ts';
import { conditions } from '#intent/conditions.ts';
import { gate, heldBack } from '#intent/gate.ts';
import type { Condition, Facts } from '#intent/node-intent.ts';
import type { PodFacts } from '#ipam/intent.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import type { ResourceProblem } from '#resources/resource-set.ts';
import { nodeYaml, own, resources } from '../../support/resources.ts';
import { bgpFacts, peerFacts, podFacts } from '../../support/snapshot.ts';

const prefix = (text: string): Prefix => text as Prefix;
const node = nodeYaml('node-1', '192.0.2.11', '10.60.1.0/26');
const secret = '{apiVersion: v1, kind: Secret, metadata: {name: bgp}, stringData: {tor-a: hunter2}}\n---\n';
const torA = own('BGPPeer', 'tor-a', 'peerIP: 192.0.2.1, asNumber: 65100');
const torALocked = own(
  'BGPPeer',
  'tor-a',
  'peerIP: 192.0.2.1, asNumber: 65100, password: {secretKeyRef: {name: bgp, key: tor-a}}',
);

const kernel = (changes: Partial<KernelFacts> = {}): KernelFacts => ({
  generation: 1,
  blackholes: [prefix('10.60.1.0/26')],
  learnedRoutes: { ipv4: 3, ipv6: 0 },
  routeConflicts: [],
  repairs: {},
  problems: [],
  ...changes,
});

const pods = (...blocks: PodFacts['blocks']): PodFacts => podFacts({ blocks });
const block = (used: number, capacity = 62, fenced = 0, pool = 'node'): PodFacts['blocks'][number] => ({
  pool,
  cidr: prefix('10.60.1.0/26'),
  capacity,
  used,
  fenced,
});

function decide(yaml: string, facts: Facts, problems: readonly ResourceProblem[] = []): readonly Condition[] {
  return conditions(compile(resources(yaml), 'node-1'), facts, problems);
}

function found(list: readonly Condition[], object: string, type: string): Condition | undefined {
  return list.find((it) => `${it.kind} ${it.name}` === object && it.type === type);
}

const session = (changes: Partial<PeerFacts>): Facts => ({
  bgp: bgpFacts([peerFacts('tor-a', changes)]),
  kernel: kernel(),
});
const error = (code: string, text: string): PeerFacts['lastError'] => ({ code, text, at: 0 });

describe('a session', () => {
  const rows: readonly (readonly [string, string, Facts, string, string, RegExp])[] = [
    ['not reported yet', torA, {}, 'Established', 'Unknown Pending', /not reported/],
    [
      'up',
      torA,
      session({}),
      'Established',
      'True Established',
      /since 2026-01-01T00:00:00.000Z with 192\.0\.2\.1, AS 65100, for ipv4 and ipv6/,
    ],
    [
      'down',
      torA,
      session({ state: 'Active', lastError: error('SESSION_CONNECTION_REFUSED', 'nothing listens there') }),
      'Established',
      'False NotEstablished',
      /is Active\. Last error: nothing listens there \(SESSION_CONNECTION_REFUSED\)\. Check that 192\.0\.2\.1 answers on TCP port 179 and has this node as neighbour with AS 64512/,
    ],
    [
      'down because the router says another AS',
      torA,
      session({ state: 'Active', lastError: error('SESSION_BAD_PEER_AS', 'peer says AS 65101') }),
      'Established',
      'False NotEstablished',
      /65101 \(SESSION_BAD_PEER_AS\)\. Set spec\.asNumber of tor-a to the AS that the router says/,
    ],
    [
      'down because nobody reaches the engine, which is not the fault of the router',
      torA,
      session({ state: 'Idle', lastError: error('GOBGP_UNREACHABLE', 'GoBGP does not answer') }),
      'Established',
      'False NotEstablished',
      /\(GOBGP_UNREACHABLE\)\. Condition EngineReady of the Node is about that; the router may well be fine\.$/,
    ],
    [
      'down with a router whose TCP answers and whose BGP does not',
      torA,
      session({ state: 'OpenSent' }),
      'Established',
      'False NotEstablished',
      /TCP with 192\.0\.2\.1 is up, and it says nothing: check that its BGP process is not stuck/,
    ],
    [
      'held down by the administrator',
      torA.replace('asNumber', 'adminState: Down, asNumber'),
      session({ state: 'Idle' }),
      'Established',
      'False AdminDown',
      /Set it to Up/,
    ],
    [
      'held down for want of its Secret',
      torALocked,
      session({ state: 'Idle' }),
      'Established',
      'False NotAccepted',
      /condition Accepted says why/,
    ],
    [
      'silent, and the kernel counts wrong signatures',
      torALocked + secret,
      session({ state: 'Connect', drops: { signature: 17, hopLimit: 0 } }),
      'Established',
      'False AuthFailed',
      /dropped 17 segments .* and 192\.0\.2\.1 is silent\. Compare Secret bgp, key tor-a, with the router/,
    ],
    [
      'wrong signatures of somebody else: this peer answered',
      torALocked + secret,
      session({
        state: 'Active',
        drops: { signature: 17, hopLimit: 0 },
        lastError: error('SESSION_CONNECTION_REFUSED', 'x'),
      }),
      'Established',
      'False NotEstablished',
      /refused|x \(/i,
    ],
    [
      'wrong signatures of somebody else: no password here',
      torA,
      session({ state: 'Active', drops: { signature: 17, hopLimit: 0 } }),
      'Established',
      'False NotEstablished',
      /Check that/,
    ],
    [
      'the router signs and we do not',
      torA,
      session({ state: 'Active', lastError: error('SESSION_PASSWORD_MISMATCH', 'the passwords differ') }),
      'Established',
      'False AuthFailed',
      /the passwords differ\. This peer has no password here: set spec\.password/,
    ],
    [
      'more to announce than may be',
      torA,
      session({ leftOut: { count: 7, some: ['10.60.4.0/26' as Prefix, '10.60.5.0/26' as Prefix] } }),
      'RoutesAnnounced',
      'False AnnouncementsLeftOut',
      /no more may be \(spec\.maxAnnounced\); left out: 10\.60\.4\.0\/26, 10\.60\.5\.0\/26, and 5 more/,
    ],
    [
      'kept away for too many prefixes',
      torA,
      session({
        state: 'Idle',
        retryAt: Date.UTC(2026, 0, 1),
        lastError: error('SESSION_MAXIMUM_PREFIXES', '12 ipv4 prefixes received, 10 allowed'),
      }),
      'Established',
      'False TooManyPrefixes',
      /12 ipv4 prefixes .* comes back at 2026-01-01T00:00:00\.000Z; `flatroute reset tor-a`/,
    ],
    [
      'near its limit',
      torA,
      session({ received: { ipv4: 7500, ipv6: 0 } }),
      'PrefixLimit',
      'False NearLimit',
      /announces 7500 ipv4 prefixes; above 10000 of a family/,
    ],
    [
      'several paths that the peer takes and sends',
      torA.replace('asNumber', 'addPath: {receive: true, send: 4}, asNumber'),
      session({ addPath: { receive: ['ipv4', 'ipv6'], send: ['ipv4', 'ipv6'] } }),
      'SeveralPaths',
      'True SeveralPathsAgreed',
      /may be received and announced, 4 at most/,
    ],
    [
      'several paths that the peer offers for one family only',
      torA.replace('asNumber', 'addPath: {receive: true, send: 4}, asNumber'),
      session({ addPath: { receive: ['ipv4'], send: [] } }),
      'SeveralPaths',
      'False SeveralPathsNotOffered',
      /192\.0\.2\.1 does not offer to send several paths of ipv6, and does not offer to take several paths of ipv4 and ipv6/,
    ],
    ['far from its limit', torA, session({}), 'PrefixLimit', 'True BelowLimit', /At most 10000/],
    [
      'an external peer that is not on the link',
      torA,
      session({ state: 'Idle', lastError: error('SESSION_PEER_NOT_CONNECTED', '192.0.2.1 is on no subnet') }),
      'Established',
      'False PeerNotConnected',
      /^192\.0\.2\.1 is on no subnet\. Set spec\.ebgpMultihop \(or ttlSecurity\)/,
    ],
    [
      'a kernel without TCP-AO',
      torA,
      session({ state: 'Idle', lastError: error('SESSION_TCP_AO_UNSUPPORTED', 'this kernel has no TCP-AO') }),
      'Established',
      'False TcpAoUnsupported',
      /^this kernel has no TCP-AO\. Run a kernel with CONFIG_TCP_AO, or use spec\.password/,
    ],
    [
      'farther away than ttlSecurity says',
      torA.replace('asNumber', 'ttlSecurity: 1, asNumber'),
      session({ state: 'Connect', drops: { signature: 0, hopLimit: 3 } }),
      'Established',
      'False TtlTooLow',
      /dropped 3 segments with a time-to-live .* 192\.0\.2\.1 is silent.* raise spec\.ttlSecurity \(1\)/,
    ],
    [
      'a low TTL of somebody else: this peer answered',
      torA.replace('asNumber', 'ttlSecurity: 1, asNumber'),
      session({
        state: 'Active',
        drops: { signature: 0, hopLimit: 3 },
        lastError: error('SESSION_CONNECTION_REFUSED', 'x'),
      }),
      'Established',
      'False NotEstablished',
      /x \(SESSION_CONNECTION_REFUSED\)/,
    ],
    [
      'up again after wrong signatures',
      torALocked + secret,
      session({ drops: { signature: 17, hopLimit: 0 } }),
      'Established',
      'True Established',
      /./,
    ],
    ['routes that are used', torA, session({}), 'RoutesAccepted', 'True RoutesAccepted', /1 of 214 received/],
    [
      'nothing accepted',
      torA,
      session({ accepted: { ipv4: 0, ipv6: 0 } }),
      'RoutesAccepted',
      'False NothingAccepted',
      /None of 214 .* \(importPolicy None\).*set spec\.importPolicy to DefaultRoute or All/,
    ],
    [
      'nothing received',
      torA,
      session({ received: { ipv4: 0, ipv6: 0 }, accepted: { ipv4: 0, ipv6: 0 } }),
      'RoutesAccepted',
      'Unknown NothingReceived',
      /announces no route/,
    ],
    ['everything announced', torA, session({}), 'RoutesAnnounced', 'True RoutesAnnounced', /4 routes/],
    [
      'no next hop for a family with announcements',
      torA,
      session({ noNextHop: ['ipv4'] }),
      'RoutesAnnounced',
      'False NoNextHop',
      /^ipv4 cannot be announced/,
    ],
    [
      'no next hop for a family without any',
      torA,
      session({ noNextHop: ['ipv6'] }),
      'RoutesAnnounced',
      'True RoutesAnnounced',
      /./,
    ],
    [
      'nothing announced',
      torA,
      session({ announced: { ipv4: 0, ipv6: 0 } }),
      'RoutesAnnounced',
      'False NothingAnnounced',
      /export rules/,
    ],
    [
      'nothing announced because the block is held back',
      torA,
      { ...session({ announced: { ipv4: 0, ipv6: 0 } }), kernel: kernel({ blackholes: [] }) },
      'RoutesAnnounced',
      'True RoutesAnnounced',
      /0 routes/,
    ],
  ];
  for (const [name, yaml, facts, type, verdict, message] of rows) {
    test(name, () => {
      const condition = found(decide(node + yaml, facts), 'BGPPeer tor-a', type);
      assert.equal(`${condition?.status} ${condition?.reason}`, verdict);
      assert.match(condition?.message ?? '', message);
    });
  }

  test('that is down has no word on routes', () => {
    const list = decide(node + torA, session({ state: 'Idle' }));
    assert.equal(found(list, 'BGPPeer tor-a', 'RoutesAccepted'), undefined);
    assert.equal(found(list, 'BGPPeer tor-a', 'RoutesAnnounced'), undefined);
  });
});

describe('a listen range', () => {
  const range = own('BGPPeer', 'tor-a', 'listenRange: { cidr: 192.0.2.0/24, insecure: true }, asNumber: 65100');
  const facts = (peers: number, established: number, changes: Partial<PeerFacts> = {}): Facts =>
    session({
      state: 'Idle',
      range: { prefix: '192.0.2.0/24' as Prefix, peers, established, limit: 2, refused: 3 },
      ...changes,
    });
  const rows: readonly (readonly [string, Facts, string, string, RegExp])[] = [
    ['with sessions', facts(1, 1), 'Established', 'True Established', /^1 session from 192\.0\.2\.0\/24; /],
    [
      'with nobody',
      facts(0, 0, { lastError: error('SESSION_BAD_PEER_AS', '192.0.2.7: another AS') }),
      'Established',
      'False NoNeighbour',
      /^Nobody from 192\.0\.2\.0\/24 has a session\. Last error: 192\.0\.2\.7: another AS\. .*with AS 64512\.$/,
    ],
    ['with room', facts(1, 1), 'ListenRange', 'True ListenRangeOpen', /^1 of at most 2 peers/],
    ['that is full', facts(2, 2), 'ListenRange', 'False ListenRangeFull', /\(3 connections so far\)\. Raise/],
  ];
  for (const [name, now, type, verdict, message] of rows)
    test(name, () => {
      const it = found(decide(node + range, now), 'BGPPeer tor-a', type);
      assert.equal(`${it?.status} ${it?.reason}`, verdict);
      assert.match(it?.message ?? '', message);
    });
});

describe('an unnumbered session', () => {
  const unnumbered = own('BGPPeer', 'tor-a', 'interface: eth1, asNumber: 65100');
  const facts = (neighbour: Partial<NeighbourFacts>, changes: Partial<PeerFacts> = {}): Facts =>
    session({
      address: 'fe80::1' as IpAddress,
      neighbour: { interface: 'eth1', state: 'found', others: [], problem: undefined, ...neighbour },
      ...changes,
    });
  const rows: readonly (readonly [string, Facts, string, RegExp])[] = [
    ['found', facts({}), 'True NeighbourFound', /^The neighbour on eth1 is fe80::1\.$/],
    [
      'two of them',
      facts({ others: ['fe80::2' as IpAddress] }),
      'False NeighbourAmbiguous',
      /^fe80::1 and fe80::2 advertise themselves on eth1; the session is with fe80::1/,
    ],
    [
      'nobody heard',
      facts({ state: 'searching' }, { state: 'Idle', address: '::' as IpAddress }),
      'False NeighbourUnknown',
      /No router advertisement was heard on eth1\. .*FRR .* BIRD with protocol radv/,
    ],
    [
      'no right to listen',
      facts({ state: 'noSocket', problem: 'EPERM' }, { state: 'Idle' }),
      'False NeighbourUnknown',
      /cannot be looked for: EPERM\.$/,
    ],
    [
      'no interface',
      facts({ state: 'noInterface' }, { state: 'Idle' }),
      'False InterfaceUnusable',
      /no interface eth1/,
    ],
    ['a pod', facts({ state: 'podInterface' }, { state: 'Idle' }), 'False InterfaceUnusable', /leads to a pod/],
    ['down under a session', facts({ state: 'interfaceDown' }), 'False InterfaceUnusable', /down or has no carrier/],
    ['without IPv6', facts({ state: 'noLinkLocal' }, { state: 'Idle' }), 'False InterfaceUnusable', /disable_ipv6/],
  ];
  for (const [name, observed, verdict, message] of rows)
    test(name, () => {
      const list = decide(node + unnumbered, observed);
      const condition = found(list, 'BGPPeer tor-a', 'NeighbourKnown');
      assert.equal(`${condition?.status} ${condition?.reason}`, verdict);
      assert.match(condition?.message ?? '', message);
      const established = found(list, 'BGPPeer tor-a', 'Established');
      const isUp = observed.bgp?.peers[0]?.state === 'Established';
      assert.equal(established?.reason, isUp ? 'Established' : 'NoNeighbour');
      if (isUp) assert.match(established?.message ?? '', /with fe80::1%eth1, AS 65100/);
    });
});

test('two silent peers with passwords: neither is accused without the other being named', () => {
  const torB = own(
    'BGPPeer',
    'tor-b',
    'peerIP: 192.0.2.2, asNumber: 65100, password: {secretKeyRef: {name: bgp, key: tor-a}}',
  );
  const message = (state: PeerFacts['state']): string =>
    found(
      decide(`${torALocked}---\n${torB}---\n${secret}`, {
        bgp: bgpFacts([
          peerFacts('tor-a', { state: 'Connect', drops: { signature: 17, hopLimit: 0 } }),
          peerFacts('tor-b', {
            state,
            address: '192.0.2.2' as IpAddress,
            drops: { signature: state === 'Connect' ? 17 : 0, hopLimit: 0 },
          }),
        ]),
        kernel: kernel(),
      }),
      'BGPPeer tor-a',
      'Established',
    )?.message ?? '';
  assert.match(
    message('Connect'),
    /192\.0\.2\.1 is silent\. The kernel counts all peers together: it may also be tor-b alone\./,
  );
  assert.match(message('Established'), /192\.0\.2\.1 is silent\. Compare Secret/);
});

describe('the node', () => {
  const bgp = (changes: Partial<BgpFacts>): BgpFacts => ({ ...bgpFacts([peerFacts('tor-a')]), ...changes });
  const rows: readonly (readonly [string, Facts, string, string, RegExp])[] = [
    ['port open', { bgp: bgp({}) }, 'Listening', 'True Listening', /port 179/],
    [
      'port taken',
      { bgp: bgp({ listening: undefined, listenError: 'address in use' }) },
      'Listening',
      'False ListenFailed',
      /port 179 could not be opened: address in use\./,
    ],
    ['port not reported', {}, 'Listening', 'Unknown Pending', /./],
    ['kernel not read', {}, 'KernelReady', 'Unknown Pending', /./],
    ['kernel fine', { kernel: kernel() }, 'KernelReady', 'True KernelReady', /./],
    [
      'kernel not fine',
      {
        kernel: kernel({
          problems: [
            { code: 'SettingRefused', text: 'rp_filter of eth0 is strict.' },
            { code: 'KernelTooOld', text: 'Linux 5.4 is older than 5.15' },
          ],
        }),
      },
      'KernelReady',
      'False KernelProblem',
      /^rp_filter of eth0 is strict \(SettingRefused\)\. Linux 5\.4 is older than 5\.15 \(KernelTooOld\)\.$/,
    ],
    ['routes in place', { kernel: kernel() }, 'RoutesInstalled', 'True RoutesInstalled', /3 IPv4 and 0 IPv6/],
    [
      'foreign routes in the way, not all of them listed',
      {
        kernel: kernel({
          routeConflicts: Array.from({ length: 7 }, (_, i) => ({ prefix: prefix(`10.${i}.0.0/16`), protocol: 3 })),
        }),
      },
      'RoutesInstalled',
      'False RouteConflict',
      /10\.0\.0\.0\/16 \(protocol 3\), .*10\.4\.0\.0\/16 \(protocol 3\) and 2 more/,
    ],
    [
      'block announced',
      { bgp: bgp({}), kernel: kernel() },
      'BlocksAnnounced',
      'True BlocksAnnounced',
      /10\.60\.1\.0\/26/,
    ],
    [
      'blackhole missing',
      { bgp: bgp({}), kernel: kernel({ blackholes: [] }) },
      'BlocksAnnounced',
      'False BlackholeMissing',
      /10\.60\.1\.0\/26: held back/,
    ],
    [
      'written to nobody',
      { bgp: bgp({ announced: [{ prefix: prefix('10.60.1.0/26'), peers: [] }] }), kernel: kernel() },
      'BlocksAnnounced',
      'False NotAnnounced',
      /announced to no peer/,
    ],
    ['speaker not reported', { kernel: kernel() }, 'BlocksAnnounced', 'Unknown Pending', /./],
    ['addresses free', { pods: pods(block(10)) }, 'AddressesAvailable', 'True AddressesAvailable', /52 of 62/],
    [
      'exactly a tenth free',
      { pods: pods(block(90, 100)) },
      'AddressesAvailable',
      'True AddressesAvailable',
      /10 of 100/,
    ],
    ['pods in blocks', { pods: pods(block(1)) }, 'PodsAnnounced', 'True PodsInBlocks', /Every pod/],
    [
      'pods whose block is gone',
      { pods: { ...pods(block(1)), outsideBlocks: ['10.60.9.1', '10.60.9.2'] as IpAddress[] } },
      'PodsAnnounced',
      'False PodsOutsideBlocks',
      /^10\.60\.9\.1, 10\.60\.9\.2: .*announced one by one/,
    ],
    ['less than a tenth free', { pods: pods(block(91, 100)) }, 'AddressesAvailable', 'False AddressesLow', /9 of 100/],
    [
      'none free',
      { pods: pods(block(60, 62, 2)) },
      'AddressesAvailable',
      'False AddressesExhausted',
      /0 of 62 .*\(2 wait for their pod's interface to be gone\): new pods fail/,
    ],
  ];
  for (const [name, facts, type, verdict, message] of rows) {
    test(name, () => {
      const condition = found(decide(node + torA, facts), 'Node node-1', type);
      assert.equal(`${condition?.status} ${condition?.reason}`, verdict);
      assert.match(condition?.message ?? '', message);
    });
  }

  test('blocks that no peer hears of because there is none say what to add', () => {
    const facts = { bgp: bgp({ announced: [] }), kernel: kernel() };
    const condition = found(decide(node, facts), 'Node node-1', 'BlocksAnnounced');
    assert.equal(condition?.reason, 'NotAnnounced');
    assert.match(condition?.message ?? '', /No BGPPeer names node-1: add one/);
  });

  test('free addresses of a pool stand on the pool', () => {
    const list = decide(node + own('IPPool', 'p', 'cidr: 10.60.0.0/16'), { pods: pods(block(62, 62, 0, 'p')) });
    assert.equal(found(list, 'IPPool p', 'AddressesAvailable')?.reason, 'AddressesExhausted');
    assert.equal(found(list, 'Node node-1', 'AddressesAvailable'), undefined);
  });

  test('a Manual pool runs out of addresses of whole blocks, never of fixed ones', () => {
    const list = (cidr: string): Condition | undefined => {
      const facts = { pods: pods({ ...block(1, 1, 0, 'p'), cidr: prefix(cidr) }) };
      const yaml = node + own('IPPool', 'p', 'cidr: 10.60.0.0/16, assignmentMode: Manual');
      return found(decide(yaml, facts), 'IPPool p', 'AddressesAvailable');
    };
    assert.equal(list('10.60.1.0/26')?.reason, 'AddressesExhausted');
    assert.equal(list('10.60.1.7/32'), undefined);
  });

  test('a pool that gives no new addresses does not run out', () => {
    const list = decide(node + own('IPPool', 'p', 'cidr: 10.60.0.0/16, disabled: true'), {
      pods: pods(block(62, 62, 0, 'p')),
    });
    assert.equal(found(list, 'IPPool p', 'AddressesAvailable'), undefined);
  });
});

describe('problems of the source', () => {
  const problem = (changes: Partial<ResourceProblem>): ResourceProblem => ({
    code: 'CONFIG_INVALID_VALUE',
    id: { kind: 'BGPPeer', namespace: undefined, name: 'tor-a' },
    file: 'a.yaml',
    line: 1,
    column: 1,
    field: '',
    message: 'a.yaml:1: wrong.',
    lastGoodInForce: true,
    ...changes,
  });

  test('an object that was refused is not accepted, though its last good state is in force', () => {
    const list = decide(node + torA, {}, [problem({}), problem({ message: 'a.yaml:2: wrong too.' })]);
    const condition = found(list, 'BGPPeer tor-a', 'Accepted');
    assert.equal(condition?.reason, 'Invalid');
    assert.equal(condition?.message, 'a.yaml:1: wrong. a.yaml:2: wrong too.');
  });

  test('an object that was never in force has its condition too', () => {
    const id = { kind: 'Secret', namespace: 'flatroute-system', name: 'bgp' };
    assert.equal(
      found(decide(node, {}, [problem({ id })]), 'Secret flatroute-system/bgp', 'Accepted')?.reason,
      'Invalid',
    );
  });

  test('a file as a whole stands on the node', () => {
    const list = decide(node, {}, [problem({ id: undefined, message: 'a.yaml: the file is empty.' })]);
    assert.equal(found(list, 'Node node-1', 'ResourcesRead')?.reason, 'FileRefused');
    assert.equal(found(list, 'Node node-1', 'ResourcesRead')?.message, 'a.yaml: the file is empty.');
    assert.equal(found(decide(node, {}), 'Node node-1', 'ResourcesRead')?.reason, 'ResourcesRead');
  });
});

describe('the gate', () => {
  const compiled = compile(
    resources(
      node + torA + own('BGPConfiguration', 'default', 'advertise: {nodeAddresses: true, prefixes: [198.51.100.0/24]}'),
    ),
    'node-1',
  );
  const announced = (facts: Facts): string[] => (gate(compiled, facts).bgp?.announcements ?? []).map((it) => it.prefix);

  test('holds a block back until its blackhole is in the kernel, and nothing else', () => {
    assert.deepEqual(announced({}), ['192.0.2.11/32', '198.51.100.0/24']);
    assert.deepEqual(announced({ kernel: kernel({ blackholes: [prefix('10.60.2.0/26')] }) }), [
      '192.0.2.11/32',
      '198.51.100.0/24',
    ]);
    assert.deepEqual(announced({ kernel: kernel() }), ['10.60.1.0/26', '192.0.2.11/32', '198.51.100.0/24']);
    assert.deepEqual(
      heldBack(compiled, {}).map((it) => it.prefix),
      ['10.60.1.0/26'],
    );
  });

  const fixed = compile(
    resources(
      node + torA,
      own('IPPool', 'm', 'cidr: 10.62.0.0/24, assignmentMode: Manual'),
      own('IPPool', 'quiet', 'cidr: 10.63.0.0/24, disableBGPExport: true, natOutgoing: true'),
      own('IPBlock', 'ipv4-0a3e0007-32', 'cidr: 10.62.0.7/32, node: node-1'),
      own('IPBlock', 'ipv4-0a3e0008-32', 'cidr: 10.62.0.8/32, node: node-2'),
    ),
    'node-1',
  );
  const withPods = (
    changes: Partial<PodFacts>,
    blackholes: readonly string[],
  ): { readonly announced: string[]; readonly blackholes: string[] } => {
    const facts = { kernel: kernel({ blackholes: blackholes.map(prefix) }), pods: { ...pods(), ...changes } };
    const { bgp, dataplane } = gate(fixed, facts);
    return { announced: (bgp?.announcements ?? []).map((it) => it.prefix), blackholes: [...dataplane.blocks] };
  };
  const own2 = ['10.60.1.0/26', '10.62.0.7/32'];

  test('a fixed address is announced only while a pod has it; its blackhole stays', () => {
    assert.deepEqual(withPods({}, own2), { announced: ['10.60.1.0/26'], blackholes: own2 });
    const fixedAddresses = ['10.62.0.7'] as IpAddress[];
    assert.deepEqual(withPods({ fixedAddresses }, own2), { announced: own2, blackholes: own2 });
    assert.deepEqual(withPods({ fixedAddresses }, ['10.60.1.0/26']).announced, ['10.60.1.0/26']);
  });

  test('one that the speaker has not heard of yet is no fault, one that was written to nobody is', () => {
    const reason = (...announced: BgpFacts['announced']): string | undefined => {
      const block = { prefix: prefix('10.60.1.0/26'), peers: ['tor-a'] };
      const facts = {
        bgp: { ...bgpFacts([]), announced: [block, ...announced] },
        kernel: kernel({ blackholes: own2.map(prefix) }),
        pods: { ...pods(), fixedAddresses: ['10.62.0.7'] as IpAddress[] },
      };
      return found(conditions(fixed, facts), 'Node node-1', 'BlocksAnnounced')?.reason;
    };
    assert.equal(reason(), 'BlocksAnnounced');
    assert.equal(reason({ prefix: prefix('10.62.0.7/32'), peers: [] }), 'NotAnnounced');
  });

  test('a pod without a block is announced by its address, behind a blackhole', () => {
    const outsideBlocks = ['10.61.0.5', '10.63.0.5', '10.62.0.8'] as IpAddress[];
    const blackholes = ['10.60.1.0/26', '10.61.0.5/32', '10.62.0.7/32'];
    assert.deepEqual(withPods({ outsideBlocks }, own2), { announced: ['10.60.1.0/26'], blackholes });
    assert.deepEqual(withPods({ outsideBlocks }, blackholes).announced, ['10.60.1.0/26', '10.61.0.5/32']);
  });

  test('a pod without a block is translated as in its block', () => {
    const outsideBlocks = ['10.61.0.5', '10.63.0.5'] as IpAddress[];
    const facts = { kernel: kernel(), pods: { ...pods(), outsideBlocks } };
    assert.deepEqual(gate(fixed, facts).dataplane.natOutgoing, ['10.63.0.5/32']);
  });

  test('an address that another node has now is an error that names the node', () => {
    const facts = { kernel: kernel(), pods: { ...pods(block(1)), outsideBlocks: ['10.62.0.8'] as IpAddress[] } };
    const condition = found(conditions(fixed, facts), 'Node node-1', 'PodsAnnounced');
    assert.equal(condition?.reason, 'PodsInForeignBlocks');
    assert.match(condition?.message ?? '', /^10\.62\.0\.8 \(node-2\): .*not announced from here/);
  });

  test('leaves the intent as it is when nothing waits', () => {
    assert.equal(gate(compiled, { kernel: kernel() }), compiled.intent);
  });
});

test('conditions come in order, one for each type of an object', () => {
  const list = decide(node + torA, session({}));
  const keys = list.map((it) => `${it.kind} ${it.name} ${it.type}`);
  assert.deepEqual(keys, [...new Set(keys)].sort());
});

describe('passwords on the listener', () => {
  const peers = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '2001:db8::1'].map((address, i) =>
    own('BGPPeer', `p${i}`, `peerIP: "${address}", asNumber: 65100, password: {secretKeyRef: {name: bgp, key: tor-a}}`),
  );
  const yaml = `${node}${peers.join('---\n')}---\n${secret}`;
  const told = (optionMemory: number | undefined): Condition | undefined =>
    found(decide(yaml, { bgp: { ...bgpFacts([]), optionMemory } }), 'Node node-1', 'PasswordsFit');
  test('are not spoken of while there is room, or nobody knows how much', () => {
    assert.equal(told(131_072), undefined);
    assert.equal(told(undefined), undefined);
  });
  test('that hardly fit, or do not, name the sysctl and a value', () => {
    assert.equal(told(3 * 136)?.reason, 'PasswordsNearLimit');
    assert.match(
      told(3 * 136)?.message ?? '',
      /has 3 TCP MD5 passwords on one listener, of at most 3\. .*optmem_max=816/,
    );
    assert.match(told(2 * 136)?.message ?? '', /and room for 2: the others have no session/);
  });
});
