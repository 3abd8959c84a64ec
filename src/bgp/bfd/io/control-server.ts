/**
 * The unix socket on which BFD's process is told what to do and tells what it sees (control-messages.ts). Whoever
 * connects last and says `sessions` is obeyed; whoever goes away leaves the sessions as they are: that is how they
 * outlive the agent.
 */
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { AppError } from '#lib/result.ts';
import { encodeFrame, type FromBfd, FrameReader, readToBfd, type ToBfd } from '../control-messages.ts';

/** What waits for a reader that does not read; beyond it the reader is let go, and gets everything when it comes back. */
const MOST_WAITING_OCTETS = 8 * 1024 * 1024;

export interface ControlServer {
  tell(message: FromBfd): void;
  close(): Promise<void>;
}

export interface ControlServerModules {
  /** What somebody who connects is told first. */
  readonly greeting: () => readonly FromBfd[];
  /** The answer goes to the one who asked. */
  readonly asked: (message: ToBfd) => readonly FromBfd[];
}

/** `path` must be ours: whoever left a socket there is dead. Throws AppError AGENT_BFD_SOCKET. */
export async function serveControl(path: string, modules: ControlServerModules): Promise<ControlServer> {
  rmSync(path, { force: true });
  const connected = new Set<Socket>();
  const server = createServer((socket) => {
    connected.add(socket);
    const reader = new FrameReader();
    const refuse = (reason: string): void => {
      socket.end(encodeFrame({ kind: 'refused', reason }));
      connected.delete(socket);
    };
    socket.on('data', (bytes: Buffer) => {
      if (!connected.has(socket)) return;
      const read = reader.push(bytes);
      if (!read.ok) return refuse(read.error);
      for (const value of read.value) {
        const message = readToBfd(value);
        if (!message.ok) return refuse(message.error);
        if (message.value !== undefined) for (const answer of modules.asked(message.value)) send(socket, answer);
      }
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => connected.delete(socket));
    for (const message of modules.greeting()) send(socket, message);
  });
  await listen(server, path);
  chmodSync(path, 0o600);
  return {
    tell: (message) => {
      for (const socket of connected) send(socket, message);
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of connected) socket.end();
        server.close(() => resolve());
        setImmediate(() => {
          for (const socket of connected) socket.destroySoon();
        });
      }),
  };
}

function send(socket: Socket, message: FromBfd): void {
  if (socket.writableLength > MOST_WAITING_OCTETS) socket.destroy();
  else socket.write(encodeFrame(message));
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Nobody may connect between bind and chmod.
    const mask = process.umask(0o177);
    server.once('error', (error: NodeJS.ErrnoException) => {
      process.umask(mask);
      const why = error.code ?? error.message;
      reject(new AppError('AGENT_BFD_SOCKET', `cannot serve BFD's control socket ${path}: ${why}`, { cause: error }));
    });
    server.listen(path, () => {
      process.umask(mask);
      resolve();
    });
  });
}
