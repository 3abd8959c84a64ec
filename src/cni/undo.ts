/**
 * What must be taken back when a later step fails: steps are undone last first, each of them tried whatever became of the
 * others. After commit() nothing is undone.
 */
export class Undo {
  #steps: (() => void)[] = [];

  push(step: () => void): void {
    this.#steps.push(step);
  }

  commit(): void {
    this.#steps = [];
  }

  /** Answers what the steps threw. */
  run(): unknown[] {
    const failures: unknown[] = [];
    for (const step of this.#steps.reverse()) {
      try {
        step();
      } catch (error) {
        failures.push(error);
      }
    }
    this.#steps = [];
    return failures;
  }
}
