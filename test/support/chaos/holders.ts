/** Who has which address, as the runtimes were told: giving one twice fails at once. */
import assert from 'node:assert/strict';

export class Holders {
  readonly #holders = new Map<string, string>();

  claim(addresses: readonly string[], who: string): void {
    for (const address of addresses) {
      const holder = this.#holders.get(address);
      assert.equal(holder, undefined, `${address} was given to ${holder} and to ${who}`);
      this.#holders.set(address, who);
    }
  }

  /** From the DEL on it may be anybody's. */
  release(addresses: readonly string[]): void {
    for (const address of addresses) this.#holders.delete(address);
  }
}
