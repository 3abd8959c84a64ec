/** Conditions of the node's kernel and of its addresses. */
import type { BlockFacts } from '#ipam/intent.ts';
import { families, familyOf } from '#lib/ip.ts';
import { firstFew } from '#lib/text.ts';
import { isSingleAddress, nodePoolName } from '#resources/ip-pool.ts';
import { heldBack, wanted as wantedNow } from './gate.ts';
import type { Compiled, Condition, Facts } from './node-intent.ts';
import { strayOf, straysOf } from './strays.ts';

export function kernelConditions(compiled: Compiled, facts: Facts): Condition[] {
  const base = { kind: 'Node', name: compiled.nodeName } as const;
  const { kernel } = facts;
  if (kernel === undefined) {
    const pending = { ...base, status: 'Unknown', reason: 'Pending', message: 'The kernel was not read yet.' } as const;
    return [
      { ...pending, type: 'KernelReady' },
      { ...pending, type: 'RoutesInstalled' },
      ...blocksAnnounced(compiled, facts),
    ];
  }
  const problems = [...kernel.problems, ...(facts.pods?.problems ?? [])];
  const conflicts = kernel.routeConflicts.map((it) => `${it.prefix} (protocol ${it.protocol})`);
  const { ipv4, ipv6 } = kernel.learnedRoutes;
  return [
    problems.length === 0
      ? {
          ...base,
          type: 'KernelReady',
          status: 'True',
          reason: 'KernelReady',
          message: 'The kernel is set up as it must be.',
        }
      : {
          ...base,
          type: 'KernelReady',
          status: 'False',
          reason: 'KernelProblem',
          message: problems.map((it) => `${it.text.replace(/\.$/, '')} (${it.code}).`).join(' '),
        },
    conflicts.length === 0
      ? {
          ...base,
          type: 'RoutesInstalled',
          status: 'True',
          reason: 'RoutesInstalled',
          message: `${ipv4} IPv4 and ${ipv6} IPv6 routes of peers are in the kernel.`,
        }
      : {
          ...base,
          type: 'RoutesInstalled',
          status: 'False',
          reason: 'RouteConflict',
          message: `Routes that are not flatroute's stand where routes of ours should be: ${firstFew(conflicts)}. They are left alone; delete them (\`ip route del\`) or change what adds them.`,
        },
    ...blocksAnnounced(compiled, facts),
  ];
}

function blocksAnnounced(compiled: Compiled, facts: Facts): Condition[] {
  const base = { kind: 'Node', name: compiled.nodeName, type: 'BlocksAnnounced' } as const;
  const wanted = wantedNow(compiled, facts).filter((it) => it.source === 'block' || it.source === 'fixedAddress');
  if (wanted.length === 0) return [];
  if (facts.kernel === undefined || facts.bgp === undefined)
    return [
      { ...base, status: 'Unknown', reason: 'Pending', message: 'The speaker or the kernel has not reported yet.' },
    ];
  const held = heldBack(compiled, facts).map((it) => it.prefix);
  if (held.length > 0) {
    const message = `${firstFew(held)}: held back until the blackhole route is in the kernel. If this lasts, look at condition RoutesInstalled and at the agent's log.`;
    return [{ ...base, status: 'False', reason: 'BlackholeMissing', message }];
  }
  const written = new Set(facts.bgp.announced.filter((it) => it.peers.length > 0).map((it) => it.prefix));
  const told = new Set(facts.bgp.announced.map((it) => it.prefix));
  // A fixed address comes and goes with its pod: one that the speaker has not heard of yet is on its way.
  const missing = wanted
    .filter(({ prefix, source }) => !written.has(prefix) && (source === 'block' || told.has(prefix)))
    .map((it) => it.prefix);
  if (missing.length > 0) {
    const advice =
      compiled.intent.bgp?.peers.length === 0
        ? `No BGPPeer names ${compiled.nodeName}: add one, or correct its node or nodeSelector, or the labels of the Node.`
        : `Look at condition Established of the BGPPeers of ${compiled.nodeName}.`;
    const message = `${firstFew(missing)}: announced to no peer, so nobody outside this node reaches these pods. ${advice}`;
    return [{ ...base, status: 'False', reason: 'NotAnnounced', message }];
  }
  const message = `${firstFew(wanted.map((it) => it.prefix))}: announced to at least one peer.`;
  return [{ ...base, status: 'True', reason: 'BlocksAnnounced', message }];
}

