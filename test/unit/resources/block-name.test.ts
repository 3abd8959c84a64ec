// One name for one block, both ways.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Prefix } from '#lib/ip.ts';
import { blockName, blockOfName } from '#resources/ip-block.ts';

const rows: readonly (readonly [string, string])[] = [
  ['10.60.1.0/26', 'ipv4-0a3c0100-26'],
  ['10.62.0.7/32', 'ipv4-0a3e0007-32'],
  ['0.0.0.0/0', 'ipv4-00000000-0'],
  ['2001:db8::/122', 'ipv6-20010db8000000000000000000000000-122'],
  ['2001:db8::7/128', 'ipv6-20010db8000000000000000000000007-128'],
];

test('a block is known by its name', () => {
  for (const [cidr, name] of rows) {
    assert.equal(blockName(cidr as Prefix), name);
    assert.equal(blockOfName(name), cidr);
  }
});

test('what no block is named is the name of none', () => {
  for (const name of [
    'ipv4-0a3c0101-26',
    'ipv4-0a3c0100-33',
    'ipv4-0a3c0100-026',
    'ipv4-0A3C0100-26',
    'ipv4-0a3c01-26',
    'ipv6-0a3c0100-26',
    'ipv4-0a3c0100',
    'block-1',
    '',
  ])
    assert.equal(blockOfName(name), undefined, name);
});
