// The API, its proxy and its misfortunes, in virtual time, for nodes that claim blocks of it.
import { ApiError } from '#kubernetes/store.ts';
import type { ApiObject, ResourceStore, ResourceType, Selection } from '#kubernetes/store.ts';
import { ipBlock } from '#resources/ip-block.ts';
import { ipBlockType } from '#sources/kubernetes/ip-blocks.ts';
import { type FakeObjects, fakeObjects, type FakeType, Refused } from '../support/kubernetes/fake-objects.ts';
import { matcherOf } from '../support/kubernetes/fake-selectors.ts';
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

  constructor(clock: VirtualClock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** What a caller sees of it, through a proxy that loses answers and sends requests on when nobody waits any more. */
  store(caller: Caller): ResourceStore {
    const typed = (type: ResourceType): FakeType => (type.kind === 'Node' ? nodesType : blocksType);
    const read = <T>(work: () => T): Promise<T> => {
      this.reads += 1;
      return this.#call(caller, false, work);
    };
    const write = <T>(work: () => T): Promise<T> => {
      this.writes += 1;
      return this.#call(caller, true, work);
    };
    return {
      get: (type, name) => read(() => this.objects.get(typed(type), name)),
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
      patch: () => Promise.reject(new Error('nobody patches')),
      watch: () => {
        throw new Error('nobody watches by the store');
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
