/**
 * Writes BGPNodeState: when something changed, no oftener than all nodes together may write, and nothing that stands there
 * already. The API may be away as long as it likes; what is written then is what is so by then.
 */
import { isFit, routingVerdict } from '#intent/readiness.ts';
import { type Difference, differenceOf, isMore, promptWrites, writeInterval, writeTime } from '#status/node-state.ts';
import { ApiError, type ApiObject, type ResourceStore } from '#kubernetes/store.ts';
import { after, between, type Clock, type Instant, milliseconds, seconds } from '#lib/time.ts';
import { bgpNodeState, type BGPNodeStatus } from '#resources/bgp-node-state.ts';
import { node as nodeKind } from '#resources/core.ts';
import { invalid } from '#resources/schema.ts';
import { typeOf } from '#sources/kubernetes/types.ts';

export interface NodeStateModules {
  readonly store: ResourceStore;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** What is to be written; `before`: what was written last. */
  readonly status: (before: BGPNodeStatus | undefined) => BGPNodeStatus;
  /** The agent has not come up yet. */
  readonly starting: () => boolean;
  /** UID of the Node object; `undefined`: there is none yet, and nothing would own what is written. */
  readonly nodeUID: () => string | undefined;
  /** How many established sessions make this node fit for pods. */
  readonly minSessions: () => number;
  readonly log: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) => void;
}

const stateType = typeOf(bgpNodeState);
const nodeType = typeOf(nodeKind);
/** Facts come ten times a second while things change; a look is worth it this often. */
const lookEvery = seconds(1);
/** How many nodes there are changes slowly. */
const countEvery = seconds(3600);
/** An agent that has not come up by then, with its sessions, says so. Those of the life before may still serve: nothing is to be said of them. */
const startPatience = seconds(30);

export class NodeStateWriter {
  readonly #node: string;
  readonly #modules: NodeStateModules;
  readonly #startedAt: Instant;
  /** As the API has it, as far as we know. */
  #written: BGPNodeStatus | undefined;
  /** Whose Node owns the object; `undefined`: the API was not asked yet. */
  #owner: string | undefined;
  #nodes = 1;
  #countedAt: Instant | undefined;
  #lastWrite: Instant | undefined;
  #failures = 0;
  #writes = 0;
  #due: { readonly at: Instant; readonly difference: Difference } | undefined;
  /** Writes that need not wait for the interval, as of `at`. */
  #prompt: { readonly left: number; readonly at: Instant };
  #cancel: (() => void) | undefined;
  #cancelLook: (() => void) | undefined;
  #cameUp = false;
  #writing: Promise<void> | undefined;
  #stopped = false;

  constructor(node: string, modules: NodeStateModules) {
    this.#node = node;
    this.#modules = modules;
    this.#startedAt = modules.clock.now();
    this.#prompt = { left: promptWrites, at: this.#startedAt };
  }

  /** Since the start. */
  get writes(): number {
    return this.#writes;
  }
  /** As it was last counted; 1 before that. */
  get nodes(): number {
    return this.#nodes;
  }

