/** Sessions that had too many prefixes stay down in GoBGP until somebody enables them: here that is after `maxPrefixesRestart`. */
import { after } from '#lib/time.ts';
import type { GobgpClient } from './io/client.ts';
import type { Shared } from './modules.ts';
import { addressOf } from './plan.ts';

export class Revivals {
  readonly #client: GobgpClient;
  readonly #shared: Shared;
  readonly #enable: (address: string) => void;
  readonly #waiting = new Map<string, { readonly at: number; readonly cancel: () => void }>();

  constructor(client: GobgpClient, shared: Shared, enable: (address: string) => void) {
    this.#client = client;
    this.#shared = shared;
    this.#enable = enable;
  }

  look(): void {
    const { modules, peers, intent } = this.#shared;
    const { prefixLimit } = this.#client.dialect.adminState;
    for (const { name, maxPrefixesRestart } of intent().peers) {
      const peer = peers.get(name);
      if (maxPrefixesRestart === undefined || peer?.state?.adminState !== prefixLimit || this.#waiting.has(name))
        continue;
      const cancel = modules.clock.at(after(modules.clock.now(), maxPrefixesRestart), () => {
        this.#waiting.delete(name);
        this.#enable(addressOf(peer));
      });
      this.#waiting.set(name, { at: modules.wallClock() + maxPrefixesRestart, cancel });
    }
  }

  /** Wall-clock milliseconds since the epoch; `undefined`: nobody waits for this peer. */
  at(name: string): number | undefined {
    return this.#waiting.get(name)?.at;
  }

  close(): void {
    for (const { cancel } of this.#waiting.values()) cancel();
  }
}
