// Preloaded into the agent (`--import`): a timer of 50 ms on the bgp thread, as BFD or keepalives would have it, that writes how
// late it was: lines of `clock lateness`, both milliseconds, into the file that FLATROUTE_BENCH_HEARTBEAT names. Plain
// JavaScript, because stripping types takes megabytes in every thread.
import { openSync, writeSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

const PERIOD_MILLISECONDS = 50;
const path = process.env.FLATROUTE_BENCH_HEARTBEAT;
if (!isMainThread && workerData?.name === 'bgp' && path !== undefined) {
  const file = openSync(path, 'a');
  let due = performance.now() + PERIOD_MILLISECONDS;
  const beat = () => {
    const now = performance.now();
    writeSync(file, `${Date.now()} ${(now - due).toFixed(3)}\n`);
    // What was missed altogether counts once, with its whole lateness.
    due = Math.max(due + PERIOD_MILLISECONDS, now);
    setTimeout(beat, due - performance.now()).unref();
  };
  setTimeout(beat, PERIOD_MILLISECONDS).unref();
}
