/**
 * How much arrives in a bounded time: what says whether a rate is limited. The receiver counts and has the clock, so that
 * buffers of the sender say nothing.
 *
 *   pour.ts listen PORT                    writes as fast as it can to whoever connects; prints `listening`
 *   pour.ts draw PORT MILLISECONDS ADDRESS reads for so long from the first byte on; prints Drawn as JSON
 */
import { connect, createServer } from 'node:net';

export interface Drawn {
  readonly bytes: number;
  /** From the first byte to the last. */
  readonly seconds: number;
}

function listen(port: number): void {
  const chunk = Buffer.alloc(64 * 1024);
  createServer((socket) => {
    const pour = (): void => {
      while (socket.write(chunk));
    };
    socket.on('drain', pour);
    socket.on('error', () => socket.destroy());
    pour();
  }).listen(port, '::', () => console.log('listening'));
}

function draw(port: number, milliseconds: number, address: string): void {
  let bytes = 0;
  let first: number | undefined;
  const socket = connect({ port, host: address });
  socket.on('data', (data) => {
    const now = performance.now();
    first ??= now;
    bytes += data.length;
    if (now - first < milliseconds) return;
    console.log(JSON.stringify({ bytes, seconds: (now - first) / 1000 } satisfies Drawn));
    process.exit(0);
  });
  socket.on('error', (error) => {
    console.error(error.message);
    process.exit(1);
  });
}

const [verb, port = '', milliseconds = '', address = ''] = process.argv.slice(2);
if (verb === 'listen') listen(Number(port));
else if (verb === 'draw') draw(Number(port), Number(milliseconds), address);
else {
  console.error('usage: pour.ts listen PORT | draw PORT MILLISECONDS ADDRESS');
  process.exit(2);
}
