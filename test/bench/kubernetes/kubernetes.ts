/** flatroute beside a real API server: what its watches cost, what its lists do to the bgp thread. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { figureTable } from '../pods/tables.ts';
import type { Figure } from '../pods/tables.ts';
import { agent } from './agent.ts';
import { agents as realAgents } from './agents.ts';
import { claims } from './claims.ts';
import { endpoints } from './endpoints.ts';
import { services } from './services.ts';
import { status } from './status.ts';
import { watchers } from './watchers.ts';

interface Case {
  readonly title: string;
  readonly run: () => Promise<readonly Figure[]>;
}

/** Also without `npm run bench`, which has found or built them before. */
function findPrograms(): void {
  const words = [resolve('scripts/build-go.mjs'), 'kubernetes', '--api-only'];
  const built = spawnSync(process.execPath, words, { stdio: ['ignore', 'pipe', 2], encoding: 'utf8' });
  if (built.status !== 0) throw new Error('there are no programs of Kubernetes; why is said above');
  process.env['FLATROUTE_KUBERNETES'] = built.stdout.trim();
}

export async function runKubernetes(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      cases: { type: 'string', default: 'agent,agents,watchers,endpoints,claims,services,status' },
      agents: { type: 'string', default: '40' },
      watchers: { type: 'string', default: '300' },
      processes: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '20' },
      endpoints: { type: 'string', default: '150000' },
      nodes: { type: 'string', default: '5' },
      pods: { type: 'string', default: '100' },
      idle: { type: 'string', default: '60' },
      blocks: { type: 'string', default: '20000' },
      services: { type: 'string', default: '2000' },
      writers: { type: 'string', default: '1000' },
      storm: { type: 'string', default: '60' },
    },
  });
  const watching = Number(values.watchers);
  const idleSeconds = Number(values.idle);
  const rounds = Number(values.rounds);
  const cases: Readonly<Record<string, Case>> = {
    agent: {
      title: 'One agent in Kubernetes mode:',
      run: () => agent({ rounds: Number(values.nodes), pods: Number(values.pods), idleSeconds }),
    },
    watchers: {
      title: `${watching} agents of watches alone against one API server:`,
      run: () => watchers({ agents: watching, processes: Number(values.processes), rounds, idleSeconds }),
    },
    services: {
      title: 'Services on one agent in Kubernetes mode, with a session to FRR:',
      run: () =>
        services({
          rounds: Math.max(100, rounds),
          services: Number(values.services),
          endpoints: 2.5 * Number(values.services),
          idleSeconds,
        }),
    },
    status: {
      title: `${values.writers} agents' writers of BGPNodeState against one API server:`,
      run: () => status({ writers: Number(values.writers), idleSeconds, stormSeconds: Number(values.storm) }),
    },
    endpoints: {
      title: 'An agent whose main thread lists the endpoints of a large cluster:',
      run: () => endpoints(Number(values.endpoints)),
    },
    agents: {
      title: 'Real agents against one API server:',
      run: () => realAgents({ agents: Number(values.agents), idleSeconds }),
    },
    claims: {
      title: `A look for what overlaps one block, among ${values.blocks} blocks of 5000 nodes:`,
      run: () => claims({ blocks: Number(values.blocks), nodes: 5000, rounds }),
    },
  };
  findPrograms();
  for (const name of values.cases.split(',')) {
    const one = Object.hasOwn(cases, name) ? cases[name] : undefined;
    if (one === undefined) {
      console.error(`no case ${name}; there are ${Object.keys(cases).join(', ')}`);
      return 2;
    }
    console.error(`${name}:`);
    const from = performance.now();
    console.log(figureTable(one.title, await one.run()));
    console.error(`  ${name} took ${((performance.now() - from) / 1000).toFixed(0)} s`);
  }
  return 0;
}
