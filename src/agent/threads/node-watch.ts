/**
 * Looks whether the node is set up as it must be: at the start, when uplinks, sysctls or packet filters change, and now and
 * then, because the kernel does not tell everything. In: the kernel's view and what was told; out: problems for the facts,
 * and a log line for each setting that was made.
 */
import type { NodeReport } from '#dataplane/io/node-checks.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { FORWARDING, type Problem, type Setting } from '#dataplane/node-plan.ts';
import { AppError } from '#lib/result.ts';
import { after, between, type Clock, type Duration, type Instant, instant, milliseconds, seconds } from '#lib/time.ts';
import type { LogFunction } from '../log.ts';

/** Interfaces come in bursts. */
const SETTLE = milliseconds(300);
/** Rules of others may change all the time, and looking at them can take a process. */
const RULES_SETTLE = milliseconds(1500);
/** … so between two looks for their sake there is this time. */
const RULES_REST = seconds(4);
/** For what nobody tells: accept_ra, and the configuration of systemd-networkd. */
const AGAIN = seconds(60);
/** A setting that somebody else undid is a problem for so long. */
const CONTESTED = seconds(600);

interface Contested {
  readonly setting: Setting;
  readonly times: number;
  readonly until: Instant;
}

export class NodeWatch {
  readonly #check: (view: KernelView) => Promise<NodeReport>;
  readonly #changed: () => void;
  readonly #log: LogFunction;
  readonly #clock: Clock;
  #view: KernelView | undefined;
  /** What of the view matters here, to leave out what pods do. */
  #seen = '';
  #found: readonly Problem[] = [];
  #problems: readonly Problem[] = [];
  readonly #made = new Set<string>();
  readonly #contested = new Map<string, Contested>();
  #repairs = 0;
  #dueAt: Instant | undefined;
  #rulesNotBefore = instant(0);
  #cancelTimer: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #checked = false;
  #started = false;
  #stopped = false;

  constructor(modules: {
    readonly check: (view: KernelView) => Promise<NodeReport>;
    readonly changed: () => void;
    readonly log: LogFunction;
    readonly clock: Clock;
  }) {
    this.#check = modules.check;
    this.#changed = modules.changed;
    this.#log = modules.log;
    this.#clock = modules.clock;
  }

  get problems(): readonly Problem[] {
    return this.#problems;
  }

  /** How often a setting was made again that somebody else had undone. */
  get repairs(): number {
    return this.#repairs;
  }

  /** The first check; the answer comes by `changed`. */
  start(): void {
    this.#started = true;
    this.#due(milliseconds(0));
  }

  view(view: KernelView): void {
    this.#view = view;
    const uplinks = view.interfaces
      .filter((one) => !one.pod)
      .map(({ name, up, addresses }) => ({ name, up, addresses }));
    const seen = JSON.stringify([uplinks, view.routes.filter((route) => route.prefix === '::/0')]);
    if (seen === this.#seen) return;
    this.#seen = seen;
    this.#due(SETTLE);
  }

  /** A sysctl was written, by us or by somebody else: what pods need is missing until it is written again. */
  settingsChanged(): void {
    this.#due(milliseconds(0));
  }

  rulesChanged(): void {
    const now = this.#clock.now();
    const settled = after(now, RULES_SETTLE);
    this.#due(between(now, settled > this.#rulesNotBefore ? settled : this.#rulesNotBefore));
  }

  /** Resolves when no check runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  /** A check after `wait`, or earlier when one is due earlier. */
  #due(wait: Duration): void {
    if (this.#stopped || !this.#started) return;
    const at = after(this.#clock.now(), wait);
    if (this.#dueAt !== undefined && this.#dueAt <= at) return;
    this.#dueAt = at;
    this.#arm();
  }

  #arm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    if (this.#running !== undefined || this.#stopped || this.#dueAt === undefined) return;
    this.#cancelTimer = this.#clock.at(this.#dueAt, () => {
      this.#dueAt = undefined;
      this.#running = this.#run();
    });
  }

  async #run(): Promise<void> {
    // The promise of this run must be known before it ends.
    await Promise.resolve();
    if (this.#view !== undefined) await this.#look(this.#view);
    this.#running = undefined;
    this.#due(AGAIN);
    this.#arm();
  }

  async #look(view: KernelView): Promise<void> {
    try {
      const report = await this.#check(view);
      for (const setting of report.made) this.#note(setting);
      this.#checked = true;
      this.#found = report.problems;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#found = [{ code: 'NodeCheckFailed', text: `The node could not be checked: ${error.message}` }];
    }
    if (this.#stopped) return;
    this.#rulesNotBefore = after(this.#clock.now(), RULES_REST);
    const problems = [...this.#found, ...this.#contestedNow()];
    if (JSON.stringify(problems) === JSON.stringify(this.#problems)) return;
    this.#problems = problems;
    this.#changed();
  }

  /** What the first check set nobody undid, nor what an interface needs that is new. */
  #note(setting: Setting): void {
    const { name, value, consequence } = setting;
    const undone =
      this.#made.has(name) || (this.#checked && Object.values(FORWARDING).some((one) => one.name === name));
    this.#made.add(name);
    this.#log(undone ? 'warn' : 'info', undone ? 'node.setting_undone' : 'node.setting', {
      name,
      value,
      without: consequence,
    });
    if (!undone) return;
    this.#repairs += 1;
    const times = (this.#contested.get(name)?.times ?? 0) + 1;
    this.#contested.set(name, { setting, times, until: after(this.#clock.now(), CONTESTED) });
    this.#changed();
  }

  #contestedNow(): readonly Problem[] {
    const now = this.#clock.now();
    for (const [name, { until }] of this.#contested) if (until <= now) this.#contested.delete(name);
    return [...this.#contested.values()].map(({ setting: { name, value, consequence }, times }) => ({
      code: 'SettingUndone',
      text: `${name.replaceAll('/', '.')} was changed by somebody else${times === 1 ? '' : ` (${times} times)`} and set to ${value} again: without it ${consequence}; find who writes it, in /etc/sysctl.d for instance`,
    }));
  }
}
