/**
 * Writes sessions down, one file a peer, while they live. In: every step of every session. Out: `DIR/PEER.jsonl`, and
 * `DIR/PEER.1.jsonl` with what came before it; together at most twice `fileBytes` a peer. A session never waits for the disk:
 * steps that it does not take are left out, and the record says how many.
 */
import { type WriteStream, createWriteStream, mkdirSync, openSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '#lib/result.ts';
import type { SessionConfig } from '../session/config.ts';
import type { Effect, Event } from '../session/events.ts';
import { beginLine, formatLine, stepLine } from '../session/record.ts';
import type { State } from '../session/state.ts';

/** One session's: called after each transition. */
export type RecordSession = (before: State, event: Event, after: State, effects: readonly Effect[]) => void;

export interface RecorderModules {
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number;
  /** Version of this program. */
  readonly program: string;
  /** A file cannot be written; that peer is not recorded any more. */
  readonly failed: (peer: string, text: string) => void;
}

export interface RecorderLimits {
  readonly fileBytes: number;
  /** Octets that may wait for the disk. */
  readonly waitingBytes: number;
}

const defaultLimits: RecorderLimits = { fileBytes: 32 * 1024 * 1024, waitingBytes: 4 * 1024 * 1024 };

export interface Recorder {
  session(peer: string, address: string, config: SessionConfig): RecordSession;
  /** Resolves when all is on its way to the disk. */
  close(): Promise<void>;
}

/** Makes the directory if it is missing, for root alone: a record says who announces what. */
export function prepareRecordDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new AppError(
      'AGENT_RECORD_DIRECTORY',
      `--record ${directory}: cannot be made a directory (${error instanceof Error ? error.message : String(error)}); name one that can be written`,
      { cause: error },
    );
  }
}

export function createRecorder(
  directory: string,
  modules: RecorderModules,
  limits: RecorderLimits = defaultLimits,
): Recorder {
  const files = new Map<string, RecordFile>();
  return {
    session(peer, address, config) {
      const name = fileName(peer);
      const file = files.get(name) ?? new RecordFile(join(directory, name), peer, modules, limits);
      files.set(name, file);
      // A session that begins has a state that no line before it led to.
      file.forget();
      return (before, event, after, effects) => {
        const begin = (lost: number): string =>
          formatLine(
            beginLine(
              { program: modules.program, peer, address, wall: modules.wallClock(), config, lost },
              before,
              event,
            ),
          );
        file.write(begin, () => formatLine(stepLine(event, after, effects)));
      };
    },
    async close() {
      await Promise.all([...files.values()].map((file) => file.close()));
    },
  };
}

/** A peer found in a listen range is called NAME/ADDRESS. */
const fileName = (peer: string): string => peer.replaceAll(/[^-._a-zA-Z0-9]/g, '_');

class RecordFile {
  readonly #path: string;
  readonly #peer: string;
  readonly #modules: RecorderModules;
  readonly #limits: RecorderLimits;
  #stream: WriteStream | undefined;
  #size = 0;
  #lost = 0;
  #needsBegin = true;
  #broken = false;

  constructor(path: string, peer: string, modules: RecorderModules, limits: RecorderLimits) {
    this.#path = path;
    this.#peer = peer;
    this.#modules = modules;
    this.#limits = limits;
  }

  forget(): void {
    this.#needsBegin = true;
  }

  write(begin: (lost: number) => string, step: () => string): void {
    if (this.#broken) return;
    const stream = this.#open();
    if (stream === undefined || stream.writableLength > this.#limits.waitingBytes) {
      this.#lost++;
      this.#needsBegin = true;
      return;
    }
    const text = this.#needsBegin ? begin(this.#lost) + step() : step();
    this.#needsBegin = false;
    this.#lost = 0;
    this.#size += Buffer.byteLength(text);
    stream.write(text);
  }

  /** The file that is written; a full one is put aside first. */
  #open(): WriteStream | undefined {
    if (this.#stream !== undefined && this.#size < this.#limits.fileBytes) return this.#stream;
    try {
      if (this.#stream === undefined)
        this.#size = statSync(`${this.#path}.jsonl`, { throwIfNoEntry: false })?.size ?? 0;
      if (this.#size >= this.#limits.fileBytes) {
        this.#stream?.end();
        renameSync(`${this.#path}.jsonl`, `${this.#path}.1.jsonl`);
        this.#size = 0;
        this.#needsBegin = true;
      }
      // Opened at once, so that the file is there when it is to be put aside.
      const fd = openSync(`${this.#path}.jsonl`, 'a', 0o600);
      this.#stream = createWriteStream('', { fd });
      this.#stream.on('error', (error) => this.#fail(error));
      return this.#stream;
    } catch (error) {
      this.#fail(error);
      return undefined;
    }
  }

  #fail(error: unknown): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#modules.failed(this.#peer, error instanceof Error ? error.message : String(error));
  }

  async close(): Promise<void> {
    const stream = this.#stream;
    this.#broken = true;
    if (stream === undefined || stream.closed) return;
    const closed = Promise.withResolvers<void>();
    stream.once('close', closed.resolve);
    stream.end();
    await closed.promise;
  }
}
