/**
 * PURE: our nftables table as the JSON that `nft -j -f -` reads (libnftables-json). Two chains, each replaced as a whole
 * in one transaction; nothing in them is per pod, because pod veths are told apart by their link group.
 *
 * - `pods`, raw prerouting, before connection tracking: from a veth that is not live yet or not any more, everything is
 *   dropped; from a live one, whatever has a source without a route back through that very interface (RFC 2827 at its
 *   narrowest; strict reverse path of the kernel is IPv4 only), and router advertisements and redirects of both families.
 * - `outgoing`, srcnat: sources with natOutgoing towards anything outside the pools leave with the node's routed address
 *   (masquerade would take the uplink's and die with it).
 */
import { contains, type Family, familyOf, networkAddress, type Prefix, prefixLength } from '#lib/ip.ts';
import type { DataplaneIntent } from '../intent.ts';
import { LINK_GROUP, NFT_TABLE } from '../kernel-names.ts';

type Json = Readonly<Record<string, unknown>>;

export const PODS_CHAIN = 'pods';
export const OUTGOING_CHAIN = 'outgoing';

/** What nft is given, with what the kernel must show afterwards. */
export interface Ruleset {
  readonly chain: string;
  readonly rules: number;
  readonly json: Json;
}
/** NF_IP_PRI_RAW and NF_IP_PRI_NAT_SRC. */
const RAW_PRIORITY = -300;
const SRCNAT_PRIORITY = 100;

const table: Json = { family: 'inet', name: NFT_TABLE };
const match = (left: unknown, op: string, right: unknown): Json => ({ match: { op, left, right } });
const drop: Json = { drop: null };
const fromGroup = (right: unknown): Json => match({ meta: { key: 'iifgroup' } }, '==', right);
const payload = (protocol: string, field: string): Json => ({ payload: { protocol, field } });
const addRule = (chain: string, expr: readonly Json[]): Json => ({
  add: { rule: { family: 'inet', table: NFT_TABLE, chain, expr } },
});

/** A chain as it must be, whatever it was: one of another hook would refuse to change, so it is made anew. */
function chainOf(chain: Json & { readonly name: string }, rules: readonly (readonly Json[])[]): Ruleset {
  const bare = { family: 'inet', table: NFT_TABLE, name: chain.name };
  const json = {
    nftables: [
      { add: { table } },
      { add: { chain: bare } },
      { flush: { chain: bare } },
      { delete: { chain: bare } },
      { add: { chain: { ...bare, ...chain } } },
      ...rules.map((expr) => addRule(chain.name, expr)),
    ],
  };
  return { chain: chain.name, rules: rules.length, json };
}

export function podRules(): Ruleset {
  const fromLive = fromGroup(LINK_GROUP.live);
  return chainOf({ name: PODS_CHAIN, type: 'filter', hook: 'prerouting', prio: RAW_PRIORITY, policy: 'accept' }, [
    [fromGroup({ set: [LINK_GROUP.building, LINK_GROUP.dying, LINK_GROUP.reaping] }), drop],
    [fromLive, match({ fib: { result: 'oif', flags: ['saddr', 'iif'] } }, '==', false), drop],
    [fromLive, match(payload('icmpv6', 'type'), '==', { set: ['nd-router-advert', 'nd-redirect'] }), drop],
    [fromLive, match(payload('icmp', 'type'), '==', 'redirect'), drop],
  ]);
}

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
  const chain = { name: OUTGOING_CHAIN, type: 'nat', hook: 'postrouting', prio: SRCNAT_PRIORITY, policy: 'accept' };
  return chainOf(chain, rules);
}
