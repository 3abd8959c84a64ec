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
  /** `keep`: peers whose sessions stay as they are, whatever they are. */
  setSessions(sessions: readonly DesiredBfdSession[], keep?: readonly string[]): void;
  /** Asks for an `observed`. */
  observe(): void;
  /** Nothing is wanted any more: all sessions end by AdminDown, and so does the process unless it was told to stay. */
  end(): void;
  /** Leaves; the sessions stay. */
  close(): void;
}

export interface ControlClientModules {
  readonly told: (message: FromBfd) => void;
  /** Not after close(). */
  readonly lost: (loss: Loss) => void;
}

export interface Loss {
  readonly reason: string;
  /** One of both does not understand the other. */
  readonly misunderstood: boolean;
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
    const leave = (reason: string, misunderstood = false): void => {
      if (!open) return;
      open = false;
      socket.destroy();
      lost({ reason, misunderstood });
    };
    const send = (message: ToBfd): void => {
      if (open) socket.write(encodeFrame(message));
    };
    socket.once('connect', () => {
      open = true;
      resolve(
        ok({
          setSessions: (sessions, keep = []) => send({ kind: 'sessions', sessions, keep }),
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
      if (!read.ok) return leave(read.error, true);
      for (const value of read.value) {
        const message = readFromBfd(value);
        if (!open || message === undefined) continue;
        told(message);
        if (message.kind === 'refused') leave(message.reason, true);
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
