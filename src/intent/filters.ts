/** BGPFilter as the speaker takes it: bounds worked out, one list for each family and direction. */
import type { FilterIntent, FilterRule, PathPattern, RouteOperation } from '#bgp/engine.ts';
import type { Family } from '#lib/ip.ts';
import { prefixLength } from '#lib/ip.ts';
import { lengthBounds } from '#resources/bgp-filter.ts';
import type { BGPFilter, BGPFilterRule } from '#resources/bgp-filter.ts';
import { localPrefOf } from '#resources/route-fields.ts';
import type { Operation } from '#resources/route-fields.ts';

export function compileFilter(filter: BGPFilter): FilterIntent {
  const { spec } = filter;
  return {
    name: filter.metadata.name,
    import: { ipv4: rules(spec.importV4, 'ipv4'), ipv6: rules(spec.importV6, 'ipv6') },
    export: { ipv4: rules(spec.exportV4, 'ipv4'), ipv6: rules(spec.exportV6, 'ipv6') },
    default: spec.default,
  };
}

const rules = (list: readonly BGPFilterRule[] | undefined, family: Family): FilterRule[] =>
  (list ?? []).map((rule) => compileRule(rule, family));

function compileRule(rule: BGPFilterRule, family: Family): FilterRule {
  const { asPathPrefix, asPath, communities, med, peerType, source } = rule;
  const asPaths: PathPattern[] = [];
  if (asPathPrefix !== undefined) asPaths.push([...asPathPrefix, '*']);
  if (asPath !== undefined) asPaths.push(asPath);
  return {
    action: rule.action,
    match: prefixMatch(rule, family),
    ...(peerType && { peerType }),
    ...(source && { source }),
    ...(rule.interface !== undefined && { interface: rule.interface }),
    ...(med !== undefined && { med }),
    ...(communities && { communities: communities.values }),
    ...(asPaths.length > 0 && { asPaths }),
    ...(rule.priority !== undefined && { localPref: localPrefOf(rule.priority) }),
    ...(rule.operations && { operations: rule.operations.flatMap(compileOperation) }),
  };
}

function prefixMatch(rule: BGPFilterRule, family: Family): FilterRule['match'] {
  const { cidr, matchOperator } = rule;
  if (cidr === undefined || matchOperator === undefined) return undefined;
  const length = prefixLength(cidr);
  const exact = matchOperator === 'Equal' || matchOperator === 'NotEqual';
  const { min, max } = exact ? { min: length, max: length } : lengthBounds(cidr, family, rule.prefixLength);
  return { operator: matchOperator, cidr, minLength: min, maxLength: max };
}

/** The schema lets exactly one be there. */
function compileOperation(operation: Operation): RouteOperation[] {
  const { addCommunity, deleteCommunity, prependASPath, setPriority, setLocalPref, setMED } = operation;
  if (addCommunity) return [{ kind: 'addCommunity', community: addCommunity.value }];
  if (deleteCommunity) return [{ kind: 'deleteCommunity', community: deleteCommunity.value }];
  if (prependASPath) return [{ kind: 'prependAsPath', asns: prependASPath.prefix }];
  if (setPriority) return [{ kind: 'setLocalPref', value: localPrefOf(setPriority.value) }];
  if (setLocalPref) return [{ kind: 'setLocalPref', value: setLocalPref.value }];
  return setMED ? [{ kind: 'setMed', value: setMED.value }] : [];
}
