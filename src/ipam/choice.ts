/**
 * PURE: which pools a pod may take addresses from. Pools that it names, in its order, and no other; without a name, for
 * each family, the automatic pools that select its namespace, and if there are none those that select no namespace. A
 * pool's namespaces bind those who name it too: annotations come from whoever may create a pod.
 */
import { type Result, fail, ok } from '#lib/result.ts';
import type { NamespaceLimit } from './intent.ts';

export interface AddressWish<Address> {
  /** Names of the pools to take from; `undefined`: pools with automatic assignment. */
  readonly pools: readonly string[] | undefined;
  /** Fixed addresses; the families they do not cover are taken from the pools. */
  readonly addresses: readonly Address[];
  /** Of the pod; empty or absent outside Kubernetes. */
  readonly namespace?: string;
}

export type PoolFailure =
  | { readonly kind: 'unknownPool'; readonly pool: string; readonly known: readonly string[] }
  | { readonly kind: 'disabledPool'; readonly pool: string }
  /** The pool's namespaceSelector leaves the pod's namespace out. */
  | {
      readonly kind: 'otherNamespace';
      readonly pool: string;
      readonly namespace: string;
      readonly selector: string;
    }
  /** The labels of the namespace are not known, so nobody can say whether these pools select it. */
  | { readonly kind: 'unknownNamespace'; readonly namespace: string; readonly pools: readonly string[] };

export interface Choosable {
  readonly name: string;
  readonly manual: boolean;
  readonly disabled: boolean;
  readonly namespaces: NamespaceLimit | undefined;
}

/** Groups of pools: for each family the first group counts that has a block of it. */
export type Choice<P> = readonly (readonly P[])[];

export function choosePools<P extends Choosable>(
  { pools: names, namespace = '' }: Pick<AddressWish<unknown>, 'pools' | 'namespace'>,
  pools: readonly P[],
  known: ReadonlySet<string>,
): Result<Choice<P>, PoolFailure> {
  if (names !== undefined) {
    const named: P[] = [];
    for (const name of names) {
      const pool = pools.find((candidate) => candidate.name === name);
      if (pool === undefined) return fail({ kind: 'unknownPool', pool: name, known: pools.map((it) => it.name) });
      const why = whyNotPool(pool, namespace, known);
      if (why !== undefined) return fail(why);
      named.push(pool);
    }
    return ok([named]);
  }
  const automatic = pools.filter((pool) => !pool.disabled && !pool.manual);
  const limited = automatic.filter((pool) => pool.namespaces !== undefined);
  if (limited.length > 0 && namespace !== '' && !known.has(namespace))
    return fail({ kind: 'unknownNamespace', namespace, pools: limited.map((it) => it.name) });
  return ok([
    limited.filter((pool) => pool.namespaces?.names.includes(namespace) === true),
    automatic.filter((pool) => pool.namespaces === undefined),
  ]);
}

/** Why a pod of this namespace gets nothing from a pool that it names. */
export function whyNotPool(
  { name, disabled, namespaces }: Choosable,
  namespace: string,
  known: ReadonlySet<string>,
): PoolFailure | undefined {
  if (disabled) return { kind: 'disabledPool', pool: name };
  if (namespaces === undefined || namespaces.names.includes(namespace)) return undefined;
  return namespace !== '' && !known.has(namespace)
    ? { kind: 'unknownNamespace', namespace, pools: [name] }
    : { kind: 'otherNamespace', pool: name, namespace, selector: namespaces.selector };
}