  /** Cheap; called whenever something may have changed. */
  changed(): void {
    if (this.#cancelLook !== undefined || this.#stopped) return;
    const { clock } = this.#modules;
    this.#cancelLook = clock.at(after(clock.now(), lookEvery), () => {
      this.#cancelLook = undefined;
      this.#look();
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelLook?.();
    this.#cancel?.();
    await this.#writing;
  }

  #look(): void {
    if (this.#stopped || this.#writing !== undefined) return;
    const { clock, starting, nodeUID, random } = this.#modules;
    const now = clock.now();
    const settled = after(this.#startedAt, startPatience);
    if (nodeUID() === undefined) return;
    const status = this.#modules.status(this.#written);
    this.#cameUp ||= now >= settled || (!starting() && this.#isFit(status));
    if (!this.#cameUp) return this.#arm(settled);
    const moved = this.#owner !== undefined && this.#owner !== nodeUID();
    const difference = moved ? 'readiness' : differenceOf(this.#written, status, this.#modules.minSessions());
    if (difference === 'none') {
      this.#due = undefined;
      this.#cancel?.();
      return;
    }
    // What was put off with less to say comes sooner once there is more.
    if (this.#due === undefined || isMore(difference, this.#due.difference)) {
      this.#refill(now);
      const pace = { last: this.#lastWrite, nodes: this.#nodes, prompt: this.#prompt.left >= 1 };
      const at = writeTime(difference, now, pace, random());
      this.#due = { at: this.#due !== undefined && this.#due.at < at ? this.#due.at : at, difference };
    }
    this.#arm(this.#due.at);
  }

  #isFit({ routing }: BGPNodeStatus): boolean {
    return routing !== undefined && isFit(routingVerdict(routing, this.#modules.minSessions()));
  }

  #refill(now: Instant): void {
    const more = between(this.#prompt.at, now) / writeInterval(this.#nodes);
    this.#prompt = { left: Math.min(promptWrites, this.#prompt.left + more), at: now };
  }

  #arm(at: Instant): void {
    const { clock } = this.#modules;
    this.#cancel?.();
    this.#cancel = clock.at(at, () => {
      if (this.#stopped || this.#writing !== undefined) return;
      if (this.#due === undefined || clock.now() < this.#due.at) {
        this.#look();
        return;
      }
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined;
        this.#look();
      });
    });
  }

  async #write(): Promise<void> {
    const { clock, random, log } = this.#modules;
    try {
      await this.#count();
      const wrote = await this.#writeOnce();
      if (wrote && this.#due?.difference === 'readiness')
        this.#prompt = { ...this.#prompt, left: Math.max(0, this.#prompt.left - 1) };
      this.#failures = 0;
      this.#due = undefined;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // It may have been deleted, or be another Node's by now: the next time begins with a read.
      this.#owner = undefined;
      this.#failures += 1;
      if (this.#failures === 1) log('warn', 'node-state.not-written', { code: error.code, error: error.message });
      const pause = Math.max(writeInterval(this.#nodes), error.retryAfter ?? 0) * Math.min(this.#failures, 10);
      this.#due = { at: after(clock.now(), milliseconds(pause * (1 + random()))), difference: 'readiness' };
    }
  }

  async #count(): Promise<void> {
    const { clock, store } = this.#modules;
    const now = clock.now();
    if (this.#countedAt !== undefined && now < after(this.#countedAt, countEvery)) return;
    this.#countedAt = now;
    this.#nodes = Math.max(1, await store.count(nodeType));
  }

  /** Whether there was something to write. */
  async #writeOnce(): Promise<boolean> {
    const { store, nodeUID, clock } = this.#modules;
    const uid = nodeUID();
    if (uid === undefined) return false;
    if (this.#owner !== uid) {
      const there = await store.get(stateType, this.#node);
      await this.#own(there, uid);
      this.#owner = uid;
      this.#written = statusOf(there);
    }
    const status = this.#modules.status(this.#written);
    if (differenceOf(this.#written, status, this.#modules.minSessions()) === 'none') return false;
    this.#lastWrite = clock.now();
    await store.patch(stateType, this.#node, { status: whole(status) }, { subresource: 'status' });
    this.#written = status;
    this.#writes += 1;
    return true;
  }

  async #own(there: ApiObject | undefined, uid: string): Promise<void> {
    const { store } = this.#modules;
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: this.#node, uid }];
    if (there === undefined) await store.create(stateType, { metadata: { name: this.#node, ownerReferences } });
    else if (there.metadata.ownerReferences?.some((it) => it.uid === uid) !== true)
      await store.patch(stateType, this.#node, { metadata: { ownerReferences } });
  }
}

/** Of what an older or newer agent wrote nothing is kept: the whole is written anew. */
function statusOf(object: ApiObject | undefined): BGPNodeStatus | undefined {
  if (object?.['status'] === undefined) return undefined;
  const { name } = object.metadata;
  const { apiVersion, kind } = bgpNodeState;
  const read = bgpNodeState.schema.read({ apiVersion, kind, metadata: { name }, status: object['status'] }, [], []);
  return read === invalid ? undefined : read.status;
}

/** In a JSON merge patch what is absent would stay. */
const whole = (status: BGPNodeStatus): object =>
  Object.fromEntries(Object.entries(status).map(([key, value]) => [key, value ?? null]));
