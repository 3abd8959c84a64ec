/**
 * Conditions of a rule about everything but the prefix. In: the conditions as the intent has them and the kind of session;
 * out: a test over the attributes of a path, or `true` or `false` where the answer is the same for every path.
 */
import type { FilterRule, PathPattern } from '../engine.ts';
import type { AcceptedAttributes } from './accepted-attributes.ts';
import { hasCommunity } from './communities.ts';

/** `hop` is the number of the path's next hop, 0 for a route that begins here. */
export type PathTest = (path: AcceptedAttributes, hop: number) => boolean;

/** Name of the interface by which a next hop is reached, by its number. */
export type InterfaceOf = (hop: number) => string | undefined;

/** The path as a pattern sees it: an AS_SET is one item, confederation segments are none (RFC 5065 §5.3). */
function items(path: AcceptedAttributes): (number | readonly number[])[] {
  return path.value.asPath.flatMap(({ type, asns }): (number | readonly number[])[] =>
    type === 2 ? [...asns] : type === 1 ? [asns] : [],
  );
}

/** Greedy with one step back to the last `*`: time grows with path times pattern, whatever a peer sends. */
export function matchesPattern(path: readonly (number | readonly number[])[], pattern: PathPattern): boolean {
  let at = 0;
  let next = 0;
  let star = -1;
  let resume = 0;
  while (at < path.length) {
    const wanted = pattern[next];
    const item = path[at];
    if (wanted === '*') {
      star = next++;
      resume = at;
    } else if (wanted !== undefined && (wanted === '?' || wanted === item)) {
      at++;
      next++;
    } else if (typeof wanted === 'number' && typeof item === 'object' && item.includes(wanted)) {
      at++;
      next++;
    } else if (star >= 0) {
      next = star + 1;
      at = ++resume;
    } else return false;
  }
  while (pattern[next] === '*') next++;
  return next === pattern.length;
}

const interfacePattern = (name: string): RegExp =>
  new RegExp(
    `^${name
      .split('*')
      .map((part) => RegExp.escape(part))
      .join('.*')}$`,
  );

export function compilePathTest(
  rule: FilterRule,
  direction: 'import' | 'export',
  external: boolean,
  interfaceOf: InterfaceOf,
): PathTest | boolean {
  if (rule.peerType !== undefined && (rule.peerType === 'eBGP') !== external) return false;
  const tests: PathTest[] = [];
  if (rule.source === 'RemotePeers' && direction === 'export') tests.push((path) => !path.own);
  const { communities = [], asPaths = [], localPref, med } = rule;
  if (communities.length > 0) tests.push((path) => communities.every((wanted) => hasCommunity(path.value, wanted)));
  if (asPaths.length > 0)
    tests.push((path) => {
      const its = items(path);
      return asPaths.every((pattern) => matchesPattern(its, pattern));
    });
  if (localPref !== undefined) tests.push((path) => path.localPref === localPref);
  if (med !== undefined) tests.push((path) => (path.value.med ?? 0) === med);
  if (rule.interface !== undefined) {
    const pattern = interfacePattern(rule.interface);
    tests.push((_path, hop) => {
      const name = hop === 0 ? undefined : interfaceOf(hop);
      return name !== undefined && pattern.test(name);
    });
  }
  return tests.length === 0 ? true : (path, hop) => tests.every((test) => test(path, hop));
}
