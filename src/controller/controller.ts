/**
 * The controller: what is done once for the cluster. Of its replicas the one that holds the Lease works, the others wait; who loses
 * it stops before another may begin, and starts anew when it gets it back.
 */
import type { EventFacts } from '#kubernetes/events.ts';
import { contend, fenced, type LeaseTimes } from '#kubernetes/lease.ts';
import type { ApiError, ResourceStore } from '#kubernetes/store.ts';
import type { Clock } from '#lib/time.ts';
import { BlockCollector, collectorDefaults, type CollectorOptions } from './block-collection.ts';
import { lead, type Leading } from './leader.ts';
import type { LogFunction, Measured, Measurement } from './part.ts';

export const LEASE = 'flatroute-controller';

export interface ControllerOptions {
  /** Where its Lease is. */
  readonly namespace: string;
  /** Another for each process. */
  readonly identity: string;
  readonly times?: LeaseTimes;
  /** How long a Node must be gone before its blocks are collected; `collectorDefaults` if not given. */
  readonly collection?: CollectorOptions;
  /** Services of type LoadBalancer without a class get addresses too. */
  readonly ownsDefaultClass?: boolean;
}

export interface ControllerModules {
  readonly store: ResourceStore;
  readonly clock: Clock;
  readonly now: () => Date;
  readonly random: () => number;
  readonly log: LogFunction;
}

export interface ControllerState {
  readonly leads: boolean;
  /** Identity of who leads; '' is nobody, `undefined` that it is not known yet. */
  readonly holder: string | undefined;
  /** Why the last look at the Lease failed; `undefined`: it did not. */
  readonly problem: ApiError | undefined;
  readonly writes: { readonly done: number; readonly failed: number };
  readonly events: EventFacts;
  /** What the parts of the leader count; empty while this replica does not lead. */
  readonly measures: ReadonlyMap<string, readonly Measurement[]>;
}

export interface Controller {
  readonly state: () => ControllerState;
  /** Gives the lead up. No call of the API comes after it resolved. */
  stop(): Promise<void>;
}

interface Work {
  stop(): Promise<void>;
}

export function startController(options: ControllerOptions, modules: ControllerModules): Controller {
  const { store, clock, now, log } = modules;
  const writes = { done: 0, failed: 0 };
  let holder: string | undefined;
  let problem: ApiError | undefined;
  let works: readonly Work[] = [];
  const measures = new Map<string, readonly Measurement[]>();
  let leading: Leading | undefined;
  /** Of earlier times that it led. */
  let events: EventFacts = { sent: 0, dropped: 0 };
  const allEvents = (): EventFacts => {
    const { sent, dropped } = leading?.events() ?? { sent: 0, dropped: 0 };
    return { sent: events.sent + sent, dropped: events.dropped + dropped };
  };
  /** What was begun or ended before is over. */
  let ended = Promise.resolve();

  async function begin(before: Promise<void>): Promise<void> {
    await before;
    if (!leadership.leads()) return;
    const wrote = (outcome: 'done' | 'failed'): void => {
      writes[outcome]++;
    };
    const guarded = fenced(store, () => leadership.leads());
    const collector = new BlockCollector(options.collection ?? collectorDefaults, { store: guarded, clock, log });
    collector.start();
    const { identity } = options;
    const measured: Measured = (measure, rows) => void measures.set(measure, rows);
    leading = lead({
      namespace: options.namespace,
      identity,
      store: guarded,
      clock,
      now,
      log,
      wrote,
      measured,
      ownsDefaultClass: options.ownsDefaultClass ?? false,
    });
    works = [leading, collector];
  }

  async function end(before: Promise<void>): Promise<void> {
    await before;
    const stopping = works;
    works = [];
    await Promise.all(stopping.map(async (one) => await one.stop()));
    events = allEvents();
    leading = undefined;
    measures.clear();
  }

  const leadership = contend(
    { name: LEASE, ...options },
    {
      ...modules,
      acquired: () => {
        log('info', 'controller.leads', { identity: options.identity });
        ended = begin(ended);
      },
      lost: (why) => {
        log('info', 'controller.leads-no-longer', { identity: options.identity, why });
        ended = end(ended);
      },
      holder: (identity) => {
        holder = identity;
        if (identity !== options.identity) log('info', 'controller.leader', { identity });
      },
      answered: () => {
        problem = undefined;
      },
      failed: (error) => {
        if (problem?.code !== error.code)
          log('warn', 'controller.lease-failed', { code: error.code, error: error.message });
        problem = error;
      },
    },
  );

  return {
    state: () => ({ leads: leadership.leads(), holder, problem, writes: { ...writes }, events: allEvents(), measures }),
    async stop() {
      await leadership.stop();
      await ended;
    },
  };
}
