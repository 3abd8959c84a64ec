/** A pause that something can end early. */
import type { Clock, Duration } from '#lib/time.ts';
import { after } from '#lib/time.ts';

export class Waits {
  readonly #clock: Clock;
  #woken = false;
  #end: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the pause that is now, or the next one at once. */
  wake(): void {
    this.#woken = true;
    this.#end?.();
  }

  async pause(atMost: Duration): Promise<void> {
    if (!this.#woken)
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.at(after(this.#clock.now(), atMost), resolve);
        this.#end = () => {
          cancel();
          resolve();
        };
      });
    this.#end = undefined;
    this.#woken = false;
  }
}
