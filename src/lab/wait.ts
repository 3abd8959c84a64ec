/**
 * Bounded waiting: asks again until a condition holds, and says at the deadline what was seen last.
 * Nothing in a lab sleeps; everything waits for something that can be observed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '#lib/result.ts';
import type { Duration } from '#lib/time.ts';

/** What one look at the world found: `done` ends the waiting, otherwise `seen` is what a failure will quote. */
export type Look<T> = { readonly done: true; readonly value: T } | { readonly done: false; readonly seen: string };

export const found = <T>(value: T): Look<T> => ({ done: true, value });
export const notYet = (seen: string): Look<never> => ({ done: false, seen });

export interface WaitOptions {
  readonly deadline: Duration;
  /** Pause between two looks, at least as long as the look took; 20 ms if not given. */
  readonly every?: Duration;
  readonly signal?: AbortSignal;
}

/**
 * Looks until the condition holds. An exception thrown by `look` counts as not yet and is quoted at the deadline,
 * unless it is an AppError that says that waiting is of no use (`retry: 'never'`).
 * Throws OS_LAB_DEADLINE: what was waited for, how long, and what was seen last.
 */
export async function waitFor<T>(what: string, look: () => Promise<Look<T>>, options: WaitOptions): Promise<T> {
  const started = performance.now();
  const every = options.every ?? 20;
  let seen = 'nothing yet';
  for (;;) {
    options.signal?.throwIfAborted();
    const looked = performance.now();
    try {
      const result = await look();
      if (result.done) return result.value;
      seen = result.seen;
    } catch (error) {
      if (error instanceof AppError && error.retry === 'never') throw error;
      seen = error instanceof Error ? error.message : String(error);
    }
    const now = performance.now();
    const waited = now - started;
    if (waited >= options.deadline) {
      throw new AppError('OS_LAB_DEADLINE', `waited ${(waited / 1000).toFixed(1)} s for ${what}; seen last: ${seen}`, {
        retry: 'backoff',
        data: { what, waitedMilliseconds: Math.round(waited), seen },
      });
    }
    // What is waited for needs the processor more than who waits.
    await delay(
      Math.max(every, now - looked),
      undefined,
      options.signal === undefined ? {} : { signal: options.signal },
    );
  }
}
