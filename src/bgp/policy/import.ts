/**
 * Which received routes are accepted. In: the intent of one peer and the prefixes that are this node's own; out: a judgement
 * with its sentence. The order: ranges that no policy opens, the node's own prefixes, loops, the first matching filter rule,
 * a filter's default, importPolicy. What is refused stays in the adj-rib-in, so a changed policy needs no reset.
 */
import type { Asn, Family, IpAddress, Prefix } from '#lib/ip.ts';
import { addressBytes } from '#lib/ip.ts';
import { type ImportPolicy, type PeerIntent, isExternal } from '../engine.ts';
import type { AcceptedAttributes } from './accepted-attributes.ts';
import type { Filters, Judgement } from './matcher.ts';
import { PrefixSet, compileFilters } from './matcher.ts';
import type { InterfaceOf } from './path-match.ts';
import type { Rewrite } from './rewrite.ts';
import { drained, externalRewrite, localAsRewrite } from './rewrite.ts';
import { remoteAsn, roleRules } from './roles.ts';

/** What stands in a table of routes for no host outside its own link or machine. */
export const refusedRanges: readonly Prefix[] = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/3',
  '::/8',
  'fe80::/10',
  'ff00::/8',
] as Prefix[];

interface Never {
  /** `undefined` for a range that nobody may announce. */
  readonly own: Prefix | undefined;
  readonly range: Prefix;
}

/** Built once per intent, shared by all peers. */
export type NeverImported = Readonly<Record<Family, PrefixSet<Never>>>;

export function neverImported(ownPrefixes: readonly Prefix[]): NeverImported {
  const entries: [Prefix, Never][] = [];
  for (const range of refusedRanges) entries.push([range, { own: undefined, range }]);
  for (const own of ownPrefixes) entries.push([own, { own, range: own }]);
  return { ipv4: new PrefixSet('ipv4', entries), ipv6: new PrefixSet('ipv6', entries) };
}

export interface ImportRules {
  /** Loops and leaks: about all prefixes that carry these attributes. `undefined`: nothing against them. */
  attributes(attributes: AcceptedAttributes): Judgement | undefined;
  prefix(
    family: Family,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    length: number,
    attributes: AcceptedAttributes,
    /** Number of the next hop. */
    hop?: number,
  ): Judgement;
  /** Some rule looks at interfaces: what changes in the kernel can change a judgement. */
  readonly looksAtInterfaces: boolean;
  /** What becomes of the attributes of an accepted path; `undefined`: they stay as received. */
  rewrite(judgement: Judgement, attributes: AcceptedAttributes): Rewrite | undefined;
}

const importPolicyJudgements: Readonly<Record<ImportPolicy, Judgement>> = {
  None: { accepted: false, reason: 'refused: importPolicy None' },
  DefaultRoute: { accepted: true, reason: 'accepted: importPolicy DefaultRoute' },
  All: { accepted: true, reason: 'accepted: importPolicy All' },
};
const withSet: Judgement = { accepted: false, reason: 'refused: the AS path has a set of ASes (RFC 9774)' };
const notDefaultRoute: Judgement = { accepted: false, reason: 'refused: importPolicy DefaultRoute' };

/** The BGP identifier as the unsigned number that attributes carry. */
export const identifierNumber = (routerId: IpAddress): number =>
  new DataView(addressBytes(routerId).buffer).getUint32(0);

