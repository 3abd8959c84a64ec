/** BGPFilter as the speaker takes it: bounds worked out, one list for each family and direction. */
import type { FilterIntent, FilterRule } from '#bgp/engine.ts';
import type { Family } from '#lib/ip.ts';
import { prefixLength } from '#lib/ip.ts';
import { lengthBounds } from '#resources/bgp-filter.ts';
import type { BGPFilter, BGPFilterRule } from '#resources/bgp-filter.ts';

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
  const { action, cidr, matchOperator } = rule;
  if (cidr === undefined || matchOperator === undefined) return { action, match: undefined };
  const length = prefixLength(cidr);
  const exact = matchOperator === 'Equal' || matchOperator === 'NotEqual';
  const { min, max } = exact ? { min: length, max: length } : lengthBounds(cidr, family, rule.prefixLength);
  return { action, match: { operator: matchOperator, cidr, minLength: min, maxLength: max } };
}
