/**
 * What the leading controller does beside collecting blocks, in parts. Each part watches some kinds and says what is to be
 * written when what should stand somewhere differs from what stands there; nothing is decided before every kind was listed once,
 * because what was not listed looks like nothing. Every write carries the resourceVersion that it was decided on.
 */
import { EventSender } from '#kubernetes/events.ts';
import type { EventFacts } from '#kubernetes/events.ts';
import type { ResourceStore } from '#kubernetes/store.ts';
import { type Clock, type Instant, seconds } from '#lib/time.ts';
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import type { LogFunction, Measured, Part, PartModules } from './part.ts';
import { networkPolicyPart } from './network-policies.ts';
import { poolPart } from './pool-part.ts';
import { nodeType } from './readiness-node.ts';
import { readinessPart } from './readiness-part.ts';
import { ReportIndex, reportOf } from './report-index.ts';
import { servicePart } from './service-part.ts';
import { statusPart } from './status-part.ts';
import { taskLoop } from './tasks.ts';
import { watches } from './watches.ts';

export interface LeaderModules {
  /** Where agents and controller are. */
  readonly namespace: string;
  /** In the Lease, and in Events. */
  readonly identity: string;
  /** Refuses writes once this process does not lead any more. */
  readonly store: ResourceStore;
  readonly clock: Clock;
  readonly now: () => Date;
  readonly log: LogFunction;
  /** A write that was tried, for metrics. */
  readonly wrote: (outcome: 'done' | 'failed') => void;
  readonly measured: Measured;
  /** Services of type LoadBalancer without a class are ours too. */
  readonly ownsDefaultClass: boolean;
}

const allParts = ({ namespace, ownsDefaultClass }: LeaderModules): readonly Part[] => [
  readinessPart({ namespace }),
  ...[poolPart, statusPart, networkPolicyPart],
  servicePart({ ownsDefault: ownsDefaultClass }),
];

export interface Leading {
  /** Events that were told, since it leads. */
  readonly events: () => EventFacts;
  stop(): Promise<void>;
}

/** Begins at once; after `stop` resolved nothing is written or watched. */
export function lead(modules: LeaderModules, parts = allParts(modules)): Leading {
  const { store, clock, log, wrote } = modules;
  let nodes = 0;
  const loop = taskLoop(
    () => {
      const now = modules
        .now()
        .toISOString()
        .replace(/\.\d+Z$/, 'Z');
      return reading.listed() ? plans.flatMap((plan) => plan(now)) : [];
    },
    {
      clock,
      watchers: () => nodes,
      failed: (key, error) => {
        wrote('failed');
        log('warn', 'controller.write-failed', { object: key, code: error.code, error: error.message });
      },
    },
  );

  const reading = watches(store, {
    changed: () => loop.changed(),
    health: (kind, error) => {
      if (error === undefined) log('info', 'controller.watching', { kind });
      else log('warn', 'controller.not-watching', { kind, code: error.code, error: error.message });
    },
  });
  const events = new EventSender(
    { controller: 'flatroute.io/controller', instance: modules.identity },
    { store, clock, wallClock: () => modules.now().getTime(), spread: () => seconds(0) },
  );
  let alarm: { readonly at: Instant; readonly cancel: () => void } | undefined;
  function wake(at: Instant): void {
    if (alarm !== undefined && alarm.at <= at) return;
    alarm?.cancel();
    const cancel = clock.at(at, () => {
      alarm = undefined;
      loop.changed();
    });
    alarm = { at, cancel };
  }
  const reports = new ReportIndex();
  const toldOfReports: ((objects: ReadonlySet<string>) => void)[] = [];
  reading.watch(typeOf(bgpNodeState), reportOf, (all, keys) => {
    const objects = reports.learn(all, keys);
    for (const tell of toldOfReports) tell(objects);
  });
  const shared: PartModules = {
    store,
    clock,
    log,
    wrote,
    watch: reading.watch,
    reports(changed) {
      toldOfReports.push(changed);
      return reports;
    },
    changed: () => loop.changed(),
    measured: modules.measured,
    wake,
    tell: (note) => events.tell(note),
  };
  reading.watch(
    nodeType,
    () => undefined,
    (all) => {
      nodes = all.size;
    },
  );
  const plans = parts.map((part) => part(shared));
  reading.start();
  return {
    events: () => events.facts,
    async stop() {
      alarm?.cancel();
      await Promise.all([loop.stop(), reading.stop(), events.stop()]);
    },
  };
}
