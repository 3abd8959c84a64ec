/**
 * Looks whether the node is set up as it must be: at the start, when uplinks change, and now and then, because others
 * write sysctls too. In: the kernel's view; out: problems for the facts, and a log line for each setting that was made.
 */
import type { NodeReport } from '#dataplane/io/node-checks.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { AppError } from '#lib/result.ts';
import type { LogFunction } from '../log.ts';

/** Interfaces come in bursts. */
const SETTLE_MILLISECONDS = 300;
const AGAIN_MILLISECONDS = 30_000;

interface NodeProblem {
  readonly code: string;
  readonly text: string;
}

export class NodeWatch {
  readonly #check: (view: KernelView) => Promise<NodeReport>;
  readonly #changed: () => void;
  readonly #log: LogFunction;
  #view: KernelView | undefined;
  /** What of the view matters here, to leave out what pods do. */
  #seen = '';
  #problems: readonly NodeProblem[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  /** Something changed while a check ran. */
  #again = false;
  #started = false;
  #stopped = false;

  constructor(modules: {
    readonly check: (view: KernelView) => Promise<NodeReport>;
    readonly changed: () => void;
    readonly log: LogFunction;
  }) {
    this.#check = modules.check;
    this.#changed = modules.changed;
    this.#log = modules.log;
  }

  get problems(): readonly NodeProblem[] {
    return this.#problems;
  }

  /** The first check; the answer comes by `changed`. */
  start(): void {
    this.#started = true;
    this.#arm(0);
  }

  view(view: KernelView): void {
    this.#view = view;
    const uplinks = view.interfaces
      .filter((one) => !one.pod)
      .map(({ name, up, addresses }) => ({ name, up, addresses }));
    const seen = JSON.stringify([uplinks, view.routes.filter((route) => route.prefix === '::/0')]);
    if (seen === this.#seen) return;
    this.#seen = seen;
    if (this.#started) this.#arm(SETTLE_MILLISECONDS);
  }

  /** Resolves when no check runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #arm(milliseconds: number): void {
    clearTimeout(this.#timer);
    if (this.#running !== undefined) this.#again = true;
    else if (!this.#stopped) this.#timer = setTimeout(() => this.#begin(), milliseconds);
  }

  #begin(): void {
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    // The promise of this run must be known before it ends.
    await Promise.resolve();
    if (this.#view !== undefined) await this.#look(this.#view);
    this.#running = undefined;
    this.#arm(this.#again ? SETTLE_MILLISECONDS : AGAIN_MILLISECONDS);
    this.#again = false;
  }

  async #look(view: KernelView): Promise<void> {
    let problems: readonly NodeProblem[];
    try {
      const report = await this.#check(view);
      for (const { name, value, consequence } of report.made) {
        this.#log('info', 'node.setting', { name, value, without: consequence });
      }
      problems = report.problems;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      problems = [{ code: 'NodeCheckFailed', text: `The node could not be checked: ${error.message}` }];
    }
    if (this.#stopped || JSON.stringify(problems) === JSON.stringify(this.#problems)) return;
    this.#problems = problems;
    this.#changed();
  }
}
