/**
 * Loaded before the agent by `node --import`, which its threads inherit: the first pods thread dies of an error that nobody has
 * foreseen before it has done anything, and the background thread begins once there is the file GO.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

export const GO = '/run/go';
const DIED = '/run/died';

const thread = isMainThread ? undefined : (workerData as { readonly name?: string } | null)?.name;
if (thread === 'pods' && !existsSync(DIED)) {
  writeFileSync(DIED, '');
  throw new Error('chaos: a thread dies');
}
const nothing = new Int32Array(new SharedArrayBuffer(4));
while (thread === 'background' && !existsSync(GO)) Atomics.wait(nothing, 0, 0, 20);
