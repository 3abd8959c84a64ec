/**
 * Which changes of conditions are worth an Event, for people who look at the Node. PURE. A session that goes down or comes
 * back is said at once; whatever else is wrong is said when it has been so for a while, because much of it mends itself while
 * an agent starts; and what was said to be wrong is said to be right again.
 */
import type { Condition } from '#intent/node-intent.ts';
import { severityOf } from '#intent/severity.ts';
import { type Instant, between, seconds } from '#lib/time.ts';

export interface ConditionNote {
  readonly condition: Condition;
  readonly type: 'Normal' | 'Warning';
}

interface Watched {
  readonly status: Condition['status'];
  readonly reason: Condition['reason'];
  readonly since: Instant;
  /** This reason was said; `before`: another one was, of the same failure. */
  readonly said: 'no' | 'before' | 'yes';
}

/** By object and type. */
export type Watchlist = ReadonlyMap<string, Watched>;

const patience = seconds(20);

const isWrong = (it: Condition): boolean => severityOf(it) !== 'info';

/** Decided by resources alone. */
const decidedByResources: ReadonlySet<Condition['type']> = new Set(['Accepted', 'EngineSupports']);

/**
 * What is so on this node: of the Node, and of its sessions. What resources alone decide all nodes would say of one object; the
 * controller says it once, on the object.
 */
export const isToldByNode = ({ kind, type }: Pick<Condition, 'kind' | 'type'>): boolean =>
  kind === 'Node' || (kind === 'BGPPeer' && !decidedByResources.has(type));

export function conditionNotes(
  before: Watchlist,
  conditions: readonly Condition[],
  now: Instant,
): { readonly notes: readonly ConditionNote[]; readonly watchlist: Watchlist; readonly waits: boolean } {
  const notes: ConditionNote[] = [];
  const watchlist = new Map<string, Watched>();
  let waits = false;
  for (const condition of conditions) {
    const { kind, name, type, status, reason } = condition;
    const key = `${kind} ${name} ${type}`;
    const last = before.get(key);
    if (!isWrong(condition)) {
      if (last !== undefined && last.said !== 'no' && status === 'True') notes.push({ condition, type: 'Normal' });
      // Nothing is known of what only waits.
      const kept = reason === 'Pending' ? last : undefined;
      watchlist.set(key, kept ?? { status, reason, since: now, said: 'no' });
      continue;
    }
    const same = last?.status === status && last.reason === reason;
    const since = same ? last.since : now;
    const sudden = type === 'Established' && last?.status === 'True';
    const due = sudden || between(since, now) >= patience;
    const said = same && last.said === 'yes';
    if (due && !said) notes.push({ condition, type: 'Warning' });
    const saidBefore = last !== undefined && last.said !== 'no';
    watchlist.set(key, { status, reason, since, said: said || due ? 'yes' : saidBefore ? 'before' : 'no' });
    if (!due && !said) waits = true;
  }
  return { notes, watchlist, waits };
}