export function addressConditions(compiled: Compiled, facts: Facts): Condition[] {
  const blocks = facts.pods?.blocks ?? [];
  const found: Condition[] = [];
  for (const pool of compiled.intent.pods.ipam.pools) {
    // A closed pool is reported as such.
    if (pool.disabled) continue;
    // Fixed addresses are all in use by design.
    const countable = blocks.filter(
      (it) => it.pool === pool.name && !(pool.assignmentMode === 'Manual' && isSingleAddress(it.cidr)),
    );
    const levels = families.flatMap((family) => level(countable.filter((it) => familyOf(it.cidr) === family)));
    const worst = levels.sort((a, b) => a.free / a.capacity - b.free / b.capacity)[0];
    if (worst === undefined) continue;
    const object =
      pool.name === nodePoolName ? { kind: 'Node', name: compiled.nodeName } : { kind: 'IPPool', name: pool.name };
    found.push({ ...object, type: 'AddressesAvailable', ...availability(compiled.nodeName, worst) });
  }
  return found;
}

export function podConditions(compiled: Compiled, facts: Facts): Condition[] {
  const outside = facts.pods?.outsideBlocks;
  // Before the first intent no block is known.
  if (outside === undefined || facts.pods?.generation === 0) return [];
  const base = { kind: 'Node', name: compiled.nodeName, type: 'PodsAnnounced' } as const;
  if (outside.length === 0)
    return [
      { ...base, status: 'True', reason: 'PodsInBlocks', message: 'Every pod has addresses of a block of the node.' },
    ];
  const strays = straysOf(compiled, facts);
  const taken = outside.flatMap((address) => {
    const { owner } = strayOf(strays, address);
    return owner === undefined ? [] : [`${address} (${owner})`];
  });
  if (taken.length > 0) {
    const message = `${firstFew(taken)}: in use by pods of ${compiled.nodeName}, but in a block that another node has now, so they are not announced from here and that node may give them to others. Delete these pods, or give the block back.`;
    return [{ ...base, status: 'False', reason: 'PodsInForeignBlocks', message }];
  }
  const message = `${firstFew(outside)}: in use by pods, but in no block of ${compiled.nodeName} any more. They are announced one by one until their pods are gone. Give the block back, or make these pods again.`;
  return [{ ...base, status: 'False', reason: 'PodsOutsideBlocks', message }];
}

interface Level {
  readonly free: number;
  readonly capacity: number;
  readonly fenced: number;
}

function level(blocks: readonly BlockFacts[]): Level[] {
  const capacity = blocks.reduce((total, it) => total + it.capacity, 0);
  const used = blocks.reduce((total, it) => total + it.used, 0);
  const fenced = blocks.reduce((total, it) => total + it.fenced, 0);
  return capacity === 0 ? [] : [{ capacity, fenced, free: capacity - used - fenced }];
}

function availability(
  nodeName: string,
  { free, capacity, fenced }: Level,
): Pick<Condition, 'status' | 'reason' | 'message'> {
  const count = `${free} of ${capacity} addresses on ${nodeName} are free`;
  const more = 'Give the node another block, or move pods away';
  if (free <= 0) {
    const waiting = fenced > 0 ? ` (${fenced} wait for their pod's interface to be gone)` : '';
    return { status: 'False', reason: 'AddressesExhausted', message: `${count}${waiting}: new pods fail. ${more}.` };
  }
  return free * 10 < capacity
    ? { status: 'False', reason: 'AddressesLow', message: `${count}. ${more} before none is.` }
    : { status: 'True', reason: 'AddressesAvailable', message: `${count}.` };
}
