/**
 * Every condition that a user sees is decided here, from intent and facts. PURE. A condition stands on the object that
 * the user would change, `True` is always the good state, and its message says what to do.
 */
import type { ResourceProblem } from '#resources/resource-set.ts';
import { bfdConditions } from './bfd-conditions.ts';
import { addressConditions, kernelConditions, podConditions } from './kernel-conditions.ts';
import { engineConditions } from './engine-conditions.ts';
import { conflistConditions } from './conflist-conditions.ts';
import { claimConditions } from './claim-conditions.ts';
import type { Compiled, Condition, Facts } from './node-intent.ts';
import { serviceConditions } from './service-conditions.ts';
import { listeningConditions, passwordConditions, sessionConditions } from './session-conditions.ts';

export function conditions(
  compiled: Compiled,
  facts: Facts,
  problems: readonly ResourceProblem[] = [],
): readonly Condition[] {
  const all = new Map<string, Condition>();
  const put = (it: Condition): void => void all.set(`${it.kind} ${it.name} ${it.type}`, it);
  for (const it of compiled.conditions) put(it);
  for (const it of claimConditions(compiled, facts)) put(it);
  for (const it of sessionConditions(compiled, facts)) put(it);
  for (const it of bfdConditions(compiled, facts)) put(it);
  for (const it of listeningConditions(compiled, facts)) put(it);
  for (const it of passwordConditions(compiled, facts)) put(it);
  for (const it of engineConditions(compiled, facts)) put(it);
  for (const it of kernelConditions(compiled, facts)) put(it);
  for (const it of addressConditions(compiled, facts)) put(it);
  for (const it of podConditions(compiled, facts)) put(it);
  for (const it of serviceConditions(compiled, facts)) put(it);
  for (const it of conflistConditions(compiled.nodeName, facts)) put(it);
  // An object that was refused is not accepted, though its last good state is.
  for (const it of refused(problems)) {
    const before = all.get(`${it.kind} ${it.name} ${it.type}`);
    // What keeps the object from being in force says more than a field that is left out.
    if (it.reason === 'UnknownField' && before?.status === 'False')
      put({ ...before, message: `${before.message} ${it.message}` });
    else put(it);
  }
  put(resourcesRead(compiled.nodeName, problems));
  return [...all.keys()].sort().flatMap((key) => all.get(key) ?? []);
}

function refused(problems: readonly ResourceProblem[]): Condition[] {
  const byObject = new Map<string, Condition>();
  for (const { id, message, fieldOnly } of problems) {
    if (id === undefined) continue;
    const name = id.namespace === undefined ? id.name : `${id.namespace}/${id.name}`;
    const key = `${id.kind} ${name}`;
    const before = byObject.get(key);
    byObject.set(key, {
      kind: id.kind,
      name,
      type: 'Accepted',
      status: 'False',
      reason: fieldOnly === true && before?.reason !== 'Invalid' ? 'UnknownField' : 'Invalid',
      message: before === undefined ? message : `${before.message} ${message}`,
    });
  }
  return [...byObject.values()];
}

/** What is wrong with a file as a whole belongs to no object; it stands on the node that reads it. */
function resourcesRead(nodeName: string, problems: readonly ResourceProblem[]): Condition {
  const base = { kind: 'Node', name: nodeName, type: 'ResourcesRead' } as const;
  const refusals = problems.filter((it) => it.id === undefined);
  const whole = refusals.map((it) => it.message);
  if (whole.length === 0) return { ...base, status: 'True', reason: 'ResourcesRead', message: 'Everything was read.' };
  const reason = refusals.some((it) => it.file === 'api') ? 'ApiNotRead' : 'FileRefused';
  const more = whole.length > listed ? ` (and ${whole.length - listed} more)` : '';
  return { ...base, status: 'False', reason, message: `${whole.slice(0, listed).join(' ')}${more}` };
}

/** Sentences in one message at most. */
const listed = 5;
