/**
 * Writes BGPNodeState: when something changed, no oftener than all nodes together may write, and nothing that stands there
 * already. The API may be away as long as it likes; what is written then is what is so by then.
 */
import { nodeState, differenceOf, writeInterval, writeTime } from '#status/node-state.ts';
import { ApiError, type ApiObject, type ResourceStore } from '#kubernetes/store.ts';
import { after, type Clock, type Instant, milliseconds, seconds } from '#lib/time.ts';
import { bgpNodeState, type BGPNodeStatus } from '#resources/bgp-node-state.ts';
import { node as nodeKind } from '#resources/core.ts';
import { invalid } from '#resources/schema.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import type { Snapshot } from '#status/snapshot.ts';

export interface NodeStateModules {
  readonly store: ResourceStore;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly snapshot: () => Snapshot;
  /** UID of the Node object; `undefined`: there is none yet, and nothing would own what is written. */
  readonly nodeUID: () => string | undefined;
  readonly generationOf: (kind: string, name: string) => number | undefined;
  readonly bootID: string;
  readonly log: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) => void;
}

const stateType = typeOf(bgpNodeState);
const nodeType = typeOf(nodeKind);
/** Facts come ten times a second while things change; a look is worth it this often. */
const lookEvery = seconds(1);
/** How many nodes there are changes slowly. */
const countEvery = seconds(3600);
/** An agent that has not come up by then says so. */
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
  #due: { readonly at: Instant; readonly words: boolean } | undefined;
  #cancel: (() => void) | undefined;
  #looking = false;
  #writing: Promise<void> | undefined;
  #stopped = false;

  constructor(node: string, modules: NodeStateModules) {
    this.#node = node;
    this.#modules = modules;
    this.#startedAt = modules.clock.now();
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
    if (this.#looking || this.#stopped) return;
    this.#looking = true;
    const { clock } = this.#modules;
    const cancel = clock.at(after(clock.now(), lookEvery), () => {
      this.#looking = false;
      this.#look();
    });
    this.#cancelLook = cancel;
  }
  #cancelLook: (() => void) | undefined;

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelLook?.();
    this.#cancel?.();
    await this.#writing;
  }

  #status(): BGPNodeStatus {
    const { snapshot, bootID, generationOf } = this.#modules;
    return nodeState(snapshot(), { bootID, generationOf }, this.#written);
  }

  #look(): void {
    if (this.#stopped || this.#writing !== undefined) return;
    const { clock, snapshot, nodeUID, random } = this.#modules;
    const now = clock.now();
    const settled = after(this.#startedAt, startPatience);
    if (nodeUID() === undefined) return;
    if (snapshot().state === 'starting' && now < settled) return this.#arm(settled);
    const moved = this.#owner !== undefined && this.#owner !== nodeUID();
    const difference = moved ? 'state' : differenceOf(this.#written, this.#status());
    if (difference === 'none') {
      this.#due = undefined;
      this.#cancel?.();
      return;
    }
    const words = difference === 'words';
    // What was put off with new words alone comes sooner once there is more to say.
    if (this.#due === undefined || (this.#due.words && !words))
      this.#due = { at: writeTime(difference, now, this.#lastWrite, this.#nodes, random()), words };
    this.#arm(this.#due.at);
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
      await this.#writeOnce();
      this.#failures = 0;
      this.#due = undefined;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // It may have been deleted, or be another Node's by now: the next time begins with a read.
      this.#owner = undefined;
      this.#failures += 1;
      if (this.#failures === 1) log('warn', 'node-state.not-written', { code: error.code, error: error.message });
      const pause = Math.max(writeInterval(this.#nodes), error.retryAfter ?? 0) * Math.min(this.#failures, 10);
      this.#due = { at: after(clock.now(), milliseconds(pause * (1 + random()))), words: false };
    }
  }

  async #count(): Promise<void> {
    const { clock, store } = this.#modules;
    const now = clock.now();
    if (this.#countedAt !== undefined && now < after(this.#countedAt, countEvery)) return;
    this.#countedAt = now;
    this.#nodes = Math.max(1, await store.count(nodeType));
  }

  async #writeOnce(): Promise<void> {
    const { store, nodeUID, clock } = this.#modules;
    const uid = nodeUID();
    if (uid === undefined) return;
    if (this.#owner !== uid) {
      const there = await store.get(stateType, this.#node);
      await this.#own(there, uid);
      this.#owner = uid;
      this.#written = statusOf(there);
    }
    const status = this.#status();
    if (differenceOf(this.#written, status) === 'none') return;
    this.#lastWrite = clock.now();
    await store.patch(stateType, this.#node, { status: whole(status) }, { subresource: 'status' });
    this.#written = status;
    this.#writes += 1;
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
