/**
 * What the demo claims, one check for each claim: a check is a function that looks, and either says in a few words what
 * it saw or throws Unexpected. A failed check does not end the demo unless everything after it depends on it.
 */

/** Something was not as claimed: what was expected, what was seen, and the command that shows it. */
export class Unexpected extends Error {
  readonly expected: string;
  readonly seen: string;
  readonly command: string | undefined;

  constructor(difference: { readonly expected: string; readonly seen: string; readonly command?: string }) {
    super(`expected ${difference.expected}; saw ${difference.seen}`);
    this.name = 'Unexpected';
    this.expected = difference.expected;
    this.seen = difference.seen;
    this.command = difference.command;
  }
}

export interface CheckResult {
  readonly title: string;
  readonly passed: boolean;
  readonly tookMilliseconds: number;
  /** Since the demo began, at the check's end. */
  readonly atMilliseconds: number;
  /** What was seen when it passed, why not when it failed. */
  readonly detail: string;
  readonly failure?: Unexpected | Error;
}

/** Thrown after a failed check on which all others depend. */
export class DemoStopped extends Error {}

export interface Show {
  /** A step has begun; whoever shows it may animate. */
  begin(title: string): void;
  end(result: CheckResult): void;
}

export class Checks {
  readonly results: CheckResult[] = [];
  readonly #show: Show;
  readonly #began = performance.now();

  constructor(show: Show) {
    this.#show = show;
  }

  /** Runs one check; answers whether it passed. `needed`: a failure ends the demo (DemoStopped). */
  async check(
    title: string,
    look: () => Promise<string>,
    options: { readonly needed?: boolean } = {},
  ): Promise<boolean> {
    const started = performance.now();
    this.#show.begin(title);
    let outcome: Pick<CheckResult, 'passed' | 'detail' | 'failure'>;
    try {
      outcome = { passed: true, detail: await look() };
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      outcome = { passed: false, detail: failure.message, failure };
    }
    const now = performance.now();
    const result = { title, tookMilliseconds: now - started, atMilliseconds: now - this.#began, ...outcome };
    this.results.push(result);
    this.#show.end(result);
    if (!result.passed && options.needed === true) throw new DemoStopped(`${title}: ${result.detail}`);
    return result.passed;
  }

  get failed(): readonly CheckResult[] {
    return this.results.filter((result) => !result.passed);
  }

  get elapsedMilliseconds(): number {
    return performance.now() - this.#began;
  }
}
