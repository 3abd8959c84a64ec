/**
 * What the leading controller does beside collecting blocks, in parts. Each part watches some kinds and says what is to be
 * written when what should stand somewhere differs from what stands there; nothing is decided before every kind was listed once,
 * because what was not listed looks like nothing. Every write carries the resourceVersion that it was decided on.
 */
import type { ApiObject, ResourceStore, ResourceType, Watching } from '#kubernetes/store.ts';
import type { Clock } from '#lib/time.ts';
import type { LogFunction, Part } from './part.ts';
import { poolPart } from './pool-part.ts';
import { reportPart } from './reports.ts';
import { taskLoop } from './tasks.ts';

export interface LeaderModules {
  /** Refuses writes once this process does not lead any more. */
  readonly store: ResourceStore;
  readonly clock: Clock;
  readonly now: () => Date;
  readonly log: LogFunction;
  /** A write that was tried, for metrics. */
  readonly wrote: (outcome: 'done' | 'failed') => void;
}

const parts: readonly Part[] = [poolPart, reportPart];

/** Begins at once; after `stop` resolved nothing is written or watched. */
export function lead(modules: LeaderModules): { stop(): Promise<void> } {
  const { store, clock, log, wrote } = modules;
  const watchings: Watching[] = [];
  let unlisted = 0;
  const loop = taskLoop(
    () => {
      const now = modules
        .now()
        .toISOString()
        .replace(/\.\d+Z$/, 'Z');
      return unlisted > 0 ? [] : plans.flatMap((plan) => plan(now));
    },
    {
      clock,
      failed: (key, error) => {
        wrote('failed');
        log('warn', 'controller.write-failed', { object: key, code: error.code, error: error.message });
      },
    },
  );

  function watch<T>(
    type: ResourceType,
    keep: (object: ApiObject) => T,
    learn: (all: ReadonlyMap<string, T>) => void,
  ): void {
    let failing = false;
    let listed = false;
    unlisted++;
    const watching = store.watch(type, {
      keep,
      changed: (objects) => {
        learn(objects);
        if (!listed) unlisted--;
        listed = true;
        loop.changed();
      },
      health: (error) => {
        if ((error !== undefined) === failing) return;
        failing = error !== undefined;
        if (error === undefined) log('info', 'controller.watching', { kind: type.kind });
        else log('warn', 'controller.not-watching', { kind: type.kind, code: error.code, error: error.message });
      },
    });
    watchings.push(watching);
  }

  const plans = parts.map((part) => part({ store, log, wrote, watch }));
  return {
    async stop() {
      await Promise.all([loop.stop(), ...watchings.map(async (one) => await one.stop())]);
    },
  };
}
