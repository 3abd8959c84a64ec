// Route reflection with daemons on either side: two reflectors of one cluster, and clients that each have a session with both.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { Family, Prefix } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { Lab } from '#lab/lab.ts';
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
  linkAddress,
  linkHosts,
  makeRouter,
  peerOf,
  prefixes,
} from './two-routers.ts';

const one = asn(65001);
const clusterId = address('10.255.255.1');

/** A client has link 10 + its number with the first reflector and link 20 + its number with the second. */
const linkOf = (reflector: number, client: number): number => 10 * (reflector + 1) + client;
const side = (number: number): Side => ({
  asn: one,
  routerId: address(`10.255.0.${number}`),
  announce: prefixes(`10.${number}.0.0/24`, `fd${number}::/64`),
});

interface Cluster {
  readonly reflectors: readonly LabRouter[];
  readonly clients: readonly LabRouter[];
}

async function cluster(
  t: TestContext,
  reflectorKinds: readonly [RouterKind, RouterKind],
  clientKinds: readonly RouterKind[],
): Promise<Cluster> {
  const lab = await Lab.create('reflect');
  t.after(async () => await lab.dispose());
  const reflectorHosts = await Promise.all([0, 1].map((n) => addRouterHost(lab, `rr${n}`, side(20 + n))));
  const [first, second] = reflectorHosts;
  assert.ok(first !== undefined && second !== undefined);
  await linkHosts(lab, 1, first, second);
  const clientHosts = await Promise.all(clientKinds.map((_, n) => addRouterHost(lab, `c${n}`, side(30 + n))));
  for (const [n, host] of clientHosts.entries()) {
    for (const [r, reflector] of reflectorHosts.entries()) await linkHosts(lab, linkOf(r, n), reflector, host);
    // How the other clients' addresses are reached: next hops are theirs, and BGP says nothing of the links.
    await host.ip([
      `route add 172.16.0.0/16 via ${linkAddress(linkOf(0, n), 1)}`,
      `route add fd16::/16 via ${linkAddress(linkOf(0, n), 1, 'ipv6')}`,
    ]);
  }
  const reflectors = reflectorHosts.map((host, r) => {
    const clients = clientKinds.map((_, n): RouterPeer => peerOf(linkOf(r, n), 2, `c${n}`, one, { client: true }));
    const other = peerOf(1, r === 0 ? 2 : 1, `rr${1 - r}`, one);
    const kind = reflectorKinds[r] ?? 'flatroute';
    return makeRouter(kind, host, { ...description(side(20 + r), [...clients, other]), clusterId });
  });
  const clients = clientHosts.map((host, n) => {
    const peers = [0, 1].map((r) => peerOf(linkOf(r, n), 1, `rr${r}`, one));
    return makeRouter(clientKinds[n] ?? 'flatroute', host, description(side(30 + n), peers));
  });
  await Promise.all([...reflectors, ...clients].map((router) => router.start()));
  await established(...reflectors, ...clients);
  return { reflectors, clients };
}

/** Every client has what the others announce, by next hops of theirs alone, never by a reflector's. */
async function expectReflected({ clients }: Cluster, viaReflectors: readonly number[] = [0, 1]): Promise<void> {
  for (const [n, router] of clients.entries())
    for (const family of families)
      for (const other of clients.keys()) if (other !== n) await expectPath(router, family, other, viaReflectors);
}

async function expectPath(
  router: LabRouter,
  family: Family,
  other: number,
  viaReflectors: readonly number[],
): Promise<void> {
  const prefix = side(30 + other).announce.find((it) => it.includes(':') === (family === 'ipv6'));
  const theirs = viaReflectors.map((r): string => linkAddress(linkOf(r, other), 2, family));
  await waitFor(
    `${prefix} of c${other} at ${router.host.name} (${router.kind}) by ${theirs.join(' or ')}`,
    async () => {
      const hops = prefix === undefined ? [] : await nextHopsOf(router, family, prefix);
      const isRight = hops.length > 0 && hops.every((hop) => theirs.includes(hop));
      return isRight ? found(undefined) : notYet(JSON.stringify(hops));
    },
    { deadline: seconds(60) },
  );
}

/** As they were said: BIRD's table shows what they resolve to. */
async function nextHopsOf(router: LabRouter, family: Family, prefix: Prefix): Promise<readonly string[]> {
  if (router.kind !== 'bird') return (await router.table(family)).find((row) => row.prefix === prefix)?.nextHops ?? [];
  const paths = await birdRoute(router, prefix);
  return [...paths.matchAll(/BGP\.next_hop: (\S+)/g)].map(([, hop = '']) => hop);
}

const birdRoute = async (router: LabRouter, prefix: string): Promise<string> =>
  await router.host.run(['birdc', '-s', '/run/bird/bird.ctl', 'show', 'route', prefix, 'all']);

/** The daemons that are clients of flatroute. */
const daemons = ['bird', 'frr', 'gobgp', 'openbgpd'] as const;

describe('route reflection', { timeout: 600_000, concurrency: 2 }, () => {
  test('two flatroutes of one cluster reflect between BIRD, FRR, GoBGP and OpenBGPD', {
    skip: cannotRun(...daemons),
  }, async (t) => {
    const made = await cluster(t, ['flatroute', 'flatroute'], daemons);
    await expectReflected(made);
    const [bird] = made.clients;
    assert.ok(bird !== undefined);
    const paths = await birdRoute(bird, '10.31.0.0/24');
    assert.match(paths, /BGP\.originator_id: 10\.255\.0\.31\n/);
    assert.match(paths, /BGP\.cluster_list: 10\.255\.255\.1\n/);
    assert.match(paths, /BGP\.local_pref: 100\n/);
  });

  test('flatroutes are clients of BIRD and FRR in one cluster', { skip: cannotRun('bird', 'frr') }, async (t) => {
    const made = await cluster(t, ['bird', 'frr'], ['flatroute', 'flatroute']);
    await expectReflected(made);
  });
});
