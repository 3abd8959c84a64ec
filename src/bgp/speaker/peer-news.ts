/**
 * Lines about a peer for the log and the event stream. What a peer can cause with each of its messages comes once a second
 * and says how often it came unsaid: lines cross threads, and a peer must not fill another thread's memory.
 */
import type { Clock, Instant } from '#lib/time.ts';
import { after, seconds } from '#lib/time.ts';
import type { BgpEngineOutputs } from '../engine.ts';

type Fields = Readonly<Record<string, unknown>>;

const shortestInterval = seconds(1);

export class PeerNews {
  readonly #peer: string;
  readonly #clock: Clock;
  readonly #outputs: Pick<BgpEngineOutputs, 'event'>;
  readonly #told = new Map<string, { readonly at: Instant; unsaid: number }>();

  constructor(peer: string, modules: { readonly clock: Clock; readonly outputs: Pick<BgpEngineOutputs, 'event'> }) {
    this.#peer = peer;
    this.#clock = modules.clock;
    this.#outputs = modules.outputs;
  }

  /** What happens to a session. */
  event(level: 'info' | 'warn', event: string, fields: Fields): void {
    this.#outputs.event(level, event, { peer: this.#peer, ...fields });
  }

  /** What one message of the peer says. */
  message(event: string, fields: Fields): void {
    const now = this.#clock.now();
    const told = this.#told.get(event);
    if (told !== undefined && now < after(told.at, shortestInterval)) {
      told.unsaid++;
      return;
    }
    this.#told.set(event, { at: now, unsaid: 0 });
    const { unsaid = 0 } = told ?? {};
    this.#outputs.event('debug', event, { peer: this.#peer, ...fields, ...(unsaid === 0 ? {} : { unsaid }) });
  }
}
