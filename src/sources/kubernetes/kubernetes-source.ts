/**
 * Resources from the Kubernetes API, for one node. What was learned once stays until the API itself says otherwise: an
 * object that is wrong keeps its last good state, a kind that cannot be read keeps what the cache has, and below all that
 * stand the files of the bootstrap directory. Data in: watches of what this node needs. Data out: everything in force, and
 * what is wrong with the rest. In steady state nothing is written and nothing is asked for.
 */
import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { AppError } from '#lib/result.ts';
import { idOf, idText, resourceSet } from '#resources/resource-set.ts';
import type { AnyResource, ResourceId, ResourceProblem, ResourceSet } from '#resources/resource-set.ts';
import { ApiError } from '#kubernetes/store.ts';
import type { ResourceStore } from '#kubernetes/store.ts';
import { DirectorySource } from '../directory/directory-source.ts';
import type { ResourceSource } from '../source.ts';
import { readCache, writeCache } from './cache.ts';
import { openFeed } from './feed.ts';
import type { Feed } from './feed.ts';
import { lastGood } from './last-good.ts';
import { failureProblems, plainProblem, readingProblems } from './problems.ts';
import { readObject } from './read-object.ts';
import { namespaceScope, otherNodesScope, secretScope, standingScopes } from './scopes.ts';
import type { Scope } from './scopes.ts';

/** What a node needs beside what all read; decided from what is in force. */
export interface Needs {
  readonly secrets: readonly string[];
  readonly namespaces: boolean;
  readonly nodes: boolean;
}

export interface KubernetesSourceOptions {
  readonly node: string;
  /** The last valid resources, `/var/lib/flatroute/resources.json`. */
  readonly cacheFile: string;
  /** Resource files that are always in force, at the lowest precedence; need not be there. */
  readonly bootstrapDirectory: string;
  /** How long the first delivery waits for an API that does not answer. One that refuses is not waited for. */
  readonly firstWaitMilliseconds?: number;
  readonly timing?: Partial<Timing>;
}

interface Timing {
  /** Changes are delivered when none came for this long: what is applied together comes together. */
  readonly quietMilliseconds: number;
  /** A delivery waits this long for a Secret that a peer names from now on. */
  readonly needWaitMilliseconds: number;
  /** A failure that is shorter is no problem: an API server was started anew. */
  readonly failureMilliseconds: number;
  readonly cacheMilliseconds: number;
  readonly nodesAgainMilliseconds: number;
}

const usualTiming: Timing = {
  quietMilliseconds: 50,
  needWaitMilliseconds: 3000,
  failureMilliseconds: 5000,
  cacheMilliseconds: 1000,
  nodesAgainMilliseconds: 600_000,
};

/** Every node holds a session with every other: with more of them, route reflectors are what works. */
export const mostMeshNodes = 200;

type OtherNodes =
  | { readonly state: 'unwanted' | 'watched' }
  | { readonly state: 'counting'; readonly patientUntil: number }
  | { readonly state: 'refused'; readonly again: NodeJS.Timeout };

type OnChange = (resources: ResourceSet, problems: readonly ResourceProblem[]) => void;

