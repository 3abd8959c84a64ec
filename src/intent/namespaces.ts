/** Which namespaces a pool is for, as far as the labels of namespaces are known. */
import type { NamespaceLimit } from '#ipam/intent.ts';
import type { Namespace } from '#resources/core.ts';
import type { IPPool } from '#resources/ip-pool.ts';
import { type Labels, matches } from '#resources/selector.ts';

/** Kubernetes gives every namespace this label; in a file it may be missing. */
const nameLabel = 'kubernetes.io/metadata.name';

const labelsOf = ({ metadata }: Namespace): Labels => ({ ...metadata.labels, [nameLabel]: metadata.name });

/** `undefined`: pods of every namespace, also of one that nobody knows. */
export function namespaceLimit(pool: IPPool, namespaces: readonly Namespace[]): NamespaceLimit | undefined {
  const selector = pool.spec.namespaceSelector;
  if (selector.expression.op === 'all') return undefined;
  const selected = namespaces.filter((it) => matches(selector.expression, labelsOf(it)));
  return { selector: selector.text, names: selected.map((it) => it.metadata.name) };
}
