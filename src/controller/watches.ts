/**
 * One watch of a kind for all parts that look at it: of thousands of objects each is read once, and each part keeps of it what it
 * needs. Parts name what they want while they are made; then the watches begin.
 */
import type { ApiError, ApiObject, ResourceStore, ResourceType, Selection, Watching } from '#kubernetes/store.ts';

export type Watch = <T>(
  type: ResourceType,
  keep: (object: ApiObject) => T,
  /** `keys`: of the objects that changed, came or went. */
  learn: (all: ReadonlyMap<string, T>, keys: ReadonlySet<string>) => void,
  selection?: Selection,
) => void;

interface Watches {
  readonly watch: Watch;
  /** Nothing is wanted any more after it. */
  start(): void;
  /** Everything was listed once: what was not listed looks like nothing. */
  readonly listed: () => boolean;
  stop(): Promise<void>;
}

/** What a part makes of an object; to be put into its own map under the object's key. */
type Kept = (key: string) => void;

interface Reader {
  keep(object: ApiObject): Kept;
  learn(objects: ReadonlyMap<string, unknown>, keys: ReadonlySet<string>, read: (key: string) => void): void;
}

interface Wanted {
  readonly type: ResourceType;
  readonly selection: Selection | undefined;
  readonly readers: Reader[];
}

export function watches(
  store: Pick<ResourceStore, 'watch'>,
  modules: {
    readonly changed: () => void;
    /** `undefined`: in step with the server again. */
    readonly health: (kind: string, error: ApiError | undefined) => void;
  },
): Watches {
  const wanted = new Map<string, Wanted>();
  const running: Watching[] = [];
  let unlisted = 0;

  function begin({ type, selection, readers }: Wanted): Watching {
    let failing = false;
    let listed = false;
    return store.watch(type, {
      ...(selection === undefined ? {} : { selection }),
      keep: (object) => readers.map((reader) => reader.keep(object)),
      changed: (objects, keys) => {
        for (const [index, reader] of readers.entries())
          reader.learn(objects, keys, (key) => objects.get(key)?.[index]?.(key));
        if (!listed) unlisted--;
        listed = true;
        modules.changed();
      },
      health: (error) => {
        if ((error !== undefined) === failing) return;
        failing = error !== undefined;
        modules.health(type.kind, error);
      },
    });
  }

  return {
    watch(type, keep, learn, selection) {
      const key = JSON.stringify([type.group, type.version, type.plural, selection ?? {}]);
      const known = wanted.get(key);
      const one = known ?? { type, selection, readers: [] };
      if (known === undefined) unlisted++;
      wanted.set(key, one);
      one.readers.push(reader(keep, learn));
    },
    start() {
      for (const one of wanted.values()) running.push(begin(one));
    },
    listed: () => unlisted === 0,
    async stop() {
      await Promise.all(running.map(async (one) => await one.stop()));
    },
  };
}

function reader<T>(
  keep: (object: ApiObject) => T,
  learn: (all: ReadonlyMap<string, T>, keys: ReadonlySet<string>) => void,
): Reader {
  const all = new Map<string, T>();
  return {
    keep(object) {
      const value = keep(object);
      return (key) => void all.set(key, value);
    },
    learn(objects, keys, read) {
      for (const key of keys)
        if (objects.has(key)) read(key);
        else all.delete(key);
      learn(all, keys);
    },
  };
}
