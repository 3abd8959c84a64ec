/** The subcommands that ask the agent of this node. */
import { parseAddress, parsePrefix } from '#lib/ip.ts';
import type { PodAnswer, RoutesAnswer } from '#status/answers.ts';
import type { Parsed } from './arguments.ts';
import type { RoutesRequest } from './client.ts';
import { type Command, EXIT_FINE, EXIT_USAGE } from './command.ts';
import type { CliIo } from './io.ts';
import { connect, queryOptions, runQuery, socketOption } from './query.ts';
import { driftIsFine, showBlocks, showConditions, showDrift, showPods } from './show/node.ts';
import { peersAreFine, showPeers } from './show/peers.ts';
import { poolIsFine, showPools } from './show/pools.ts';
import { destinationIsFine, explainRoute, showRoutes } from './show/routes.ts';
import { concerns, serviceIsFine, showServices } from './show/services.ts';
import { showStatus, statusIsFine } from './show/status.ts';

const always = (): boolean => true;

const status: Command = {
  name: 'status',
  summary: 'How this node is: sessions, routes, pods, blocks, and what is wrong.',
  arguments: [],
  options: queryOptions,
  run: (parsed, io) =>
    runQuery({ fetch: (c) => c.status(), show: (a, _now, o) => showStatus(a, o), fine: statusIsFine }, parsed, io),
};

const peers: Command = {
  name: 'peers',
  summary: 'BGP sessions of this node.',
  arguments: [{ name: 'PEER', required: false, help: 'only this one' }],
  options: queryOptions,
  run: (parsed, io) =>
    runQuery(
      {
        fetch: async (c) => ({ peers: await c.peers(parsed.words[0]) }),
        show: (a, now, o) => showPeers(a.peers, now, o),
        fine: (a) => peersAreFine(a.peers),
      },
      parsed,
      io,
    ),
};

const directions = ['received', 'accepted', 'announced'] as const;

const routes: Command = {
  name: 'routes',
  summary: 'Routes, each with the reason why it was taken or not. An address or prefix is explained.',
  arguments: [{ name: 'PREFIX', required: false, help: 'an address or prefix: every route that covers it' }],
  options: [
    { name: 'received', help: 'what the peers sent, refused routes too' },
    { name: 'accepted', help: 'what policy let in' },
    { name: 'announced', help: 'what the peers were sent' },
    { name: 'peer', short: 'p', value: 'PEER', help: 'only of this peer' },
    { name: 'family', value: 'FAMILY', choices: ['ipv4', 'ipv6'], help: 'only of this family' },
    { name: 'within', help: 'with PREFIX: the routes inside it instead of those that cover it' },
    { name: 'limit', value: 'N', help: 'at most so many routes (default 1000, at most 10000)' },
    ...queryOptions,
  ],
  examples: [
    'flatroute routes 10.60.2.7',
    'flatroute routes --announced --peer tor-a',
    'flatroute routes --within 10.60.0.0/16 -o json',
  ],
  run: runRoutes,
};

/** What is known of one destination; `pod`: the one of this node that has it. */
interface Explanation extends RoutesAnswer {
  readonly announced: RoutesAnswer['routes'];
  readonly pod?: PodAnswer;
}

async function runRoutes(parsed: Parsed, io: CliIo): Promise<number> {
  const chosen = directions.filter((direction) => parsed.switches.has(direction));
  const [direction, second] = chosen;
  if (second !== undefined) return wrongUse(io, `--${chosen.join(' and --')} exclude each other`);
  const word = parsed.words[0];
  const prefix = word === undefined ? undefined : (parseAddress(word) ?? parsePrefix(word));
  if (word !== undefined && prefix === undefined) {
    return wrongUse(io, `${JSON.stringify(word)} is not an address or prefix (host bits must be zero: 10.60.2.0/26)`);
  }
  const limitText = parsed.values.get('limit') ?? '1000';
  const limit = Number(limitText);
  if (!/^\d+$/.test(limitText) || limit < 1 || limit > 10000)
    return wrongUse(io, `--limit ${limitText} is not 1 to 10000`);
  const within = parsed.switches.has('within');
  if (within && prefix === undefined) return wrongUse(io, '--within needs a PREFIX');
  const peer = parsed.values.get('peer');
  const family = parsed.values.get('family');
  const request = (way: RoutesRequest['direction']): RoutesRequest => ({
    direction: way,
    limit,
    within,
    ...(peer === undefined ? {} : { peer }),
    ...(family === undefined ? {} : { family }),
    ...(prefix === undefined ? {} : { prefix }),
  });

  if (prefix !== undefined && direction === undefined && !within) {
    return runQuery(
      {
        fetch: async (c): Promise<Explanation> => {
          const pod = (await c.pods()).find(({ addresses }) => addresses.includes(prefix));
          return {
            ...(await c.routes(request('received'))),
            announced: (await c.routes(request('announced'))).routes,
            ...(pod === undefined ? {} : { pod }),
          };
        },
        show: (a, _now, o) => explainRoute(prefix, a, a.announced, a.pod, o),
        fine: (a) => destinationIsFine(a, a.announced),
      },
      parsed,
      io,
    );
  }
  const way = direction ?? 'best';
  return runQuery(
    { fetch: (c) => c.routes(request(way)), show: (a, _now, o) => showRoutes(a, way, o), fine: always },
    parsed,
    io,
  );
}

