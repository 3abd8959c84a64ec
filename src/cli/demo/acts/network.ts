/** First act: the network, the sessions, and what routers and nodes have learned from each other. */
import type { Family } from '#lib/ip.ts';
import { families, hostPrefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { ForwardingKind } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { Unexpected } from '../checks.ts';
import type { DemoNetwork } from '../network.ts';
import { linkAddresses, links, nodes, routers, vm } from '../topology.ts';
import type { Stage } from './play.ts';

export async function buildNetwork({ network, checks }: Stage): Promise<void> {
  const built = async (): Promise<string> => {
    await network.build();
    return `${network.lab.hosts.length} hosts, ${links.length} links`;
  };
  await checks.check('network built', built, { needed: true });
  const started = async (): Promise<string> => {
    await Promise.all([network.startRouters(), network.startAgents()]);
    const agents = `flatroute agent${network.engine === 'gobgp' ? ' with gobgpd as its engine' : ''}`;
    return `${routers.map((router) => router.name).join(', ')}: ${network.kind} · ${nodes.map((n) => n.name).join(', ')}: ${agents}`;
  };
  await checks.check('routers and agents started', started, { needed: true });
}

/** Every session of every node and router, from both ends. */
export async function allEstablished(network: DemoNetwork): Promise<string> {
  return await waitFor(
    'all sessions to be established',
    async () => {
      const away: string[] = [];
      for (const plan of nodes) {
        for (const peer of await network.agent(plan.name).questions.peers()) {
          const why = peer.lastError === undefined ? '' : ` (${peer.lastError.text})`;
          if (peer.state !== 'Established') away.push(`${plan.name} → ${peer.name}: ${peer.state}${why}`);
        }
      }
      for (const plan of routers) {
        for (const row of await network.router(plan.name).sessions())
          if (!row.established) away.push(`${plan.name} → ${row.peer}: ${row.state}`);
      }
      if (away.length > 0) return notYet(away.join(', '));
      const pairs = nodes.map((plan) => `${plan.name} ↔ ${routers.map((router) => router.name).join(', ')}`);
      return found([...pairs, routers.map((router) => router.name).join(' ↔ ')].join(' · '));
    },
    { deadline: seconds(30), every: seconds(0.05) },
  );
}

export async function establishSessions({ network, checks, screen }: Stage): Promise<void> {
  const count = nodes.length * routers.length + 1;
  await checks.check(`${count} BGP sessions established`, async () => await allEstablished(network), { needed: true });
  const [first] = nodes;
  if (first === undefined) return;
  screen.output(first.name, 'flatroute peers', await network.agent(first.name).text(['peers'], screen.outputWidth));
}

/** Next hops of each node's block at a router: the node itself, over the link between them. */
function expectedAtRouter(router: string, family: Family): ReadonlyMap<string, string> {
  return new Map(nodes.map((plan) => [plan.block[family], `${linkAddresses(router, plan.name)[family]}2`]));
}

export async function compareTables({ network, checks, screen }: Stage): Promise<void> {
  for (const plan of routers) {
    await checks.check(`${plan.name} has learned`, async () => await learned(network, plan.name));
  }
  const [router] = routers;
  if (router !== undefined) {
    const { shown, argv } = tableCommand[network.kind];
    screen.output(
      router.name,
      shown,
      await network.host(router.name).run(argv, { environment: { COLUMNS: String(screen.outputWidth) } }),
      24,
    );
  }
  for (const plan of nodes) {
    await checks.check(`${plan.name} uses both routers`, async () => await bothPaths(network, plan.name));
  }
  const [first] = nodes;
  if (first === undefined) return;
  const show = ['ip', 'route', 'show', 'proto', '179'];
  screen.output(first.name, show.join(' '), await network.host(first.name).run(show), 16);
}

/** The router's own command that shows its table. */
const tableCommand: Readonly<Record<ForwardingKind, { readonly shown: string; readonly argv: readonly string[] }>> = {
  flatroute: { shown: 'flatroute routes', argv: ['/run/bin/flatroute', 'routes'] },
  bird: { shown: 'birdc show route', argv: ['birdc', 'show', 'route'] },
  frr: { shown: "vtysh -c 'show bgp ipv4 unicast'", argv: ['vtysh', '-c', 'show bgp ipv4 unicast'] },
};

async function learned(network: DemoNetwork, name: string): Promise<string> {
  const router = network.router(name);
  const said: string[] = [];
  for (const family of families) {
    const expected = expectedAtRouter(router.host.name, family);
    await waitFor(
      `${router.host.name} to learn the ${family} blocks`,
      async () => {
        const table = await router.table(family);
        const wrong = [...expected].filter(
          ([prefix, hop]) => table.find((row) => row.prefix === prefix)?.nextHops.join(' ') !== hop,
        );
        if (wrong.length === 0) return found(undefined);
        const rows = table.map((row) => `${row.prefix} via ${row.nextHops.join(' and ')}`);
        return notYet(rows.length === 0 ? 'an empty table' : rows.join(', '));
      },
      { deadline: seconds(15) },
    ).catch((error: unknown) => {
      throw new Unexpected({
        expected: [...expected].map(([prefix, hop]) => `${prefix} via ${hop}`).join(', '),
        seen: error instanceof Error ? error.message : String(error),
        command: `${tableCommand[network.kind].shown} (on ${router.host.name})`,
      });
    });
    if (family === 'ipv4') said.push(...nodes.map((plan) => `${plan.block.ipv4} via ${plan.name}`));
  }
  return `${said.join(' · ')} · and IPv6`;
}

/** The kernel's routes of a node to the other rack and to the VM have a next hop at either router. */
export async function bothPaths(network: DemoNetwork, name: string): Promise<string> {
  const others = nodes.filter((plan) => plan.name !== name);
  const host = network.host(name);
  const wanted = families.flatMap((family) => {
    const hops = routers.map((router) => `${linkAddresses(router.name, name)[family]}1`).sort();
    return [...others.map((plan) => plan.block[family]), hostPrefix(vm.address[family])].map((prefix) => ({
      prefix,
      hops,
    }));
  });
  await waitFor(
    `${name} to have both paths in its kernel`,
    async () => {
      const routes = await host.routes();
      const missing = wanted.filter(
        ({ prefix, hops }) =>
          routes.find((route) => route.prefix === prefix && route.protocol === '179')?.nextHops.join(' ') !==
          hops.join(' '),
      );
      if (missing.length === 0) return found(undefined);
      const seen = missing.map(({ prefix }) => {
        const route = routes.find((candidate) => candidate.prefix === prefix);
        return `${prefix} ${route === undefined ? 'absent' : `via ${route.nextHops.join(' and ')}`}`;
      });
      return notYet(seen.join(', '));
    },
    { deadline: seconds(15) },
  ).catch((error: unknown) => {
    throw new Unexpected({
      expected: wanted.map(({ prefix, hops }) => `${prefix} via ${hops.join(' and ')}`).join(', '),
      seen: error instanceof Error ? error.message : String(error),
      command: `ip route show proto 179 (on ${name})`,
    });
  });
  return `${others.map((plan) => plan.block.ipv4).join(', ')} and ${vm.address.ipv4}, two next hops each, both families`;
}