export function compileImport(
  peer: Pick<
    PeerIntent,
    'filters' | 'importPolicy' | 'allowedLocalAsns' | 'localAsn' | 'prependsReceived' | 'peerAsn' | 'role' | 'drain'
  >,
  local: { readonly asn: Asn; readonly routerId: IpAddress; readonly clusterId?: IpAddress | undefined },
  never: NeverImported,
  interfaceOf?: InterfaceOf,
): ImportRules {
  const external = isExternal(peer);
  const role = roleRules(peer);
  const always = external ? externalRewrite(peer) : undefined;
  const withLocalAs = peer.prependsReceived === true && external ? localAsRewrite(peer.localAsn) : undefined;
  const filters: Record<Family, Filters> = {
    ipv4: compileFilters(peer.filters, 'import', 'ipv4', external, { last: always, interfaceOf }),
    ipv6: compileFilters(peer.filters, 'import', 'ipv6', external, { last: always, interfaceOf }),
  };
  const refusals = new Map<Prefix, { readonly equal: Judgement; readonly inside: Judgement }>();
  const refusal = (found: Never): { readonly equal: Judgement; readonly inside: Judgement } => {
    const known = refusals.get(found.range);
    if (known !== undefined) return known;
    const what = found.own === undefined ? `range ${found.range}` : `own block ${found.own}`;
    const made = {
      equal: { accepted: false, reason: `refused: ${what}` },
      inside: { accepted: false, reason: `refused: inside ${what}` },
    };
    refusals.set(found.range, made);
    return made;
  };
  const byPolicy = importPolicyJudgements[peer.importPolicy];
  const ownAsns = new Set<number>([local.asn, peer.localAsn]);
  const identifier = identifierNumber(local.routerId);
  const clusterId = local.clusterId ?? local.routerId;
  const cluster = identifierNumber(clusterId);
  return {
    looksAtInterfaces: peer.filters.some((filter) =>
      [...filter.import.ipv4, ...filter.import.ipv6].some((rule) => rule.interface !== undefined),
    ),
    attributes(attributes) {
      let count = 0;
      for (const segment of attributes.value.asPath) for (const asn of segment.asns) if (ownAsns.has(asn)) count++;
      // RFC 4271 §9.1.2: a path with our own AS is a loop; as often as allowed it is another site of ours.
      if (count > peer.allowedLocalAsns)
        return {
          accepted: false,
          reason: `refused: own AS ${[...ownAsns].join(' or ')} stands ${count} times in the AS path, ${peer.allowedLocalAsns} allowed (numAllowedLocalASNumbers)`,
        };
      // RFC 9774 §3: as if it were withdrawn; it is kept, so that the reason can be seen.
      if (attributes.value.asPath.some(({ type }) => type === 1 || type === 4)) return withSet;
      // RFC 4456 §8.
      if (attributes.value.originatorId === identifier)
        return { accepted: false, reason: `refused: ORIGINATOR_ID is our own ${local.routerId}` };
      if (attributes.value.clusterList.includes(cluster))
        return { accepted: false, reason: `refused: CLUSTER_LIST has our own ${clusterId}` };
      const { onlyToCustomer } = attributes.value;
      if (onlyToCustomer === undefined || role === undefined) return undefined;
      // RFC 9234 §5, ingress: not eligible.
      const leak = role.leak(onlyToCustomer, remoteAsn(peer, attributes.neighborAsn));
      return leak === undefined ? undefined : { accepted: false, reason: `refused: route leak: ${leak}` };
    },
    prefix(family, w0, w1, w2, w3, length, attributes, hop = 0) {
      const found = never[family].covering(w0, w1, w2, w3, length);
      if (found !== undefined) {
        const sentences = refusal(found);
        return found.range.endsWith(`/${length}`) ? sentences.equal : sentences.inside;
      }
      const judgement = filters[family](w0, w1, w2, w3, length, attributes, hop);
      if (judgement !== undefined) return judgement;
      return peer.importPolicy === 'DefaultRoute' && length !== 0 ? notDefaultRoute : byPolicy;
    },
    rewrite(judgement, attributes) {
      const isMarked = role?.marksReceived === true && attributes.value.onlyToCustomer === undefined;
      const byRule = judgement.rewrite ?? (attributes.gracefulShutdown || isMarked ? always : undefined);
      const rewrite = withLocalAs === undefined ? byRule : withLocalAs(byRule);
      return peer.drain === undefined ? rewrite : drained.import(rewrite);
    },
  };
}

/** Whether two intents of a peer judge every route alike; otherwise the adj-rib-in is judged anew. */
export function sameImport(a: PeerIntent, b: PeerIntent): boolean {
  return (
    (a.drain === undefined) === (b.drain === undefined) &&
    a.importPolicy === b.importPolicy &&
    a.allowedLocalAsns === b.allowedLocalAsns &&
    sameFilters(a.filters, b.filters)
  );
}

const sameFilters = (a: PeerIntent['filters'], b: PeerIntent['filters']): boolean =>
  JSON.stringify(a) === JSON.stringify(b);
