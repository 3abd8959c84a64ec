/**
 * A lock that the kernel lets go by itself: an abstract unix socket, one holder per name and network namespace. Any user
 * may take the name, so a refusal says who holds it.
 */
import { createServer } from 'node:net';
import { AppError, type Result, fail, ok } from '#lib/result.ts';
import { closeDescriptor, connectUnix, openUnixSocket } from './socket.ts';
import { type PeerCredentials, peerCredentials } from './socket-options.ts';

export interface Lock {
  release(): Promise<void>;
}

export interface LockHeld {
  /** `undefined` when the holder went away meanwhile or answers nobody. */
  readonly holder: PeerCredentials | undefined;
}

/** Takes the lock of an abstract name (leading NUL) in the process's namespace. It is never waited for. */
export function acquireLock(name: string): Promise<Result<Lock, LockHeld>> {
  // Whoever asks for the holder connects and is let go at once.
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(fail({ holder: lockHolder(name) }));
      else
        reject(
          new AppError(`OS_${error.code ?? 'UNKNOWN'}`, `cannot bind ${name.replace('\0', '@')}`, { cause: error }),
        );
    });
    server.listen(name, () => {
      server.unref();
      resolve(ok({ release: () => new Promise((done) => server.close(() => done())) }));
    });
  });
}

export function lockHolder(name: string): PeerCredentials | undefined {
  const fd = openUnixSocket();
  try {
    connectUnix(fd, name);
    return peerCredentials(fd);
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  } finally {
    closeDescriptor(fd);
  }
}
