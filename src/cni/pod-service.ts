/**
 * Everything that the "pods" thread does, composed: the pods of the node, the verbs, the socket and the spool. The order of
 * a start matters: rules, then what the kernel has, then the spool, then the socket.
 */
import { CNI_SOCKET, SPOOL_DIRECTORY } from '#dataplane/kernel-names.ts';
import { PodLinks } from '#dataplane/pod/io/pod-links.ts';
import type { ReaperReport } from '#dataplane/pod/reaping.ts';
import type { PodCheck, PodCheckRequest, PodRow, PodsGate, PodsIntent } from '#ipam/intent.ts';
import { AppError } from '#lib/result.ts';
import { PodChecker } from './pod-check.ts';
import { Pods } from './pods.ts';
import type { PodKernelChange, PodServiceModules, PodServiceOptions, PodServicePort } from './port.ts';
import { CniServer } from './server.ts';
import { Spool } from './spool.ts';
import { Verbs } from './verbs.ts';

const DEFAULT_ANNOUNCEMENT_WAIT_MS = 5000;
const DEFAULT_DELETION_WAIT_MS = 10_000;
const DEFAULT_CHECK_CONFIRM_MS = 500;
const DEFAULT_CHECK_REPAIR_MS = 3000;
const DEFAULT_CONNECTIONS = 256;
/** Facts are collected for a moment, so that a burst of ADDs does not send one set each. */
const FACTS_DELAY_MS = 200;
/** Changes in the kernel come in bursts. */
const DEFAULT_LOOK_AGAIN_DELAY_MS = 100;
/** A safety net under lost notifications. */
const DEFAULT_LOOK_AGAIN_INTERVAL_MS = 60_000;

export class PodService implements PodServicePort {
  readonly #modules: PodServiceModules;
  readonly #lookAgainIntervalMs: number;
  readonly #lookAgainDelayMs: number;
  readonly #pods: Pods;
  readonly #server: CniServer;
  readonly #spool: Spool;
  readonly #checker: PodChecker;
  #factsTimer: NodeJS.Timeout | undefined;
  #lookTimer: NodeJS.Timeout | undefined;
  #interval: NodeJS.Timeout | undefined;
  #state: 'new' | 'running' | 'stopped' = 'new';

