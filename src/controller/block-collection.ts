/**
 * Collects the blocks of Nodes that are gone. In: the blocks and the UIDs of the Nodes that there are, as watches bring them.
 * Out: deleted IPBlocks, after two proofs. The first: the Node that a block names has not had the block's UID in live reads
 * for a while; a UID never comes back, the while is for a Node that is made again on the same machine. The second: the block
 * has been Releasing since, and no living agent said otherwise. The delete carries UID and resourceVersion, so that an agent
 * that adopts the block at the same moment keeps it. Errors: those of single calls are logged and tried again.
 */
import { AppError } from '#lib/result.ts';
import { after, between, type Clock, type Duration, earliest, type Instant, seconds } from '#lib/time.ts';
import { isApiError, type ResourceStore, type ResourceType, type Watching } from '#kubernetes/store.ts';
import { ipBlockType, type LiveBlock, liveBlock, withSpec } from '#sources/kubernetes/ip-blocks.ts';

export interface CollectorOptions {
  /** How long a Node must be gone. */
  readonly absence: Duration;
  /** How long its block must have been Releasing. An agent that is upgraded, or waits after a failure, has its say in it. */
  readonly veto: Duration;
}

export const collectorDefaults: CollectorOptions = { absence: seconds(900), veto: seconds(120) };

/** Pause after a call that failed. */
const PAUSE = seconds(10);

export interface CollectorModules {
  readonly store: ResourceStore;
  readonly clock: Clock;
  readonly log: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** What a watch keeps of a block. */
export interface CollectedBlock {
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  /** `undefined`: made by hand, and never collected. */
  readonly nodeUID: string | undefined;
}

export interface CollectorInput {
  readonly blocks: readonly CollectedBlock[];
  readonly nodeUIDs: ReadonlySet<string>;
}

interface Case {
  readonly block: CollectedBlock;
  /** First live read without the Node; `undefined`: there was none yet. */
  since: Instant | undefined;
  /** Releasing, in this version, since. */
  marked: { readonly resourceVersion: string | undefined; readonly at: Instant } | undefined;
}

const nodeType: ResourceType = { group: '', version: 'v1', plural: 'nodes', kind: 'Node', namespaced: false };

export class BlockCollector {
  readonly #options: CollectorOptions;
  readonly #modules: CollectorModules;
  /** By UID of the block. */
  readonly #cases = new Map<string, Case>();
  readonly #watches: Watching[] = [];
  #running: Promise<void> | undefined;
  #wanted = false;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: CollectorOptions, modules: CollectorModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** Blocks whose Node is gone, for metrics. */
  get cases(): number {
    return this.#cases.size;
  }

  /** Watches blocks, and the metadata of Nodes. */
  start(): void {
    const { store } = this.#modules;
    let blocks: readonly CollectedBlock[] | undefined;
    let nodeUIDs: ReadonlySet<string> | undefined;
    const learn = (): void => {
      if (blocks !== undefined && nodeUIDs !== undefined) this.learn({ blocks, nodeUIDs });
    };
    this.#watches.push(
      store.watch(ipBlockType, {
        keep: (object) => collected(liveBlock(object)),
        changed: (objects) => {
          blocks = [...objects.values()].flatMap((it) => it ?? []);
          learn();
        },
      }),
      store.watch(nodeType, {
        selection: { metadataOnly: true },
        keep: ({ metadata }) => metadata.uid ?? '',
        changed: (objects) => {
          nodeUIDs = new Set(objects.values());
          learn();
        },
      }),
    );
  }

  learn({ blocks, nodeUIDs }: CollectorInput): void {
    const orphans = new Map(
      blocks
        .filter(({ nodeUID }) => nodeUID !== undefined && !nodeUIDs.has(nodeUID))
        .map((block) => [`${block.uid} ${block.nodeUID}`, block]),
    );
    for (const key of this.#cases.keys()) if (!orphans.has(key)) this.#cases.delete(key);
    for (const [key, block] of orphans)
      if (!this.#cases.has(key)) this.#cases.set(key, { block, since: undefined, marked: undefined });
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await Promise.all(this.#watches.map((it) => it.stop()));
    await this.#running;
  }

  #wake(): void {
    this.#wanted = true;
    if (this.#stopped || this.#running !== undefined) return;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#wanted) this.#wake();
    });
  }

  async #run(): Promise<void> {
    this.#wanted = false;
    let again: Instant | undefined;
    for (const one of this.#cases.values()) {
      if (this.#stopped) return;
      again = earliest(again, await this.#look(one));
    }
    this.#cancel?.();
    this.#cancel = again === undefined || this.#stopped ? undefined : this.#modules.clock.at(again, () => this.#wake());
  }

  /** Answers when to look again. */
  async #look(one: Case): Promise<Instant | undefined> {
    const { clock, log } = this.#modules;
    const due = this.#due(one);
    if (due !== undefined && due > clock.now()) return due;
    try {
      return await this.#prove(one);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      if (!isApiError(error, 'API_CONFLICT', 'API_NOT_LEADING'))
        log('warn', 'collection.failed', { block: one.block.name, code: error.code, error: error.message });
      return after(clock.now(), PAUSE);
    }
  }

  #due({ since, marked }: Case): Instant | undefined {
    if (marked !== undefined) return after(marked.at, this.#options.veto);
    return since === undefined ? undefined : after(since, this.#options.absence);
  }

  async #prove(one: Case): Promise<Instant | undefined> {
    const { store, clock, log } = this.#modules;
    const { name, uid, node, nodeUID } = one.block;
    const living = await store.get(nodeType, node);
    if (living?.metadata.uid === nodeUID) {
      // The watch is behind.
      one.since = undefined;
      one.marked = undefined;
      return after(clock.now(), PAUSE);
    }
    const now = clock.now();
    one.since ??= now;
    if (between(one.since, now) < this.#options.absence) return after(one.since, this.#options.absence);
    const object = await store.get(ipBlockType, name);
    const block = object === undefined ? undefined : liveBlock(object);
    // Gone, made anew or adopted: the watch says so presently.
    if (block === undefined || block.object.metadata.uid !== uid || block.nodeUID !== nodeUID) return undefined;
    const { resourceVersion } = block.object.metadata;
    if (block.state !== 'Releasing' && one.marked !== undefined) {
      log('warn', 'collection.vetoed', { block: name, node, nodeUID });
      one.since = now;
      one.marked = undefined;
      return after(now, this.#options.absence);
    }
    if (block.state !== 'Releasing') {
      const written = await store.replace(ipBlockType, withSpec(block.object, { state: 'Releasing' }));
      log('info', 'collection.releasing', { block: name, node, nodeUID });
      one.marked = { resourceVersion: written.metadata.resourceVersion, at: clock.now() };
    } else if (one.marked === undefined || one.marked.resourceVersion !== resourceVersion) {
      one.marked = { resourceVersion, at: now };
    } else if (between(one.marked.at, now) >= this.#options.veto) {
      await store.remove(ipBlockType, name, {
        uid,
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      });
      log('info', 'collection.collected', { block: name, node, nodeUID });
      return undefined;
    }
    return after(one.marked.at, this.#options.veto);
  }
}

const collected = (block: LiveBlock | undefined): CollectedBlock | undefined =>
  block === undefined
    ? undefined
    : { name: block.name, uid: block.object.metadata.uid ?? '', node: block.node, nodeUID: block.nodeUID };
