// BFD of BGPPeers beside BIRD and FRR, 50 ms x 3: a node under two routers, one of which freezes; the agent's death; an end on
// purpose; several hops; IPv6; who waits for whom.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { families } from '#lib/ip.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { askByAdminApi } from '#cli/demo/ask.ts';
import { bfdProfile, bgpPeer } from '#lab/manifests.ts';
import { Lab } from '#lab/lab.ts';
import type { NodeAgent, PeerView } from '#lab/node-agent.ts';
import { FlatrouteRouter } from '#lab/routers/flatroute.ts';
import { type BfdOptions, bfdTimes, type RouterKind, type RouterPeer } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { Rack } from '../support/rack.ts';
import {
  addRouterHost,
  address,
  cannotRun,
  description,
  established,
  left,
  linkAddress,
  linkHosts,
  makeRouter,
  right,
} from './two-routers.ts';

async function until(
  agent: NodeAgent,
  name: string,
  what: string,
  fits: (peer: PeerView) => boolean,
): Promise<PeerView> {
  return await waitFor(
    `${name}: ${what}`,
    async () => {
      const peer = (await agent.questions.peers()).find((it) => it.name === name);
      return peer !== undefined && fits(peer) ? found(peer) : notYet(`${JSON.stringify(peer)}\n${await agent.log(8)}`);
    },
    { deadline: seconds(60), every: milliseconds(20) },
  );
}

const isFast = ({ bfd }: PeerView): boolean => bfd?.state === 'Up' && bfd.detectionTimeMilliseconds === 150;
const isUp = ({ state }: PeerView): boolean => state === 'Established';

/** Routers by which the node reaches the VM, by the kernel's word. */
async function ways(rack: Rack): Promise<string> {
  const routes = (await rack.node.routes()).filter(
    ({ prefix }) => prefix === '10.9.9.9/32' || prefix === 'fd09::9/128',
  );
  const via = routes.map(({ nextHops }) => nextHops.map((hop) => rack.routerBehind(hop)).sort());
  return via.map((names) => names.join('+')).join(' ');
}

const reach = async (rack: Rack, wanted: string): Promise<void> =>
  await waitFor(
    `the node to reach the VM by ${wanted}`,
    async () => {
      const seen = await ways(rack);
      return seen === `${wanted} ${wanted}` ? found(undefined) : notYet(seen);
    },
    { deadline: seconds(60), every: milliseconds(10) },
  );

const rows: readonly (readonly [string, RouterKind, BfdOptions])[] = [
  ['BIRD, bfd on', 'bird', {}],
  ['FRR', 'frr', {}],
];

for (const [name, kind, bfd] of rows)
  test(`a node under two routers (${name}): kills of the agent are not noticed, a frozen router is left at once`, {
    skip: cannotRun(kind),
    timeout: 600_000,
  }, async (t) => {
    await using rack = await Rack.create(kind, { bfd });
    const { agent } = rack;
    const [first] = rack.routers;
    assert.ok(first !== undefined);
    for (const peer of ['first', 'second']) await until(agent, peer, 'BFD at 50 ms x 3', isFast);
    await reach(rack, 'first+second');

    // The same process, and no session of it changes, whatever happens to the agent.
    const before = await until(agent, 'first', 'known', isUp);
    const pid = await agent.bfdPid();
    for (let kill = 0; kill < 2; kill++) {
      await agent.stop(kill === 0 ? 'SIGTERM' : 'SIGKILL');
      await agent.start();
      await rack.restored();
    }
    const after = await until(agent, 'first', 'BFD as before', isFast);
    assert.deepEqual([await agent.bfdPid(), after.bfd?.since], [pid, before.bfd?.since]);
    assert.equal(after.bfd?.failures, before.bfd?.failures);

    const other = await until(agent, 'second', 'known', isUp);
    const frozenAt = Date.now();
    await first.signal('SIGSTOP');
    await reach(rack, 'second');
    const ended = (peer: PeerView): boolean =>
      peer.bfd?.failed === true && !isUp(peer) && peer.conditions.some(({ reason }) => reason === 'BFDFailed');
    const failed = await until(agent, 'first', 'failed, and its BGP session ended', ended);
    assert.match(failed.lastError?.text ?? '', /BFD with 172\.16\.1\.2 is down: no packet came for the detection time/);
    const seen = await waitFor(
      'the log to say when the nexthops went',
      async () => {
        const deletion = await agent.nexthopsDeleted('first', frozenAt);
        return deletion === undefined ? notYet('nothing') : found(deletion.afterMilliseconds);
      },
      { deadline: seconds(60) },
    );
    t.diagnostic(`left ${seen} ms after it was frozen`);
    assert.ok(seen < 20_000, `${seen} ms: long before the hold time of 90 s`);
    const second = await until(agent, 'second', 'untouched', isUp);
    assert.deepEqual([second.flaps, second.bfd?.failures], [other.flaps, other.bfd?.failures]);
    await first.signal('SIGCONT');
    await rack.restored();
    await until(agent, 'first', 'BFD back', isFast);
    await reach(rack, 'first+second');

    // RFC 5882 §3.2: an end on purpose is no failure. Ours keeps the session; what the router does is shown.
    const { flaps } = await until(agent, 'first', 'known', isUp);
    await agent.write({ 'peer-first.yaml': peerFile(rack, []) });
    await until(agent, 'first', 'without BFD', (peer) => peer.bfd === undefined);
    // Time enough for it to be heard, whatever comes of it.
    await delay(300);
    await rack.restored();
    const kept = await until(agent, 'first', 'established without BFD', isUp);
    t.diagnostic(
      kept.flaps === flaps
        ? 'AdminDown: the router kept the BGP session'
        : `AdminDown: the router ended the BGP session (${kept.lastError?.text})`,
    );
    assert.doesNotMatch(kept.lastError?.text ?? '', /^BFD with .* neighbour/);
    await agent.write({ 'peer-first.yaml': peerFile(rack, ['bfd: { profile: fast }']) });
    await until(agent, 'first', 'BFD again', isFast);

    // Only a stop that withdraws everything ends BFD too.
    await agent.stop('SIGTERM');
    await agent.start(undefined, ['--withdraw-on-stop']);
    await until(agent, 'first', 'BFD as it was', isFast);
    assert.equal(await agent.bfdPid(), pid);
    await agent.stop('SIGTERM');
    await waitFor(
      'the process for BFD to end',
      async () => ((await agent.bfdPid()) === undefined ? found(undefined) : notYet('it is there')),
      { deadline: seconds(60) },
    );
  });

