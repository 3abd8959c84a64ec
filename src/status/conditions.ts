/** Conditions and resource problems as one list of answers, worst first. PURE. */
import type { Condition } from '#intent/node-intent.ts';
import type { Reason } from '#intent/reasons.ts';
import { severityOf } from '#intent/severity.ts';
import type { Severity } from '#intent/severity.ts';
import type { ResourceProblem } from '#resources/resource-set.ts';
import type { ConditionAnswer } from './answers.ts';

/** How an object is called in answers: `peers/tor-b`. */
const collections: Readonly<Record<string, string>> = {
  BGPPeer: 'peers',
  BGPConfiguration: 'bgpconfigurations',
  BGPFilter: 'filters',
  BFDProfile: 'bfdprofiles',
  IPPool: 'pools',
  IPBlock: 'blocks',
  Node: 'node',
};

const objectName = (kind: string, name: string): string => `${collections[kind] ?? kind.toLowerCase()}/${name}`;

const order: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };

/** A line of a file, or the object itself where it comes from the API. */
function placeOf({ file, line, id }: ResourceProblem): string {
  if (line > 0) return `${file}:${line}`;
  if (file === 'api' && id !== undefined) return objectName(id.kind, id.name);
  return file === '' ? 'resources' : file;
}

/** Reasons that only repeat what a problem says. */
const saidOfProblems: ReadonlySet<Reason> = new Set<Reason>(['Invalid', 'FileRefused', 'ApiNotRead', 'UnknownField']);

/** What a file did wrong stands there with its place; the same said of the object would say it twice. */
export function conditionAnswers(
  conditions: readonly Condition[],
  problems: readonly ResourceProblem[],
): readonly ConditionAnswer[] {
  const fromFiles = problems.map(
    (problem): ConditionAnswer => ({
      object: placeOf(problem),
      type: 'Accepted',
      status: 'False',
      reason: problem.code,
      message: problem.message,
      severity: problem.fieldOnly === true ? 'warning' : 'error',
    }),
  );
  const fromObjects = conditions
    .filter(({ reason }) => !saidOfProblems.has(reason))
    .map(
      (condition): ConditionAnswer => ({
        object: objectName(condition.kind, condition.name),
        type: condition.type,
        status: condition.status,
        reason: condition.reason,
        message: condition.message,
        severity: severityOf(condition),
      }),
    );
  return [...fromFiles, ...fromObjects].sort((a, b) => order[a.severity] - order[b.severity]);
}

/** Conditions that are new or say something else than before, for the log and the event stream. */
export function changedConditions(
  before: readonly ConditionAnswer[],
  now: readonly ConditionAnswer[],
): readonly ConditionAnswer[] {
  const key = (c: ConditionAnswer): string => `${c.object}\n${c.type}`;
  const known = new Map(before.map((condition) => [key(condition), condition]));
  return now.filter((condition) => {
    // That nothing was reported yet is no news.
    if (condition.reason === 'Pending') return false;
    const last = known.get(key(condition));
    return last === undefined || last.status !== condition.status || last.reason !== condition.reason;
  });
}
