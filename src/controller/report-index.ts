/**
 * What the BGPNodeStates of all nodes say, by what it is about. Of thousands of nodes only those that changed are looked at, and
 * whoever asks is told which objects are to be looked at again.
 */
import type { ApiObject } from '#kubernetes/store.ts';
import { sameJson } from '#lib/json.ts';
import { type Complaint, complaintsOf } from './complaints.ts';
import { fieldOf, listOf } from './conditions.ts';

/** Of one node. */
export interface Report {
  /** By BGPPeer: whether it is up. The numbers are of nodes: a listen range may have many sessions on one. */
  readonly sessions: ReadonlyMap<string, boolean>;
  /** By KIND/NAME. */
  readonly complaints: ReadonlyMap<string, readonly Complaint[]>;
  /** Addresses that pods have, by IPPool. */
  readonly used: ReadonlyMap<string, number>;
}

const nothing: Report = { sessions: new Map(), complaints: new Map(), used: new Map() };

export function reportOf(object: ApiObject): Report {
  const sessions = new Map<string, boolean>();
  for (const session of listOf(fieldOf(object['status'], 'sessions'))) {
    const [peer = ''] = String(fieldOf(session, 'peer')).split('/', 1);
    const state = fieldOf(session, 'state');
    // A range that listens is as well as it can be; of several sessions one that is up counts.
    sessions.set(peer, sessions.get(peer) === true || state === 'Established' || state === 'Listening');
  }
  const used = new Map<string, number>();
  for (const block of listOf(fieldOf(object['status'], 'blocks'))) {
    const [pool, count] = [String(fieldOf(block, 'pool')), fieldOf(block, 'used')];
    used.set(pool, (used.get(pool) ?? 0) + (typeof count === 'number' ? count : 0));
  }
  return { sessions, complaints: Map.groupBy(complaintsOf(object), (one) => one.object), used };
}

export type NodeReports = Pick<ReportIndex, 'complaints' | 'nodes' | 'sessions' | 'used'>;

export class ReportIndex {
  readonly #reports = new Map<string, Report>();
  readonly #sessions = new Map<string, Map<string, boolean>>();
  readonly #complaints = new Map<string, Map<string, readonly Complaint[]>>();
  readonly #used = new Map<string, number>();

  get nodes(): number {
    return this.#reports.size;
  }

  /** The nodes that want a BGPPeer, and whether it is up there. */
  sessions(peer: string): ReadonlyMap<string, boolean> {
    return this.#sessions.get(peer) ?? nothing.sessions;
  }

  /** `object`: KIND/NAME. */
  complaints(object: string): readonly Complaint[] {
    return [...(this.#complaints.get(object)?.values() ?? [])].flat();
  }

  used(pool: string): number {
    return this.#used.get(pool) ?? 0;
  }

  /** `keys`: the nodes that changed. Answers the objects of which something else is said now. */
  learn(all: ReadonlyMap<string, Report>, keys: Iterable<string>): ReadonlySet<string> {
    const affected = new Set<string>();
    for (const node of keys) {
      const [before, now] = [this.#reports.get(node) ?? nothing, all.get(node)];
      if (now === undefined) this.#reports.delete(node);
      else this.#reports.set(node, now);
      put(this.#sessions, node, before.sessions, now?.sessions, (peer) => affected.add(`BGPPeer/${peer}`));
      put(this.#complaints, node, before.complaints, now?.complaints, (object) => affected.add(object));
      for (const pool of new Set([...before.used.keys(), ...(now?.used.keys() ?? [])])) {
        const more = (now?.used.get(pool) ?? 0) - (before.used.get(pool) ?? 0);
        if (more === 0) continue;
        this.#used.set(pool, this.used(pool) + more);
        affected.add(`IPPool/${pool}`);
      }
    }
    return affected;
  }
}

function put<T>(
  into: Map<string, Map<string, T>>,
  node: string,
  before: ReadonlyMap<string, T>,
  now: ReadonlyMap<string, T> = new Map(),
  changed: (name: string) => void,
): void {
  for (const name of before.keys()) {
    if (now.has(name)) continue;
    const ofName = into.get(name);
    ofName?.delete(node);
    if (ofName?.size === 0) into.delete(name);
    changed(name);
  }
  for (const [name, value] of now) {
    if (sameJson(before.get(name), value)) continue;
    const ofName = into.get(name) ?? new Map<string, T>();
    into.set(name, ofName.set(node, value));
    changed(name);
  }
}
