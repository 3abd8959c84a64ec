/**
 * Loaded by `node --import` before the agent and each of its threads: the background thread does not answer what the kernel
 * holds while there is a file `/run/hold`; once it was asked there is `/run/held`.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

const isBackground =
  typeof workerData === 'object' && workerData !== null && 'name' in workerData && workerData.name === 'background';

const isInheritance = (message: unknown): boolean =>
  typeof message === 'object' && message !== null && 'name' in message && message.name === 'inheritance';

if (isBackground && parentPort !== null) {
  const port = parentPort;
  const on = port.on.bind(port);
  const patched = (event: string, listener: (message: unknown) => void): typeof port =>
    on(event, (message: unknown) => {
      if (!isInheritance(message)) return listener(message);
      writeFileSync('/run/held', '');
      const look = setInterval(() => {
        if (existsSync('/run/hold')) return;
        clearInterval(look);
        listener(message);
      }, 20);
    });
  Object.assign(port, { on: patched });
}
