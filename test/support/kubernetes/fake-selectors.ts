// Field and label selectors, and JSON merge patch, as the API server takes them.
import type { ApiObject } from '#kubernetes/store.ts';
import { Refused } from './fake-objects.ts';
import type { FakeType } from './fake-objects.ts';

type Matcher = (object: ApiObject) => boolean;

export function matcherOf(
  type: FakeType,
  asked: { readonly namespace: string | undefined; readonly query: URLSearchParams },
): Matcher {
  const fields = fieldMatchers(type, asked.query.get('fieldSelector') ?? '');
  const labels = labelMatchers(asked.query.get('labelSelector') ?? '');
  return (object) =>
    (asked.namespace === undefined || object.metadata.namespace === asked.namespace) &&
    [...fields, ...labels].every((matches) => matches(object));
}

function fieldMatchers(type: FakeType, selector: string): Matcher[] {
  return partsOf(selector).map((part) => {
    const match = /^([^=!]+)(!=|==|=)(.*)$/.exec(part);
    const [, field = '', sign, value] = match ?? [];
    const selectable = ['metadata.name', 'metadata.namespace', ...(type.selectableFields ?? [])];
    if (match === null || !selectable.includes(field))
      throw new Refused(400, 'BadRequest', `field label not supported: ${field}`);
    return (object) => (at(object, field) === value) === (sign !== '!=');
  });
}

function labelMatchers(selector: string): Matcher[] {
  return partsOf(selector).map((part): Matcher => {
    const set = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(part);
    if (set !== null) {
      const values = (set[3] ?? '').split(',').map((it) => it.trim());
      return (object) => values.includes(object.metadata.labels?.[set[1] ?? ''] ?? ' none') === (set[2] === 'in');
    }
    const match = /^([^=!]+)(!=|==|=)(.*)$/.exec(part);
    if (match !== null)
      return (object) => (object.metadata.labels?.[match[1] ?? ''] === match[3]) === (match[2] !== '!=');
    if (part.startsWith('!')) return (object) => object.metadata.labels?.[part.slice(1)] === undefined;
    return (object) => object.metadata.labels?.[part] !== undefined;
  });
}

/** Commas inside parentheses belong to a set. */
const partsOf = (selector: string): string[] =>
  selector
    .split(/,(?![^(]*\))/)
    .map((it) => it.trim())
    .filter((it) => it !== '');

/** An absent field is the empty text. */
function at(value: unknown, path: string): string {
  let here = value;
  for (const step of path.split('.')) {
    if (typeof here !== 'object' || here === null) return '';
    here = (here as Readonly<Record<string, unknown>>)[step];
  }
  return typeof here === 'string' || typeof here === 'number' || typeof here === 'boolean' ? String(here) : '';
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** RFC 7396. */
export function mergePatched(target: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  const result: Record<string, unknown> = isMap(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatched(result[key], value);
  }
  return result;
}
