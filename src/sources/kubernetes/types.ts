/** Where the API keeps the kinds that are read. */
import { kinds } from '#resources/resource-set.ts';
import { pluralOf } from '#resources/kind.ts';
import type { Kind } from '#resources/kind.ts';
import type { ResourceType } from '#kubernetes/store.ts';

/** Where a kind of ours, or of the core, lives in the API. */
export function typeOf(kind: Pick<Kind<unknown>, 'apiVersion' | 'kind' | 'namespaced'>): ResourceType {
  const [group = '', version] = kind.apiVersion.includes('/') ? kind.apiVersion.split('/') : ['', kind.apiVersion];
  return {
    group,
    version: version ?? '',
    plural: pluralOf(kind.kind),
    kind: kind.kind,
    namespaced: kind.namespaced,
  };
}

export const kindNamed = (name: string): (typeof kinds)[number] | undefined => kinds.find((it) => it.kind === name);
