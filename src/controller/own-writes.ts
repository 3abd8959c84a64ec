/**
 * What a watch shows, and over it what this process wrote and the watch does not show yet, so that nothing is decided twice. PURE.
 * It spares writes and is no proof of anything: what this shows is an assumption until the API server was asked.
 */
export interface Versioned {
  readonly resourceVersion: string | undefined;
}

export class WithOwnWrites<T extends Versioned> {
  #watched: ReadonlyMap<string, T> = new Map();
  readonly #written = new Map<string, { readonly over: string | undefined; readonly now: T | undefined }>();

  learn(all: ReadonlyMap<string, T>): void {
    this.#watched = all;
    for (const [key, { over, now }] of this.#written)
      if (hasSeen(all.get(key)?.resourceVersion, over, now?.resourceVersion)) this.#written.delete(key);
  }

  get(key: string): T | undefined {
    const written = this.#written.get(key);
    return written === undefined ? this.#watched.get(key) : written.now;
  }

  /**
   * Before a call is made: answers what is to be told what the object is after it, `undefined` that it is gone. Where the watch
   * has shown something else by then, it knows better: the answer may have come late.
   */
  asking(key: string): (now: T | undefined) => void {
    const over = this.#watched.get(key)?.resourceVersion;
    return (now) => {
      if (this.#watched.get(key)?.resourceVersion === over) this.#written.set(key, { over, now });
    };
  }

  all(): ReadonlyMap<string, T> {
    if (this.#written.size === 0) return this.#watched;
    const all = new Map(this.#watched);
    for (const [key, { now }] of this.#written)
      if (now === undefined) all.delete(key);
      else all.set(key, now);
    return all;
  }
}

/** Versions of one object grow. Between the one that was written over and ours the watch may show somebody else's. */
function hasSeen(shown: string | undefined, over: string | undefined, ours: string | undefined): boolean {
  if (shown === over) return false;
  return shown === undefined || ours === undefined || !(Number(shown) < Number(ours));
}
