/**
 * Peers whose path failed. GoBGP may keep the routes of a session that is ended for it, as those of a router that restarts, and says
 * nothing when the next session brings the same ones: so they stay out of the kernel here until GoBGP has another session.
 */
import type { Clock, Duration, Instant } from '#lib/time.ts';
import { after, seconds } from '#lib/time.ts';
import type { BestPaths } from './best-paths.ts';
import type { SessionMark } from './known-peers.ts';

/** A session that GoBGP did not end is ended again after this time. */
const retryTime: Duration = seconds(5);

interface FailedPath {
  readonly text: string;
  /** The one that failed, or that it was seen down since; `undefined`: GoBGP has not told of it. */
  session: SessionMark | undefined;
  retryAt: Instant;
}

type Rows = Pick<BestPaths, 'withholdPeer' | 'restorePeer' | 'isFrom'>;

export class FailedPaths {
  readonly #clock: Clock;
  readonly #rows: Rows;
  /** By the name in the facts. */
  readonly #failed = new Map<string, FailedPath>();

  constructor(clock: Clock, rows: Rows) {
    this.#clock = clock;
    this.#rows = rows;
  }

  /** `session`: as GoBGP last told of it. */
  add(name: string, text: string, session: SessionMark | undefined): void {
    this.#failed.set(name, { text, session: session === 'down' ? undefined : session, retryAt: this.#soon() });
    this.#rows.withholdPeer(name);
  }

  /** GoBGP was asked about its peers. `reset` ends a session. Answers whether rows changed. */
  look(sessionOf: (name: string) => SessionMark | undefined, reset: (name: string, text: string) => void): boolean {
    const now = this.#clock.now();
    let changed = false;
    for (const [name, failed] of this.#failed) {
      const session = sessionOf(name);
      const isUp = typeof session === 'number';
      const isAnother = isUp && failed.session !== undefined && failed.session !== session;
      // A peer that GoBGP does not have, with nothing left of it, may be nobody's any more.
      const isOver = session === undefined && now >= failed.retryAt && !this.#rows.isFrom(name);
      if (isAnother || isOver) {
        this.#failed.delete(name);
        this.#rows.restorePeer(name);
        changed = true;
      } else if (!isUp) failed.session = 'down';
      else if (failed.session === undefined || now >= failed.retryAt) {
        failed.session = session;
        failed.retryAt = this.#soon();
        reset(name, failed.text);
      }
    }
    return changed;
  }

  #soon(): Instant {
    return after(this.#clock.now(), retryTime);
  }
}
