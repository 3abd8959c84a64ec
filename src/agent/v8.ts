/**
 * What V8 does by itself and does not fit an agent. By default it optimizes a function for good after some thousand calls, which costs a
 * fresh agent more than a table of 100,000 routes itself; its middle tier does as well until a function has been called far oftener. And it
 * collects when much was made: what the start left behind would stay for days in an agent at rest.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Calls of a function before it is optimized for good (V8: 3000). Measured with 10,000 to a million routes, docs/benchmarks.md. */
const callsBeforeOptimization = 30_000;

/** Before the threads begin. */
export function settleCompiler(): void {
  setFlagsFromString(`--invocation-count-for-turbofan=${callsBeforeOptimization}`);
}

/**
 * Collects this thread's garbage and gives the pages back: 12 MiB of the main thread after a start. The thread stands still for 40 to 80 ms,
 * which only one may do that neither pods nor sessions wait for.
 */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('globalThis.gc');
  setFlagsFromString('--no-expose-gc');
  // An ordinary collection frees as much and keeps the pages.
  if (typeof collect === 'function') collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
