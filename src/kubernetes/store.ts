/**
 * The port to the Kubernetes API. It knows no kind of ours: what is read and written are objects with metadata, and the
 * rest is foreign data that a schema reads. `io/` has the client behind it; tests run the same client against a fake server.
 */
import { AppError } from '#lib/result.ts';
import type { RetryClass } from '#lib/result.ts';
import type { Duration } from '#lib/time.ts';

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

/** An object as the API gives it: metadata that was looked at, and foreign data beyond it. */
export interface ApiObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/** Where a kind lives: `{group: 'flatroute.io', version: 'v1alpha1', plural: 'ipblocks', kind: 'IPBlock', namespaced: false}`. */
export interface ResourceType {
  /** '' is the core. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** Which objects of a type; without a namespace those of all namespaces. */
export interface Selection {
  readonly namespace?: string;
  /** The one object of this name, as field selector. */
  readonly name?: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  /** Only the metadata travels (PartialObjectMetadata). */
  readonly metadataOnly?: boolean;
  /** A list ends with the page that reaches this many: enough to know that there are too many. */
  readonly atMost?: number;
  /** Objects of one page of the list, where they are large; the client's own number is the most. */
  readonly pageSize?: number;
}

export type ApiCode =
  | 'API_NOT_FOUND'
  | 'API_CONFLICT'
  | 'API_ALREADY_EXISTS'
  | 'API_INVALID'
  | 'API_FORBIDDEN'
  | 'API_NOT_LEADING'
  | 'API_UNAUTHORIZED'
  | 'API_EXPIRED'
  | 'API_BUSY'
  | 'API_UNREACHABLE'
  | 'API_ANSWER';

/** A call that failed. The message names method, object and the server's own sentence, and never a credential or a body. */
export class ApiError extends AppError {
  declare readonly code: ApiCode;
  /** HTTP status; `undefined` when there was no answer. */
  readonly status: number | undefined;
  /** A write whose answer was lost: it may have happened. */
  readonly maybeDone: boolean;
  /** How long the server asks to be left alone (429, 503). */
  readonly retryAfter: Duration | undefined;

  constructor(
    code: ApiCode,
    message: string,
    options: {
      readonly status?: number | undefined;
      readonly maybeDone?: boolean;
      readonly retryAfter?: Duration | undefined;
      readonly cause?: unknown;
    } = {},
  ) {
    super(code, message, { retry: retryOf(code), cause: options.cause, data: { status: options.status } });
    this.name = 'ApiError';
    this.status = options.status;
    this.maybeDone = options.maybeDone ?? false;
    this.retryAfter = options.retryAfter;
  }
}

export const isApiError = (error: unknown, ...codes: readonly ApiCode[]): error is ApiError =>
  error instanceof ApiError && codes.includes(error.code);

function retryOf(code: ApiCode): RetryClass {
  if (code === 'API_EXPIRED') return 'now';
  return code === 'API_BUSY' || code === 'API_UNREACHABLE' || code === 'API_ANSWER' || code === 'API_UNAUTHORIZED'
    ? 'backoff'
    : 'change';
}

/** All calls reject with ApiError and nothing else. */
export interface ResourceStore {
  /** The newest state (a quorum read); `undefined`: there is none. */
  get(type: ResourceType, name: string, namespace?: string): Promise<ApiObject | undefined>;
  /** All pages, the newest state. */
  list(type: ResourceType, selection?: Selection): Promise<readonly ApiObject[]>;
  /** How many there are in all namespaces, by one page of one object. */
  count(type: ResourceType): Promise<number>;
  create(type: ResourceType, object: ApiObject): Promise<ApiObject>;
  /** With a resourceVersion in the metadata it is refused (API_CONFLICT) when somebody wrote in between. */
  replace(type: ResourceType, object: ApiObject, subresource?: 'status'): Promise<ApiObject>;
  /** JSON merge patch; a resourceVersion in its metadata is a precondition. */
  patch(
    type: ResourceType,
    name: string,
    mergePatch: object,
    options?: { readonly namespace?: string; readonly subresource?: 'status' },
  ): Promise<ApiObject>;
  /** `removed` also when finalizers hold the object for now. API_CONFLICT: it is not the one that was meant. */
  remove(
    type: ResourceType,
    name: string,
    preconditions?: { readonly namespace?: string; readonly uid?: string; readonly resourceVersion?: string },
  ): Promise<'removed' | 'absent'>;
  /** Lists, then watches, for good, until it is stopped. */
  watch<T>(type: ResourceType, options: WatchOptions<T>): Watching;
}

export interface WatchOptions<T> {
  readonly selection?: Selection;
  /** What is kept of an object; the rest is garbage at once. The key is `namespace/name` or `name`. */
  readonly keep: (object: ApiObject) => T;
  /** After the first list is complete, and then at most once a turn of the event loop: everything, and the keys that changed since. */
  readonly changed: (objects: ReadonlyMap<string, T>, keys: ReadonlySet<string>) => void;
  /** `undefined`: in step with the server; otherwise why not. What was learned before stays. */
  readonly health?: (error: ApiError | undefined) => void;
}

export interface Watching {
  /** No call comes after it resolved. */
  stop(): Promise<void>;
}

/** Key of an object in the map of a watch. */
export const keyOf = (meta: ObjectMeta): string =>
  meta.namespace === undefined || meta.namespace === '' ? meta.name : `${meta.namespace}/${meta.name}`;

/** The `apiVersion` of a type: `v1`, `flatroute.io/v1alpha1`. */
export const apiVersionOf = (type: ResourceType): string =>
  type.group === '' ? type.version : `${type.group}/${type.version}`;
