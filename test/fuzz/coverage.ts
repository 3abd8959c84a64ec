/**
 * Which parts of `src` have ever run, as V8 counts blocks (`Profiler.takePreciseCoverage`). `take` says what ran since the last
 * take; `merge` adds it to what is known and says whether there was something new in it.
 */
import { Session } from 'node:inspector';
import type { Profiler } from 'node:inspector';

export type Ran = readonly Profiler.ScriptCoverage[];

export class Coverage {
  readonly #session = new Session();
  /** For each function the characters of its source that ran. Functions are told apart, the inner from the outer. */
  readonly #seen = new Map<string, Uint8Array>();
  readonly #wanted: (url: string) => boolean;
  /** Characters of source that ran at least once since the beginning. */
  reached = 0;

  constructor(wanted: (url: string) => boolean) {
    this.#wanted = wanted;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  take(): Ran {
    let ran: Ran | undefined;
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error !== null) throw error;
      ran = answer.result;
    });
    if (ran === undefined) throw new Error('the inspector of this thread did not answer at once');
    return ran.filter(({ url }) => this.#wanted(url));
  }

  hasNew(ran: Ran): boolean {
    return this.#fresh(ran, false) > 0;
  }

  merge(ran: Ran): boolean {
    const fresh = this.#fresh(ran, true);
    this.reached += fresh;
    return fresh > 0;
  }

  close(): void {
    this.#session.disconnect();
  }

  /** Ranges of a function are nested, the inner ones later: each paints over what it lies in. */
  #fresh(scripts: Ran, mark: boolean): number {
    let fresh = 0;
    for (const { url, functions } of scripts)
      for (const { ranges } of functions) {
        const [whole] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        const { startOffset: start, endOffset: end } = whole;
        const ran = new Uint8Array(end - start);
        for (const { startOffset, endOffset, count } of ranges)
          ran.fill(count > 0 ? 1 : 0, startOffset - start, endOffset - start);
        const key = `${url} ${start} ${end}`;
        const seen = this.#seen.get(key) ?? new Uint8Array(end - start);
        if (mark) this.#seen.set(key, seen);
        for (let at = 0; at < ran.length; at++) {
          if (ran[at] === 0 || seen[at] !== 0) continue;
          fresh++;
          if (mark) seen[at] = 1;
        }
      }
    return fresh;
  }
}
