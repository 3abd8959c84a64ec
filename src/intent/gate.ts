/**
 * What may be announced now, and so what this node must do now. PURE. A block is announced only when its blackhole route
 * is in the kernel: before that, traffic for its free addresses would go round in circles between this node and its
 * router. A fixed address is announced only while a pod of this node has it, and a pod whose block was taken away by its
 * own address. A block on its way back is withdrawn, with its blackhole, as soon as no pod has an address of it. Services
 * are announced only while the proxy that translates them works, and again only after a delay.
 */
import type { Announcement } from '#bgp/engine.ts';
import { comparePrefixes, contains, hostPrefix, inPrefixOrder, type Prefix } from '#lib/ip.ts';
import type { Compiled, Facts, NodeIntent } from './node-intent.ts';
import { strayOf, straysOf } from './strays.ts';

type Gated = Pick<Compiled, 'intent' | 'strays' | 'releasing' | 'services'>;

const needsBlackhole = ({ source }: Announcement): boolean => source === 'block' || source === 'fixedAddress';

/** Blocks on their way back of which no pod has an address any more. */
function leaving({ releasing }: Gated, { pods }: Facts): ReadonlySet<Prefix> {
  const idle = pods?.blocks.filter((it) => it.used + it.fenced === 0) ?? [];
  return new Set(releasing.filter((cidr) => idle.some((it) => it.cidr === cidr)));
}

/** The proxy translates what would be announced; where it is not asked, that is taken for granted. */
export const proxyServes = ({ services }: Pick<Compiled, 'services'>, { proxy }: Facts): boolean =>
  services.proxyHealthPort === undefined || proxy?.healthy === true;

/** All is known that decides about Services; until then less may be announced than there will be. */
export const servicesSettled = (compiled: Pick<Compiled, 'services'>, facts: Facts): boolean => {
  const { ranges, excluded, proxyHealthPort, known } = compiled.services;
  if (ranges.length === 0 || excluded) return true;
  const proxyKnown = proxyHealthPort === undefined || facts.proxy?.healthy !== undefined;
  return proxyKnown && (known || facts.servicesProblem !== undefined);
};

/** Addresses and ranges of Services that are to be announced but for the delay. */
export const servable = (compiled: Gated, facts: Facts): ReadonlySet<Prefix> =>
  new Set(
    proxyServes(compiled, facts)
      ? compiled.intent.bgp?.announcements.filter((it) => it.source === 'service').map((it) => it.prefix)
      : [],
  );

/** What is to be announced, whatever the kernel has; the same list when no pod and no Service changes it. */
export function wanted(compiled: Gated, facts: Facts): readonly Announcement[] {
  const { intent } = compiled;
  const strays = straysOf(compiled, facts);
  const { pods } = facts;
  const gone = leaving(compiled, facts);
  const serves = proxyServes(compiled, facts);
  const stays = ({ source, prefix }: Announcement): boolean => {
    if (source === 'block') return !gone.has(prefix);
    return source !== 'service' || (serves && facts.delayed?.has(prefix) !== true);
  };
  const all = intent.bgp?.announcements ?? [];
  const announcements = all.every(stays) ? all : all.filter(stays);
  const inUse = new Set<Prefix>(pods?.fixedAddresses.map(hostPrefix));
  const idle = announcements.filter((it) => it.source === 'fixedAddress' && !inUse.has(it.prefix));
  const hosts = (pods?.outsideBlocks ?? []).flatMap((address) => strayOf(strays, address).announcement ?? []);
  if (idle.length === 0 && hosts.length === 0) return announcements;
  return inPrefixOrder([...announcements.filter((it) => !idle.includes(it)), ...hosts], ({ prefix }) => prefix);
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
  const gone = leaving(compiled, facts);
  const standing = intent.dataplane.blocks.filter((it) => !gone.has(it));
  const blocks = new Set([...standing, ...all.filter(needsBlackhole).map((it) => it.prefix)]);
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
