// What the fake API server holds: objects, their history, and the rules of the real one about versions, generations,
// finalizers, preconditions and subresources.
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { apiVersionOf, keyOf } from '#kubernetes/store.ts';
import type { ApiObject, ObjectMeta, ResourceType } from '#kubernetes/store.ts';

export interface FakeType extends ResourceType {
  /** `spec.node`; metadata.name and metadata.namespace are always there. */
  readonly selectableFields?: readonly string[];
  /** Custom resources: status is a subresource and generation counts changes of the rest. */
  readonly status?: boolean;
  /** A sentence refuses the object (422). */
  readonly validate?: (object: ApiObject) => string | undefined;
}

/** What the HTTP side answers with a Status. */
export class Refused extends Error {
  readonly status: number;
  readonly reason: string;
  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

export interface Change {
  readonly version: number;
  readonly type: FakeType;
  readonly before: ApiObject | undefined;
  /** `undefined`: deleted. */
  readonly after: ApiObject | undefined;
}

type Changing = { -readonly [K in keyof ObjectMeta]: ObjectMeta[K] };

export interface FakeObjects {
  readonly version: number;
  /** Changes newer than `version`; Refused 410 when they were compacted away. */
  since(version: number): readonly Change[];
  onChange(listener: (change: Change) => void): () => void;
  all(type: FakeType): readonly ApiObject[];
  get(type: FakeType, key: string): ApiObject | undefined;
  create(type: FakeType, object: ApiObject): ApiObject;
  replace(type: FakeType, object: ApiObject, subresource: string | undefined): ApiObject;
  remove(
    type: FakeType,
    key: string,
    preconditions?: { readonly uid?: string; readonly resourceVersion?: string },
  ): ApiObject;
  /** Forgets the history: a watch from before now is answered 410. */
  compact(): void;
  /** Lets the version go on without a change that anybody watches. */
  tick(): void;
}

export const typeKey = (type: ResourceType): string => `${apiVersionOf(type)}/${type.plural}`;

export function fakeObjects(): FakeObjects {
  const tables = new Map<string, Map<string, ApiObject>>();
  const listeners = new Set<(change: Change) => void>();
  let history: Change[] = [];
  let version = 100;
  let compacted = 0;

  const table = (type: FakeType): Map<string, ApiObject> => {
    const key = typeKey(type);
    const found = tables.get(key) ?? new Map<string, ApiObject>();
    tables.set(key, found);
    return found;
  };
  const commit = (type: FakeType, before: ApiObject | undefined, after: ApiObject | undefined): void => {
    const change = { version, type, before, after };
    history.push(change);
    if (history.length > 20_000) {
      compacted = history[10_000]?.version ?? compacted;
      history = history.slice(10_001);
    }
    for (const listener of listeners) listener(change);
  };
  const stamped = (object: ApiObject, metadata: ObjectMeta): ApiObject => {
    version++;
    return structuredClone({ ...object, metadata: { ...metadata, resourceVersion: String(version) } });
  };
  const missing = (type: FakeType, name: string): Refused =>
    new Refused(404, 'NotFound', `${type.plural}.${type.group} "${name}" not found`);
  const conflict = (type: FakeType, name: string, why: string): Refused =>
    new Refused(409, 'Conflict', `Operation cannot be fulfilled on ${type.plural}.${type.group} "${name}": ${why}`);
  const check = (type: FakeType, object: ApiObject): void => {
    const sentence = type.validate?.(object);
    if (sentence !== undefined)
      throw new Refused(422, 'Invalid', `${type.kind}.${type.group} "${object.metadata.name}" is invalid: ${sentence}`);
  };
  const withoutStatus = (object: ApiObject): ApiObject => {
    const { status: _, ...rest } = object;
    return rest as ApiObject;
  };

  return {
    get version() {
      return version;
    },
    since(from) {
      if (from < compacted) throw new Refused(410, 'Expired', `too old resource version: ${from} (${compacted})`);
      return history.filter((change) => change.version > from);
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    all: (type) => [...table(type).entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object),
    get: (type, key) => table(type).get(key),
    create(type, object) {
      const { metadata } = object;
      if (metadata.resourceVersion !== undefined)
        throw new Refused(400, 'BadRequest', 'resourceVersion should not be set on objects to be created');
      const key = keyOf(metadata);
      if (table(type).has(key))
        throw new Refused(409, 'AlreadyExists', `${type.plural}.${type.group} "${metadata.name}" already exists`);
      check(type, object);
      const { deletionTimestamp: _, ...rest } = metadata;
      const made = stamped(type.status === true ? withoutStatus(object) : object, {
        ...rest,
        uid: randomUUID(),
        creationTimestamp: new Date().toISOString().replace(/\.\d+/, ''),
        ...(type.status === true ? { generation: 1 } : {}),
      });
      table(type).set(key, made);
      commit(type, undefined, made);
      return made;
    },
    replace(type, object, subresource) {
      const key = keyOf(object.metadata);
      const before = table(type).get(key);
      if (before === undefined) throw missing(type, object.metadata.name);
      const { resourceVersion, uid } = object.metadata;
      if (resourceVersion !== undefined && resourceVersion !== before.metadata.resourceVersion)
        throw conflict(
          type,
          key,
          'the object has been modified; please apply your changes to the latest version and try again',
        );
      if (uid !== undefined && uid !== before.metadata.uid)
        throw conflict(
          type,
          key,
          `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${before.metadata.uid}`,
        );
      const next = merged(type, before, object, subresource);
      const same = isDeepStrictEqual(
        { ...next, metadata: { ...next.metadata, resourceVersion: '' } },
        { ...before, metadata: { ...before.metadata, resourceVersion: '' } },
      );
      if (same) return before;
      check(type, next);
      const made = stamped(next, next.metadata);
      if (made.metadata.deletionTimestamp !== undefined && (made.metadata.finalizers ?? []).length === 0) {
        table(type).delete(key);
        commit(type, before, undefined);
        return made;
      }
      table(type).set(key, made);
      commit(type, before, made);
      return made;
    },
    remove(type, key, preconditions = {}) {
      const before = table(type).get(key);
      if (before === undefined) throw missing(type, key);
      for (const field of ['uid', 'resourceVersion'] as const) {
        const wanted = preconditions[field];
        if (wanted !== undefined && wanted !== before.metadata[field])
          throw conflict(
            type,
            key,
            `Precondition failed: ${field} in precondition: ${wanted}, in object meta: ${before.metadata[field]}`,
          );
      }
      if ((before.metadata.finalizers ?? []).length > 0) {
        if (before.metadata.deletionTimestamp !== undefined) return before;
        const marked = stamped(before, {
          ...before.metadata,
          deletionTimestamp: new Date().toISOString().replace(/\.\d+/, ''),
          ...(type.status === true ? { generation: (before.metadata.generation ?? 0) + 1 } : {}),
        });
        table(type).set(key, marked);
        commit(type, before, marked);
        return marked;
      }
      version++;
      table(type).delete(key);
      commit(type, before, undefined);
      return before;
    },
    compact() {
      compacted = version;
      history = [];
    },
    tick() {
      version++;
    },
  };
}

/** What a write leaves: the server keeps what is its own, and of a status write only the status counts. */
function merged(type: FakeType, before: ApiObject, object: ApiObject, subresource: string | undefined): ApiObject {
  if (subresource === 'status') return { ...before, status: object['status'] };
  const { uid, creationTimestamp, deletionTimestamp, generation } = before.metadata;
  const kept: Partial<Changing> = {
    ...(uid === undefined ? {} : { uid }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
  };
  const { deletionTimestamp: _, ...theirs } = object.metadata;
  if (deletionTimestamp !== undefined) {
    const had = before.metadata.finalizers ?? [];
    const added = (object.metadata.finalizers ?? []).filter((it) => !had.includes(it));
    if (added.length > 0)
      throw new Refused(
        422,
        'Invalid',
        'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted',
      );
  }
  if (type.status !== true) return { ...object, metadata: { ...theirs, ...kept } };
  const next = { ...object, status: before['status'] };
  if (before['status'] === undefined) delete (next as { status?: unknown }).status;
  const changed = !isDeepStrictEqual(specOf(next), specOf(before));
  return { ...next, metadata: { ...theirs, ...kept, generation: (generation ?? 0) + (changed ? 1 : 0) } };
}

const specOf = (object: ApiObject): unknown => {
  const { metadata: _, status: __, ...rest } = object;
  return rest;
};
