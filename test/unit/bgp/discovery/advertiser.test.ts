import assert from 'node:assert/strict';
import { test } from 'node:test';
import { milliseconds, seconds } from '#lib/time.ts';
import { Advertiser } from '#bgp/discovery/advertiser.ts';
import { manualClock } from '../../../support/manual-clock.ts';

function advertiser(random = 0.5) {
  const clock = manualClock();
  const sent: number[] = [];
  const link = { takes: true };
  const send = (): boolean => {
    if (link.takes) sent.push(clock.now());
    return link.takes;
  };
  return { clock, sent, link, it: new Advertiser({ clock, random: () => random, send }) };
}

test('the first advertisement leaves at once, the others in the interval', () => {
  const { clock, sent, it } = advertiser(0);
  it.start();
  clock.advance(seconds(10));
  assert.deepEqual(sent, [0, 3300, 6600, 9900]);
  const late = advertiser(0.999_999);
  late.it.start();
  late.clock.advance(seconds(32));
  assert.deepEqual(
    late.sent.map((at) => Math.round(at / 1000)),
    [0, 10, 20, 30],
  );
});

test('a solicitation is answered within half a second, but never sooner than 3 s after the one before', () => {
  const { clock, sent, it } = advertiser(0.9);
  it.start();
  clock.advance(seconds(5));
  it.solicited();
  it.solicited();
  clock.advance(milliseconds(500));
  assert.deepEqual(sent, [0, 5450]);
  for (let i = 0; i < 100; i++) it.solicited();
  clock.advance(seconds(4));
  assert.deepEqual(sent, [0, 5450, 8900]);
});

test('a solicitation never puts off what would leave sooner', () => {
  const { clock, sent, it } = advertiser(0);
  it.start();
  clock.advance(milliseconds(3200));
  it.solicited();
  clock.advance(milliseconds(100));
  assert.deepEqual(sent, [0, 3200]);
});

test('stopped it says nothing, and started again it keeps its distance', () => {
  const { clock, sent, it } = advertiser();
  it.start();
  clock.advance(seconds(1));
  it.stop();
  it.solicited();
  clock.advance(milliseconds(500));
  it.start();
  clock.advance(milliseconds(1500));
  assert.deepEqual(sent, [0, 3000]);
});

test('what the link does not take is tried again a second later', () => {
  const { clock, sent, link, it } = advertiser();
  link.takes = false;
  it.start();
  clock.advance(milliseconds(1500));
  link.takes = true;
  clock.advance(milliseconds(500));
  assert.deepEqual(sent, [2000]);
});
