/**
 * An object from the API, read by the schema that reads files. PURE. What the API server has let through comes perhaps from
 * a newer schema than ours: a field that is not known here is left out and named, and the rest is in force. In a rule of a
 * BGPFilter a condition that is not understood makes an Accept rule match nothing, so the rule is left out, and a Reject rule
 * match without it. Of the core's own kinds only what is used is looked at.
 */
import { fieldName, invalid } from '#resources/schema.ts';
import type { FieldProblem, Path } from '#resources/schema.ts';
import { idOf } from '#resources/resource-set.ts';
import type { AnyResource, ResourceId } from '#resources/resource-set.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { isRecord } from '#lib/json.ts';
import { kindNamed } from './types.ts';

/** Problems reported of one object; the rest is more of the same. */
const problemsLimit = 10;

export type Raw = Readonly<Record<string, unknown>>;

/** What is kept of an object. */
export interface Reading {
  readonly id: ResourceId;
  /** As the API has it, without what is not used; what the cache keeps. */
  readonly raw: Raw;
  /** `undefined`: it is wrong. */
  readonly resource: AnyResource | undefined;
  readonly problems: readonly { readonly code: FieldProblem['code']; readonly field: string; readonly text: string }[];
}

export function readObject(object: ApiObject): Reading {
  const raw = essence(object);
  const kind = kindNamed(String(object.kind));
  const name = object.metadata.name;
  const id: ResourceId = { kind: String(object.kind), namespace: object.metadata.namespace, name };
  if (kind === undefined) return { id, raw, resource: undefined, problems: [] };
  const problems: FieldProblem[] = [];
  let resource = kind.schema.read(raw, [], problems);
  const unknown = problems.filter((it) => it.code === 'CONFIG_UNKNOWN_FIELD');
  if (resource === invalid && unknown.length > 0) {
    const others: FieldProblem[] = [];
    resource = kind.schema.read(
      without(
        raw,
        unknown.map((it) => it.path),
        kind.kind,
      ),
      [],
      others,
    );
    problems.splice(0, problems.length, ...unknown, ...others);
  }
  return {
    id: resource === invalid ? id : idOf(resource),
    raw,
    resource: resource === invalid ? undefined : resource,
    problems: problems.slice(0, problemsLimit).map(({ code, path, text }) => ({ code, field: fieldName(path), text })),
  };
}

/** Annotations of ours, and what the machine's identity is known by; those of others change all the time. */
const ours = (annotations: Readonly<Record<string, string>> | undefined): Record<string, string> =>
  Object.fromEntries(Object.entries(annotations ?? {}).filter(([key]) => /^([^/]*\.)?flatroute\.io\//.test(key)));

function essence(object: ApiObject): Raw {
  const { annotations, ...meta } = object.metadata;
  const { name, namespace, uid, generation, creationTimestamp, deletionTimestamp, labels } = meta;
  const identity = { name, namespace, uid, generation, creationTimestamp, deletionTimestamp };
  const metadata = { ...identity, labels, annotations: ours(annotations) };
  const base = { apiVersion: object.apiVersion, kind: object.kind, metadata: withoutAbsent(metadata) };
  switch (object.kind) {
    case 'Node':
      return { ...base, ...nodeEssence(object) };
    case 'Secret':
      return withoutAbsent({ ...base, data: object['data'] });
    case 'Namespace':
      return base;
    default:
      return withoutAbsent({ ...base, spec: object['spec'] });
  }
}

function nodeEssence(object: ApiObject): Raw {
  const spec = isRecord(object['spec']) ? object['spec'] : {};
  const status = isRecord(object['status']) ? object['status'] : {};
  const info = isRecord(status['nodeInfo']) ? status['nodeInfo'] : {};
  return {
    spec: withoutAbsent({ podCIDR: spec['podCIDR'], podCIDRs: spec['podCIDRs'] }),
    status: withoutAbsent({
      addresses: status['addresses'],
      // The API shows the empty string where kubelet found none: it is the id of no machine.
      nodeInfo: (info['machineID'] ?? '') === '' ? undefined : { machineID: info['machineID'] },
    }),
  };
}

const withoutAbsent = (value: Raw): Raw =>
  Object.fromEntries(Object.entries(value).filter(([, it]) => it !== undefined && it !== null));

/** A copy without the fields at these paths, and without Accept rules that lost a condition. */
function without(raw: Raw, paths: readonly Path[], kind: string): Raw {
  const copy = structuredClone(raw);
  const emptied = new Map<unknown[], Set<number>>();
  for (const path of paths) {
    const rule = kind === 'BGPFilter' ? ruleAt(copy, path) : undefined;
    if (rule?.accepts === true) emptied.set(rule.rules, (emptied.get(rule.rules) ?? new Set()).add(rule.index));
    else drop(copy, path);
  }
  for (const [rules, indexes] of emptied)
    rules.splice(0, rules.length, ...rules.filter((_, index) => !indexes.has(index)));
  return copy;
}

function ruleAt(
  raw: Raw,
  [spec, list, index]: Path,
): { readonly rules: unknown[]; readonly index: number; readonly accepts: boolean } | undefined {
  if (spec !== 'spec' || typeof list !== 'string' || typeof index !== 'number' || !isRecord(raw['spec']))
    return undefined;
  const rules = raw['spec'][list];
  if (!Array.isArray(rules)) return undefined;
  const rule: unknown = rules[index];
  return { rules, index, accepts: !(isRecord(rule) && rule['action'] === 'Reject') };
}

function drop(raw: unknown, path: Path): void {
  let here: unknown = raw;
  for (const step of path.slice(0, -1)) {
    if (typeof here !== 'object' || here === null) return;
    here = (here as Readonly<Record<string | number, unknown>>)[step];
  }
  const last = path.at(-1);
  if (isRecord(here) && typeof last === 'string') delete (here as Record<string, unknown>)[last];
}
