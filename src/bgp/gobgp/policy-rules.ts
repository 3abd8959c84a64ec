/**
 * Rules and operations of a BGPFilter in GoBGP's words: regular expressions over texts, and one action of a kind for each
 * statement. PURE. What cannot be said so is answered with a sentence, and `unsupported` tells people before a session opens.
 */
import type { Community, FilterRule, PathPattern, RouteOperation } from '../engine.ts';
import { ownPath } from '../policy/export.ts';
import { formatExtendedCommunity } from '../wire/format.ts';

export type CommunityKind = 'community' | 'extCommunity' | 'largeCommunity';

export interface CommunityText {
  readonly kind: CommunityKind;
  readonly text: string;
}

/** `undefined`: an extended community of a type that GoBGP's policies have no word for. */
export function communityText(community: Community): CommunityText | undefined {
  if (typeof community === 'number') return { kind: 'community', text: `${community >>> 16}:${community & 0xffff}` };
  if (community.length === 3) return { kind: 'largeCommunity', text: community.join(':') };
  const [bytes] = ownPath([community]).extendedCommunities;
  const text = bytes === undefined ? '0x' : formatExtendedCommunity(bytes);
  return text.startsWith('0x') ? undefined : { kind: 'extCommunity', text };
}

/** One AS, or the set that it stands for; GoBGP writes sets in braces. */
const anyAs = '(\\{[0-9,]+\\}|[0-9]+)';
const oneAs = (asn: number): string => `(${asn}|\\{([0-9]+,)*${asn}(,[0-9]+)*\\})`;

/** The whole path as GoBGP writes it, with spaces between. */
export function pathExpression(pattern: PathPattern): string {
  let text = '';
  /** What was written before may be nothing, so that a space belongs to what comes. */
  let isOpen = true;
  const tokens = pattern.filter((token, i) => token !== '*' || pattern[i - 1] !== '*');
  for (const [i, token] of tokens.entries()) {
    if (token === '*') {
      if (isOpen) text += i === tokens.length - 1 ? `(${anyAs}( ${anyAs})*)?` : `(${anyAs} )*`;
      else text += `( ${anyAs})*`;
      continue;
    }
    const one = token === '?' ? anyAs : oneAs(token);
    text += isOpen ? one : ` ${one}`;
    isOpen = false;
  }
  return `^${text}$`;
}

interface CommunityChange {
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

/** What an accepting rule does, before the numbers of an interface are put to it. */
export interface RuleActions {
  readonly communities: Readonly<Partial<Record<CommunityKind, CommunityChange>>>;
  readonly prepend?: { readonly asn: number; readonly repeat: number };
  readonly med?: number;
  readonly localPref?: number;
}

type Compiled = { readonly ok: true; readonly actions: RuleActions } | { readonly ok: false; readonly problem: string };

export function compileOperations(operations: readonly RouteOperation[]): Compiled {
  const communities: Partial<Record<CommunityKind, { add: string[]; remove: string[] }>> = {};
  const prepended: number[] = [];
  let made: Omit<RuleActions, 'communities' | 'prepend'> = {};
  for (const operation of operations) {
    if (operation.kind === 'prependAsPath') prepended.unshift(...operation.asns);
    else if (operation.kind === 'setMed') made = { ...made, med: operation.value };
    else if (operation.kind === 'setLocalPref') made = { ...made, localPref: operation.value };
    else {
      if (operation.community === '*') return { ok: false, problem: 'all communities of every kind cannot be deleted' };
      const text = communityText(operation.community);
      if (text === undefined) return { ok: false, problem: 'an extended community that is neither rt: nor soo:' };
      const change = (communities[text.kind] ??= { add: [], remove: [] });
      change[operation.kind === 'addCommunity' ? 'add' : 'remove'].push(text.text);
      if (change.add.length > 0 && change.remove.length > 0)
        return { ok: false, problem: 'communities of one kind are added and deleted by the same rule' };
    }
  }
  const [asn] = prepended;
  if (prepended.some((it) => it !== asn)) return { ok: false, problem: 'different AS numbers are prepended' };
  return {
    ok: true,
    actions: {
      communities,
      ...made,
      ...(asn !== undefined && { prepend: { asn, repeat: prepended.length } }),
    },
  };
}

/** Version of GoBGP's interface; `undefined`: not known yet. */
export type Version = 3 | 4 | undefined;

/** The field of a rule that GoBGP's policies do not have, with a sentence; `undefined`: all of it can be said. */
export function ruleProblem(
  rule: FilterRule,
  version: Version,
): { readonly field: string; readonly text: string } | undefined {
  if (rule.interface !== undefined)
    return { field: 'interface', text: 'a rule looks at the interface of the next hop, which GoBGP does not know' };
  for (const [field, what] of [
    ['med', 'the MED'],
    ['localPref', 'the local preference'],
  ] as const) {
    if (rule[field] === undefined) continue;
    if (version === 3) return { field, text: `a rule compares ${what}, which GoBGP does from version 4 on` };
    if (rule[field] === 0) return { field, text: `a rule compares ${what} with 0, which GoBGP takes for no condition` };
  }
  if (rule.communities?.some((it) => communityText(it) === undefined) === true)
    return { field: 'communities', text: 'a rule looks for an extended community that is neither rt: nor soo:' };
  const compiled = compileOperations(rule.operations ?? []);
  return compiled.ok ? undefined : { field: 'operations', text: compiled.problem };
}
