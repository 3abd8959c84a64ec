/**
 * Loaded before the agent by `node --import`, which its threads inherit: SIGUSR2 makes the pods thread die of an error that nobody
 * has foreseen.
 */
import { isMainThread, workerData } from 'node:worker_threads';

const channel = new BroadcastChannel('chaos');
if (isMainThread) process.on('SIGUSR2', () => channel.postMessage('die'));
else if ((workerData as { readonly name?: string } | null)?.name === 'pods')
  channel.onmessage = () => {
    throw new Error('chaos: a thread dies');
  };
channel.unref();
