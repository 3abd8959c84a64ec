/**
 * PURE: our nftables tables as the JSON that `nft -j -f -` reads (libnftables-json). Four chains, each replaced as a whole
 * in one transaction; nothing in them is per pod, because pod veths are told apart by their link group.
 *
 * - `pods`, raw prerouting, before connection tracking: from a veth that is not live yet or not any more, everything is
 *   dropped; from a live one, whatever has a source without a route back through that very interface (RFC 2827 at its
 *   narrowest; strict reverse path of the kernel is IPv4 only), the unspecified address included, which a look at
 *   routes lets pass; neighbour discovery, since both ends have permanent entries; and redirects of IPv4.
 * - `pods` of family arp: no ARP of a pod is heard, for the same reason. Where the reverse path is loose (systemd makes it so for every
 *   interface that comes) a pod could otherwise fill the neighbour table that the whole node shares.
 * - `outgoing`, srcnat: sources with natOutgoing towards anything outside the pools leave with the node's routed address
 *   (masquerade would take the uplink's and die with it).
 * - `services`, forward, behind the filters of others: what is still on its way to an address of a Service was translated by
 *   nobody, and the way out leads back to the router that sent it. A blackhole route would do the same to the node's own
 *   packets, before its proxy sees them.
 */
import { contains, families, type Family, familyOf, networkAddress, type Prefix, prefixLength } from '#lib/ip.ts';
import type { DataplaneIntent } from '../intent.ts';
import { LINK_GROUP, NFT_TABLE } from '../kernel-names.ts';

type Json = Readonly<Record<string, unknown>>;

const PODS_CHAIN = 'pods';
const OUTGOING_CHAIN = 'outgoing';
const SERVICES_CHAIN = 'services';

/** What nft is given, with what the kernel must show afterwards. */
export interface Ruleset {
  readonly family: 'inet' | 'arp';
  readonly chain: string;
  readonly rules: number;
  readonly json: Json;
  /** The same, and whatever else is in the table goes: for one that somebody made unlike ours. */
  readonly anew: Json;
}
/**
 * NF_IP_PRI_RAW and NF_IP_PRI_NAT_SRC; and behind NF_IP_PRI_FILTER, where kube-proxy answers for Services without endpoints, so
 * that whoever asks is refused and does not wait.
 */
const RAW_PRIORITY = -300;
const SRCNAT_PRIORITY = 100;
const AFTER_FILTER_PRIORITY = 10;

const match = (left: unknown, op: string, right: unknown): Json => ({ match: { op, left, right } });
const drop: Json = { drop: null };
const fromGroup = (right: unknown): Json => match({ meta: { key: 'iifgroup' } }, '==', right);
const payload = (protocol: string, field: string): Json => ({ payload: { protocol, field } });
/** A chain as it must be, whatever it was: one of another hook would refuse to change, so it is made anew. */
function chainOf(
  family: Ruleset['family'],
  chain: Json & { readonly name: string },
  rules: readonly (readonly Json[])[],
): Ruleset {
  const { name } = chain;
  const bare = { family, table: NFT_TABLE, name };
  const table = { table: { family, name: NFT_TABLE } };
  const made = [
    { add: table },
    { add: { chain: bare } },
    { flush: { chain: bare } },
    { delete: { chain: bare } },
    { add: { chain: { ...bare, policy: 'accept', ...chain } } },
    ...rules.map((expr) => ({ add: { rule: { family, table: NFT_TABLE, chain: name, expr } } })),
  ];
  const anew = { nftables: [{ add: table }, { delete: table }, ...made] };
  return { family, chain: name, rules: rules.length, json: { nftables: made }, anew };
}

const fenced = [LINK_GROUP.building, LINK_GROUP.dying, LINK_GROUP.reaping];
const neighbourDiscovery = ['router-solicit', 'router-advert', 'neighbor-solicit', 'neighbor-advert', 'redirect'];

export function podRules(): Ruleset {
  const fromLive = fromGroup(LINK_GROUP.live);
  return chainOf('inet', { name: PODS_CHAIN, type: 'filter', hook: 'prerouting', prio: RAW_PRIORITY }, [
    [fromGroup({ set: fenced }), drop],
    [fromLive, match(payload('ip', 'saddr'), '==', { prefix: { addr: '0.0.0.0', len: 8 } }), drop],
    [fromLive, match(payload('ip6', 'saddr'), '==', '::'), drop],
    [fromLive, match({ fib: { result: 'oif', flags: ['saddr', 'iif'] } }, '==', false), drop],
    [fromLive, match(payload('icmpv6', 'type'), '==', { set: neighbourDiscovery.map((it) => `nd-${it}`) }), drop],
    [fromLive, match(payload('icmp', 'type'), '==', 'redirect'), drop],
  ]);
}

export const arpRules = (): Ruleset =>
  chainOf('arp', { name: PODS_CHAIN, type: 'filter', hook: 'input', prio: 0 }, [
    [fromGroup({ set: [...fenced, LINK_GROUP.live] }), drop],
  ]);

/** nft refuses a set whose intervals overlap. */
function prefixSet(prefixes: readonly Prefix[]): Json {
  const outermost = [...new Set(prefixes)].filter(
    (inner, _, all) => !all.some((outer) => outer !== inner && contains(outer, inner)),
  );
  return { set: outermost.map((prefix) => ({ prefix: { addr: networkAddress(prefix), len: prefixLength(prefix) } })) };
}

/** Sources without a node address of their family are left as they are: there is nothing to translate to. */
export function outgoingRules(intent: DataplaneIntent): Ruleset {
  const rules: (readonly Json[])[] = [];
  const translate = (family: Family, protocol: 'ip' | 'ip6', nodeAddress: string | undefined): void => {
    const sources = intent.natOutgoing.filter((prefix) => familyOf(prefix) === family);
    if (sources.length === 0 || nodeAddress === undefined) return;
    const pools = intent.poolPrefixes.filter((prefix) => familyOf(prefix) === family);
    rules.push([
      match(payload(protocol, 'saddr'), '==', prefixSet(sources)),
      ...(pools.length === 0 ? [] : [match(payload(protocol, 'daddr'), '!=', prefixSet(pools))]),
      // Group and broadcast destinations have no translation.
      match({ meta: { key: 'pkttype' } }, '!=', 'multicast'),
      { snat: { family: protocol, addr: nodeAddress } },
    ]);
  };
  translate('ipv4', 'ip', intent.nodeAddresses.ipv4);
  translate('ipv6', 'ip6', intent.nodeAddresses.ipv6);
  return chainOf('inet', { name: OUTGOING_CHAIN, type: 'nat', hook: 'postrouting', prio: SRCNAT_PRIORITY }, rules);
}

/** Whatever goes to one of the ranges and was translated, goes to another address by now. */
export function serviceRules({ serviceRanges }: Pick<DataplaneIntent, 'serviceRanges'>): Ruleset {
  const rules = families.flatMap((family) => {
    const ranges = serviceRanges.filter((prefix) => familyOf(prefix) === family);
    const protocol = family === 'ipv4' ? 'ip' : 'ip6';
    return ranges.length === 0 ? [] : [[match(payload(protocol, 'daddr'), '==', prefixSet(ranges)), drop]];
  });
  return chainOf('inet', { name: SERVICES_CHAIN, type: 'filter', hook: 'forward', prio: AFTER_FILTER_PRIORITY }, rules);
}