export class KubernetesSource implements ResourceSource {
  readonly #options: KubernetesSourceOptions;
  readonly #timing: Timing;
  readonly #store: ResourceStore;
  readonly #needs: (resources: ResourceSet) => Needs;
  readonly #bootstrap: DirectorySource;
  readonly #good = lastGood();
  readonly #feeds = new Map<string, { readonly scope: Scope; readonly feed: Feed }>();
  readonly #first = Promise.withResolvers<void>();
  #below: { readonly resources: readonly AnyResource[]; readonly problems: readonly ResourceProblem[] } = {
    resources: [],
    problems: [],
  };
  #onChange: OnChange | undefined;
  #delivered: { readonly resources: ResourceSet; readonly problems: readonly ResourceProblem[] } | undefined;
  #settleTimer: NodeJS.Timeout | undefined;
  #cacheTimer: NodeJS.Timeout | undefined;
  #cached = '';
  #cacheProblem: string | undefined;
  #writing: Promise<void> = Promise.resolve();
  #nodes: OtherNodes = { state: 'unwanted' };
  readonly #closing: Promise<void>[] = [];
  #stopped = false;

  constructor(
    options: KubernetesSourceOptions,
    modules: { readonly store: ResourceStore; readonly needs: (resources: ResourceSet) => Needs },
  ) {
    this.#options = options;
    this.#timing = { ...usualTiming, ...options.timing };
    this.#store = modules.store;
    this.#needs = modules.needs;
    this.#bootstrap = new DirectorySource({
      directory: options.bootstrapDirectory,
      unwatchedRescanMilliseconds: 30_000,
    });
  }

  async start(onChange: OnChange): Promise<void> {
    this.#onChange = onChange;
    const cache = await readCache(this.#options.cacheFile, this.#options.node);
    this.#cacheProblem = cache.problem === undefined ? undefined : `cannot be used: ${cache.problem}`;
    for (const object of cache.objects) this.#good.put(readObject(object));
    this.#cached = this.#cacheText();
    await this.#bootstrap.start((resources, problems) => this.#bootstrapRead(resources, problems));
    if (this.#stopped) return;
    const patientUntil = performance.now() + (this.#options.firstWaitMilliseconds ?? 10_000);
    for (const scope of standingScopes(this.#options.node)) this.#open(scope, patientUntil);
    this.#settle();
    await this.#first.promise;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#settleTimer);
    this.#forgetNodes();
    this.#first.resolve();
    const feeds = [...this.#feeds.values()].map(({ feed }) => feed.stop());
    await Promise.all([this.#bootstrap.stop(), ...feeds, ...this.#closing]);
    if (this.#cacheTimer !== undefined) {
      clearTimeout(this.#cacheTimer);
      this.#writeCache();
    }
    await this.#writing;
  }

  /** Resolves when the cache says what is in force now. Errors: AppError `CONFIG_CACHE_UNREADABLE`. */
  async saved(): Promise<void> {
    if (this.#cacheText() === this.#cached) return;
    clearTimeout(this.#cacheTimer);
    this.#writeCache();
    await this.#writing;
    if (this.#cacheProblem !== undefined)
      throw new AppError('CONFIG_CACHE_UNREADABLE', `${this.#options.cacheFile} ${this.#cacheProblem}`, {
        retry: 'backoff',
      });
  }

  #bootstrapRead(resources: ResourceSet, problems: readonly ResourceProblem[]): void {
    const there = existsSync(this.#options.bootstrapDirectory);
    this.#below = {
      resources: Object.values(resources).flat() as AnyResource[],
      // The directory is there for whoever wants one.
      problems: there ? problems : problems.filter((it) => it.file !== ''),
    };
    this.#soon();
  }

  #open(scope: Scope, patientUntil: number): void {
    if (this.#feeds.has(scope.key)) return;
    let known = false;
    const feed = openFeed(
      this.#store,
      { type: scope.type, selection: scope.selection, patientUntil },
      {
        changed: (it, keys) => {
          const there = [...keys].flatMap((key) => it.objects.get(key) ?? []);
          for (const reading of there) if (scope.owns(reading.id)) this.#good.put(reading);
          if (!known || there.length < keys.size) this.#good.keepOnly(scope.owns, it.objects.values());
          known = true;
          this.#soon();
        },
        health: () => this.#soon(),
      },
    );
    this.#feeds.set(scope.key, { scope, feed });
  }

  /** What only this feed knew is forgotten. */
  #shut(key: string): void {
    const open = this.#feeds.get(key);
    if (open === undefined) return;
    this.#feeds.delete(key);
    this.#good.keepOnly(open.scope.owns, []);
    this.#closing.push(open.feed.stop());
  }

  #soon(milliseconds: number = this.#timing.quietMilliseconds): void {
    if (this.#stopped) return;
    clearTimeout(this.#settleTimer);
    this.#settleTimer = setTimeout(() => this.#settle(), milliseconds);
  }

  /** Delivers what is in force, unless something that it needs is about to come. */
  #settle(): void {
    if (this.#stopped) return;
    this.#follow(this.#needs(this.#inForce()));
    const now = performance.now();
    const awaited = [...this.#feeds.values()]
      .filter(({ feed }) => !feed.listed && feed.failing === undefined)
      .map(({ feed }) => feed.patientUntil);
    if (this.#nodes.state === 'counting') awaited.push(this.#nodes.patientUntil);
    const until = Math.min(...awaited.filter((it) => it > now));
    if (until < Infinity) {
      this.#soon(until - now);
      return;
    }
    const resources = this.#inForce();
    const next = { resources, problems: this.#problems() };
    if (!isDeepStrictEqual(this.#delivered, next)) {
      this.#delivered = next;
      this.#onChange?.(next.resources, next.problems);
    }
    this.#first.resolve();
    this.#cacheLater();
    const young = [...this.#feeds.values()].flatMap(({ feed }) => this.#youngFailure(feed) ?? []);
    if (young.length > 0) this.#soon(Math.min(...young));
  }

  #inForce(): ResourceSet {
    const all = new Map<string, AnyResource>(this.#below.resources.map((it) => [idText(idOf(it)), it]));
    for (const { id, resource } of this.#good.all()) all.set(idText(id), resource);
    return resourceSet(all.values());
  }

  #follow({ secrets, namespaces, nodes }: Needs): void {
    const patientUntil = performance.now() + this.#timing.needWaitMilliseconds;
    const wanted = new Map(secrets.map(secretScope).map((scope) => [scope.key, scope]));
    if (namespaces) wanted.set(namespaceScope.key, namespaceScope);
    for (const scope of wanted.values()) this.#open(scope, patientUntil);
    for (const { scope } of this.#feeds.values())
      if ((scope.type.kind === 'Secret' || scope.key === namespaceScope.key) && !wanted.has(scope.key))
        this.#shut(scope.key);
    // What the cache had of them.
    const scopes = [...wanted.values()];
    const left = (id: ResourceId): boolean =>
      ['Secret', 'Namespace'].includes(id.kind) && !scopes.some((it) => it.owns(id));
    this.#good.keepOnly(left, []);
    this.#followNodes(nodes);
  }

  #followNodes(wanted: boolean): void {
    const scope = otherNodesScope(this.#options.node);
    if (!wanted) {
      this.#forgetNodes();
      this.#shut(scope.key);
      return;
    }
    if (this.#nodes.state === 'unwanted') void this.#countNodes(scope);
    const watched = this.#feeds.get(scope.key)?.feed.objects.size ?? 0;
    if (this.#nodes.state === 'watched' && watched > mostMeshNodes) this.#refuseNodes(scope);
  }

  #forgetNodes(): void {
    if (this.#nodes.state === 'refused') clearTimeout(this.#nodes.again);
    this.#nodes = { state: 'unwanted' };
  }

  /** One page of metadata tells whether there are too many. */
  async #countNodes(scope: Scope): Promise<void> {
    this.#nodes = { state: 'counting', patientUntil: performance.now() + this.#timing.needWaitMilliseconds };
    let found: number | undefined;
    try {
      found = (await this.#store.list(scope.type, { metadataOnly: true, atMost: mostMeshNodes + 1 })).length;
    } catch (error) {
      // The watch will say what is wrong.
      if (!(error instanceof ApiError)) throw error;
    }
    if (this.#stopped || this.#nodes.state !== 'counting') return;
    if (found !== undefined && found > mostMeshNodes) this.#refuseNodes(scope);
    else {
      this.#nodes = { state: 'watched' };
      this.#open(scope, performance.now() + this.#timing.needWaitMilliseconds);
    }
    this.#soon();
  }

  #refuseNodes(scope: Scope): void {
    this.#shut(scope.key);
    this.#good.keepOnly(scope.owns, []);
    const again = setTimeout(() => void this.#countNodes(scope), this.#timing.nodesAgainMilliseconds);
    again.unref();
    this.#nodes = { state: 'refused', again };
    this.#soon();
  }

  #youngFailure({ failing, listed }: Feed): number | undefined {
    if (failing === undefined || !listed) return undefined;
    const left = failing.sinceMilliseconds + this.#timing.failureMilliseconds - performance.now();
    return left > 0 ? left : undefined;
  }

  #problems(): readonly ResourceProblem[] {
    const open = [...this.#feeds.values()];
    const goods = this.#good.all();
    const failures = open.flatMap(({ scope, feed }) => {
      if (feed.failing === undefined || this.#youngFailure(feed) !== undefined) return [];
      const kept = feed.listed || goods.some((it) => scope.owns(it.id));
      return [{ plural: scope.type.plural, ...feed.failing, kept }];
    });
    const readings = open.flatMap(({ scope, feed }) =>
      [...feed.objects.values()].filter((it) => it.problems.length > 0 && scope.owns(it.id)),
    );
    const { cacheFile } = this.#options;
    return [
      ...failureProblems(failures),
      ...(this.#cacheProblem === undefined
        ? []
        : [plainProblem('CONFIG_CACHE_UNREADABLE', `${cacheFile} ${this.#cacheProblem}.`)]),
      ...(this.#nodes.state === 'refused'
        ? [
            plainProblem(
              'CONFIG_TOO_MANY_NODES',
              `There are more than ${mostMeshNodes} nodes, so a session with each of them is refused and the other nodes are not read. Use BGPPeers with route reflectors or routers, and turn nodeToNodeMeshEnabled and peerSelector off.`,
            ),
          ]
        : []),
      ...this.#below.problems,
      ...readings.flatMap((it) => readingProblems(it, this.#good.has(it.id))),
    ];
  }

  #cacheText(): string {
    const goods = this.#good.all().map((it) => ({ key: idText(it.id), raw: it.raw }));
    return JSON.stringify(goods.sort((a, b) => (a.key < b.key ? -1 : 1)).map((it) => it.raw));
  }

  #cacheLater(): void {
    if (this.#cacheTimer !== undefined || this.#cacheText() === this.#cached) return;
    this.#cacheTimer = setTimeout(() => this.#writeCache(), this.#timing.cacheMilliseconds);
  }

  #writeCache(): void {
    this.#cacheTimer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
  }

  async #write(): Promise<void> {
    const { cacheFile, node } = this.#options;
    const text = this.#cacheText();
    let problem: string | undefined;
    try {
      await writeCache(
        cacheFile,
        node,
        this.#good.all().map((it) => it.raw),
      );
      this.#cached = text;
    } catch (error) {
      problem = `cannot be written: ${(error instanceof Error ? error.message : String(error)).slice(0, 200)}`;
    }
    if (problem === this.#cacheProblem) return;
    this.#cacheProblem = problem;
    this.#soon();
  }
}
