/**
 * What the statuses of all nodes cost one API server: as many writers of BGPNodeState as there are nodes, the agents' own, each with its
 * Node. Writes a minute at rest, while every node has something new to say all the time, and when every node loses all of them.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { NodeStateWriter } from '#agent/node-state-writer.ts';
import { kindLists } from '#resources/resource-set.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { nodeState, writeInterval } from '#status/node-state.ts';
import type { Snapshot } from '#status/snapshot.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds, systemClock } from '#lib/time.ts';
import { bgpFacts, peerFacts, snapshot } from '../../support/snapshot.ts';
import { timed } from '../pods/agent.ts';
import type { Figure } from '../pods/tables.ts';
import { apiServerSeconds, createAll, openScene, progress } from './scene.ts';

export interface StatusOptions {
  /** Nodes, each with a writer. */
  readonly writers: number;
  readonly idleSeconds: number;
  readonly stormSeconds: number;
}

const LARGE = 5000;
const TURN_MILLISECONDS = 1000;

type State = 'Established' | 'Idle';

/** A node whose sessions with two routers are so since then. */
const snapshotOf = (state: State, since = 0): Snapshot =>
  snapshot({ bgp: bgpFacts([peerFacts('tor-a', { state, since }), peerFacts('tor-b', { state, since: 0 })]) });

const perMinute = (nodes: number): number => (60_000 * nodes) / writeInterval(nodes);

export async function status({ writers: count, idleSeconds, stormSeconds }: StatusOptions): Promise<Figure[]> {
  await using scene = await openScene('status');
  const { store, plane } = scene;
  const nodes = typeOf(kindLists.nodes);
  const nameOf = (index: number): string => `node-${index}`;
  await createAll(store, nodes, count, (index) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: nameOf(index) },
  }));
  const uids = new Map((await store.list(nodes)).map(({ metadata }) => [metadata.name, metadata.uid]));
  progress(`${count} Nodes made`);
  let now = snapshotOf('Established');
  let failures = 0;
  const writers = Array.from(
    { length: count },
    (_, index) =>
      new NodeStateWriter(nameOf(index), {
        store,
        clock: systemClock,
        random: Math.random,
        status: (before) => nodeState(now, { bootID: 'boot', generationOf: () => undefined }, before),
        starting: () => false,
        nodeUID: () => uids.get(nameOf(index)),
        minSessions: () => 1,
        log: () => failures++,
      }),
  );
  const become = (next: Snapshot): void => {
    now = next;
    for (const writer of writers) writer.changed();
  };
  const written = (): number => writers.reduce((sum, { writes }) => sum + writes, 0);
  /** Until each of them has written once more, or more often. */
  const untilAllWrote = async (before: readonly number[]): Promise<void> =>
    await waitFor(
      'every writer to write',
      async () => {
        const left = writers.filter(({ writes }, index) => writes <= (before[index] ?? 0)).length;
        return await Promise.resolve(left === 0 ? found(undefined) : notYet(`${left} have not`));
      },
      { deadline: seconds(300), every: milliseconds(100) },
    );
  const writesOf = (): readonly number[] => writers.map(({ writes }) => writes);

  const start = await timed(async () => {
    const before = writesOf();
    become(now);
    await untilAllWrote(before);
  });
  progress(`the first of each after ${(start / 1000).toFixed(0)} s`);
  // Whoever was told of something else since its look writes that first.
  await delay(2 * writeInterval(count));
  const atRest = written();
  const restCpu = apiServerSeconds(plane);
  await delay(1000 * idleSeconds);
  const idle = { writes: written() - atRest, cpu: apiServerSeconds(plane) - restCpu };
  progress(`at rest: ${idle.writes} writes in ${idleSeconds} s`);

  const calm = written();
  const stormCpu = apiServerSeconds(plane);
  for (let turn = 0; turn < (1000 * stormSeconds) / TURN_MILLISECONDS; turn++) {
    become(snapshotOf('Established', Date.now()));
    await delay(TURN_MILLISECONDS);
  }
  const storm = { writes: written() - calm, cpu: apiServerSeconds(plane) - stormCpu };
  progress(`in a storm: ${storm.writes} writes in ${stormSeconds} s`);

  become(snapshotOf('Established'));
  await delay(3 * writeInterval(count));
  const before = writesOf();
  const lost = await timed(async () => {
    become(snapshotOf('Idle'));
    await untilAllWrote(before);
  });
  await Promise.all(writers.map(async (writer) => await writer.stop()));
  return [
    { what: '**at rest**: writes a minute of all', value: (60 * idle.writes) / idleSeconds, unit: '' },
    { what: '… CPU of the API server', value: (100 * idle.cpu) / idleSeconds, unit: '% of a core' },
    {
      what: '**storm**: every node has a session that comes back each second: writes a minute of all',
      value: (60 * storm.writes) / stormSeconds,
      unit: '',
    },
    { what: `… computed for ${count} nodes, at most`, value: perMinute(count), unit: '' },
    { what: `… computed for ${LARGE} nodes, at most`, value: perMinute(LARGE), unit: '' },
    { what: '… CPU of the API server', value: (100 * storm.cpu) / stormSeconds, unit: '% of a core' },
    { what: '… CPU of the API server for one write', value: (1000 * storm.cpu) / storm.writes, unit: 'ms' },
    { what: '**every node loses all its sessions**: all have said so after', value: lost, unit: 'ms' },
    { what: 'writes that failed, and were tried again', value: failures, unit: '' },
  ];
}
