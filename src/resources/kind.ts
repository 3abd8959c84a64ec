/** What every kind has: apiVersion, kind and metadata around its spec, and how the parts fit into one schema. */
import { objectName } from './formats.ts';
import { annotations, labels } from './labels.ts';
import { integer, oneOf, string } from './scalars.ts';
import { defaulted, object, optional, required } from './schema.ts';
import type { Field, Infer, Rule, Schema, Values } from './schema.ts';

const apiVersion = 'flatroute.io/v1alpha1';
/** Namespace of the Secrets that `secretKeyRef` names, and of a Secret manifest that names none. */
export const secretNamespace = 'flatroute-system';

export interface Kind<T> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  readonly description: string;
  readonly schema: Schema<T>;
  /** What the CustomResourceDefinition has beside the schema; absent: Kubernetes' own kind. */
  readonly definition?: Definition;
}

export interface Definition {
  /** What `kubectl get` shows beside the name and before the age. */
  readonly columns: readonly Column[];
  /** Fields that a field selector may name, such as `.spec.node`. */
  readonly selectableFields?: readonly string[];
  /** Written through the status subresource. */
  readonly status?: Schema<unknown>;
}

interface Column {
  readonly name: string;
  readonly jsonPath: string;
  readonly type: 'string' | 'integer' | 'boolean' | 'date';
  /** Only with `-o wide`. */
  readonly wide?: boolean;
}

/** `bgppeers`, of BGPPeer; `serviceaddresses`, of ServiceAddress. */
export const pluralOf = (kind: string): string => `${kind.toLowerCase()}${kind.endsWith('s') ? 'es' : 's'}`;

/** Written by the API server and by kubectl; accepted so that `kubectl get -o yaml` can be used as it is. */
const serverMetadata = [
  'deletionGracePeriodSeconds',
  'finalizers',
  'generateName',
  'managedFields',
  'ownerReferences',
  'resourceVersion',
  'selfLink',
];

const name = required(objectName, { description: 'Name of the object.' });
const labelsField = defaulted(labels, {}, { description: 'Labels, for selectors.' });
const annotationsField = defaulted(annotations, {}, { description: 'Annotations.' });
const serverText = string({ type: 'what the API server wrote', maxLength: 128 });

/** What an object has once an API server keeps it. */
const identity = {
  generation: optional(integer(0, Number.MAX_SAFE_INTEGER), {
    description: 'Written by the API server: grows with each change of what is wanted.',
  }),
  uid: optional(serverText, { description: 'Written by the API server: one for each object that ever was.' }),
  creationTimestamp: optional(serverText, {
    description: 'Written by the API server. Of two pools that overlap the elder is used.',
  }),
  deletionTimestamp: optional(serverText, {
    description: 'Written by the API server: the object is to go as soon as nobody needs it.',
  }),
};

export const clusterMetadata = object(
  { name, labels: labelsField, annotations: annotationsField, ...identity },
  { ignored: serverMetadata },
);

export const namespacedMetadata = object(
  {
    name,
    namespace: optional(string({ type: 'a namespace', minLength: 1, maxLength: 63 }), { description: 'Namespace.' }),
    labels: labelsField,
    annotations: annotationsField,
    ...identity,
  },
  { ignored: serverMetadata },
);

type Metadata = Infer<typeof clusterMetadata>;

interface ResourceFields<M, S> {
  readonly apiVersion: Field<string>;
  readonly kind: Field<string>;
  readonly metadata: Field<M>;
  readonly spec: Field<S>;
}

export type Resource<S> = Values<ResourceFields<Metadata, S>>;

interface KindWords extends Definition {
  readonly shortNames: readonly string[];
  readonly description: string;
}

/** One of our own kinds: cluster-scoped, `spec`, and a `status` that is accepted and not read. */
export function ownKind<S>(
  kind: string,
  { shortNames, description, ...definition }: KindWords,
  spec: Schema<S>,
  rules: readonly Rule<Resource<S>>[] = [],
): Kind<Resource<S>> {
  const fields: ResourceFields<Metadata, S> & Record<string, Field<unknown>> = {
    apiVersion: required<string>(oneOf(apiVersion), { description: 'API group and version.' }),
    kind: required<string>(oneOf(kind), { description: 'Kind of the object.' }),
    metadata: required(clusterMetadata, { description: 'Name, labels and annotations.' }),
    spec: required(spec, { description: 'What is wanted.' }),
  };
  const schema: Schema<Resource<S>> = object(fields, { ignored: ['status'], rules });
  return { apiVersion, kind, namespaced: false, shortNames, description, schema, definition };
}

/** One of our own kinds that says what is and not what is wanted: `status`, and no spec. */
export function statusKind<S>(kind: string, { shortNames, description, ...definition }: KindWords, status: Schema<S>) {
  const schema = object({
    apiVersion: required<string>(oneOf(apiVersion), { description: 'API group and version.' }),
    kind: required<string>(oneOf(kind), { description: 'Kind of the object.' }),
    metadata: required(clusterMetadata, { description: 'Name, labels and annotations.' }),
    status: optional(status, { description: 'What is.' }),
  });
  return { apiVersion, kind, namespaced: false, shortNames, description, schema, definition } satisfies Kind<unknown>;
}
