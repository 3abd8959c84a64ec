// What a session runs on, beside real routers: GTSM near and far, shutdowns with their words, and a session between loopbacks.
import assert from 'node:assert/strict';
import { type TestContext, describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import type { PeerView } from '#lab/node-agent.ts';
import { FlatrouteRouter } from '#lab/routers/flatroute.ts';
import type { LabRouter, RouterKind } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { askByAdminApi } from '#cli/demo/ask.ts';
import {
  addRouterHost,
  cannotRun,
  description,
  established,
  left,
  linkAddress,
  linkHosts,
  makeRouter,
  peerOf,
  right,
} from './two-routers.ts';

interface Ends {
  readonly node: FlatrouteRouter;
  readonly router: LabRouter;
}

/** The node and the router share link 1; over links 2, 3 and 4 two more hosts are between them. */
async function detour(t: TestContext): Promise<readonly [node: Host, router: Host]> {
  const lab = await Lab.create('interop-transport');
  t.after(async () => await lab.dispose());
  const [node, near, far, router] = await Promise.all([
    addRouterHost(lab, 'left', left),
    lab.addHost('near', { forwarding: true }),
    lab.addHost('far', { forwarding: true }),
    addRouterHost(lab, 'right', right),
  ]);
  await linkHosts(lab, 1, node, router);
  await linkHosts(lab, 2, node, near);
  await linkHosts(lab, 3, near, far);
  await linkHosts(lab, 4, far, router);
  const behind = (to: string, via: string): string => `route add ${to} via ${via}`;
  const [toRight, toLeft] = [
    [linkAddress(4, 2), right.routerId],
    [linkAddress(2, 1), left.routerId],
  ];
  await node.ip(toRight.map((to) => behind(to, linkAddress(2, 2))));
  await near.ip([...toRight.map((to) => behind(to, linkAddress(3, 2))), behind(left.routerId, linkAddress(2, 1))]);
  await far.ip([...toLeft.map((to) => behind(to, linkAddress(3, 1))), behind(right.routerId, linkAddress(4, 2))]);
  await router.ip(toLeft.map((to) => behind(to, linkAddress(4, 1))));
  return [node, router];
}

async function peerSays(
  node: FlatrouteRouter,
  name: string,
  what: string,
  fits: (peer: PeerView) => boolean,
): Promise<PeerView> {
  return await waitFor(
    `${what} of ${name}`,
    async () => {
      const peer = (await node.agent.questions.peers()).find((it) => it.name === name);
      return peer !== undefined && fits(peer) ? found(peer) : notYet(JSON.stringify(peer));
    },
    { deadline: seconds(60) },
  );
}

const frr = async (host: Host, ...commands: readonly string[]): Promise<string> =>
  await host.run(['vtysh', '--vty_socket', '/run/frr', '-d', 'bgpd', ...commands.flatMap((it) => ['-c', it])]);
const birdc = async (host: Host, ...words: readonly string[]): Promise<string> =>
  await host.run(['birdc', '-s', '/run/bird/bird.ctl', ...words]);

/** How each router's administrator holds its session with the node down, and where it shows what the node said. */
const shutdown = {
  bird: {
    down: (host: Host, text: string) => birdc(host, 'disable', 'node', `"${text}"`),
    up: (host: Host) => birdc(host, 'enable', 'node'),
    heard: (host: Host) => birdc(host, 'show', 'protocols', 'all', 'node'),
  },
  frr: {
    down: (host: Host, text: string) =>
      frr(
        host,
        'configure terminal',
        `router bgp ${right.asn}`,
        `neighbor ${linkAddress(1, 1)} shutdown message ${text}`,
      ),
    up: (host: Host) =>
      frr(host, 'configure terminal', `router bgp ${right.asn}`, `no neighbor ${linkAddress(1, 1)} shutdown`),
    heard: async (_: Host, router: LabRouter) => await router.log(),
  },
} as const;

const up = ({ state }: PeerView): boolean => state === 'Established';

for (const kind of ['bird', 'frr'] as const satisfies readonly RouterKind[]) {
  describe(`beside ${kind}`, { skip: cannotRun(kind), concurrency: false }, () => {
    test('an administrative shutdown is said with its words, in both directions (RFC 9003)', async (t) => {
      const [a, b] = await detour(t);
      const node = new FlatrouteRouter(a, description(left, [peerOf(1, 2, 'router', right.asn)]), askByAdminApi);
      const router = makeRouter(kind, b, description(right, [peerOf(1, 1, 'node', left.asn)]));
      await Promise.all([node.start(), router.start()]);
      await peerSays(node, 'router', 'the session', up);
      await shutdown[kind].down(b, 'new cables, until noon');
      const { conditions } = await peerSays(node, 'router', 'the shutdown', (peer) =>
        peer.conditions.some(({ reason }) => reason === 'PeerShutdown'),
      );
      assert.match(conditions[0]?.message ?? '', /Administrative Shutdown: "new cables, until noon"/);
      await shutdown[kind].up(b);
      await peerSays(node, 'router', 'the session', up);

      const file = node.configuration()['peer-router.yaml'] ?? '';
      await node.agent.write({
        'peer-router.yaml': `${file}  adminState: Down\n  adminStateMessage: Rückbau, bis 14:00\n`,
      });
      await waitFor(
        `${kind} to have heard why`,
        async () => {
          const said = await shutdown[kind].heard(b, router);
          return said.includes('ckbau, bis 14:00') ? found(said) : notYet(said.slice(-2000));
        },
        { deadline: seconds(60) },
      );
    });

    test('a password is rotated: the node resets nothing, and the session comes back with the new one', async (t) => {
      const [a, b] = await detour(t);
      const [old, next] = [{ password: 'old-key' }, { password: 'new-key' }];
      const node = new FlatrouteRouter(a, description(left, [peerOf(1, 2, 'router', right.asn, old)]), askByAdminApi);
      const router = makeRouter(kind, b, description(right, [peerOf(1, 1, 'node', left.asn, old)]));
      await Promise.all([node.start(), router.start()]);
      await peerSays(node, 'router', 'the session', up);
      await node.reconfigure(description(left, [peerOf(1, 2, 'router', right.asn, next)]));
      await router.reconfigure(description(right, [peerOf(1, 1, 'node', left.asn, next)]));
      const again = await peerSays(
        node,
        'router',
        'its end by the router, and the next session',
        (peer) => up(peer) && peer.lastError !== undefined,
      );
      // Not by the node: the router's own words, what is left when its key has changed first, or what became of a try since.
      assert.doesNotMatch(again.lastError?.code ?? '', /SESSION_(RESET|STOPPED)/);
      await established(router);
    });

    test('a session between loopbacks needs ebgpMultihop, and says so', async (t) => {
      const [a, b] = await detour(t);
      const peer = { ...peerOf(1, 2, 'loopback', right.asn), address: right.routerId };
      const node = new FlatrouteRouter(a, description(left, [peer]), askByAdminApi);
      const multihop = { hops: 3, from: right.routerId };
      const back = { ...peerOf(1, 1, 'loopback', left.asn), address: left.routerId, multihop };
      const router = makeRouter(kind, b, description(right, [back]));
      await Promise.all([node.start(), router.start()]);
      const refused = await peerSays(node, 'loopback', 'the refusal', ({ conditions }) =>
        conditions.some(({ reason }) => reason === 'PeerNotConnected'),
      );
      assert.match(refused.conditions[0]?.message ?? '', /^10\.255\.0\.2 is on no subnet/);
      const allowed = { ...peer, multihop: { hops: 3, from: left.routerId } };
      await node.reconfigure({ ...node.description, peers: [allowed] });
      await peerSays(node, 'loopback', 'the session', up);
      await established(router);
    });

    test('GTSM: near in both directions, too far by one hop, and far enough', async (t) => {
      const [a, b] = await detour(t);
      const near = { ttlSecurity: 1 };
      const [inward, outward] = [linkAddress(1, 1, 'ipv6'), linkAddress(1, 2, 'ipv6')];
      const { node, router }: Ends = {
        node: new FlatrouteRouter(
          a,
          description(left, [
            peerOf(1, 2, 'we-connect', right.asn, near),
            peerOf(1, 2, 'it-connects', right.asn, { ...near, address: outward, passive: true }),
            peerOf(4, 2, 'far', right.asn, { ttlSecurity: 2 }),
          ]),
          askByAdminApi,
        ),
        router: makeRouter(
          kind,
          b,
          description(right, [
            peerOf(1, 1, 'it-waits', left.asn, { ...near, passive: true }),
            peerOf(1, 1, 'it-connects', left.asn, { ...near, address: inward }),
            peerOf(2, 1, 'far', left.asn, { ttlSecurity: 3 }),
          ]),
        ),
      };
      await Promise.all([node.start(), router.start()]);
      await peerSays(node, 'we-connect', 'the session', up);
      await peerSays(node, 'it-connects', 'the session', up);
      const far = await peerSays(node, 'far', 'the refusal', ({ conditions }) =>
        conditions.some(({ reason }) => reason === 'TtlTooLow'),
      );
      assert.match(far.conditions[0]?.message ?? '', /time-to-live that is too low|with a TTL below 254/);
      assert.match(far.conditions[0]?.message ?? '', /raise spec\.ttlSecurity \(2\)/);
      const peers = node.description.peers.map((it) => (it.name === 'far' ? { ...it, ttlSecurity: 3 } : it));
      await node.reconfigure({ ...node.description, peers });
      await peerSays(node, 'far', 'the session', up);
      await established(router);
    });
  });
}
