/**
 * Whom GoBGP greets as one that restarts (RFC 4724 §4.1): each peer once, when BGP has just begun there and the kernel still
 * forwards, until all that is awaited was said. In: peers that are added, and what GoBGP says of them; out: whom to send our routes.
 *
 * A peer that is greeted so is sent nothing until the others have said all they have, or the deferral time is over; in the first case
 * version 3 forgets those without graceful restart.
 */
import { findCapability } from '../wire/capabilities.ts';
import { isUp } from './facts.ts';
import type { Shared } from './modules.ts';
import { capabilitiesOf } from './peer-capabilities.ts';
import { addressOf } from './plan.ts';

export class Greetings {
  readonly #shared: Shared;
  readonly #sendRoutes: (address: string) => void;
  readonly #greeted = new Set<string>();
  /** Greeted as by one that restarts, and perhaps sent nothing yet. */
  readonly #waiting = new Set<string>();
  #isBeginning = false;

  constructor(shared: Shared, sendRoutes: (address: string) => void) {
    this.#shared = shared;
    this.#sendRoutes = sendRoutes;
  }

  /** GoBGP began to speak BGP because it was told to. */
  begin(): void {
    this.#isBeginning = true;
  }

  /** All that was awaited was said, or its time is over. */
  over(): void {
    this.#isBeginning = false;
  }

  /** Whether a peer that is added now is told that we restart. */
  isRestart(name: string): boolean {
    return this.#isBeginning && !this.#greeted.has(name) && this.#shared.forwards();
  }

  added(name: string): void {
    if (this.isRestart(name)) this.#waiting.add(name);
    this.#greeted.add(name);
  }

  look(): void {
    for (const name of this.#waiting) {
      const peer = this.#shared.peers.get(name);
      if (peer === undefined || !isUp(peer) || peer.gracefulRestart?.localRestarting === true) continue;
      this.#waiting.delete(name);
      if (findCapability(capabilitiesOf(peer.state?.remoteCap ?? []), 'gracefulRestart') === undefined)
        this.#sendRoutes(addressOf(peer));
    }
  }
}
