/**
 * PURE: how fast pools fill. In: what is in use whenever it changed. Out: net growth over the last hour, what was taken
 * less what was given back; nothing before there is enough to judge by. Nothing is kept across a restart.
 */
import { familyOf } from '#lib/ip.ts';
import { between, type Duration, instant, type Instant, seconds, toSeconds } from '#lib/time.ts';
import type { BlockFacts, PoolGrowth } from './intent.ts';

/** Long enough that a rollout which makes and deletes pods is no growth; its cost is one sample a minute and pool. */
const WINDOW = seconds(3600);
/** A node that has just started is filled with the pods that it will have. */
const SHORTEST = seconds(600);
const GRAIN = seconds(60);

interface Sample {
  readonly at: Instant;
  readonly used: number;
}

export class Growth {
  /** By pool and family; oldest first, the first one may be older than the window: it says what was in use when it began. */
  readonly #samples = new Map<string, { readonly of: Omit<PoolGrowth, 'perHour'>; samples: Sample[] }>();

  learn(blocks: readonly BlockFacts[], now: Instant): void {
    const sums = new Map<string, { readonly of: Omit<PoolGrowth, 'perHour'>; used: number }>();
    for (const { pool, cidr, used } of blocks) {
      const family = familyOf(cidr);
      const key = `${pool} ${family}`;
      const sum = sums.get(key) ?? { of: { pool, family }, used: 0 };
      sum.used += used;
      sums.set(key, sum);
    }
    for (const key of this.#samples.keys()) if (!sums.has(key)) this.#samples.delete(key);
    for (const [key, { of, used }] of sums) {
      const known = this.#samples.get(key) ?? { of, samples: [] };
      this.#samples.set(key, known);
      const { samples } = known;
      const last = samples.at(-1);
      if (last?.used === used) continue;
      // The first sample says when it began; of the others the last one of each minute is enough.
      if (last !== undefined && samples.length > 1 && between(last.at, now) < GRAIN)
        samples[samples.length - 1] = { at: last.at, used };
      else samples.push({ at: now, used });
      const begin = beginOf(now);
      while (samples.length > 1 && (samples[1]?.at ?? now) <= begin) samples.shift();
    }
  }

  growth(now: Instant): PoolGrowth[] {
    return [...this.#samples.values()].flatMap(({ of, samples }) => {
      const [first] = samples;
      const last = samples.at(-1);
      if (first === undefined || last === undefined) return [];
      const begin = Math.max(first.at, beginOf(now)) as Instant;
      const span: Duration = between(begin, now);
      if (span < SHORTEST) return [];
      const before = samples.findLast(({ at }) => at <= begin) ?? first;
      return [{ ...of, perHour: ((last.used - before.used) / toSeconds(span)) * 3600 }];
    });
  }
}

const beginOf = (now: Instant): Instant => instant(now - WINDOW);
