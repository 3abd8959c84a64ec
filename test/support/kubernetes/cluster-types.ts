// The kinds that an agent reads, as the fake API server has them.
import { kinds } from '#resources/resource-set.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import type { ResourceType } from '#kubernetes/store.ts';
import type { FakeType } from './fake-api.ts';

const selectable: Readonly<Record<string, readonly string[]>> = { IPBlock: ['spec.node'] };

/** All kinds of a cluster that flatroute reads. */
export const clusterTypes: readonly FakeType[] = kinds.map((kind) => ({
  ...typeOf(kind),
  status: kind.apiVersion !== 'v1',
  selectableFields: selectable[kind.kind] ?? [],
}));

export function typeNamed(kind: string): ResourceType {
  const found = clusterTypes.find((it) => it.kind === kind);
  if (found === undefined) throw new Error(`no kind ${kind}`);
  return found;
}
