/**
 * The unix socket that plugins talk to: bytes in, one request per connection, bytes out. Only root may connect (0600). In
 * comes a caller; out goes whatever the handler answers, and the handler is told when the caller is gone before it has
 * read the answer: the kernel says ECONNRESET when a unix socket is closed with bytes unread, EOF when all were read.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { peerCredentials } from '#linux/socket-options.ts';
import { AppError } from '#lib/result.ts';
import {
  decodeRequest,
  encodeAnswer,
  MAX_ENVIRONMENT_BYTES,
  MAX_STDIN_BYTES,
  type PluginRequest,
  PROTOCOL_VERSION,
} from './protocol.ts';
import { cniCode, formatFailure } from './spec.ts';

/** A plugin sends at once; one that does not is no plugin of ours. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Every call ends with an abort; without a reason of ours each would make an exception with a stack. */
const CALLER_GONE = 'the caller is gone';
const LARGEST_REQUEST = MAX_ENVIRONMENT_BYTES + MAX_STDIN_BYTES + 64;

export interface Caller {
  /** Process id as this pid namespace sees it; 0 when it does not. */
  readonly pid: number;
  /** Aborted when the caller closed before it was answered, or before it had read its answer. */
  readonly gone: AbortSignal;
}

export interface Reply {
  readonly code: number;
  readonly stdout: string;
  /** Called once: whether the caller took the answer. */
  readonly delivered: (taken: boolean) => void;
}

export interface CniServerModules {
  readonly handle: (request: PluginRequest, caller: Caller) => Promise<Reply>;
}

export class CniServer {
  readonly #path: string;
  readonly #limit: number;
  readonly #modules: CniServerModules;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  readonly #calls = new Set<Promise<void>>();
  #serving = 0;

  /** At most `limit` calls are served at one time; a further one is told to try again. */
  constructor(path: string, limit: number, modules: CniServerModules) {
    this.#path = path;
    this.#limit = limit;
    this.#modules = modules;
    // The plugin waits for its answer on the other half.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = 4 * limit;
  }

  /** Takes the path over from a dead agent; the lock of the namespace says that there is no living one. */
  async listen(): Promise<void> {
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    rmSync(this.#path, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause: NodeJS.ErrnoException) =>
        reject(
          new AppError(`OS_${cause.code ?? 'UNKNOWN'}`, `cannot listen on ${this.#path}: ${cause.message}`, { cause }),
        ),
      );
      // Nobody may connect in the moment between bind and chmod.
      const mask = setUmask(0o177);
      try {
        this.#server.listen({ path: this.#path, backlog: 1024 }, resolve);
      } finally {
        if (mask !== undefined) setUmask(mask);
      }
    });
    chmodSync(this.#path, 0o600);
  }

  /** Stops accepting, lets running calls end, then closes what is left. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // One that had connected before may still send its request meanwhile.
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    this.#open.add(socket);
    const gone = new AbortController();
    let received: Buffer = Buffer.alloc(0);
    let started = false;
    socket.setTimeout(REQUEST_TIMEOUT_MS, () => socket.destroy());
    socket.on('close', () => {
      this.#open.delete(socket);
      gone.abort(CALLER_GONE);
    });
    socket.on('error', () => gone.abort());
    // Node closes our half too when both are done; a plugin that closes while we work is gone.
    socket.on('end', () => {
      gone.abort(CALLER_GONE);
      if (!started) socket.end();
    });
    socket.on('data', (chunk: Buffer) => {
      if (started) return;
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const decoded = decodeRequest(received);
      if (decoded.kind === 'incomplete' && received.length <= LARGEST_REQUEST) return;
      started = true;
      socket.setTimeout(0);
      if (decoded.kind !== 'complete') {
        const reason = decoded.kind === 'invalid' ? decoded.reason : 'request too large';
        this.#refuse(socket, PROTOCOL_VERSION, cniCode.cannotDecode, 'the request cannot be read', reason);
      } else if (this.#serving >= this.#limit) {
        const details = `${this.#limit} calls are being served`;
        this.#refuse(socket, decoded.value.version, cniCode.tryAgain, 'the agent is busy; try again', details);
      } else {
        const call = this.#serve(socket, decoded.value, gone).finally(() => this.#calls.delete(call));
        this.#calls.add(call);
      }
    });
  }

  #refuse(socket: Socket, version: number, code: number, msg: string, details: string): void {
    const stdout = Buffer.from(formatFailure('1.0.0', { code, msg, details }));
    // One that never reads its refusal (frozen, for instance) must not keep its place for ever.
    socket.setTimeout(REQUEST_TIMEOUT_MS);
    socket.end(encodeAnswer({ version, code: 1, stdout }));
  }

  async #serve(socket: Socket, request: PluginRequest, gone: AbortController): Promise<void> {
    this.#serving += 1;
    try {
      const caller = { pid: peerProcess(socket), gone: gone.signal };
      const reply = await this.#modules.handle(request, caller);
      const answer = encodeAnswer({ version: request.version, code: reply.code, stdout: Buffer.from(reply.stdout) });
      reply.delivered(await deliver(socket, answer, gone.signal));
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      this.#serving -= 1;
    }
  }
}

/**
 * Writes the answer and waits until the other side has closed, which a plugin does as soon as it has read all of it. An
 * error on the way, or a close before the answer was written, means that nobody has it.
 */
function deliver(socket: Socket, answer: Buffer, gone: AbortSignal): Promise<boolean> {
  if (gone.aborted || socket.destroyed) {
    socket.destroy();
    return Promise.resolve(false);
  }
  return new Promise((resolve) => {
    let failed = false;
    socket.once('error', () => {
      failed = true;
    });
    socket.once('close', () => resolve(!failed));
    socket.setTimeout(REQUEST_TIMEOUT_MS, () => {
      failed = true;
      socket.destroy();
    });
    socket.end(answer);
  });
}

/** Node has no word for SO_PEERCRED; the descriptor is on the handle of every socket that it opened. */
function peerProcess(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number' || fd < 0) return 0;
  return peerCredentials(fd).pid;
}

/** process.umask() cannot be set from a worker thread; there the directory's 0700 keeps others out meanwhile. */
function setUmask(mask: number): number | undefined {
  try {
    return process.umask(mask);
  } catch {
    return undefined;
  }
}
