// Several paths for one prefix in one session (RFC 7911), with daemons on either side: what they send is told apart and used
// together, and what flatroute sends them arrives as so many paths.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { families } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import type { RouteView } from '#lab/node-agent.ts';
import { FlatrouteRouter } from '#lab/routers/flatroute.ts';
import type { LabRouter, RouterKind, RouterPeer } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { Side } from './two-routers.ts';
import {
  addRouterHost,
  address,
  asn,
  cannotRun,
  description,
  established,
  expectKernel,
  linkAddress,
  linkHosts,
  makeRouter,
  peerOf,
  prefixes,
} from './two-routers.ts';

const one = asn(65001);
const daemons = ['bird', 'frr', 'gobgp', 'openbgpd'] as const;
const shared = { ipv4: '10.99.0.0/24', ipv6: 'fd99::/64' } as const;
const both = { addPath: { receive: true, send: 4 } } as const;

/** The n-th reflector and the n-th client have this link: .1 is the reflector. */
const linkOf = (reflector: number, client: number): number => 10 * (reflector + 1) + client;
const sideOf = (number: number, announce: readonly string[]): Side => ({
  asn: one,
  routerId: address(`10.255.0.${number}`),
  announce: prefixes(...announce),
});

/** Every reflector has a session with every client; clients reach each other's addresses by the first reflector. */
async function reflected(
  t: TestContext,
  reflectorKinds: readonly RouterKind[],
  clients: readonly { readonly kind: RouterKind; readonly announce: readonly string[] }[],
): Promise<{ readonly reflectors: readonly LabRouter[]; readonly clients: readonly LabRouter[] }> {
  const lab = await Lab.create('addpath');
  t.after(async () => await lab.dispose());
  const reflectorSides = reflectorKinds.map((_, r) => sideOf(20 + r, []));
  const clientSides = clients.map(({ announce }, n) => sideOf(30 + n, announce));
  const reflectorHosts = await Promise.all(reflectorSides.map((side, r) => addRouterHost(lab, `rr${r}`, side)));
  const clientHosts = await Promise.all(clientSides.map((side, n) => addRouterHost(lab, `c${n}`, side)));
  for (const [n, host] of clientHosts.entries()) {
    for (const [r, reflector] of reflectorHosts.entries()) await linkHosts(lab, linkOf(r, n), reflector, host);
    await host.ip([
      `route add 172.16.0.0/16 via ${linkAddress(linkOf(0, n), 1)}`,
      `route add fd16::/16 via ${linkAddress(linkOf(0, n), 1, 'ipv6')}`,
    ]);
  }
  const peer = (link: number, end: 1 | 2, name: string, more: Partial<RouterPeer> = {}): RouterPeer =>
    peerOf(link, end, name, one, { ...both, ...more });
  const made = {
    reflectors: reflectorKinds.map((kind, r) => {
      const peers = clients.map((_, n) => peer(linkOf(r, n), 2, `c${n}`, { client: true }));
      return makeRouter(kind, reflectorHosts[r] as Host, description(reflectorSides[r] as Side, peers));
    }),
    clients: clients.map(({ kind }, n) => {
      const peers = reflectorKinds.map((_, r) => peer(linkOf(r, n), 1, `rr${r}`));
      return makeRouter(kind, clientHosts[n] as Host, description(clientSides[n] as Side, peers));
    }),
  };
  await Promise.all([...made.reflectors, ...made.clients].map((router) => router.start()));
  await established(...made.reflectors, ...made.clients);
  return made;
}

async function seen(what: string, expected: unknown, look: () => Promise<unknown>): Promise<void> {
  let last: unknown;
  await waitFor(
    what,
    async () => {
      last = await look();
      return JSON.stringify(last) === JSON.stringify(expected) ? found(undefined) : notYet(JSON.stringify(last));
    },
    { deadline: seconds(60) },
  ).catch((error: unknown) => {
    assert.deepEqual(last, expected, String(error));
    throw error;
  });
}

describe('several paths for one prefix', { timeout: 600_000, concurrency: 2 }, () => {
  test('flatroute announces to BIRD, FRR, GoBGP and OpenBGPD what the others of them announce', {
    skip: cannotRun(...daemons),
  }, async (t) => {
    const announce = [shared.ipv4, shared.ipv6];
    const made = await reflected(
      t,
      ['flatroute'],
      daemons.map((kind) => ({ kind, announce })),
    );
    const expectPaths = async (announcing: readonly number[]): Promise<void> => {
      for (const [n, router] of made.clients.entries())
        for (const family of families) {
          const hops = announcing
            .filter((other) => other !== n)
            .map((other) => linkAddress(linkOf(0, other), 2, family));
          await seen(`paths of ${shared[family]} at c${n} (${router.kind})`, hops.sort(), async () =>
            (await router.paths(family))
              .filter((row) => row.prefix === shared[family] && row.nextHop !== 'local')
              .map((row) => row.nextHop)
              .sort(),
          );
        }
    };
    await expectPaths([0, 1, 2, 3]);
    const [first] = made.clients;
    await first?.reconfigure({ ...first.description, announce: prefixes('10.98.0.0/24') });
    await expectPaths([1, 2, 3]);
  });

  test('flatroute uses together what BIRD, FRR, GoBGP and OpenBGPD each announce as two paths', {
    skip: cannotRun(...daemons),
  }, async (t) => {
    const announce = [shared.ipv4, shared.ipv6];
    const made = await reflected(t, daemons, [
      { kind: 'flatroute', announce },
      { kind: 'flatroute', announce },
      { kind: 'flatroute', announce: [] },
    ]);
    const [first, second, leaf] = made.clients;
    assert.ok(first !== undefined && second !== undefined && leaf instanceof FlatrouteRouter);
    for (const family of families) {
      const answer = async (): Promise<readonly RouteView[]> =>
        (await leaf.agent.questions.routes('accepted')).filter((row) => row.prefix === shared[family]);
      for (const [r, kind] of daemons.entries()) {
        // The lab's GoBGP and OpenBGPD say their own address with IPv6 routes: over IPv4 they know no other.
        const isOwn = (kind === 'gobgp' || kind === 'openbgpd') && family === 'ipv6';
        const hops = [0, 1].map((n) =>
          isOwn ? linkAddress(linkOf(r, 2), 1, family) : linkAddress(linkOf(r, n), 2, family),
        );
        await seen(`paths of ${shared[family]} from ${kind}`, hops, async () =>
          (await answer())
            .filter((row) => row.peer === `rr${r}`)
            .map((row) => row.nextHop ?? '')
            .sort(),
        );
      }
      for (const r of daemons.keys()) {
        const ids = (await answer()).filter((row) => row.peer === `rr${r}`).map((row) => row.pathId);
        assert.equal(new Set(ids).size, 2, `identifiers of rr${r}: ${ids.join(' ')}`);
        assert.ok(ids.every((id) => id !== undefined));
      }
    }
    // The second path of the first reflector is now the only one that leads by the second reflector.
    const [gateway, other] = [0, 1].map((r) => linkAddress(linkOf(r, 2), 1));
    assert.ok(gateway !== undefined && other !== undefined);
    await leaf.host.ip([`route add ${linkAddress(linkOf(0, 1), 2)}/32 via ${other}`]);
    await expectKernel(leaf, 'ipv4', { [shared.ipv4]: [gateway, other] });
  });
});