const peerFile = (rack: Rack, options: readonly string[]): string =>
  bgpPeer({
    name: 'first',
    address: linkAddress(1, 2),
    asn: rack.routers[0]?.description.asn ?? right.asn,
    families,
    holdTimeSeconds: 9,
    options,
  });

for (const kind of ['bird', 'frr'] as const)
  test(`internal sessions with ${kind}: several hops between loopbacks, one hop over IPv6, unnumbered, and one whose router has no BFD`, {
    skip: cannotRun(kind),
    timeout: 600_000,
  }, async (t) => {
    const lab = await Lab.create('interop-bfd');
    t.after(async () => await lab.dispose());
    const [a, b] = await Promise.all([addRouterHost(lab, 'left', left), addRouterHost(lab, 'right', right)]);
    await linkHosts(lab, 1, a, b);
    // Without addresses: the neighbour is found by router advertisements.
    await lab.link({ a, b, names: ['bare-left', 'bare-right'], addresses: [] });
    await a.ip([`route add ${right.routerId} via ${linkAddress(1, 2)}`]);
    await b.ip([`route add ${left.routerId} via ${linkAddress(1, 1)}`]);
    const sessions = (end: 1 | 2): readonly RouterPeer[] => {
      const other = end === 1 ? right.routerId : left.routerId;
      const from = end === 1 ? left.routerId : right.routerId;
      const link = { asn: left.asn, families };
      const six = linkAddress(1, end === 1 ? 2 : 1, 'ipv6');
      const ours = end === 1 ? { bfd: {} } : {};
      return [
        { name: 'far', address: other, ...link, multihop: { hops: 2, from }, bfd: { multihop: true } },
        { name: 'six', address: six, ...link, bfd: {} },
        {
          name: 'bare',
          address: address('::'),
          interface: end === 1 ? 'bare-left' : 'bare-right',
          ...link,
          bfd: {},
        },
        { name: 'plain', address: linkAddress(1, end === 1 ? 2 : 1), ...link, ...ours },
      ];
    };
    const node = new FlatrouteRouter(a, description(left, sessions(1)), askByAdminApi);
    const router = makeRouter(kind, b, description({ ...right, asn: left.asn }, sessions(2)));
    await Promise.all([node.start(), router.start()]);
    await established(node, router);
    const { agent } = node;
    assert.equal((await until(agent, 'far', 'BFD over several hops', isFast)).bfd?.hops, 'multi');
    // It is on a subnet of the node, which the node sees by itself.
    assert.equal((await until(agent, 'six', 'BFD over IPv6', isFast)).bfd?.hops, 'single');
    const bare = await until(agent, 'bare', 'BFD over link-local addresses', isFast);
    assert.match(bare.address, /^fe80:.*%bare-left$/);
    assert.equal(bare.bfd?.hops, 'single');
    const said = (peer: PeerView): boolean => peer.conditions.some(({ reason }) => reason === 'BFDNotUp');
    const alone = await until(agent, 'plain', 'up without BFD, and said so', (peer) => isUp(peer) && said(peer));
    assert.notEqual(alone.bfd?.state, 'Up');
    if (kind !== 'bird') return;
    // Its packets over several hops start with a time-to-live of 64, which is a profile's to allow.
    await agent.write({ 'bfd.yaml': bfdProfile('fast', { ...bfdTimes, minimumTtl: 65 }) });
    const deaf = await until(agent, 'far', 'deaf', (peer) => peer.bfd?.state === 'Down');
    assert.equal(deaf.bfd?.diagnostic, 'no packet came for the detection time');
  });
