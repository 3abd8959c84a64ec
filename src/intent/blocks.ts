/**
 * Which blocks this node has, which pool each belongs to, and what is wrong with pools and blocks. Every node decides
 * from the same objects by the same order, so that two nodes never both use a range that both were given.
 */
import type { PoolIntent } from '#ipam/intent.ts';
import { addressBytes, comparePrefixes, contains, familyOf, networkAddress, prefixLength } from '#lib/ip.ts';
import type { Prefix } from '#lib/ip.ts';
import { type Node, podCIDRs } from '#resources/core.ts';
import type { IPBlock } from '#resources/ip-block.ts';
import { isSingleAddress, nodePoolName } from '#resources/ip-pool.ts';
import type { ResourceSet } from '#resources/resource-set.ts';
import { matches } from '#resources/selector.ts';
import type { Labels } from '#resources/selector.ts';
import type { Condition } from './node-intent.ts';
import { namespaceLimit } from './namespaces.ts';
import type { Complaint } from './node.ts';
import { allocatable, blockSizeOf, fits, isClosed, isManual, overlappedPools, poolOf } from './pools.ts';

interface Block {
  readonly cidr: Prefix;
  readonly pool: string;
  readonly announced: boolean;
  readonly fixedAddress: boolean;
  readonly natOutgoing: boolean;
}

/** A range that another node has. */
export interface ForeignBlock {
  readonly cidr: Prefix;
  readonly node: string;
}

export interface Blocks {
  readonly foreign: readonly ForeignBlock[];
  readonly blocks: readonly Block[];
  readonly pools: readonly PoolIntent[];
  readonly conditions: readonly Condition[];
  readonly complaints: readonly Complaint[];
  /** Of `blocks`: those on their way back, which are announced while a pod has an address of them. */
  readonly releasing: readonly Prefix[];
}

interface Claim {
  readonly cidr: Prefix;
  readonly node: string;
  readonly releasing: boolean;
  /** Claimed for a Node of this name, of which nobody can say whether it is this one while there is none. */
  readonly doubtful: boolean;
  /** `undefined`: a podCIDR of the Node. */
  readonly ipBlock: string | undefined;
}

export function blocksOf(
  resources: ResourceSet,
  nodeName: string,
  labels: Labels,
  source: 'NodePodCIDR' | 'IPPools',
): Blocks {
  const conditions: Condition[] = [];
  const complaints: Complaint[] = [];
  const overlapping = overlappedPools(resources.ipPools);
  for (const pool of resources.ipPools) conditions.push(allocatable(pool, overlapping));

  const node = resources.nodes.find((it) => it.metadata.name === nodeName);
  const claims: Claim[] = [];
  for (const it of resources.ipBlocks) {
    const why = it.spec.node === nodeName ? notInForce(it, node) : undefined;
    if (why !== undefined) conditions.push(why);
    else if (it.spec.state !== 'Pending')
      claims.push({
        cidr: it.spec.cidr,
        node: it.spec.node,
        releasing: it.spec.state === 'Releasing',
        doubtful: node === undefined && it.spec.nodeUID !== undefined,
        ipBlock: it.metadata.name,
      });
  }
  if (source === 'NodePodCIDR') {
    const unused = new Set(claims.filter(({ cidr }) => !isManual(poolOf(cidr, resources.ipPools, overlapping))));
    for (const claim of unused) if (claim.node === nodeName) conditions.push(notUsed(claim));
    claims.splice(0, claims.length, ...claims.filter((claim) => !unused.has(claim)), ...podCIDRClaims(resources.nodes));
  }

  const blocks: Block[] = [];
  const foreign: ForeignBlock[] = [];
  const pools = new Map<string, { intent: PoolIntent; blocks: Prefix[]; closed: Prefix[] }>();
  for (const { claim, lostTo } of decided(claims)) {
    const { cidr, ipBlock } = claim;
    if (claim.node !== nodeName) {
      if (lostTo === undefined) foreign.push({ cidr, node: claim.node });
      continue;
    }
    const accept = (status: 'True' | 'False' | 'Unknown', reason: Complaint['reason'], message: string): void => {
      if (ipBlock !== undefined)
        conditions.push({ kind: 'IPBlock', name: ipBlock, type: 'Accepted', status, reason, message });
      else if (status === 'False') complaints.push({ reason, message });
    };
    if (lostTo !== undefined) {
      const other = lostTo.ipBlock === undefined ? `Node ${lostTo.node}` : `IPBlock ${lostTo.ipBlock}`;
      const message = `${cidr} overlaps ${lostTo.cidr} of ${other}, which comes first and keeps it. ${nodeName} does not use it; give it a range of its own.`;
      accept('False', 'Conflict', message);
      continue;
    }
    const pool = poolOf(cidr, resources.ipPools, overlapping);
    if (ipBlock !== undefined && pool === undefined) {
      accept('False', 'PoolMissing', `${cidr} lies in no IPPool and is not used. Add the pool, or delete the block.`);
      continue;
    }
    if (ipBlock !== undefined && pool !== undefined && !fits(cidr, pool)) {
      const message = `${cidr} is no block of IPPool ${pool.metadata.name}, whose blocks are /${blockSizeOf(pool)}, and is not used. Cut it into such blocks.`;
      accept('False', 'BlockSizeWrong', message);
      continue;
    }
    const selected = ipBlock === undefined || pool === undefined || matches(pool.spec.nodeSelector.expression, labels);
    if (claim.releasing)
      accept('False', 'Releasing', `${cidr} gives no new addresses and goes back when no pod has one of it.`);
    else if (claim.doubtful)
      accept(
        'Unknown',
        'Pending',
        `${cidr} gives no new addresses while there is no Node ${nodeName}: it may be of an earlier one of this name.`,
      );
    else if (selected) accept('True', 'Accepted', `${cidr} is used by ${nodeName}.`);
    else
      accept(
        'False',
        'NodeNotSelected',
        `nodeSelector of IPPool ${pool?.metadata.name} leaves ${nodeName} out: pods that have an address of ${cidr} keep it, new ones get none. Change the selector, or move the pods and delete the block.`,
      );
    const assignmentMode = pool?.spec.assignmentMode ?? 'Automatic';
    const disabled = !selected || (pool !== undefined && isClosed(pool, overlapping));
    const name = pool?.metadata.name ?? nodePoolName;
    const namespaces = pool === undefined ? undefined : namespaceLimit(pool, resources.namespaces);
    const limit = namespaces === undefined ? {} : { namespaces };
    const entry = pools.get(name) ?? {
      intent: { name, blocks: [], assignmentMode, disabled, ...limit },
      blocks: [],
      closed: [],
    };
    entry.blocks.push(cidr);
    if (claim.releasing || claim.doubtful) entry.closed.push(cidr);
    pools.set(name, entry);
    blocks.push({
      cidr,
      pool: name,
      announced: pool?.spec.disableBGPExport !== true,
      fixedAddress: assignmentMode === 'Manual' && isSingleAddress(cidr),
      natOutgoing: pool?.spec.natOutgoing ?? false,
    });
  }
  const poolIntents = [...pools.values()].map(
    ({ intent, blocks: own, closed }): PoolIntent => ({
      ...intent,
      blocks: own.sort(comparePrefixes),
      ...(closed.length === 0 ? {} : { closed }),
    }),
  );
  poolIntents.sort((a, b) => (a.name < b.name ? -1 : 1));
  const releasing = claims.filter((it) => it.releasing && it.node === nodeName).map((it) => it.cidr);
  return { foreign, blocks, pools: poolIntents, conditions, complaints, releasing };
}

