/**
 * Preloaded into an agent (`--import`): counts what each of its threads asks the kernel through libc, and writes lines of
 * JSON, one for each tick of a timer: thread, tick, calls so far. The file is named by FLATROUTE_TEST_CALLS.
 */
import { appendFileSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';
import koffi from 'koffi';

const TICK_MILLISECONDS = 100;
/** A request on a netlink socket, and the way into a namespace; streams of Node and timers come by other calls. */
const counted = new Set(['send', 'setns']);

export interface CallCount {
  readonly thread: string;
  readonly tick: number;
  readonly calls: number;
}

let calls = 0;
let tick = 0;
const file = process.env['FLATROUTE_TEST_CALLS'];
const data: unknown = workerData;
const thread = typeof data === 'object' && data !== null && 'name' in data ? String(data.name) : 'main';

if (file !== undefined && !isMainThread) {
  const load = koffi.load.bind(koffi);
  koffi.load = (...words: Parameters<typeof load>) => {
    const library = load(...words);
    const find = library.func.bind(library) as (name: string, ...rest: unknown[]) => unknown;
    const counting = (name: string, ...rest: unknown[]): unknown => {
      const call = find(name, ...rest) as (...words: unknown[]) => unknown;
      if (!counted.has(name)) return call;
      return (...words: unknown[]): unknown => {
        calls += 1;
        return call(...words);
      };
    };
    // Only this of it is used, and it cannot be replaced in place.
    return { func: counting } as unknown as typeof library;
  };
  setInterval(() => {
    tick += 1;
    appendFileSync(file, `${JSON.stringify({ thread, tick, calls } satisfies CallCount)}\n`);
  }, TICK_MILLISECONDS).unref();
}