  /** Opens a netlink socket in the calling thread's namespace. Errors: AppError `OS_*`. */
  constructor(options: PodServiceOptions, modules: PodServiceModules) {
    this.#modules = modules;
    this.#lookAgainIntervalMs = options.lookAgainInterval ?? DEFAULT_LOOK_AGAIN_INTERVAL_MS;
    this.#lookAgainDelayMs = options.lookAgainDelay ?? DEFAULT_LOOK_AGAIN_DELAY_MS;
    this.#pods = new Pods({
      links: new PodLinks(),
      reap: modules.reap,
      event: modules.event,
      changed: (now) => this.#changed(now),
    });
    const waits = {
      announcementWaitMs: options.announcementWait ?? DEFAULT_ANNOUNCEMENT_WAIT_MS,
      deletionWaitMs: options.deletionWait ?? DEFAULT_DELETION_WAIT_MS,
    };
    const verbs = new Verbs(waits, this.#pods);
    let processesVisible = false;
    this.#checker = new PodChecker({
      pods: this.#pods,
      processesVisible: () => processesVisible,
      resultDirectories: options.resultDirectories,
      confirmMilliseconds: options.checkConfirm ?? DEFAULT_CHECK_CONFIRM_MS,
      repairMilliseconds: options.checkRepair ?? DEFAULT_CHECK_REPAIR_MS,
    });
    this.#server = new CniServer(options.socketPath ?? CNI_SOCKET, options.connections ?? DEFAULT_CONNECTIONS, {
      handle: async (request, caller) => {
        const started = performance.now();
        processesVisible = caller.pid > 0;
        const reply = await verbs.handle(request, caller);
        const verb = request.environment.get('CNI_COMMAND') ?? '';
        modules.served?.(verb, (performance.now() - started) / 1000, reply.code === 0);
        return reply;
      },
    });
    this.#spool = new Spool(options.spoolDirectory ?? SPOOL_DIRECTORY, {
      handle: (record) => verbs.handleRecord(record),
      unusable: (reason) => this.#pods.event('error', 'spool_unusable', `the spool: ${reason}`, { reason }),
      unreadable: (name, reason) =>
        this.#pods.event('error', 'spool_unreadable', `spool record ${name}: ${reason}; it is put aside`, {
          name,
          reason,
        }),
    });
  }

  get netlinkPort(): number {
    return this.#pods.links.portId;
  }

  async start(): Promise<void> {
    // Without them no pod is joined, but those that are there live, and those that go are let go.
    await this.#putRules();
    this.#state = 'running';
    this.#pods.start();
    void this.#followMtu();
    // Whoever speaks BGP must know which fixed addresses are in use before it says its first word.
    this.#sendFacts();
    await this.#spool.start();
    await this.#server.listen();
    this.#interval = setInterval(() => this.#lookAgainSoon(), this.#lookAgainIntervalMs);
    this.#interval.unref();
    this.#changed(false);
  }

  async stop(): Promise<void> {
    if (this.#state === 'stopped') return;
    const wasRunning = this.#state === 'running';
    this.#state = 'stopped';
    clearInterval(this.#interval);
    clearTimeout(this.#lookTimer);
    clearTimeout(this.#factsTimer);
    if (wasRunning) {
      await this.#server.close();
      await this.#spool.stop();
    }
    this.#pods.stop();
  }

  apply(intent: PodsIntent, generation: number): void {
    this.#pods.apply(intent, generation, this.#state === 'running');
    void this.#followMtu();
  }

  gate(gate: PodsGate): void {
    this.#pods.setGate(gate);
  }

  rows(): PodRow[] {
    return this.#pods.rows();
  }

  check(request: PodCheckRequest): Promise<PodCheck> {
    return this.#checker.check(request);
  }

  reaped(report: ReaperReport): void {
    this.#pods.reaped(report);
  }

  kernelChanged(change: PodKernelChange): void {
    if (this.#state !== 'running') return;
    if (change.kind === 'linksGone') this.#pods.linksGone(change.indexes);
    else if (change.kind === 'rulesChanged') void this.#putRules(change.by);
    else this.#lookAgainSoon();
  }

  /** Uplinks may have changed while no agent was there. */
  async #followMtu(): Promise<void> {
    try {
      if (this.#state === 'running') await this.#pods.followMtu();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#pods.event('error', 'pods_look_failed', error.message, { code: error.code });
    }
  }

  async #putRules(changedBy?: string): Promise<void> {
    try {
      await this.#pods.putRules(changedBy);
    } catch (error) {
      // Said by whoever failed, and tried again.
      if (!(error instanceof AppError)) throw error;
    }
  }

  #lookAgainSoon(): void {
    this.#lookTimer ??= setTimeout(() => {
      this.#lookTimer = undefined;
      void this.#lookAgain();
    }, this.#lookAgainDelayMs);
  }

  async #lookAgain(): Promise<void> {
    try {
      this.#pods.lookAgain();
      await this.#pods.followMtu();
      await this.#putRules();
      // What could not be done at its time, or lies in a directory that was made anew behind the watch.
      if (this.#state === 'running') await this.#spool.drain();
    } catch (error) {
      // Environment: said once by whoever failed, tried again at the next look.
      if (!(error instanceof AppError)) throw error;
      this.#pods.event('error', 'pods_look_failed', error.message, { code: error.code });
    }
  }

  /** Before the kernel's links were read nobody knows which addresses are in use. */
  #changed(now: boolean): void {
    if (this.#state !== 'running') return;
    if (now) this.#sendFacts();
    else this.#factsTimer ??= setTimeout(() => this.#sendFacts(), FACTS_DELAY_MS);
  }

  #sendFacts(): void {
    clearTimeout(this.#factsTimer);
    this.#factsTimer = undefined;
    this.#modules.facts(this.#pods.facts());
  }
}
