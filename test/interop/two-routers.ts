/**
 * What the interop scenarios share: two routers on one link, each carried out by any program, and the waiting for
 * tables, sessions and kernel routes with texts that say what was seen.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { askByAdminApi } from '#cli/demo/ask.ts';
import type { Asking } from '#lab/node-agent.ts';
import { makeRouter as makeRouterAsking } from '#lab/routers/make.ts';
import type { LabRouter, RouterDescription, RouterKind, RouterPeer } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';

export const address = (text: string): IpAddress => text as IpAddress;
export const prefixes = (...texts: readonly string[]): readonly Prefix[] => texts as readonly Prefix[];
export const asn = (n: number): Asn => n as Asn;

/** Who speaks with whom. The last row has no flatroute: it shows that the scenarios ask for what routers do. */
export const pairs: readonly (readonly [left: RouterKind, right: RouterKind])[] = [
  ['flatroute', 'bird'],
  ['flatroute', 'frr'],
  ['bird', 'frr'],
];

/** How long anything is waited for: no judgement of how long it takes, which a busy machine would fail. */
export const DEADLINE = seconds(60);
/** A busy machine keeps such a session; the scenario of a frozen daemon takes the least that BGP allows. */
const HOLD_SECONDS = 9;
export const SHORT_HOLD_SECONDS = 3;

/** Why this machine cannot run a program as a router, or false: some change to users of their own. */
export const cannotRun = (...kinds: readonly RouterKind[]): string | false => {
  const rootOnly = kinds.filter((kind) => kind === 'frr' || kind === 'openbgpd');
  return rootOnly.length > 0 && process.env['FLATROUTE_ROOT'] === 'user-namespace'
    ? `${rootOnly.join(' and ')} need root`
    : false;
};

export interface Side {
  readonly asn: Asn;
  readonly routerId: IpAddress;
  readonly announce: readonly Prefix[];
}

export const left: Side = {
  asn: asn(65001),
  routerId: address('10.255.0.1'),
  announce: prefixes('10.1.0.0/24', 'fd01::/64'),
};
export const right: Side = {
  asn: asn(65002),
  routerId: address('10.255.0.2'),
  announce: prefixes('10.2.0.0/24', 'fd02::/64'),
};

/** Addresses of the n-th link: its first host has .1, its second .2. */
export const linkAddress = (n: number, end: 1 | 2, family: Family = 'ipv4'): IpAddress =>
  address(family === 'ipv4' ? `172.16.${n}.${end}` : `fd16:${n}::${end}`);

export const peerOf = (
  n: number,
  end: 1 | 2,
  name: string,
  peerAsn: Asn,
  more: Partial<RouterPeer> = {},
): RouterPeer => ({ name, address: linkAddress(n, end), asn: peerAsn, families, ...more });

export const description = (
  side: Side,
  peers: readonly RouterPeer[],
  holdTimeSeconds: number = HOLD_SECONDS,
): RouterDescription => ({ ...side, peers, holdTimeSeconds, multipath: true });

/** A router that is asked without a process for each look; the daemons' own command lines cost little. */
export const makeRouter = (
  kind: RouterKind,
  host: Host,
  described: RouterDescription,
  asking: Asking = askByAdminApi,
): LabRouter => makeRouterAsking(kind, host, described, asking);

/** A host that has its router id as its own address. */
export async function addRouterHost(lab: Lab, name: string, side: Side): Promise<Host> {
  return await lab.addHost(name, { forwarding: true, loopback: [side.routerId] });
}

export async function linkHosts(lab: Lab, n: number, a: Host, b: Host): Promise<void> {
  await lab.link({
    a,
    b,
    addresses: [
      [`${linkAddress(n, 1)}/30`, `${linkAddress(n, 2)}/30`],
      [`${linkAddress(n, 1, 'ipv6')}/64`, `${linkAddress(n, 2, 'ipv6')}/64`],
    ],
  });
}

export interface TwoRouters {
  readonly lab: Lab;
  readonly left: LabRouter;
  readonly right: LabRouter;
}

