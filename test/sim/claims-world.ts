// The API, its proxy and its misfortunes, in virtual time, for those who claim blocks or addresses of it.
import { ApiError, keyOf } from '#kubernetes/store.ts';
import type { ApiObject, ResourceStore, ResourceType, Selection, WatchOptions, Watching } from '#kubernetes/store.ts';
import { ipBlock } from '#resources/ip-block.ts';
import { ipBlockType } from '#sources/kubernetes/ip-blocks.ts';
import { type FakeObjects, fakeObjects, type FakeType, Refused } from '../support/kubernetes/fake-objects.ts';
import { matcherOf } from '../support/kubernetes/fake-selectors.ts';
import { mergePatched } from '../support/kubernetes/fake-selectors.ts';
import type { Random } from '../support/random.ts';
import type { VirtualClock } from './clock.ts';

export const blocksType: FakeType = {
  ...ipBlockType,
  selectableFields: ipBlock.definition?.selectableFields?.map((path) => path.slice(1)) ?? [],
};
export const nodesType: FakeType = { group: '', version: 'v1', plural: 'nodes', kind: 'Node', namespaced: false };

/** A process that calls: it may be stopped for a while, and it may be killed. */
export interface Caller {
  readonly alive: () => boolean;
  /** Runs it when the process runs. */
  readonly run: (work: () => void) => void;
}

const queryOf = ({ fieldSelector = '' }: Selection = {}): URLSearchParams => new URLSearchParams({ fieldSelector });

export class SimApi {
  readonly objects: FakeObjects = fakeObjects();
  away = false;
  /** Share of the calls that something happens to. */
  misfortune = 0;
  writes = 0;
  reads = 0;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #types: readonly FakeType[];

  constructor(clock: VirtualClock, random: Random, types: readonly FakeType[] = [blocksType, nodesType]) {
    this.#clock = clock;
    this.#random = random;
    this.#types = types;
  }

  /** What a caller sees of it, through a proxy that loses answers and sends requests on when nobody waits any more. */
  store(caller: Caller): ResourceStore {
    const typed = (type: ResourceType): FakeType => {
      const found = this.#types.find(({ kind }) => kind === type.kind);
      if (found === undefined) throw new Error(`no kind ${type.kind}`);
      return found;
    };
    const key = (name: string, namespace: string | undefined): string =>
      keyOf({ name, ...(namespace === undefined ? {} : { namespace }) });
    const read = <T>(work: () => T): Promise<T> => {
      this.reads += 1;
      return this.#call(caller, false, work);
    };
    const write = <T>(work: () => T): Promise<T> => {
      this.writes += 1;
      return this.#call(caller, true, work);
    };
    return {
      get: (type, name, namespace) => read(() => this.objects.get(typed(type), key(name, namespace))),
      list: (type, selection) =>
        read(() =>
          this.objects
            .all(typed(type))
            .filter(matcherOf(typed(type), { namespace: undefined, query: queryOf(selection) }))
            .map((it): ApiObject => (selection?.metadataOnly === true ? { metadata: it.metadata } : it)),
        ),
      count: (type) => read(() => this.objects.all(typed(type)).length),
      create: (type, object) => write(() => this.objects.create(typed(type), object)),
      replace: (type, object) => write(() => this.objects.replace(typed(type), object, undefined)),
      remove: async (type, name, preconditions) => {
        try {
          await write(() => this.objects.remove(typed(type), name, preconditions));
          return 'removed';
        } catch (error) {
          if (error instanceof ApiError && error.code === 'API_NOT_FOUND') return 'absent';
          throw error;
        }
      },
      patch: (type, name, patch, { namespace, subresource } = {}) =>
        write(() => {
          const found = this.objects.get(typed(type), key(name, namespace));
          if (found === undefined) throw new Refused(404, 'NotFound', `${type.kind} ${name} not found`);
          return this.objects.replace(typed(type), mergePatched(found, patch) as ApiObject, subresource);
        }),
      watch: (type, options) => this.#watch(caller, typed(type), options),
    };
  }

  /** What happened comes in order and later, as late as it likes. */
  #watch<T>(caller: Caller, type: FakeType, { keep, changed }: WatchOptions<T>): Watching {
    const objects = new Map<string, T>();
    let stopped = false;
    let last = 0;
    let off = (): void => undefined;
    const deliver = (work: () => readonly string[]): void => {
      const lag = this.#random.below(this.#random.unit() < 0.1 ? 3000 : 60);
      last = Math.max(last + 1, this.#clock.now() + lag);
      this.#clock.after(last - this.#clock.now(), () =>
        caller.run(() => {
          if (!stopped && caller.alive()) changed(objects, new Set(work()));
        }),
      );
    };
    const put = (object: ApiObject): string => {
      const name = keyOf(object.metadata);
      objects.set(name, keep(object));
      return name;
    };
    const all = this.objects.all(type);
    deliver(() => all.map(put));
    off = this.objects.onChange(({ type: its, before, after }) => {
      if (its !== type) return;
      deliver(() => {
        if (after !== undefined) return [put(after)];
        const name = before === undefined ? '' : keyOf(before.metadata);
        objects.delete(name);
        return [name];
      });
    });
    return {
      stop: () => {
        stopped = true;
        off();
        return Promise.resolve();
      },
    };
  }

  #call<T>(caller: Caller, isWrite: boolean, work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const answer = (then: () => void): void =>
      caller.run(() => {
        if (caller.alive()) then();
      });
    const lost = (maybeDone: boolean): void =>
      answer(() => reject(new ApiError('API_UNREACHABLE', 'the connection ended', { maybeDone })));
    const outcome = (): (() => void) => {
      try {
        const value = structuredClone(work());
        return () => resolve(value);
      } catch (error) {
        return () => reject(asApiError(error));
      }
    };
    const way = 1 + this.#random.below(30);
    const fate = this.#random.unit();
    const { misfortune } = this;
    this.#clock.after(way, () => {
      if (this.away || fate < misfortune / 3) {
        this.#clock.after(way, () => lost(false));
        return;
      }
      if (isWrite && fate < (misfortune * 2) / 3) {
        // It happened, or it happens when whoever asked has long gone on.
        const late = this.#random.unit() < 0.5 ? 0 : this.#random.below(120_000);
        this.#clock.after(late, () => void outcome());
        this.#clock.after(way + Math.min(late, 5000), () => lost(true));
        return;
      }
      const done = outcome();
      this.#clock.after(fate < misfortune ? way + 3000 : way, () => answer(done));
    });
    return promise;
  }
}

function asApiError(error: unknown): unknown {
  if (!(error instanceof Refused)) return error;
  const { status, reason, message } = error;
  if (status === 404) return new ApiError('API_NOT_FOUND', message, { status });
  if (reason === 'AlreadyExists') return new ApiError('API_ALREADY_EXISTS', message, { status });
  return new ApiError(status === 409 ? 'API_CONFLICT' : 'API_INVALID', message, { status });
}
