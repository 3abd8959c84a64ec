/**
 * What may be announced now, and so what this node must do now. PURE. A block is announced only when its blackhole route
 * is in the kernel: before that, traffic for its free addresses would go round in circles between this node and its
 * router. A fixed address is announced only while a pod of this node has it, and a pod whose block was taken away by its
 * own address.
 */
import type { Announcement } from '#bgp/engine.ts';
import { comparePrefixes, contains, hostPrefix, type Prefix } from '#lib/ip.ts';
import type { Compiled, Facts, NodeIntent } from './node-intent.ts';
import { strayOf } from './strays.ts';

type Gated = Pick<Compiled, 'intent' | 'strays'>;

const needsBlackhole = ({ source }: Announcement): boolean => source === 'block' || source === 'fixedAddress';

/** What is to be announced, whatever the kernel has; the same list when no pod changes it. */
export function wanted({ intent, strays }: Gated, { pods }: Facts): readonly Announcement[] {
  const announcements = intent.bgp?.announcements ?? [];
  const inUse = new Set<Prefix>(pods?.fixedAddresses.map(hostPrefix));
  const idle = announcements.filter((it) => it.source === 'fixedAddress' && !inUse.has(it.prefix));
  const hosts = (pods?.outsideBlocks ?? []).flatMap((address) => strayOf(strays, address).announcement ?? []);
  if (idle.length === 0 && hosts.length === 0) return announcements;
  const all = [...announcements.filter((it) => !idle.includes(it)), ...hosts];
  return all.sort((a, b) => comparePrefixes(a.prefix, b.prefix));
}

/** Announcements that wait for the kernel. */
export function heldBack(compiled: Gated, facts: Facts): readonly Announcement[] {
  const inPlace = new Set(facts.kernel?.blackholes ?? []);
  return wanted(compiled, facts).filter((it) => needsBlackhole(it) && !inPlace.has(it.prefix));
}

/** Pods without a block that are translated as they were in it. */
function translated({ strays }: Gated, { pods }: Facts): Prefix[] {
  const outside = pods?.outsideBlocks ?? [];
  return outside.filter((it) => strays.translated.some((cidr) => contains(cidr, it))).map(hostPrefix);
}

/** The intent without what must wait and with what pods need; the same object when that is what it says. */
export function gate(compiled: Gated, facts: Facts): NodeIntent {
  const { intent } = compiled;
  if (intent.bgp === undefined) return intent;
  const all = wanted(compiled, facts);
  const held = new Set(heldBack(compiled, facts).map((it) => it.prefix));
  const natOutgoing = translated(compiled, facts);
  if (all === intent.bgp.announcements && held.size + natOutgoing.length === 0) return intent;
  const blocks = new Set([...intent.dataplane.blocks, ...all.filter(needsBlackhole).map((it) => it.prefix)]);
  return {
    ...intent,
    bgp: { ...intent.bgp, announcements: all.filter((it) => !held.has(it.prefix)) },
    dataplane: {
      ...intent.dataplane,
      blocks: [...blocks].sort(comparePrefixes),
      natOutgoing: [...intent.dataplane.natOutgoing, ...natOutgoing].sort(comparePrefixes),
    },
  };
}
