/** One watched selection: what it holds, whether it was listed, and since when it fails. */
import type { ApiError, ResourceStore, ResourceType, Selection } from '#kubernetes/store.ts';
import { readObject } from './read-object.ts';
import type { Reading } from './read-object.ts';

export interface FeedOptions {
  readonly type: ResourceType;
  readonly selection?: Selection;
  /** Deliveries wait for its first list until then (performance.now()). */
  readonly patientUntil: number;
}

export interface Feed {
  readonly type: ResourceType;
  readonly patientUntil: number;
  readonly objects: ReadonlyMap<string, Reading>;
  readonly listed: boolean;
  /** The first failure of those that still go on, and when it came. */
  readonly failing: { readonly error: ApiError; readonly since: Date; readonly sinceMilliseconds: number } | undefined;
  stop(): Promise<void>;
}

/** `changed`: with the keys that changed; the first time after the list, perhaps with none. `health`: it fails, or no longer. */
export function openFeed(
  store: ResourceStore,
  options: FeedOptions,
  told: { readonly changed: (feed: Feed, keys: ReadonlySet<string>) => void; readonly health: (feed: Feed) => void },
): Feed {
  let objects: ReadonlyMap<string, Reading> = new Map();
  let listed = false;
  let failing: Feed['failing'];
  const feed: Feed = {
    type: options.type,
    patientUntil: options.patientUntil,
    get objects() {
      return objects;
    },
    get listed() {
      return listed;
    },
    get failing() {
      return failing;
    },
    stop: () => watching.stop(),
  };
  const watching = store.watch(options.type, {
    ...(options.selection === undefined ? {} : { selection: options.selection }),
    keep: readObject,
    changed: (now, keys) => {
      objects = now;
      listed = true;
      told.changed(feed, keys);
    },
    health: (error) => {
      if (error === undefined) failing = undefined;
      else if (failing?.error.code !== error.code)
        failing = {
          error,
          since: failing?.since ?? new Date(),
          sinceMilliseconds: failing?.sinceMilliseconds ?? performance.now(),
        };
      told.health(feed);
    },
  });
  return feed;
}
