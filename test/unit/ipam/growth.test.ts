import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Growth } from '#ipam/growth.ts';
import type { BlockFacts } from '#ipam/intent.ts';
import type { Prefix } from '#lib/ip.ts';
import { type Instant, instant } from '#lib/time.ts';

const minute = (n: number): Instant => instant(n * 60_000);
const blocks = (...used: number[]): BlockFacts[] =>
  used.map((n, i) => ({ pool: 'p', cidr: `10.0.${i}.0/24` as Prefix, capacity: 254, used: n, fenced: 0 }));
const perHour = (growth: Growth, at: number): number | undefined => growth.growth(minute(at))[0]?.perHour;

test('nothing is said before ten minutes; then the net growth since the start', () => {
  const growth = new Growth();
  growth.learn(blocks(10), minute(0));
  growth.learn(blocks(15, 5), minute(4));
  assert.deepEqual(growth.growth(minute(9)), []);
  assert.deepEqual(growth.growth(minute(10)), [{ pool: 'p', family: 'ipv4', perHour: 60 }]);
  assert.equal(perHour(growth, 30), 20);
});

test('a rollout that takes and gives back is no growth; what shrinks is negative', () => {
  const growth = new Growth();
  growth.learn(blocks(50), minute(0));
  for (let i = 1; i <= 40; i++) growth.learn(blocks(i % 2 === 0 ? 50 : 60), minute(i));
  assert.equal(perHour(growth, 40), 0);
  growth.learn(blocks(20), minute(41));
  assert.equal(perHour(growth, 60), -30);
});

test('what is older than an hour is forgotten, however long nothing changed', () => {
  const growth = new Growth();
  growth.learn(blocks(0), minute(0));
  growth.learn(blocks(100), minute(10));
  assert.equal(perHour(growth, 60), 100);
  assert.equal(perHour(growth, 71), 0);
  growth.learn(blocks(130), minute(600));
  assert.equal(perHour(growth, 601), 30);
});

test('a burst costs one sample a minute and loses no count', () => {
  const growth = new Growth();
  growth.learn(blocks(0), minute(0));
  for (let i = 1; i <= 200; i++) growth.learn(blocks(i), instant(60_000 + i * 10));
  assert.equal(perHour(growth, 20), 600);
});

test('a pool that is gone from the node is forgotten', () => {
  const growth = new Growth();
  growth.learn(blocks(1), minute(0));
  growth.learn([], minute(20));
  assert.deepEqual(growth.growth(minute(30)), []);
});
