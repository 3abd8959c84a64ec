/** The other end of control-server.ts: what the agent holds. A connection that is lost is told once and not made again. */
import { createConnection } from 'node:net';
import { fail, ok, type Result } from '#lib/result.ts';
import {
  type DesiredBfdSession,
  encodeFrame,
  type FromBfd,
  FrameReader,
  readFromBfd,
  type ToBfd,
} from '../control-messages.ts';

export interface ControlClient {
  setSessions(sessions: readonly DesiredBfdSession[]): void;
  /** Asks for an `observed`. */
  observe(): void;
  /** Ends all sessions by AdminDown, and the process; the connection is lost when it has. */
  end(): void;
  /** Leaves; the sessions stay. */
  close(): void;
}

export interface ControlClientModules {
  readonly told: (message: FromBfd) => void;
  /** Not after close(). */
  readonly lost: (reason: string) => void;
}

/** The error is a sentence: nobody listens at `path`. */
export function connectControl(
  path: string,
  { told, lost }: ControlClientModules,
): Promise<Result<ControlClient, string>> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const reader = new FrameReader();
    let open = false;
    const leave = (reason: string): void => {
      if (!open) return;
      open = false;
      socket.destroy();
      lost(reason);
    };
    const send = (message: ToBfd): void => {
      if (open) socket.write(encodeFrame(message));
    };
    socket.once('connect', () => {
      open = true;
      resolve(
        ok({
          setSessions: (sessions) => send({ kind: 'sessions', sessions }),
          observe: () => send({ kind: 'observe' }),
          end: () => send({ kind: 'end' }),
          close: () => {
            open = false;
            socket.destroy();
          },
        }),
      );
    });
    socket.on('data', (bytes: Buffer) => {
      const read = reader.push(bytes);
      if (!read.ok) return leave(read.error);
      for (const value of read.value) {
        const message = readFromBfd(value);
        if (open && message !== undefined) told(message);
      }
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const reason = `${path}: ${error.code ?? error.message}`;
      // Of no effect once it was connected.
      resolve(fail(reason));
      leave(reason);
    });
    socket.on('close', () => leave('the process closed the connection'));
  });
}
