/**
 * When an address of a Service that was withdrawn is announced again. PURE: time comes in. What is not to be announced is
 * withdrawn at once, and what was never announced by this agent is announced at once; but after a withdrawal it must be
 * wanted for a while without a break, so that a pod that comes and goes does not make routes of the whole network do so.
 */
import type { Prefix } from '#lib/ip.ts';
import { after, type Duration, earliest, type Instant } from '#lib/time.ts';

/** Of what was announced once; what is gone altogether is forgotten. */
export type Delays = ReadonlyMap<Prefix, DelayState>;

type DelayState =
  | { readonly state: 'announced' | 'withdrawn'; readonly since: Instant }
  /** Wanted again since then. */
  | { readonly state: 'waiting'; readonly since: Instant };

export interface Delayed {
  readonly delays: Delays;
  /** Wanted, and not announced until then. */
  readonly waiting: ReadonlyMap<Prefix, Instant>;
  /** When to look again. */
  readonly next: Instant | undefined;
}

/** `wanted`: to be announced now; `known`: every prefix that there is, wanted or not. */
export function delayed(
  before: Delays,
  { wanted, known }: { readonly wanted: ReadonlySet<Prefix>; readonly known: Iterable<Prefix> },
  now: Instant,
  delay: Duration,
): Delayed {
  const delays = new Map<Prefix, DelayState>();
  const waiting = new Map<Prefix, Instant>();
  for (const prefix of known) {
    if (delays.has(prefix)) continue;
    const was = before.get(prefix);
    const is = stateOf(was, wanted.has(prefix), now, delay);
    if (is !== undefined) delays.set(prefix, is);
    if (is?.state === 'waiting') waiting.set(prefix, after(is.since, delay));
  }
  return { delays, waiting, next: earliest(...waiting.values()) };
}

function stateOf(was: DelayState | undefined, wanted: boolean, now: Instant, delay: Duration): DelayState | undefined {
  const changed = (state: DelayState['state']): DelayState => (was?.state === state ? was : { state, since: now });
  if (!wanted) return was === undefined ? undefined : changed('withdrawn');
  if (was === undefined || was.state === 'announced') return changed('announced');
  const waits = changed('waiting');
  return now >= after(waits.since, delay) ? changed('announced') : waits;
}
