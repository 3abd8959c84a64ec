/** Conditions as they stand in the status of an object, with what Kubernetes wants of them. PURE. */
import type { Condition } from '#intent/node-intent.ts';
import type { ApiObject } from '#kubernetes/store.ts';

export interface StatusCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
}

/** Foreign data: the field of an object, if it has one. */
export const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;

/** The condition for the status of `object`; it has been so since the time that stands there, unless it was otherwise. */
export function statusCondition(
  { type, status, reason, message }: Pick<Condition, 'type' | 'status' | 'reason' | 'message'>,
  object: ApiObject,
  now: string,
): StatusCondition {
  const conditions = fieldOf(object['status'], 'conditions');
  const before: unknown = Array.isArray(conditions)
    ? conditions.find((one: unknown) => fieldOf(one, 'type') === type)
    : undefined;
  const since = fieldOf(before, 'status') === status ? fieldOf(before, 'lastTransitionTime') : undefined;
  return {
    type,
    status,
    reason,
    message,
    ...(object.metadata.generation === undefined ? {} : { observedGeneration: object.metadata.generation }),
    lastTransitionTime: typeof since === 'string' ? since : now,
  };
}

/** Whether two pieces of JSON say the same, in whatever order their fields stand. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [one, two] = [Object.entries(a), Object.entries(b)];
  return (
    one.length === two.length && one.every(([key, value]) => Object.hasOwn(b, key) && sameJson(value, fieldOf(b, key)))
  );
}
