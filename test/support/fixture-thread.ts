/** A thread of the agent whose work is to answer, to hang, or to die, as the supervisor's tests want it. */
import { workerData } from 'node:worker_threads';
import type { ThreadData } from '#agent/messages.ts';
import { runThread } from '#agent/threads/thread.ts';
import { AppError } from '#lib/result.ts';
import { connectUnix, openUnixSocket } from '#linux/socket.ts';

const { name } = workerData as ThreadData;

runThread('background', (host) => ({
  command: () => undefined,
  requests: {
    start: () => undefined,
    inheritance: () => ({
      preserved: [],
      routes: { groups: [], prefixes: new Uint8Array(0), groupIds: new Uint32Array(0) },
    }),
    lookup: (address) => {
      host.log('info', 'fixture.lookup', { thread: name, address });
      if (address.startsWith('0.')) {
        setImmediate(() => {
          throw new TypeError('a bug of ours');
        });
      }
      if (address.startsWith('1.')) throw new AppError('OS_EPERM', 'not allowed');
      if (address.startsWith('3.')) connectUnix(openUnixSocket(), `\0${address}`);
      if (address.startsWith('2.')) return new Promise(() => undefined);
      return { destination: address, type: 'unicast', hops: [] };
    },
    stop: () => undefined,
  },
  connect: (to, port) => {
    host.log('info', 'fixture.connected', { thread: name, to });
    port.on('message', (text: string) => host.log('info', 'fixture.heard', { thread: name, from: to, text }));
    port.postMessage(`hello from ${name}`);
    if (name === 'background') return;
    port.unref();
  },
  release: () => host.log('info', 'fixture.released', { thread: name }),
}));
