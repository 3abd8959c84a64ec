/** What is wrong with what came from the API, in sentences. PURE. */
import { idText } from '#resources/resource-set.ts';
import type { ResourceId, ResourceProblem } from '#resources/resource-set.ts';
import type { ApiError } from '#kubernetes/store.ts';
import type { Reading } from './read-object.ts';

const place = { file: 'api', line: 0, column: 0 } as const;

export function readingProblems(reading: Reading, inForce: boolean): ResourceProblem[] {
  const { id, resource } = reading;
  return reading.problems.map(({ code, field, text }): ResourceProblem => {
    const base = { code, id, ...place, field };
    const what = `${idText(id)}: ${field === '' ? '' : `${field}: `}${text}.`;
    if (resource === undefined)
      return { ...base, message: `${what} ${meanwhile(id, inForce)}`, lastGoodInForce: inForce };
    return {
      ...base,
      message: `${what} ${aside(id, field)} This flatroute may be older than the object; upgrade it, or remove the field.`,
      lastGoodInForce: false,
      fieldOnly: true,
    };
  });
}

const meanwhile = (id: ResourceId, inForce: boolean): string => {
  if (!inForce) return `${idText(id)} is not in force.`;
  return id.kind === 'BGPPeer'
    ? `The session of ${id.name} keeps its last good settings.`
    : `${idText(id)} keeps its last good state.`;
};

function aside(id: ResourceId, field: string): string {
  if (id.kind === 'BGPFilter' && /^spec\.\w+\[\d+\]/.test(field))
    return 'An Accept rule with it matches nothing, a Reject rule matches without it; the rest is in force.';
  return `The rest of ${idText(id)} is in force.`;
}

/** One sentence for all that fail in one way. */
export function failureProblems(
  failures: readonly {
    readonly plural: string;
    readonly error: ApiError;
    readonly since: Date;
    readonly kept: boolean;
  }[],
): ResourceProblem[] {
  const byCode = new Map<string, (typeof failures)[number][]>();
  for (const it of failures) byCode.set(it.error.code, [...(byCode.get(it.error.code) ?? []), it]);
  return [...byCode.values()].map((group): ResourceProblem => {
    const sorted = [...group].sort((a, b) => a.since.getTime() - b.since.getTime());
    const [first] = sorted;
    const plurals = [...new Set(group.map((it) => it.plural))].sort().join(', ');
    const since = first?.since.toISOString().replace(/\.\d+Z$/, 'Z') ?? '';
    const kept = group.some((it) => it.kept);
    const stays = kept ? 'What was last read stays in force.' : 'Nothing was read before.';
    return {
      code: first?.error.code ?? 'API_UNREACHABLE',
      id: undefined,
      ...place,
      field: '',
      message: `Not read from the Kubernetes API since ${since}: ${plurals}. ${first?.error.message ?? ''}. ${stays}`,
      lastGoodInForce: kept,
    };
  });
}

export const plainProblem = (
  code: 'CONFIG_TOO_MANY_NODES' | 'CONFIG_CACHE_UNREADABLE',
  message: string,
): ResourceProblem => ({
  code,
  id: undefined,
  ...place,
  field: '',
  message,
  lastGoodInForce: false,
});
