// The kinds that an agent reads, as the fake API server has them.
import { kinds } from '#resources/resource-set.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import type { ApiObject, ResourceType } from '#kubernetes/store.ts';
import type { Kind } from '#resources/kind.ts';
import type { FieldProblem } from '#resources/schema.ts';
import type { FakeType } from './fake-api.ts';

/** The server knows no rules but those of the schema that it was made from. */
export const refusal =
  ({ apiVersion, kind, schema }: Kind<unknown>) =>
  (object: ApiObject): string | undefined => {
    const problems: FieldProblem[] = [];
    const { status: _, ...rest } = object;
    schema.read({ ...rest, apiVersion, kind }, [], problems);
    const wrong = problems.find((it) => it.code !== 'CONFIG_UNKNOWN_FIELD');
    return wrong === undefined ? undefined : `${wrong.path.join('.')}: ${wrong.text}`;
  };

/** All kinds of a cluster that flatroute reads. */
export const clusterTypes: readonly FakeType[] = kinds.map((kind) => ({
  ...typeOf(kind),
  status: kind.apiVersion !== 'v1',
  selectableFields: kind.definition?.selectableFields?.map((path) => path.slice(1)) ?? [],
  ...(kind.apiVersion === 'v1' ? {} : { validate: refusal(kind) }),
}));

export function typeNamed(kind: string): ResourceType {
  const found = clusterTypes.find((it) => it.kind === kind);
  if (found === undefined) throw new Error(`no kind ${kind}`);
  return found;
}
