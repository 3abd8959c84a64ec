// What a session runs on, beside real routers: GTSM near and far.
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

interface Triangle {
  readonly node: FlatrouteRouter;
  readonly router: LabRouter;
}

/** The node and the router share link 1; over links 2 and 3 a third host is between them. */
async function triangle(t: TestContext): Promise<readonly [node: Host, router: Host]> {
  const lab = await Lab.create('interop-transport');
  t.after(async () => await lab.dispose());
  const [node, middle, router] = await Promise.all([
    addRouterHost(lab, 'left', left),
    lab.addHost('middle', { forwarding: true }),
    addRouterHost(lab, 'right', right),
  ]);
  await linkHosts(lab, 1, node, router);
  await linkHosts(lab, 2, node, middle);
  await linkHosts(lab, 3, middle, router);
  await node.ip([`route add ${linkAddress(3, 2)} via ${linkAddress(2, 2)}`]);
  await router.ip([`route add ${linkAddress(2, 1)} via ${linkAddress(3, 1)}`]);
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
    { deadline: seconds(20) },
  );
}

for (const kind of ['bird', 'frr'] as const satisfies readonly RouterKind[]) {
  describe(`beside ${kind}`, { skip: cannotRun(kind), concurrency: false }, () => {
    test('GTSM: near in both directions, too far by one hop, and far enough', async (t) => {
      const [a, b] = await triangle(t);
      const near = { ttlSecurity: 1 };
      const [inward, outward] = [linkAddress(1, 1, 'ipv6'), linkAddress(1, 2, 'ipv6')];
      const { node, router }: Triangle = {
        node: new FlatrouteRouter(
          a,
          description(left, [
            peerOf(1, 2, 'we-connect', right.asn, near),
            peerOf(1, 2, 'it-connects', right.asn, { ...near, address: outward, passive: true }),
            peerOf(3, 2, 'far', right.asn, near),
          ]),
          askByAdminApi,
        ),
        router: makeRouter(
          kind,
          b,
          description(right, [
            peerOf(1, 1, 'it-waits', left.asn, { ...near, passive: true }),
            peerOf(1, 1, 'it-connects', left.asn, { ...near, address: inward }),
            peerOf(2, 1, 'far', left.asn, { ttlSecurity: 2 }),
          ]),
        ),
      };
      await Promise.all([node.start(), router.start()]);
      const up = ({ state }: PeerView): boolean => state === 'Established';
      await peerSays(node, 'we-connect', 'the session', up);
      await peerSays(node, 'it-connects', 'the session', up);
      const far = await peerSays(node, 'far', 'the refusal', ({ conditions }) =>
        conditions.some(({ reason }) => reason === 'TtlTooLow'),
      );
      assert.match(far.conditions[0]?.message ?? '', /time-to-live that is too low|with a TTL below 255/);
      assert.match(far.conditions[0]?.message ?? '', /raise spec\.ttlSecurity \(1\)/);
      const peers = node.description.peers.map((it) => (it.name === 'far' ? { ...it, ttlSecurity: 2 } : it));
      await node.reconfigure({ ...node.description, peers });
      await peerSays(node, 'far', 'the session', up);
      await established(router);
    });
  });
}
