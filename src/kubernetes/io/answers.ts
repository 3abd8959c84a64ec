/** What the API server says, from text to objects and errors. Nothing of it is trusted to have any shape. */
import { milliseconds } from '#lib/time.ts';
import { isRecord } from '#lib/json.ts';
import { ApiError, apiVersionOf } from '../store.ts';
import type { ApiCode, ApiObject, ObjectMeta, ResourceType } from '../store.ts';

export interface Page {
  readonly objects: readonly ApiObject[];
  readonly resourceVersion: string;
  /** Token of the next page. */
  readonly next: string | undefined;
  /** Objects behind this page, where the server counts them: of a list without selectors. */
  readonly remaining: number;
}

export type Foreign = Readonly<Record<string, unknown>>;

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

export function parseAnswer(what: string, raw: string, maybeDone = false): Foreign {
  try {
    const value: unknown = JSON.parse(raw);
    if (isRecord(value)) return value;
  } catch {
    // The parser's words quote the text, which may hold a Secret.
  }
  throw new ApiError('API_ANSWER', `${what}: the answer is not a JSON object`, { maybeDone });
}

/** The API leaves kind and apiVersion out of the items of a list, and names another kind where only metadata was asked for. */
export function objectOf(what: string, type: ResourceType, value: unknown, maybeDone = false): ApiObject {
  const metadata = isRecord(value) ? value['metadata'] : undefined;
  if (!isRecord(value) || !isRecord(metadata) || typeof metadata['name'] !== 'string')
    throw new ApiError('API_ANSWER', `${what}: the answer has an object without a name`, { maybeDone });
  return { ...value, apiVersion: apiVersionOf(type), kind: type.kind, metadata: metadata as unknown as ObjectMeta };
}

export function pageOf(what: string, type: ResourceType, value: Foreign): Page {
  const { items, metadata } = value;
  const resourceVersion = isRecord(metadata) ? text(metadata['resourceVersion']) : undefined;
  if ((items !== null && !Array.isArray(items)) || resourceVersion === undefined)
    throw new ApiError('API_ANSWER', `${what}: the answer is not a list`);
  const next = isRecord(metadata) ? text(metadata['continue']) : undefined;
  const remaining = isRecord(metadata) ? metadata['remainingItemCount'] : undefined;
  return {
    objects: (items ?? []).map((item: unknown) => objectOf(what, type, item)),
    resourceVersion,
    next: next === '' ? undefined : next,
    remaining: typeof remaining === 'number' ? remaining : 0,
  };
}

/** The error that a Status object tells (of an answer, or inside a watch). */
export function statusError(
  what: string,
  status: number,
  body: Foreign | undefined,
  about: { readonly retryAfterSeconds?: number | undefined; readonly write?: boolean } = {},
): ApiError {
  const reason = text(body?.['reason']) ?? '';
  const sentence = (text(body?.['message']) ?? `HTTP status ${status}`).slice(0, 1000);
  const code = codeOf(status, reason);
  const wait = about.retryAfterSeconds ?? retrySecondsOf(body);
  return new ApiError(code, `${what}: ${sentence}`, {
    status,
    // A gateway or an API server that gave up waiting says nothing about what its database did.
    maybeDone: about.write === true && status >= 500,
    retryAfter: wait === undefined ? undefined : milliseconds(wait * 1000),
  });
}

function retrySecondsOf(body: Foreign | undefined): number | undefined {
  const details = body?.['details'];
  const wait = isRecord(details) ? details['retryAfterSeconds'] : undefined;
  return typeof wait === 'number' && wait >= 0 ? Math.min(wait, 120) : undefined;
}

function codeOf(status: number, reason: string): ApiCode {
  switch (status) {
    case 401:
      return 'API_UNAUTHORIZED';
    case 403:
      return 'API_FORBIDDEN';
    case 404:
      return 'API_NOT_FOUND';
    case 409:
      return reason === 'AlreadyExists' ? 'API_ALREADY_EXISTS' : 'API_CONFLICT';
    case 410:
      return 'API_EXPIRED';
    case 429:
      return 'API_BUSY';
    default:
      if (status >= 500) return 'API_UNREACHABLE';
      return status >= 400 ? 'API_INVALID' : 'API_ANSWER';
  }
}
