/**
 * The whole engine behind the codec: three peers say what the input says, come and go, and at the end they are removed. Then
 * nothing of them may be left: no path, no prefix, no attribute set, no route in the kernel.
 *
 * An input is a list of steps: one octet (what, and by whom), two octets of length, that many octets of an UPDATE's body.
 */
import assert from 'node:assert/strict';
import type { Asn } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import type { PeerIntent } from '#bgp/engine.ts';
import { MESSAGE_TYPE } from '#bgp/wire/messages.ts';
import { decodeMessage } from '#bgp/wire/message.ts';
import { Network, asn, intent, ip, kernelView, peerIntent, prefix } from '../../unit/bgp/speaker/network.ts';
import type { FakeSession } from '../../unit/bgp/speaker/network.ts';
import type { Target } from '../target.ts';
import { bgpTargets } from './bgp.ts';

const peers: readonly (PeerIntent & { readonly peerAsn: Asn })[] = [
  { ...peerIntent({ name: 'a', address: ip('192.0.2.2') }), peerAsn: asn(64513) },
  { ...peerIntent({ name: 'b', address: ip('192.0.2.3'), transit: true }), peerAsn: asn(64513) },
  { ...peerIntent({ name: 'c', address: ip('192.0.2.4'), transit: true, maxPrefixes: 50 }), peerAsn: asn(65001) },
];
const local = intent({
  peers,
  announcements: [{ prefix: prefix('10.60.1.0/26'), source: 'block' }],
  ownPrefixes: [prefix('10.60.1.0/26')],
});

const mostSteps = 24;

async function runSteps(input: Uint8Array): Promise<void> {
  const network = new Network();
  for (const peer of peers) network.mute.add(peer.address);
  const node = network.node('dut');
  node.speaker.setKernelView(kernelView([['192.0.2.1/24', '2001:db8::1/64']]));
  node.speaker.apply(local, 1);
  for (const peer of peers) {
    const router = network.node(peer.name);
    router.speaker.apply(
      intent({
        asn: peer.peerAsn,
        routerId: ip(`10.255.0.${peer.address.at(-1) ?? '9'}`),
        peers: [
          peerIntent({
            name: 'dut',
            address: ip('192.0.2.1'),
            sourceAddress: peer.address,
            localAsn: peer.peerAsn,
            peerAsn: asn(65001),
          }),
        ],
      }),
      1,
    );
  }
  await network.settle();
  let at = 0;
  for (let step = 0; step < mostSteps && at + 3 <= input.length; step++) {
    const what = input[at] ?? 0;
    const length = ((input[at + 1] ?? 0) << 8) | (input[at + 2] ?? 0);
    const body = input.subarray(at + 3, at + 3 + length);
    at += 3 + body.length;
    const peer = peers[what % peers.length];
    const session = node.sessions.find((one) => one.options.peer.name === peer?.name && one.other !== undefined);
    if (session !== undefined) act(network, session, what >>> 4, body);
    if ((what & 8) !== 0) await network.settle();
    if (what >>> 4 === 15) await network.advance(5000);
  }
  await network.settle();
  node.speaker.apply({ ...local, peers: [], announcements: [] }, 2);
  await network.advance(400_000);
  for (const family of families)
    assert.deepEqual(
      node.facts?.routes[family],
      { prefixes: 0, paths: 0, best: 0 },
      `${family} is not empty after every peer is gone`,
    );
  assert.deepEqual([...node.kernel.keys()], [], 'routes in the kernel after every peer is gone');
}

function act(network: Network, session: FakeSession, what: number, body: Uint8Array): void {
  const { handlers } = session.modules;
  if (what === 12)
    network.cut(session, { code: 'SESSION_CONNECTION_CLOSED', text: '', keepRoutes: true, replaced: false });
  else if (what === 13)
    network.cut(session, { code: 'SESSION_HOLD_TIMER_EXPIRED', text: '', keepRoutes: false, replaced: false });
  else if (what === 14 && session.context !== undefined)
    handlers.routeRefresh({
      kind: 'routeRefresh',
      afi: 1 + ((body[0] ?? 0) & 1),
      safi: 1,
      subtype: (body[0] ?? 0) >>> 6,
    });
  else if (session.context !== undefined) {
    const message = new Uint8Array(19 + body.length);
    message.set(body, 19);
    const decoded = decodeMessage({ type: MESSAGE_TYPE.UPDATE, bytes: message }, session.context);
    if (!decoded.ok) session.reset(decoded.error);
    else if (decoded.value.kind === 'update') {
      const reset = handlers.update(decoded.value);
      if (reset !== undefined) session.reset(reset);
    }
  }
}

const step = (what: number, body: Uint8Array): number[] => [what, body.length >>> 8, body.length & 255, ...body];

export const engineTarget: Target = {
  name: 'engine',
  longest: 6000,
  seeds: () => {
    const bodies = bgpTargets
      .filter(({ name }) => name === 'bgp-update')
      .flatMap((target) => target.seeds().map((seed) => seed.subarray(1)));
    const each = bodies.map((body, index) => Uint8Array.from(step(index % 16, body)));
    const together = Uint8Array.from(bodies.slice(0, 20).flatMap((body, index) => step((index % 3) | 8, body)));
    const restarts = Uint8Array.from([
      ...together.subarray(0, 600),
      ...step(0xc8, new Uint8Array(0)),
      ...step(0xe8, Uint8Array.of(0x40)),
    ]);
    return [...each, together, restarts];
  },
  run: runSteps,
};
