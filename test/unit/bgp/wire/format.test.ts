import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  formatAsPath,
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  formatOrigin,
} from '#bgp/wire/format.ts';
import { hex } from './contexts.ts';

describe('what people read', () => {
  const rows: readonly (readonly [string, string])[] = [
    [formatOrigin(0), 'IGP'],
    [formatOrigin(1), 'EGP'],
    [formatOrigin(2), 'INCOMPLETE'],
    [formatAsPath([]), ''],
    [
      formatAsPath([
        { type: 3, asns: [65001, 65002] },
        { type: 2, asns: [64512, 4200000001] },
        { type: 1, asns: [1, 2] },
        { type: 4, asns: [3] },
      ]),
      '(65001 65002) 64512 4200000001 {1,2} [3]',
    ],
    [formatCommunity(0xfc010064), '64513:100'],
    [formatCommunity(0xffffff01), 'NO_EXPORT'],
    [formatCommunity(0xffff0000), 'GRACEFUL_SHUTDOWN'],
    [formatCommunity(0xffffffff), '65535:65535'],
    [formatLargeCommunity([4200000001, 1, 2]), '4200000001:1:2'],
    [formatExtendedCommunity(hex('0002fc0100000007')), 'rt:64513:7'],
    [formatExtendedCommunity(hex('0003fc0100000007')), 'soo:64513:7'],
    [formatExtendedCommunity(hex('4003fc0100000007')), '0x4003fc0100000007'],
    [formatExtendedCommunity(hex('0102c00002010007')), 'rt:192.0.2.1:7'],
    [formatExtendedCommunity(hex('0202fa56ea010007')), 'rt:4200000001:7'],
    [formatExtendedCommunity(hex('030b000000000001')), '0x030b000000000001'],
  ];
  for (const [text, expected] of rows) test(expected, () => assert.equal(text, expected));
});
