/**
 * What the engine does in slices, in one fixed order: sweeps, decisions, rows for the kernel, UPDATEs for the peers. In: what is
 * to be swept, and who has a session; out: calls into the tables until nothing is left.
 */
import type { Family } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import type { AdjRibOut } from '../rib/adj-rib-out.ts';
import type { Sweep } from '../rib/family-rib.ts';
import type { GroupRibOut } from '../rib/group-rib-out.ts';
import type { Core } from './core.ts';
import type { EngineModules } from './modules.ts';
import type { PeerSweep } from './peer.ts';
import type { PeerOutput } from './peer-output.ts';
import { routesPerRun } from './peer-output.ts';
import { Slices } from './slices.ts';

/** Per step; a step takes about a millisecond, so a slice ends close to its time. */
const pathsPerSweepStep = 8192;
const decisionsPerStep = 1024;
/** Peers that catch up, and groups that are written to, in one step; with many of them they take turns. */
const outputsPerStep = 2;

/**
 * Rows on their way to the kernel beyond which nothing is decided: what changes meanwhile is decided once, by its last
 * state, instead of waiting in a queue without end. Four full updates keep the kernel's side busy.
 */
const mostRowsUnacknowledged = 16_384;

/** Does a little of so many; answers whether more is left. */
type Job = (count: number) => boolean;

export interface WorkHandlers {
  /** Something was decided. */
  readonly decided: () => void;
  /** Nothing is left to do. */
  readonly rested: () => void;
}

export class Work {
  /** Of established sessions. */
  readonly outputs = new Set<PeerOutput>();
  readonly #core: Core;
  readonly #handlers: WorkHandlers;
  readonly #slices: Slices;
  /** One after another: a sweep must be over before the slot it frees can mean another peer. */
  readonly #jobs: Job[] = [];

  constructor(core: Core, { clock, defer = (work) => void setImmediate(work) }: EngineModules, handlers: WorkHandlers) {
    this.#core = core;
    this.#handlers = handlers;
    this.#slices = new Slices(clock, defer, () => this.#step());
  }

  wake(): void {
    this.#slices.wake();
  }

  stop(): void {
    this.#slices.stop();
  }

  /** Prefixes that wait for their decision. */
  get undecided(): number {
    return this.#core.ribs.ipv4.undecidedCount + this.#core.ribs.ipv6.undecidedCount;
  }

  /** Behind the jobs there are. */
  later(job: Job): void {
    this.#jobs.push(job);
    this.wake();
  }

  sweep(sweep: PeerSweep): void {
    const { adjacency } = sweep;
    if (sweep.kind === 'stale' || sweep.kind === 'outlive') {
      const { family } = sweep;
      this.sweepFamily(family, { ...sweep, life: adjacency.life[family] });
    } else for (const family of families) this.sweepFamily(family, { kind: sweep.kind, adjacency });
    if (sweep.kind === 'dead')
      this.later(() => {
        this.#core.adjacencies.close(adjacency);
        return false;
      });
  }

  sweepFamily(family: Family, sweep: Sweep): void {
    let at = 1;
    this.later((count) => {
      at = this.#core.ribs[family].sweep(sweep, at, count);
      return at !== 0;
    });
  }

  disposeRibOut(ribOut: AdjRibOut): void {
    const { group } = ribOut;
    this.later((count) => ribOut.dispose(count) || this.#disposeGroup(group, count));
  }

  #disposeGroup(group: GroupRibOut, count: number): boolean {
    return group.members.size === 0 && group.dispose(count);
  }

  #step(): boolean {
    const job = this.#jobs[0];
    if (job !== undefined && !job(pathsPerSweepStep)) this.#jobs.shift();
    let more = this.#jobs.length > 0;
    const isKernelBehind = this.#core.fib.unacknowledgedRows >= mostRowsUnacknowledged;
    if (!isKernelBehind)
      for (const family of families) if (this.#core.ribs[family].decideSome(decisionsPerStep)) more = true;
    this.#handlers.decided();
    // A full update leaves by itself; the rest leaves when there is nothing to add to it.
    if (this.undecided === 0) this.#core.fib.flush(false);
    if (this.#write()) more = true;
    if (more) return true;
    // The kernel's next answer goes on with it.
    if (!isKernelBehind || this.undecided === 0) this.#handlers.rested();
    return false;
  }

  /** Writes to those that have something to hear: peers that catch up, then groups. Whoever was served waits for the others. */
  #write(): boolean {
    this.#settleGroups();
    const served: PeerOutput[] = [];
    for (const output of this.outputs) {
      if (output.run()) served.push(output);
      if (served.length === outputsPerStep) break;
    }
    for (const output of served) {
      // A send may have ended the session.
      if (this.outputs.delete(output)) this.outputs.add(output);
    }
    return this.#core.groups.run(routesPerRun, outputsPerStep) || served.length > 0;
  }

  #settleGroups(): void {
    const { moved, left } = this.#core.groups.settle();
    if (moved.size > 0) for (const output of this.outputs) output.moved(moved);
    for (const group of left) this.#jobs.push((count) => this.#disposeGroup(group, count));
  }
}