const podCIDRClaims = (nodes: readonly Node[]): Claim[] =>
  nodes.flatMap((it) =>
    podCIDRs(it).map((cidr) => ({
      cidr,
      node: it.metadata.name,
      releasing: false,
      doubtful: false,
      ipBlock: undefined,
    })),
  );

/** A block of this node's name that is not to be used, or not yet. A Node that is not there may be there no longer: its name counts. */
function notInForce({ metadata, spec }: IPBlock, node: Node | undefined): Condition | undefined {
  const uid = node?.metadata.uid;
  const machineID = node?.status?.nodeInfo?.machineID;
  const sameMachine = machineID !== undefined && machineID === spec.machineID;
  const base = { kind: 'IPBlock', name: metadata.name, type: 'Accepted' } as const;
  if (spec.nodeUID !== undefined && uid !== undefined && spec.nodeUID !== uid && !sameMachine) {
    const message = `${spec.cidr} was claimed by an earlier Node ${spec.node} (UID ${spec.nodeUID}) and is not used. It was another machine's, and is collected by the controller; nothing is to be done.`;
    return { ...base, status: 'False', reason: 'NodeReplaced', message };
  }
  if (spec.state !== 'Pending') return undefined;
  const message = `${spec.cidr} is not used yet: ${spec.node} looks whether another block overlaps it.`;
  return { ...base, status: 'Unknown', reason: 'Pending', message };
}

function notUsed({ cidr, ipBlock = '' }: Claim): Condition {
  const message = `${cidr} is not used: with addressSource NodePodCIDR addresses come from podCIDRs, and from blocks of pools with assignmentMode Manual. Set addressSource to IPPools in the BGPConfiguration, or delete the block.`;
  return { kind: 'IPBlock', name: ipBlock, type: 'Accepted', status: 'False', reason: 'BlockNotUsed', message };
}

/** Sort key: what contains comes before what it contains, and equal ranges stand in order of their owner. */
const orderKey = (claim: Claim): string => {
  const bytes = Buffer.from(addressBytes(networkAddress(claim.cidr))).toString('hex');
  return `${familyOf(claim.cidr)} ${bytes} ${String(prefixLength(claim.cidr)).padStart(3, '0')} ${claim.ipBlock === undefined ? 0 : 1} ${claim.node}`;
};

/** Prefixes nest or are disjoint, so one pass in order finds every overlap. */
function* decided(claims: readonly Claim[]): Generator<{ claim: Claim; lostTo: Claim | undefined }> {
  const ordered = claims.map((claim) => ({ claim, key: orderKey(claim) })).sort((a, b) => (a.key < b.key ? -1 : 1));
  let holder: Claim | undefined;
  for (const { claim } of ordered) {
    if (holder !== undefined && contains(holder.cidr, claim.cidr)) yield { claim, lostTo: holder };
    else {
      holder = claim;
      yield { claim, lostTo: undefined };
    }
  }
}
