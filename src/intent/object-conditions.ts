/**
 * What can be said of an object by looking at all objects of the cluster, which no node does. PURE. The controller writes it
 * into the object's status, beside what nodes say.
 */
import type { ResourceProblem } from '#resources/resource-set.ts';
import type { IPPool } from '#resources/ip-pool.ts';
import { addressBits, familyOf, prefixLength } from '#lib/ip.ts';
import type { Prefix } from '#lib/ip.ts';
import { firstFew } from '#lib/text.ts';
import type { Condition } from './node-intent.ts';

type Verdict = Pick<Condition, 'status' | 'reason' | 'message'>;

/** What nodes say; the reason may be one of an agent that is newer. */
interface Said {
  readonly status: Condition['status'];
  readonly reason: string;
  readonly message: string;
}

export interface WantedSession {
  /** Nodes that want it. */
  readonly nodes: number;
  /** Those on which it is not up. */
  readonly down: readonly string[];
  /** Those of which nothing is heard: what they wrote last is old. */
  readonly silent: readonly string[];
  /** What nodes say where it is down. */
  readonly why: Said | undefined;
}

/** Whether the sessions of a BGPPeer are up wherever they are wanted. */
export function establishedEverywhere({ nodes, down, silent, why }: WantedSession): Said {
  if (nodes === 0)
    return {
      status: 'Unknown',
      reason: 'Pending',
      message: 'No node has reported a session for it. Does its nodeSelector select one?',
    };
  if (down.length > 0) {
    const where = `Down on ${down.length} of ${nodes}: ${firstFew(down)}.`;
    return why === undefined
      ? {
          status: 'False',
          reason: 'NotEstablished',
          message: `${where} kubectl get bgpnodestate ${down[0]} -o yaml says why.`,
        }
      : { status: 'False', reason: why.reason, message: `${where} ${why.message}`.slice(0, LONGEST) };
  }
  if (silent.length > 0) {
    const message = `Up on ${nodes - silent.length} of ${nodes} nodes. Nothing is heard of ${firstFew(silent)}: see whether kubelet and agent run there.`;
    return { status: 'Unknown', reason: 'NodeSilent', message };
  }
  const everywhere = nodes === 1 ? 'its node' : `all ${nodes} nodes`;
  return { status: 'True', reason: 'Established', message: `Up on ${everywhere}.` };
}

export const acceptedByAll = (kind: string, name: string): Verdict => ({
  status: 'True',
  reason: 'Accepted',
  message: `${kind} ${name} is valid, and no node says otherwise.`,
});

/** It was read as every node reads it. `undefined`: nothing is wrong with it by itself. */
export function readVerdict(problems: readonly ResourceProblem[]): Verdict | undefined {
  if (problems.length === 0) return undefined;
  const known = problems.every((it) => it.fieldOnly === true);
  return {
    status: 'False',
    reason: known ? 'UnknownField' : 'Invalid',
    message: problems
      .map((it) => it.message)
      .join(' ')
      .slice(0, LONGEST),
  };
}

/** The schema's bound of a message. */
const LONGEST = 1024;

/** Of a BGPConfiguration or an IPBlock for a Node that is not there. */
export const nodeMissing = (kind: string, name: string, node: string): Verdict => ({
  status: 'False',
  reason: 'NodeMissing',
  message: `There is no Node ${node}, so ${kind} ${name} is in force nowhere. Correct the name, or delete the object.`,
});

/** Addresses of a prefix. */
export const sizeOf = (cidr: Prefix): number => 2 ** (addressBits(familyOf(cidr)) - prefixLength(cidr));

/** Less than this part of a pool is left. */
const LOW = 0.1;

/** Whether nodes can claim further blocks. `undefined`: nodes claim none of this pool. */
export function blocksAvailable(
  pool: IPPool,
  claimed: number,
): (Verdict & { readonly type: 'BlocksAvailable' }) | undefined {
  if (!pool.spec.allowedUses.includes('Workload')) return undefined;
  const { name } = pool.metadata;
  const whole = sizeOf(pool.spec.cidr);
  const taken = `${claimed} of ${whole} addresses of ${pool.spec.cidr} are in blocks of nodes`;
  const base = { type: 'BlocksAvailable' } as const;
  if (claimed >= whole) {
    const message = `${taken}: a node whose blocks are full gets no further one of ${name}. Add a pool, or move pods away.`;
    return { ...base, status: 'False', reason: 'BlocksExhausted', message };
  }
  if (whole - claimed < whole * LOW) {
    const message = `${taken}: less than a tenth of ${name} is left. Add a pool before it is full.`;
    return { ...base, status: 'False', reason: 'BlocksLow', message };
  }
  return { ...base, status: 'True', reason: 'BlocksFree', message: `Nodes can claim further blocks of ${name}.` };
}
