/**
 * What nodes say of the objects that all share: conditions of their BGPNodeStates that are not True, gathered by object. PURE.
 * Many nodes say the same of one object, so that the object says it once, and which nodes.
 */
import type { ApiObject } from '#kubernetes/store.ts';
import { type Severity, severityOf } from '#intent/severity.ts';
import { firstFew } from '#lib/text.ts';
import { fieldOf, listOf, type StatusCondition, statusCondition, type Verdict } from './conditions.ts';

export interface Complaint {
  readonly node: string;
  /** KIND/NAME */
  readonly object: string;
  readonly type: string;
  readonly status: 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  /** Of the object, as the node read it. */
  readonly generation: number | undefined;
}

/** Of one node; the worst come first in its BGPNodeState. */
const MOST = 64;
/** The schema's bounds of conditions, and of a message. */
const MOST_TYPES = 16;
const LONGEST = 1024;
/** A block that goes back is no trouble. */
const ROUTINE: ReadonlySet<string> = new Set(['Releasing']);

export function complaintsOf({ metadata, status }: ApiObject): readonly Complaint[] {
  return listOf(fieldOf(status, 'conditions'))
    .flatMap((one): readonly Complaint[] => {
      const [said, text] = [fieldOf(one, 'status'), String(fieldOf(one, 'object'))];
      const [kind, name] = text.split('/', 2);
      if ((said !== 'False' && said !== 'Unknown') || kind === 'Node' || name === undefined) return [];
      const reason = String(fieldOf(one, 'reason'));
      const type = String(fieldOf(one, 'type'));
      // What is wished is worth a word only where a session is missed.
      if (ROUTINE.has(reason) || (type !== 'Established' && severityOf({ status: said, reason }) === 'info')) return [];
      const generation = fieldOf(one, 'observedGeneration');
      return [
        {
          node: metadata.name,
          // Sessions of one BGPPeer are PEER/ADDRESS and PEER/NODE.
          object: `${kind}/${name}`,
          type,
          status: said,
          reason,
          message: String(fieldOf(one, 'message')),
          generation: typeof generation === 'number' ? generation : undefined,
        },
      ];
    })
    .slice(0, MOST);
}

/** What a node says of an earlier version of an object says nothing of this one. */
export const currentComplaints = (
  { metadata }: ApiObject,
  complaints: readonly Complaint[] = [],
): readonly Complaint[] =>
  complaints.filter(({ generation }) => (generation ?? Infinity) >= (metadata.generation ?? 0));

const order: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 };

/** Of what was said of one object under one type: the worst, and of that what most nodes say. `undefined`: nothing. */
export function gatheredVerdict(complaints: readonly Complaint[]): Verdict | undefined {
  const byReason = new Map<string, Map<string, Complaint>>();
  for (const complaint of complaints) {
    const ofReason = byReason.get(complaint.reason) ?? new Map<string, Complaint>();
    byReason.set(complaint.reason, ofReason);
    if (!ofReason.has(complaint.node)) ofReason.set(complaint.node, complaint);
  }
  const ranked = [...byReason].flatMap(([reason, byNode]) => {
    const nodes = [...byNode.keys()].sort();
    const first = byNode.get(nodes[0] ?? '');
    return first === undefined ? [] : [{ reason, nodes, first }];
  });
  ranked.sort(
    (a, b) =>
      order[severityOf(a.first)] - order[severityOf(b.first)] ||
      b.nodes.length - a.nodes.length ||
      (a.reason < b.reason ? -1 : 1),
  );
  const [worst, ...others] = ranked;
  if (worst === undefined) return undefined;
  const { reason, nodes, first } = worst;
  const besides = others.length === 0 ? '' : ` Others say ${others.map((it) => it.reason).join(', ')}.`;
  const who = ` Said by ${nodes.length === 1 ? '' : `${nodes.length} nodes: `}${firstFew(nodes)}.${besides}`;
  return { status: first.status, reason, message: `${cut(first.message, LONGEST - who.length)}${who}` };
}

/** The conditions of an object: `first`, and of other types what nodes say of this version of it. */
export function allConditions(
  object: ApiObject,
  first: readonly (Verdict & { readonly type: string })[],
  complaints: readonly Complaint[] | undefined,
  now: string,
): readonly StatusCondition[] {
  const current = currentComplaints(object, complaints);
  const types = new Set(first.map(({ type }) => type));
  const others = [...new Set(current.map(({ type }) => type))].filter((type) => !types.has(type)).sort();
  const said = others.flatMap((type) => {
    const verdict = gatheredVerdict(current.filter((one) => one.type === type));
    return verdict === undefined ? [] : [{ type, ...verdict }];
  });
  return [...first, ...said].slice(0, MOST_TYPES).map((one) => statusCondition(one, object, now));
}

const cut = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length - 1)}…`);
