/**
 * Brings what the API holds to what it should hold: whenever something changed, `plan` says what is to be written, and each
 * thing is written at most once in a while, because a status that follows every blink of a session would keep the API server
 * busy. A write that fails is planned again; one that found another state than it was planned for is left to the watch.
 */
import { after, between, type Clock, earliest, type Instant, milliseconds, seconds } from '#lib/time.ts';
import { ApiError, isApiError } from '#kubernetes/store.ts';

export interface Task {
  /** Whose it is: `IPPool/a status`. */
  readonly key: string;
  /** A status: not again within `QUIET`, and all of them together no oftener than agents can be told of. */
  readonly seldom: boolean;
  readonly run: () => Promise<void>;
}

export interface TaskLoop {
  /** Something changed. */
  readonly changed: () => void;
  /** The task that runs is waited for; none begins after. */
  stop(): Promise<void>;
}

/** What changes together is looked at together. */
const GATHER = milliseconds(200);
/** Between two writes of one status. */
const QUIET = seconds(30);
const AGAIN = seconds(5);
/**
 * Every agent watches the objects that people make, so that one status written is as many events of watches as there are nodes:
 * so many of those a second, which is what a node's heartbeats are to a cluster of this size. Up to 500 nodes nothing waits.
 */
const EVENTS_PER_SECOND = 5000;
/** So many statuses at once after a rest: the first that changed are said at once. */
const BURST = 20;

export function taskLoop(
  plan: () => readonly Task[],
  modules: {
    readonly clock: Clock;
    readonly failed: (key: string, error: ApiError) => void;
    /** Agents that are told of each status. */
    readonly watchers: () => number;
  },
): TaskLoop {
  const { clock } = modules;
  let tokens = BURST;
  let tokensAt = clock.now();
  const written = new Map<string, Instant>();
  let cancel: (() => void) | undefined;
  /** The round that runs, or ran last. */
  let round = Promise.resolve();
  /** It runs; what its plan says while it is made counts too. */
  let busy = false;
  let dirty = false;
  let stopped = false;

  const lastWrite = ({ key, seldom }: Task): number => (seldom ? (written.get(key) ?? -Infinity) : -Infinity);

  function schedule(at: Instant): void {
    if (stopped) return;
    cancel?.();
    cancel = clock.at(at, () => {
      cancel = undefined;
      busy = true;
      round = perform().finally(() => {
        busy = false;
        if (dirty) schedule(after(clock.now(), GATHER));
      });
    });
  }

  /** When the next status may be written; now or earlier: at once. */
  function allowed(): Instant {
    const now = clock.now();
    const each = milliseconds((modules.watchers() / EVENTS_PER_SECOND) * 1000);
    tokens = each === 0 ? BURST : Math.min(BURST, tokens + between(tokensAt, now) / each);
    tokensAt = now;
    return tokens >= 1 ? now : after(now, milliseconds((1 - tokens) * each));
  }

  async function perform(): Promise<void> {
    dirty = false;
    let next: Instant | undefined;
    // What was never written comes before what has waited longest.
    const tasks = plan().toSorted((a, b) => lastWrite(a) - lastWrite(b));
    const keys = new Set(tasks.map(({ key }) => key));
    for (const [key, at] of written) if (!keys.has(key) && after(at, QUIET) <= clock.now()) written.delete(key);
    for (const { key, seldom, run } of tasks) {
      if (stopped) return;
      const last = written.get(key);
      if (seldom && last !== undefined && after(last, QUIET) > clock.now()) {
        next = earliest(next, after(last, QUIET));
        continue;
      }
      const from = seldom ? allowed() : clock.now();
      if (from > clock.now()) {
        next = earliest(next, from);
        continue;
      }
      if (seldom) tokens -= 1;
      try {
        await run();
        written.set(key, clock.now());
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        // Somebody wrote it in between, it is gone, or another leads: the watch will tell, or the next leader sees to it.
        if (!isApiError(error, 'API_CONFLICT', 'API_NOT_FOUND', 'API_NOT_LEADING')) modules.failed(key, error);
        next = earliest(next, after(clock.now(), AGAIN));
      }
    }
    if (next !== undefined && !dirty) schedule(next);
  }

  return {
    changed() {
      if (dirty || stopped) return;
      dirty = true;
      if (!busy) schedule(after(clock.now(), GATHER));
    },
    async stop() {
      stopped = true;
      cancel?.();
      await round;
    },
  };
}
