/**
 * One plugin's connection: a request comes in, an answer goes out, the plugin closes. A plain descriptor that is looked at:
 * the request of a plugin is there when its connection is, and most calls are over before anybody would have been told of
 * anything. The kernel says ECONNRESET when a unix socket is closed with bytes unread, the end when all were read.
 */
import { receiveStream, sendStream } from '#linux/stream.ts';
import { decodeRequest, MAX_ENVIRONMENT_BYTES, MAX_STDIN_BYTES, type PluginRequest } from './protocol.ts';

/** A plugin sends at once and reads at once; one that does not is no plugin of ours. */
const PATIENCE_MS = 30_000;
const LARGEST_REQUEST = MAX_ENVIRONMENT_BYTES + MAX_STDIN_BYTES + 64;
/** Every call whose caller goes ends with an abort; without a reason of ours each would make an exception with a stack. */
const CALLER_GONE = 'the caller is gone';

/** Shared by all: nothing is left in it between two looks. */
const scratch = Buffer.alloc(64 * 1024);

export type Seen =
  | { readonly kind: 'request'; readonly request: PluginRequest }
  | { readonly kind: 'unreadable'; readonly reason: string }
  /** Nothing new. */
  | { readonly kind: 'wait' }
  /** Nothing more comes of it. */
  | { readonly kind: 'over' };

const wait = { kind: 'wait' } as const;
const over = { kind: 'over' } as const;

export class Connection {
  readonly fd: number;
  readonly #release: () => void;
  readonly #gone = new AbortController();
  #state: 'asking' | 'served' | 'answered' | 'over' = 'asking';
  /** When the state changed, milliseconds of performance.now(). */
  #since = performance.now();
  #received: Buffer = Buffer.alloc(0);
  #unsent: Buffer | undefined;
  #delivered: (taken: boolean) => void = () => undefined;

  /** `release` closes the descriptor. */
  constructor(fd: number, release: () => void) {
    this.fd = fd;
    this.#release = release;
  }

  /** Aborted when the caller closed before it was answered, or is not waited for any more. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** A call that is served is to end as if its caller had gone: there will be no answer. */
  giveUp(): void {
    if (this.#state === 'served') this.#gone.abort(CALLER_GONE);
  }

  /** For how long nothing has happened, milliseconds. */
  age(now: number): number {
    return now - this.#since;
  }

  look(): Seen {
    switch (this.#state) {
      case 'asking':
        return this.#readRequest();
      case 'served': {
        const heard = receiveStream(this.fd, scratch);
        if (heard === 'end' || heard === 'reset') this.#gone.abort(CALLER_GONE);
        return wait;
      }
      case 'answered':
        return this.#finish();
      default:
        return over;
    }
  }

  #readRequest(): Seen {
    const length = receiveStream(this.fd, scratch);
    if (length === 'wait') return this.#patience();
    if (length === 'end' || length === 'reset') return this.close();
    this.#received = Buffer.concat([this.#received, scratch.subarray(0, length)]);
    const decoded = decodeRequest(this.#received);
    if (decoded.kind === 'incomplete' && this.#received.length <= LARGEST_REQUEST) return this.#readRequest();
    this.#become('served');
    if (decoded.kind === 'complete') return { kind: 'request', request: decoded.value };
    return { kind: 'unreadable', reason: decoded.kind === 'invalid' ? decoded.reason : 'request too large' };
  }

  /** Whoever has gone or does not read it has not taken it; `delivered` is told once. */
  answer(bytes: Buffer, delivered: (taken: boolean) => void): void {
    this.#unsent = bytes;
    this.#delivered = delivered;
    this.#become('answered');
    if (this.#gone.signal.aborted) this.close();
    else this.#send();
  }

  #send(): void {
    if (this.#unsent === undefined) return;
    const sent = sendStream(this.fd, this.#unsent);
    if (sent === 'gone') this.close();
    else this.#unsent = sent === this.#unsent.length ? undefined : this.#unsent.subarray(sent);
  }

  #finish(): Seen {
    this.#send();
    if (this.#unsent !== undefined) return this.#patience();
    const heard = receiveStream(this.fd, scratch);
    if (heard === 'wait') return this.#patience();
    return heard === 'end' || heard === 'reset' ? this.close(heard === 'end') : wait;
  }

  #patience(): Seen {
    return performance.now() - this.#since > PATIENCE_MS ? this.close() : wait;
  }

  #become(state: 'served' | 'answered'): void {
    this.#state = state;
    this.#since = performance.now();
  }

  close(taken = false): Seen {
    if (this.#state === 'over') return over;
    this.#state = 'over';
    this.#gone.abort(CALLER_GONE);
    this.#release();
    this.#delivered(taken);
    return over;
  }
}
