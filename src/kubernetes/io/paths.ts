/** Paths and queries of the API. */
import type { ResourceType, Selection } from '../store.ts';

const prefixOf = (type: ResourceType): string =>
  type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;

export function collectionPath(type: ResourceType, namespace: string | undefined): string {
  const within = type.namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  return `${prefixOf(type)}${within}/${type.plural}`;
}

export function objectPath(
  type: ResourceType,
  name: string,
  namespace: string | undefined,
  subresource?: 'status',
): string {
  const last = subresource === undefined ? '' : `/${subresource}`;
  return `${collectionPath(type, namespace)}/${encodeURIComponent(name)}${last}`;
}

export function selectionQuery(selection: Selection, more: Readonly<Record<string, string | undefined>>): string {
  const fields = [
    selection.name === undefined ? undefined : `metadata.name=${selection.name}`,
    selection.fieldSelector,
  ];
  const query = new URLSearchParams();
  const set = (name: string, value: string | undefined): void => {
    if (value !== undefined && value !== '') query.set(name, value);
  };
  set('fieldSelector', fields.filter((it) => it !== undefined).join(','));
  set('labelSelector', selection.labelSelector);
  for (const [name, value] of Object.entries(more)) set(name, value);
  const written = query.toString();
  return written === '' ? '' : `?${written}`;
}

const metadataForm = (as: string): string => `application/json;as=${as};g=meta.k8s.io;v=v1`;

/** The Accept header of a list; of a watch when `one`. */
export function acceptOf(selection: Selection, one: boolean): string {
  if (selection.metadataOnly !== true) return 'application/json';
  return metadataForm(one ? 'PartialObjectMetadata' : 'PartialObjectMetadataList');
}
