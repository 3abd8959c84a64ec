// Which rules of a chain that drops let pods pass, as `nft -j` prints them.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { droppedBlocks } from '#dataplane/forward-policy.ts';
import type { Prefix } from '#lib/ip.ts';

const forward = { family: 'inet', table: 'wall', name: 'gate' };
const blocks = ['10.60.1.0/26', 'fd60:1::/112'] as Prefix[];
const [ipv4, ipv6] = blocks;
const accept = { accept: null };
const match = (left: object, right: unknown, op = '=='): object => ({ match: { op, left, right } });
const meta = (key: string): object => ({ meta: { key } });
const ip = (field: string, protocol = 'ip'): object => ({ payload: { protocol, field } });
const net = (addr: string, len: number): object => ({ prefix: { addr, len } });
const rule = (expr: readonly object[], chain = 'gate'): object => ({
  rule: { family: 'inet', table: 'wall', chain, expr },
});
const groups = [rule([match(meta('iifgroup'), 2818), accept]), rule([match(meta('oifgroup'), 2818), accept])];

describe('a chain that drops by default', () => {
  const rows: readonly (readonly [string, readonly object[], readonly (Prefix | undefined)[]])[] = [
    ['without rules', [], blocks],
    ['that accepts both link groups', groups, []],
    ['that accepts what pods send alone', groups.slice(0, 1), blocks],
    [
      'that accepts interfaces by name',
      ['iifname', 'oifname'].map((key) => rule([match(meta(key), 'fr*'), { counter: {} }, accept])),
      [],
    ],
    [
      'that accepts other interfaces',
      ['iifname', 'oifname'].map((key) => rule([match(meta(key), 'br*'), accept])),
      blocks,
    ],
    [
      'that accepts the pods\u2019 range of one family',
      ['saddr', 'daddr'].map((key) => rule([match(ip(key), net('10.60.0.0', 16)), accept])),
      [ipv6],
    ],
    [
      'that accepts a set of ranges',
      ['saddr', 'daddr'].flatMap((key) => [
        rule([match(ip(key), { set: [net('10.0.0.0', 8), '192.0.2.1'] }), accept]),
        rule([match(ip(key, 'ip6'), net('fd60:1::', 112)), accept]),
      ]),
      [],
    ],
    [
      'that accepts a part of the block',
      ['saddr', 'daddr'].map((key) => rule([match(ip(key), net('10.60.1.0', 27)), accept])),
      blocks,
    ],
    [
      'that accepts answers alone',
      [rule([match({ ct: { key: 'state' } }, ['established', 'related'], 'in'), accept])],
      blocks,
    ],
    ['that excludes the range', [rule([match(ip('saddr'), net('10.60.0.0', 16), '!='), accept])], blocks],
    [
      'that jumps to a chain for users',
      [
        rule([{ jump: { target: 'user' } }]),
        ...groups.map((one) => JSON.parse(JSON.stringify(one).replace('gate', 'user')) as object),
      ],
      [],
    ],
    [
      'that jumps there on a condition',
      [rule([match(meta('iifname'), 'eth0'), { jump: { target: 'user' } }]), rule([accept], 'user')],
      blocks,
    ],
    ['that jumps to itself', [rule([{ goto: { target: 'gate' } }])], blocks],
    ['that accepts everything', [rule([accept])], []],
    ['that drops with a word', [rule([{ log: null }, { drop: null }])], blocks],
    ['with what iptables alone can read', [rule([{ xt: null }, accept])], blocks],
  ];
  for (const [name, rules, dropped] of rows)
    test(name, () => {
      assert.deepEqual(droppedBlocks(JSON.stringify({ nftables: rules }), forward, blocks), dropped);
    });
  test('of one family counts for that one', () => {
    assert.deepEqual(droppedBlocks('{"nftables": []}', { ...forward, family: 'ip' }, blocks), [ipv4]);
    assert.deepEqual(droppedBlocks('{"nftables": []}', { ...forward, family: 'ip6' }, blocks), [ipv6]);
    assert.deepEqual(droppedBlocks('no JSON', forward, blocks), blocks);
  });
});
