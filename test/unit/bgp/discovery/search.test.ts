import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '#lib/ip.ts';
import { instant, milliseconds, seconds } from '#lib/time.ts';
import { NeighbourSearch } from '#bgp/discovery/search.ts';
import { manualClock } from '../../../support/manual-clock.ts';

const ip = (text: string): IpAddress => text as IpAddress;

/** `tick`: time that passes with each look at the clock. */
function search(tick = 0) {
  const manual = manualClock();
  let looked = 0;
  const clock = { ...manual, now: () => instant(manual.now() + tick * looked++) };
  const state = { established: false, changes: 0 };
  const asked: number[] = [];
  /** Routers that answer when they are asked. */
  const present = new Set<IpAddress>();
  const it: NeighbourSearch = new NeighbourSearch({
    clock,
    solicit: () => {
      asked.push(clock.now());
      clock.at(clock.now(), () => {
        for (const address of present) it.heard(address);
      });
    },
    isEstablished: () => state.established,
    changed: () => void state.changes++,
  });
  return { clock, state, asked, present, it };
}

test('asks three times as long as nobody answers', () => {
  const { clock, asked, it } = search();
  it.start();
  clock.advance(seconds(60));
  assert.deepEqual(asked, [0, 4000, 8000]);
  it.heard(ip('fe80::9'));
  clock.advance(seconds(1));
  assert.equal(it.address, 'fe80::9', 'who speaks later is heard all the same');
});

test('a clock that never stands still does not make it forget who it just heard', () => {
  const { clock, it } = search(0.001);
  it.start();
  it.heard(ip('fe80::9'));
  clock.advance(seconds(1));
  assert.equal(it.address, 'fe80::9');
  it.heard(ip('fe80::a'));
  assert.deepEqual(it.others, ['fe80::a']);
});

test('of several that answer the lowest address is the neighbour, whoever was first', () => {
  const { clock, it, state } = search();
  it.start();
  it.heard(ip('fe80::b'));
  it.heard(ip('fe80::9'));
  clock.advance(milliseconds(300));
  it.heard(ip('fe80::a'));
  assert.equal(it.address, undefined);
  clock.advance(milliseconds(300));
  assert.deepEqual([it.address, it.others, state.changes], ['fe80::9', ['fe80::a', 'fe80::b'], 1]);
});

test('one that comes later does not take the place of one that is still there', () => {
  const { clock, present, it, state } = search();
  present.add(ip('fe80::9'));
  it.start();
  clock.advance(seconds(1));
  present.add(ip('fe80::1'));
  it.heard(ip('fe80::1'));
  clock.advance(seconds(60));
  assert.deepEqual([it.address, it.others], ['fe80::9', ['fe80::1']]);
  present.delete(ip('fe80::1'));
  clock.advance(seconds(15));
  assert.deepEqual([it.address, it.others, state.changes], ['fe80::9', [], 3]);
});

test('one that answers no more is replaced, and never while its session stands', () => {
  const { clock, present, it, state } = search();
  present.add(ip('fe80::9'));
  it.start();
  clock.advance(seconds(1));
  state.established = true;
  present.clear();
  present.add(ip('fe80::1'));
  it.heard(ip('fe80::1'));
  clock.advance(seconds(120));
  assert.deepEqual([it.address, it.others], ['fe80::9', ['fe80::1']]);
  state.established = false;
  clock.advance(seconds(40));
  assert.deepEqual([it.address, it.others], ['fe80::1', []]);
});

test('silence alone changes nothing: advertisements may be half an hour apart', () => {
  const { clock, it } = search();
  it.start();
  it.heard(ip('fe80::9'));
  clock.advance(seconds(4000));
  assert.equal(it.address, 'fe80::9');
});

test('a link that rests keeps its neighbour, and one that was two asks again', () => {
  const { clock, present, asked, it } = search();
  present.add(ip('fe80::9'));
  present.add(ip('fe80::a'));
  it.start();
  clock.advance(seconds(1));
  it.stop();
  asked.length = 0;
  present.delete(ip('fe80::a'));
  clock.advance(seconds(60));
  assert.deepEqual([asked, it.address, it.others], [[], 'fe80::9', ['fe80::a']]);
  it.start();
  clock.advance(seconds(6));
  assert.deepEqual([it.address, it.others], ['fe80::9', []]);
});

test('a flood of sources is not remembered', () => {
  const { clock, it } = search();
  it.start();
  for (let i = 1; i <= 1000; i++) it.heard(ip(`fe80::${i.toString(16)}`));
  clock.advance(seconds(1));
  assert.deepEqual([it.address, it.others.length], ['fe80::1', 7]);
});