/** Two hosts, one link, both routers started; everything is gone when the test ends. */
export async function twoRouters(
  t: TestContext,
  kinds: readonly [RouterKind, RouterKind],
  more: {
    readonly left?: Partial<RouterPeer>;
    readonly right?: Partial<RouterPeer>;
    readonly holdTimeSeconds?: number;
    readonly asking?: Asking;
  } = {},
): Promise<TwoRouters> {
  const lab = await Lab.create('interop');
  t.after(async () => await lab.dispose());
  const [a, b] = await Promise.all([addRouterHost(lab, 'left', left), addRouterHost(lab, 'right', right)]);
  await linkHosts(lab, 1, a, b);
  const made: TwoRouters = {
    lab,
    left: makeRouter(
      kinds[0],
      a,
      description(left, [peerOf(1, 2, 'right', right.asn, more.left)], more.holdTimeSeconds),
      more.asking,
    ),
    right: makeRouter(
      kinds[1],
      b,
      description(right, [peerOf(1, 1, 'left', left.asn, more.right)], more.holdTimeSeconds),
      more.asking,
    ),
  };
  await Promise.all([made.left.start(), made.right.start()]);
  return made;
}

/** The same description with another peer in it. */
export const withPeer = (router: LabRouter, more: Partial<RouterPeer>): RouterDescription => ({
  ...router.description,
  peers: router.description.peers.map((peer) => ({ ...peer, ...more })),
});

export async function established(...routers: readonly LabRouter[]): Promise<void> {
  for (const router of routers) {
    await waitFor(
      `the sessions of ${router.host.name} (${router.kind})`,
      async () => {
        const rows = await router.sessions();
        return rows.every((row) => row.established) ? found(undefined) : notYet(JSON.stringify(rows));
      },
      { deadline: DEADLINE },
    );
  }
}

/** Waits until a session is down. */
export async function sessionDown(router: LabRouter): Promise<string> {
  return await waitFor(
    `${router.host.name} (${router.kind}) to lose its session`,
    async () => {
      const [row] = await router.sessions();
      return row !== undefined && !row.established ? found(row.state) : notYet(JSON.stringify(row));
    },
    { deadline: DEADLINE },
  );
}

export type ExpectedTable = Readonly<Record<string, readonly string[]>>;

/** The whole table of one family, prefix by prefix with its next hops; `local` for what the router announces itself. */
export async function expectTable(router: LabRouter, family: Family, expected: ExpectedTable): Promise<void> {
  let seen: ExpectedTable = {};
  await waitFor(
    `the ${family} table of ${router.host.name} (${router.kind})`,
    async () => {
      seen = Object.fromEntries((await router.table(family)).map((row) => [row.prefix, row.nextHops]));
      return isEqual(seen, expected) ? found(undefined) : notYet(JSON.stringify(seen));
    },
    { deadline: DEADLINE },
  ).catch(async (error: unknown) => {
    assert.deepEqual(seen, expected, `${String(error)}\nlog of ${router.host.name}:\n${await router.log()}`);
    throw error;
  });
}

/** What BGP put into the kernel of a host: every route of a routing daemon, with its next hops. */
export async function expectKernel(router: LabRouter, family: Family, expected: ExpectedTable): Promise<void> {
  const protocols = new Set(['179', 'bird', 'bgp', '12', '186']);
  let seen: ExpectedTable = {};
  await waitFor(
    `the ${family} routes in the kernel of ${router.host.name} (${router.kind})`,
    async () => {
      const routes = await router.host.routes();
      seen = Object.fromEntries(
        routes
          .filter((route) => protocols.has(route.protocol) && route.type === 'unicast')
          .filter((route) => route.prefix.includes(':') === (family === 'ipv6'))
          .map((route) => [route.prefix, route.nextHops]),
      );
      return isEqual(seen, expected) ? found(undefined) : notYet(JSON.stringify(seen));
    },
    { deadline: DEADLINE },
  ).catch(async (error: unknown) => {
    assert.deepEqual(seen, expected, `${String(error)}\nlog of ${router.host.name}:\n${await router.log()}`);
    throw error;
  });
}

function isEqual(a: ExpectedTable, b: ExpectedTable): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key]?.join(' ') === b[key]?.join(' '));
}
