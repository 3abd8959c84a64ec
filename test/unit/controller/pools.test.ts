// What the controller writes on pools.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blocksFinalizer, poolDecisions } from '#controller/pools.ts';
import type { Prefix } from '#lib/ip.ts';
import type { IPPool } from '#resources/ip-pool.ts';
import { objects } from '../../support/resources.ts';

const pool = (name: string, cidr: string, metadata = '', spec = ''): IPPool => {
  const [made] = objects(
    `{apiVersion: flatroute.io/v1alpha1, kind: IPPool, metadata: {name: ${name}${metadata}}, spec: {cidr: ${cidr}${spec}}}`,
  );
  return made as IPPool;
};
const gone = ', deletionTimestamp: "2026-01-01T00:00:00Z"';
const decide = (pools: readonly (readonly [IPPool, readonly string[]])[], blocks: readonly string[] = []) =>
  poolDecisions(
    pools.map(([it, finalizers]) => ({ pool: it, finalizers })),
    blocks as readonly Prefix[],
  );

test('a pool is kept from the start, and let go when it is deleted and its last block is gone', () => {
  const rows: readonly (readonly [IPPool, readonly string[], readonly string[], readonly string[] | undefined])[] = [
    [pool('a', '10.0.0.0/16'), [], [], [blocksFinalizer]],
    [pool('a', '10.0.0.0/16'), ['other/one'], [], ['other/one', blocksFinalizer]],
    [pool('a', '10.0.0.0/16'), [blocksFinalizer], [], undefined],
    [pool('a', '10.0.0.0/16', gone), [blocksFinalizer], ['10.0.3.0/26'], undefined],
    [pool('a', '10.0.0.0/16', gone), [blocksFinalizer, 'other/one'], ['10.1.3.0/26'], ['other/one']],
    [pool('a', '10.0.0.0/16', gone), ['other/one'], ['10.0.3.0/26'], undefined],
  ];
  for (const [it, finalizers, blocks, expected] of rows)
    assert.deepEqual(decide([[it, finalizers]], blocks)[0]?.finalizers, expected);
});

test('of pools that overlap the elder gives addresses, whatever their names', () => {
  const at = (second: number, uid: string): string =>
    `, uid: ${uid}, creationTimestamp: "2026-01-01T00:00:0${second}Z"`;
  const elder = pool('z', '10.0.0.0/16', at(1, 'u2'));
  const younger = pool('a', '10.0.4.0/24', at(2, 'u1'), ', blockSize: 28');
  const reasons = decide([
    [younger, []],
    [elder, []],
  ]).map(({ name, condition }) => [name, condition.status, condition.reason]);
  assert.deepEqual(reasons, [
    ['a', 'False', 'CIDROverlap'],
    ['z', 'True', 'OK'],
  ]);
  // Made in one second: the UID decides.
  const twin = pool('b', '10.0.0.0/16', at(1, 'u1'));
  assert.deepEqual(
    decide([
      [elder, []],
      [twin, []],
    ]).map(({ condition }) => condition.reason),
    ['CIDROverlap', 'OK'],
  );
});

test('a pool over an elder one is let go though the elder has blocks; those of its own hold it', () => {
  const at = (second: number, more = ''): string => `, creationTimestamp: "2026-01-01T00:00:0${second}Z"${more}`;
  const elder = pool('elder', '10.0.0.0/16', at(1));
  const younger = (cidr: string): IPPool => pool('younger', cidr, at(2, gone));
  const finalizersOf = (it: IPPool, block: string): readonly string[] | undefined =>
    decide(
      [
        [elder, [blocksFinalizer]],
        [it, [blocksFinalizer]],
      ],
      [block],
    )[1]?.finalizers;
  assert.deepEqual(finalizersOf(younger('10.0.0.0/16'), '10.0.3.0/26'), []);
  assert.deepEqual(finalizersOf(younger('10.0.0.0/8'), '10.0.3.0/26'), []);
  assert.equal(finalizersOf(younger('10.0.0.0/8'), '10.1.3.0/26'), undefined);
  const [kept] = decide(
    [
      [pool('elder', '10.0.0.0/16', at(1, gone)), [blocksFinalizer]],
      [pool('younger', '10.0.0.0/16', at(2)), []],
    ],
    ['10.0.3.0/26'],
  );
  assert.equal(kept?.finalizers, undefined);
});

test('a pool says why nothing is given from it', () => {
  const reason = (it: IPPool): string => decide([[it, []]])[0]?.condition.reason ?? '';
  assert.equal(reason(pool('a', '10.0.0.0/16', gone)), 'Terminating');
  assert.equal(reason(pool('a', '10.0.0.0/16', '', ', disabled: true')), 'PoolDisabled');
  assert.equal(reason(pool('a', '10.0.0.0/16', '', ', allowedUses: [LoadBalancer]')), 'OK');
});
