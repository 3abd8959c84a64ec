/** Time as types: an Instant is milliseconds on a monotonic clock, a Duration a span in milliseconds. */
export type Instant = number & { readonly __instant: unique symbol };
export type Duration = number & { readonly __duration: unique symbol };

export const milliseconds = (n: number): Duration => n as Duration;
export const seconds = (n: number): Duration => (n * 1000) as Duration;
export const toSeconds = (d: Duration): number => d / 1000;
export const instant = (ms: number): Instant => ms as Instant;
export const after = (at: Instant, d: Duration): Instant => (at + d) as Instant;
export const between = (from: Instant, to: Instant): Duration => (to - from) as Duration;

/** The earliest of several deadlines; `undefined` means that a timer is off. */
export function earliest(...deadlines: readonly (Instant | undefined)[]): Instant | undefined {
  let best: Instant | undefined;
  for (const deadline of deadlines) {
    if (deadline !== undefined && (best === undefined || deadline < best)) best = deadline;
  }
  return best;
}

/** Where time comes from. Pure code never sees one; it gets the Instant with the event. */
export interface Clock {
  now(): Instant;
  /** Runs `callback` once, not before `at`; the returned function cancels it. */
  at(at: Instant, callback: () => void): () => void;
}

/** The process's monotonic clock. A deadline in the past runs on the next turn of the event loop. */
export const systemClock: Clock = {
  now: () => performance.now() as Instant,
  at(at, callback) {
    // setTimeout holds at most 2^31-1 ms; a longer wait is cut and looked at again.
    const longest = 2_147_000_000;
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      // A timer counts whole milliseconds; one that fires early is for nothing.
      const wait = Math.ceil(at - performance.now());
      timer = setTimeout(() => (wait > longest ? arm() : callback()), Math.min(Math.max(wait, 0), longest));
    };
    arm();
    return () => clearTimeout(timer);
  },
};
