/**
 * When V8 compiles what. By default it optimizes a function for good after some thousand calls, which costs a fresh agent more than
 * a table of 100,000 routes itself; its middle tier does as well until a function has been called far oftener.
 */
import { setFlagsFromString } from 'node:v8';

/** Calls of a function before it is optimized for good (V8: 3000). Measured with 10,000 to a million routes, docs/benchmarks.md. */
const callsBeforeOptimization = 30_000;

/** Before the threads begin. */
export function settleCompiler(): void {
  setFlagsFromString(`--invocation-count-for-turbofan=${callsBeforeOptimization}`);
}
