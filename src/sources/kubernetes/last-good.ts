/**
 * The last good state of every object from the API: what is in force of it. An object that is wrong now keeps the state
 * before; one that is gone from a list that is complete is gone. Until then what the cache had stays.
 */
import { idText } from '#resources/resource-set.ts';
import type { AnyResource, ResourceId } from '#resources/resource-set.ts';
import type { Raw, Reading } from './read-object.ts';

interface Good {
  readonly id: ResourceId;
  readonly raw: Raw;
  readonly resource: AnyResource;
}

export interface LastGood {
  readonly all: () => readonly Good[];
  readonly has: (id: ResourceId) => boolean;
  /** Wrong readings change nothing. */
  put(reading: Reading): void;
  /** Drops what is in a feed's scope and not among these. */
  keepOnly(scope: (id: ResourceId) => boolean, there: Iterable<Reading>): void;
}

export function lastGood(): LastGood {
  const goods = new Map<string, Good>();
  return {
    all: () => [...goods.values()],
    has: (id) => goods.has(idText(id)),
    put({ id, raw, resource }) {
      if (resource !== undefined) goods.set(idText(id), { id, raw, resource });
    },
    keepOnly(scope, there) {
      const named = new Set([...there].map((it) => idText(it.id)));
      for (const [key, { id }] of goods) if (scope(id) && !named.has(key)) goods.delete(key);
    },
  };
}
