/**
 * Whether a packet filter that drops what is forwarded lets pods pass: PURE. In: one table as `nft -j list table` prints it
 * (libnftables-json) and the node's blocks; out: whether new connections from and to each block are accepted. It follows
 * jumps without condition, and knows matches on interfaces and prefixes alone: a rule with any other match accepts
 * nothing for sure.
 */
import { contains, type Family, familyOf, parsePrefix, type Prefix, addressBits } from '#lib/ip.ts';
import { INTERFACE_PREFIX, LINK_GROUP } from './kernel-names.ts';

export interface ForwardChain {
  /** As nft writes it: `ip`, `ip6` or `inet`. */
  readonly family: string;
  readonly table: string;
  readonly name: string;
}

type Direction = 'from' | 'to';

const familiesOf: Readonly<Record<string, readonly Family[]>> = {
  ip: ['ipv4'],
  ip6: ['ipv6'],
  inet: ['ipv4', 'ipv6'],
};

export const forwards = (chain: ForwardChain, block: Prefix): boolean =>
  familiesOf[chain.family]?.includes(familyOf(block)) ?? false;

/** A jump deeper than this is a loop, which the kernel would refuse. */
const DEEPEST = 16;

/** Answers the blocks of the chain's family that are dropped in at least one direction. */
export function droppedBlocks(json: string, chain: ForwardChain, blocks: readonly Prefix[]): readonly Prefix[] {
  const rules = rulesByChain(json);
  return blocks.filter(
    (block) =>
      forwards(chain, block) &&
      !(accepts(rules, chain.name, block, 'from', 0) && accepts(rules, chain.name, block, 'to', 0)),
  );
}

type Rules = ReadonlyMap<string, readonly (readonly unknown[])[]>;

function rulesByChain(json: string): Rules {
  const rules = new Map<string, (readonly unknown[])[]>();
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return rules;
  }
  const list = field(parsed, 'nftables');
  for (const item of Array.isArray(list) ? list : []) {
    const rule = field(item, 'rule');
    const expressions = field(rule, 'expr');
    if (!Array.isArray(expressions)) continue;
    const chain = String(field(rule, 'chain'));
    rules.set(chain, [...(rules.get(chain) ?? []), expressions]);
  }
  return rules;
}

function accepts(rules: Rules, chain: string, block: Prefix, direction: Direction, depth: number): boolean {
  if (depth > DEEPEST) return false;
  return (rules.get(chain) ?? []).some((expressions) => {
    let accepted = false;
    for (const expression of expressions) {
      if (has(expression, 'counter') || has(expression, 'log')) continue;
      if (has(expression, 'match')) {
        if (!matches(field(expression, 'match'), block, direction)) return false;
      } else if (has(expression, 'accept')) accepted = true;
      else {
        const target = field(field(expression, 'jump') ?? field(expression, 'goto'), 'target');
        if (typeof target !== 'string') return false;
        accepted = accepts(rules, target, block, direction, depth + 1);
      }
    }
    return accepted;
  });
}

function matches(match: unknown, block: Prefix, direction: Direction): boolean {
  if (field(match, 'op') !== '==') return false;
  const left = field(match, 'left');
  const right = field(match, 'right');
  const key = field(field(left, 'meta'), 'key');
  const side = direction === 'from' ? 'i' : 'o';
  if (key === `${side}ifname`) return right === `${INTERFACE_PREFIX}*`;
  if (key === `${side}ifgroup`) return right === LINK_GROUP.live;
  const payload = field(left, 'payload');
  if (field(payload, 'field') !== (direction === 'from' ? 'saddr' : 'daddr')) return false;
  return prefixesOf(right).some((prefix) => familyOf(prefix) === familyOf(block) && contains(prefix, block));
}

function prefixesOf(right: unknown): readonly Prefix[] {
  const set = field(right, 'set');
  if (Array.isArray(set)) return set.flatMap(prefixesOf);
  const address = typeof right === 'string' ? right : field(field(right, 'prefix'), 'addr');
  if (typeof address !== 'string') return [];
  const length = field(field(right, 'prefix'), 'len') ?? addressBits(address.includes(':') ? 'ipv6' : 'ipv4');
  const prefix = parsePrefix(`${address}/${Number(length)}`);
  return prefix === undefined ? [] : [prefix];
}

const has = (value: unknown, name: string): boolean => typeof value === 'object' && value !== null && name in value;

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
