/** Conditions as they stand in the status of an object, with what Kubernetes wants of them. PURE. */
import type { ApiObject } from '#kubernetes/store.ts';

export interface StatusCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
}

/** A condition without what Kubernetes adds. The reason may be one of an agent that is newer. */
export type Verdict = Pick<StatusCondition, 'status' | 'reason' | 'message'>;

/** Foreign data: the list, if it is one. */
export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** Foreign data: the text, if it is one and not empty. */
export const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** Foreign data: the field of an object, if it has one. */
export const fieldOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;

/** The condition for the status of `object`; it has been so since the time that stands there, unless it was otherwise. */
export function statusCondition(
  { type, status, reason, message }: Verdict & { readonly type: string },
  object: ApiObject,
  now: string,
): StatusCondition {
  const before = listOf(fieldOf(object['status'], 'conditions')).find((one) => fieldOf(one, 'type') === type);
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
