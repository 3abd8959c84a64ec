/**
 * Why a peer has no session although its intent wants one: something stands in the way, which is looked at again when the
 * kernel's view changes, or a time runs that the peer must stay away. In: reasons and the clock; out: what people see.
 */
import type { Duration } from '#lib/time.ts';
import { after } from '#lib/time.ts';
import type { PeerError } from '../engine.ts';
import type { EngineModules } from './modules.ts';
import type { PeerNews } from './peer-news.ts';

type Why = Pick<PeerError, 'code' | 'text'>;

export class SessionHold {
  why: PeerError | undefined;
  /** Wall-clock milliseconds at which the session is opened again by itself. */
  until: number | undefined;
  /** The peer must stay away until the time is over or somebody lets it in. */
  isPenalty = false;
  readonly #modules: Pick<EngineModules, 'clock' | 'wallClock'>;
  readonly #news: PeerNews;
  readonly #changed: () => void;
  #cancel: (() => void) | undefined;

  constructor(modules: Pick<EngineModules, 'clock' | 'wallClock'>, news: PeerNews, changed: () => void) {
    this.#modules = modules;
    this.#news = news;
    this.#changed = changed;
  }

  /** What stands in the way now; `undefined`: nothing. */
  obstacle(why: Why | undefined): void {
    if (this.isPenalty || why?.text === this.why?.text) return;
    this.#say(why);
  }

  /** `wait` undefined: until `release`. */
  penalty(why: Why, wait: Duration | undefined, over: () => void): void {
    const { clock, wallClock } = this.#modules;
    this.release();
    this.isPenalty = true;
    this.#say(why);
    if (wait === undefined) return;
    this.until = wallClock() + wait;
    this.#cancel = clock.at(after(clock.now(), wait), () => {
      this.release();
      over();
    });
  }

  release(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.isPenalty = false;
    this.until = undefined;
    this.why = undefined;
  }

  #say(why: Why | undefined): void {
    this.why = why && { ...why, at: this.#modules.wallClock() };
    if (why !== undefined) this.#news.event('warn', 'session.held', { code: why.code, text: why.text });
    this.#changed();
  }
}
