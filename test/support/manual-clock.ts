/** A clock that a test moves by hand. Callbacks run in the order of their deadlines, each at its own instant. */
import { type Clock, type Duration, type Instant, after, instant } from '#lib/time.ts';

export interface ManualClock extends Clock {
  /** Moves time forward; what falls due on the way runs. */
  advance(by: Duration): void;
  /** Deadlines that are armed. */
  readonly armed: readonly Instant[];
}

export function manualClock(start: Instant = instant(0)): ManualClock {
  let now = start;
  const waiting = new Set<{ readonly at: Instant; readonly callback: () => void }>();
  return {
    now: () => now,
    at(at, callback) {
      const entry = { at, callback };
      waiting.add(entry);
      return () => waiting.delete(entry);
    },
    advance(by) {
      const end = after(now, by);
      for (;;) {
        const [next] = [...waiting].filter((entry) => entry.at <= end).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        waiting.delete(next);
        if (next.at > now) now = next.at;
        next.callback();
      }
      now = end;
    },
    get armed() {
      return [...waiting].map(({ at }) => at).sort((a, b) => a - b);
    },
  };
}