function wrongUse(io: CliIo, text: string): number {
  io.err(`flatroute: ${text}\n`);
  return EXIT_USAGE;
}

const pods: Command = {
  name: 'pods',
  summary: 'Pods that this node has attached.',
  arguments: [],
  options: queryOptions,
  run: (parsed, io) =>
    runQuery(
      { fetch: async (c) => ({ pods: await c.pods() }), show: (a, now, o) => showPods(a.pods, now, o), fine: always },
      parsed,
      io,
    ),
};

const pools: Command = {
  name: 'pools',
  summary: 'How full the pools of this node are, and when they will be.',
  arguments: [],
  options: queryOptions,
  run: (parsed, io) =>
    runQuery(
      {
        fetch: async (c) => ({ pools: await c.pools() }),
        show: (a, _now, o) => showPools(a.pools, o),
        fine: (a) => a.pools.every(poolIsFine),
      },
      parsed,
      io,
    ),
};

const blocks: Command = {
  name: 'blocks',
  summary: 'Address blocks of this node, how full they are and to whom they are announced.',
  arguments: [],
  options: queryOptions,
  run: (parsed, io) =>
    runQuery(
      {
        fetch: async (c) => ({ blocks: await c.blocks() }),
        show: (a, _now, o) => showBlocks(a.blocks, o),
        fine: (a) => a.blocks.every((block) => block.blackhole),
      },
      parsed,
      io,
    ),
};

const services: Command = {
  name: 'services',
  summary: 'Addresses of Services, whether this node announces them, and why or why not.',
  arguments: [{ name: 'SERVICE', required: false, help: 'only this address, NAMESPACE/NAME or name' }],
  options: queryOptions,
  examples: ['flatroute services shop/web', 'flatroute services 198.51.100.7'],
  run: (parsed, io) =>
    runQuery(
      {
        fetch: async (c) => {
          const all = await c.services();
          const [word] = parsed.words;
          return { services: word === undefined ? all : all.filter((it) => concerns(word, it)) };
        },
        show: (a, now, o) => showServices(a.services, parsed.words[0], now, o),
        fine: (a) => a.services.every(serviceIsFine),
      },
      parsed,
      io,
    ),
};

const conditions: Command = {
  name: 'conditions',
  summary: 'Every condition of this node, its peers and its resource files.',
  arguments: [],
  options: queryOptions,
  run: (parsed, io) =>
    runQuery(
      {
        fetch: async (c) => ({ conditions: await c.conditions() }),
        show: (a, _now, o) => showConditions(a.conditions, o),
        fine: (a) => a.conditions.every((condition) => condition.severity === 'info'),
      },
      parsed,
      io,
    ),
};

const drift: Command = {
  name: 'drift',
  summary: 'What others changed of ours in the kernel, and what was repaired.',
  arguments: [],
  options: queryOptions,
  run: (parsed, io) =>
    runQuery({ fetch: (c) => c.drift(), show: (a, _now, o) => showDrift(a, o), fine: driftIsFine }, parsed, io),
};

const events: Command = {
  name: 'events',
  summary: 'What happens on this node, one JSON line each, until Ctrl-C.',
  arguments: [],
  options: [socketOption],
  run: async (parsed, io) => {
    const client = await connect(parsed, io);
    try {
      for await (const { at, level, event, fields } of client.watch(io.signal)) {
        io.out(`${JSON.stringify({ time: at, level, event, ...fields })}\n`);
      }
      return EXIT_FINE;
    } finally {
      client.close();
    }
  },
};

const reset: Command = {
  name: 'reset',
  summary: 'Ends the session with a peer; it comes back by itself.',
  arguments: [{ name: 'PEER', required: true, help: 'name of the BGPPeer' }],
  options: [{ name: 'soft', help: 'keep the session; ask for its routes again and send ours again' }, socketOption],
  run: async (parsed, io) => {
    const [peer = ''] = parsed.words;
    const soft = parsed.switches.has('soft');
    const client = await connect(parsed, io);
    try {
      await client.reset(peer, soft);
      io.out(soft ? `asked ${peer} for its routes again\n` : `session with ${peer} ended; it comes back by itself\n`);
      return EXIT_FINE;
    } finally {
      client.close();
    }
  },
};

export const questions: readonly Command[] = [
  status,
  peers,
  routes,
  pods,
  pools,
  blocks,
  services,
  conditions,
  drift,
  events,
  reset,
];
