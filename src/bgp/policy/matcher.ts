/**
 * Filters compiled: the prefix conditions to comparisons of 32-bit words, because they run once per received prefix. In: BGPFilter
 * rules and prefix lists as the intent has them; out: functions of (words, length). Nothing is allocated while matching.
 */
import type { Family, Prefix } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
import type { FilterIntent, FilterRule } from '../engine.ts';
import type { AcceptedAttributes } from './accepted-attributes.ts';
import { compilePathTest } from './path-match.ts';
import type { InterfaceOf, PathTest } from './path-match.ts';
import type { Rewrite } from './rewrite.ts';
import { compileRewrite } from './rewrite.ts';
import type { Words } from './words.ts';
import { maskWord, prefixWords } from './words.ts';

/** What policy says about one route; the sentence is for `RouteRow.reason`. */
export interface Judgement {
  readonly accepted: boolean;
  readonly reason: string;
  /** What the rule does to the attributes of what it accepted. */
  readonly rewrite?: Rewrite | undefined;
}

type Test = (w0: number, w1: number, w2: number, w3: number, length: number) => boolean;

/** Whether (words, length) equals `prefix` or lies in it. */
export function insideTest(prefix: Prefix): Test {
  const outer = prefixWords(prefix);
  const [o0, o1, o2, o3] = outer.words;
  const bits = outer.length;
  return (w0, w1, w2, w3, length) =>
    length >= bits &&
    maskWord(w0, bits) === o0 &&
    (bits <= 32 ||
      (maskWord(w1, bits - 32) === o1 && maskWord(w2, bits - 64) === o2 && maskWord(w3, bits - 96) === o3));
}

function ruleTest(match: FilterRule['match']): Test {
  if (match === undefined) return () => true;
  const { cidr, minLength, maxLength, operator } = match;
  const inside = insideTest(cidr);
  const bits = prefixWords(cidr).length;
  const equal: Test = (w0, w1, w2, w3, length) => length === bits && inside(w0, w1, w2, w3, length);
  const within: Test = (w0, w1, w2, w3, length) =>
    length >= minLength && length <= maxLength && inside(w0, w1, w2, w3, length);
  const tests: Readonly<Record<typeof operator, Test>> = {
    Equal: equal,
    NotEqual: (w0, w1, w2, w3, length) => !equal(w0, w1, w2, w3, length),
    In: within,
    NotIn: (w0, w1, w2, w3, length) => !within(w0, w1, w2, w3, length),
  };
  return tests[operator];
}

export type Filters = (
  w0: number,
  w1: number,
  w2: number,
  w3: number,
  length: number,
  path: AcceptedAttributes,
  hop: number,
) => Judgement | undefined;

export interface FilterUse {
  /** Done to what a rule's operations made. */
  readonly last?: Rewrite | undefined;
  readonly interfaceOf?: InterfaceOf | undefined;
}

interface Step {
  readonly test: Test;
  /** `undefined`: the rule says nothing about the path. */
  readonly pathTest: PathTest | undefined;
  readonly judgement: Judgement;
}

/**
 * Filters of one direction and family in order: the first rule that matches decides; the first filter that states a
 * default ends the list; `undefined` when none decided. A filter without any export rule says nothing about export, its
 * default included: it was written for what comes in.
 */
export function compileFilters(
  filters: readonly FilterIntent[],
  direction: 'import' | 'export',
  family: Family,
  external: boolean,
  { last, interfaceOf = () => undefined }: FilterUse = {},
): Filters {
  const steps: Step[] = [];
  for (const filter of filters) {
    const rules = filter[direction];
    rules[family].forEach((rule, i) => {
      const pathTest = compilePathTest(rule, direction, external, interfaceOf);
      if (pathTest === false) return;
      const accepted = rule.action === 'Accept';
      const reason = `${accepted ? 'accepted' : 'refused'}: filter ${filter.name}, rule ${i + 1}`;
      const rewrite = compileRewrite(rule.operations ?? [], last);
      steps.push({
        test: ruleTest(rule.match),
        pathTest: pathTest === true ? undefined : pathTest,
        judgement: { accepted, reason, rewrite },
      });
    });
    const speaks = direction === 'import' || rules.ipv4.length + rules.ipv6.length > 0;
    if (filter.default !== undefined && speaks) {
      const accepted = filter.default === 'Accept';
      const reason = `${accepted ? 'accepted' : 'refused'}: default of filter ${filter.name}`;
      steps.push({ test: () => true, pathTest: undefined, judgement: { accepted, reason } });
      break;
    }
  }
  return (w0, w1, w2, w3, length, path, hop) => {
    for (const { test, pathTest, judgement } of steps)
      if (test(w0, w1, w2, w3, length) && (pathTest === undefined || pathTest(path, hop))) return judgement;
    return undefined;
  };
}

/** Answers which prefix of a list equals or covers a route. */
export class PrefixSet<T> {
  /** The longest first. */
  readonly #entries: { readonly words: Words; readonly length: number; readonly value: T }[] = [];
  /** One bit per value of an address's first 16 bits: most routes are nowhere near the list and cost one look. */
  readonly #near = new Uint8Array(8192);

  constructor(family: Family, entries: readonly (readonly [Prefix, T])[]) {
    for (const [prefix, value] of entries) {
      if (familyOf(prefix) !== family) continue;
      const { words, length } = prefixWords(prefix);
      this.#entries.push({ words, length, value });
      const top = words[0] >>> 16;
      const end = top + (1 << (16 - Math.min(length, 16)));
      for (let at = top; at < end; at++) this.#near[at >> 3] = (this.#near[at >> 3] ?? 0) | (1 << (at & 7));
    }
    this.#entries.sort((a, b) => b.length - a.length);
  }

  /** The value of the longest listed prefix that equals or covers the route. */
  covering(w0: number, w1: number, w2: number, w3: number, length: number): T | undefined {
    const top = w0 >>> 16;
    if (((this.#near[top >> 3] ?? 0) & (1 << (top & 7))) === 0) return undefined;
    for (const { words, length: bits, value } of this.#entries)
      if (
        bits <= length &&
        maskWord(w0, bits) === words[0] &&
        maskWord(w1, bits - 32) === words[1] &&
        maskWord(w2, bits - 64) === words[2] &&
        maskWord(w3, bits - 96) === words[3]
      )
        return value;
    return undefined;
  }
}
