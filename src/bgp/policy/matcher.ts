/**
 * Prefix conditions compiled to comparisons of 32-bit words, because they run once per received prefix. In: BGPFilter
 * rules and prefix lists as the intent has them; out: functions of (words, length). Nothing is allocated while matching.
 */
import type { Family, Prefix } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
import type { FilterIntent, FilterRule } from '../engine.ts';
import { PrefixTable, maskWord, prefixWords } from '../rib/prefix-table.ts';

/** What policy says about one route; the sentence is for `RouteRow.reason`. */
export interface Judgement {
  readonly accepted: boolean;
  readonly reason: string;
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

export type Filters = (w0: number, w1: number, w2: number, w3: number, length: number) => Judgement | undefined;

/**
 * Filters of one direction and family in order: the first rule that matches decides; the first filter that states a
 * default ends the list; `undefined` when none decided. A filter without any export rule says nothing about export, its
 * default included: it was written for what comes in.
 */
export function compileFilters(
  filters: readonly FilterIntent[],
  direction: 'import' | 'export',
  family: Family,
): Filters {
  const steps: { readonly test: Test; readonly judgement: Judgement }[] = [];
  for (const filter of filters) {
    const rules = filter[direction];
    rules[family].forEach((rule, i) => {
      const accepted = rule.action === 'Accept';
      const reason = `${accepted ? 'accepted' : 'refused'}: filter ${filter.name}, rule ${i + 1}`;
      steps.push({ test: ruleTest(rule.match), judgement: { accepted, reason } });
    });
    const speaks = direction === 'import' || rules.ipv4.length + rules.ipv6.length > 0;
    if (filter.default !== undefined && speaks) {
      const accepted = filter.default === 'Accept';
      const reason = `${accepted ? 'accepted' : 'refused'}: default of filter ${filter.name}`;
      steps.push({ test: () => true, judgement: { accepted, reason } });
      break;
    }
  }
  return (w0, w1, w2, w3, length) => {
    for (const step of steps) if (step.test(w0, w1, w2, w3, length)) return step.judgement;
    return undefined;
  };
}

/** Answers which prefix of a list equals or covers a route, in one look-up per distinct length of the list. */
export class PrefixSet<T> {
  readonly #table: PrefixTable;
  readonly #lengths: number[];
  readonly #values: (T | undefined)[] = [];
  /** One bit per value of an address's first 16 bits: most routes are nowhere near the list and need no look-up. */
  readonly #near = new Uint8Array(8192);

  constructor(family: Family, entries: readonly (readonly [Prefix, T])[]) {
    this.#table = new PrefixTable(family);
    const lengths = new Set<number>();
    for (const [prefix, value] of entries) {
      if (familyOf(prefix) !== family) continue;
      const id = this.#table.internPrefix(prefix);
      this.#values[id] = value;
      const length = this.#table.lengthOf(id);
      lengths.add(length);
      const top = this.#table.word(id, 0) >>> 16;
      const end = top + (1 << (16 - Math.min(length, 16)));
      for (let at = top; at < end; at++) this.#near[at >> 3] = (this.#near[at >> 3] ?? 0) | (1 << (at & 7));
    }
    this.#lengths = [...lengths].sort((a, b) => b - a);
  }

  /** The value of the longest listed prefix that equals or covers the route. */
  covering(w0: number, w1: number, w2: number, w3: number, length: number): T | undefined {
    const top = w0 >>> 16;
    if (((this.#near[top >> 3] ?? 0) & (1 << (top & 7))) === 0) return undefined;
    for (const bits of this.#lengths) {
      if (bits > length) continue;
      const id = this.#table.find(
        maskWord(w0, bits),
        maskWord(w1, bits - 32),
        maskWord(w2, bits - 64),
        maskWord(w3, bits - 96),
        bits,
      );
      if (id !== 0) return this.#values[id];
    }
    return undefined;
  }
}
