/**
 * The unix socket that plugins talk to: bytes in, one request per connection, bytes out. Only root may connect (0600). In
 * comes a caller; out goes whatever the handler answers, and the handler is told when the caller is gone before it has
 * read the answer. Node tells of one connection for each turn of the event loop; those that came with it are taken by
 * ourselves, one after the other, as soon as the one before was answered.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { closeDescriptor } from '#linux/socket.ts';
import { peerCredentials } from '#linux/socket-options.ts';
import { acceptConnection } from '#linux/stream.ts';
import { AppError } from '#lib/result.ts';
import { Connection } from './connection.ts';
import { encodeAnswer, type PluginRequest, PROTOCOL_VERSION } from './protocol.ts';
import { type CniFailure, cniCode, formatFailure } from './spec.ts';

/** Calls that are answered before other work of the thread gets its turn. */
const CALLS_PER_TURN = 8;
/** Of a stop with calls that wait for something; the thread has 2.3 s, and what it has not closed then is closed by nobody. */
const STOP_PATIENCE_MS = 1000;
/** Waiting to be told that we are busy; one beyond is closed without a word, which a plugin takes for the same. */
const LEAST_CONNECTIONS = 1024;
/** A plugin that was answered closes within a millisecond; one that is silent for longer than that is looked at less often. */
const LOOK_MS = 1;
const LOOK_AT_SILENT_MS = 20;

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
  readonly #open = new Set<Connection>();
  readonly #calls = new Set<Promise<void>>();
  #serving = 0;
  #listening: number | undefined;
  #looking: NodeJS.Timeout | undefined;

  /** At most `limit` calls are served at one time; a further one is told to try again. */
  constructor(path: string, limit: number, modules: CniServerModules) {
    this.#path = path;
    this.#limit = limit;
    this.#modules = modules;
    // The plugin waits for its answer on the other half.
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#connected(socket));
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
    this.#listening = descriptorOf(this.#server);
  }

  /** Stops accepting, lets running calls end, and those that wait take back what they did; then closes what is left. */
  async close(): Promise<void> {
    this.#listening = undefined;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const giveUp = setInterval(() => {
      for (const connection of this.#open) connection.giveUp();
    }, STOP_PATIENCE_MS);
    // One that had connected before may still send its request meanwhile.
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
    clearInterval(giveUp);
    clearTimeout(this.#looking);
    for (const connection of this.#open) connection.close();
    await closed;
  }

  #connected(socket: Socket): void {
    socket.on('error', () => undefined);
    const fd = descriptorOf(socket);
    if (fd === undefined) socket.destroy();
    else
      this.#follow(
        this.#begin(fd, () => socket.destroy()),
        CALLS_PER_TURN,
      );
    this.#lookSoon();
  }

  /** Goes on with the next connection that waits once `answered` is, or in the next turn. */
  #follow(answered: Promise<void> | undefined, budget: number): void {
    if (budget === 0) setImmediate(() => this.#next(CALLS_PER_TURN));
    else if (answered === undefined) this.#next(budget);
    else void answered.then(() => this.#next(budget));
  }

  #next(budget: number): void {
    const fd = this.#listening === undefined ? undefined : acceptConnection(this.#listening);
    if (fd !== undefined)
      this.#follow(
        this.#begin(fd, () => closeDescriptor(fd)),
        budget - 1,
      );
    else this.#lookAtAll();
  }

  /** `undefined`: there is no whole request yet. */
  #begin(fd: number, release: () => void): Promise<void> | undefined {
    const connection = new Connection(fd, release);
    if (this.#open.size >= Math.max(LEAST_CONNECTIONS, 4 * this.#limit)) {
      connection.close();
      return undefined;
    }
    this.#open.add(connection);
    return this.#look(connection);
  }

  #look(connection: Connection): Promise<void> | undefined {
    const seen = connection.look();
    if (seen.kind === 'over') this.#open.delete(connection);
    if (seen.kind === 'over' || seen.kind === 'wait') return undefined;
    if (seen.kind === 'unreadable') {
      const failure = { code: cniCode.cannotDecode, msg: 'the request cannot be read', details: seen.reason };
      return this.#refuse(connection, PROTOCOL_VERSION, failure);
    }
    if (this.#serving < this.#limit) return this.#serve(connection, seen.request);
    const details = `${this.#limit} calls are being served`;
    const failure = { code: cniCode.tryAgain, msg: 'the agent is busy; try again', details };
    return this.#refuse(connection, seen.request.version, failure);
  }

  #refuse(connection: Connection, version: number, failure: CniFailure): undefined {
    const stdout = Buffer.from(formatFailure('1.0.0', failure));
    connection.answer(encodeAnswer({ version, code: 1, stdout }), () => undefined);
  }

  /** Resolves when the call is answered; it is over when the caller has taken the answer or is gone. */
  async #serve(connection: Connection, request: PluginRequest): Promise<void> {
    this.#serving += 1;
    const over = Promise.withResolvers<void>();
    this.#calls.add(over.promise);
    const ended = (): void => {
      this.#serving -= 1;
      this.#calls.delete(over.promise);
      over.resolve();
    };
    try {
      const caller = { pid: peerCredentials(connection.fd).pid, gone: connection.gone };
      const reply = await this.#modules.handle(request, caller);
      const answer = { version: request.version, code: reply.code, stdout: Buffer.from(reply.stdout) };
      connection.answer(encodeAnswer(answer), (taken) => {
        reply.delivered(taken);
        ended();
      });
      this.#lookSoon();
    } catch (error) {
      connection.close();
      ended();
      throw error;
    }
  }

  #lookAtAll(): void {
    for (const connection of this.#open) void this.#look(connection);
    this.#lookSoon();
  }

  /** Nothing is looked at when nobody is connected. */
  #lookSoon(): void {
    if (this.#looking !== undefined || this.#open.size === 0) return;
    const now = performance.now();
    let silent = true;
    for (const connection of this.#open) silent &&= connection.age(now) > LOOK_AT_SILENT_MS;
    this.#looking = setTimeout(
      () => {
        this.#looking = undefined;
        this.#lookAtAll();
      },
      silent ? LOOK_AT_SILENT_MS : LOOK_MS,
    );
  }
}

/** Node has no word for it: the descriptor is on the handle of every socket that it opened. */
function descriptorOf(socket: Socket | Server): number | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

/** process.umask() cannot be set from a worker thread; there the directory's 0700 keeps others out meanwhile. */
function setUmask(mask: number): number | undefined {
  try {
    return process.umask(mask);
  } catch {
    return undefined;
  }
}
