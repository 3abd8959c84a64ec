import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { FailedPaths } from '#bgp/gobgp/failed-paths.ts';
import type { SessionMark } from '#bgp/gobgp/known-peers.ts';
import { seconds } from '#lib/time.ts';
import { type ManualClock, manualClock } from '../../../support/manual-clock.ts';

describe('peers of GoBGP whose path failed', () => {
  let clock: ManualClock;
  let withheld: Set<string>;
  let named: Set<string>;
  let resets: string[];
  let failed: FailedPaths;
  const look = (sessions: { readonly [name: string]: SessionMark }): boolean =>
    failed.look(
      (name) => sessions[name],
      (name, text) => resets.push(`${name}: ${text}`),
    );

  beforeEach(() => {
    clock = manualClock();
    withheld = new Set();
    named = new Set(['router']);
    resets = [];
    failed = new FailedPaths(clock, {
      withholdPeer: (name) => void withheld.add(name),
      restorePeer: (name) => void withheld.delete(name),
      isFrom: (name) => named.has(name),
    });
  });

  test('rows are back in use with the next session, and not with the one that failed', () => {
    failed.add('router', 'BFD', 7);
    assert.equal(look({ router: 7 }), false);
    assert.equal(look({ router: 'down' }), false);
    assert.deepEqual([...withheld], ['router']);
    assert.equal(look({ router: 9 }), true);
    assert.deepEqual([...withheld], []);
    assert.equal(look({ router: 11 }), false);
    assert.deepEqual(resets, []);
  });

  test('a next session that began in the same second is another one, as the end of the first was seen', () => {
    failed.add('router', 'BFD', 7);
    look({ router: 'down' });
    assert.equal(look({ router: 7 }), true);
  });

  test('a next session whose predecessor nobody saw down is known by its beginning', () => {
    failed.add('router', 'BFD', 7);
    assert.equal(look({ router: 8 }), true);
  });

  test('a session that GoBGP did not end is ended again, now and then', () => {
    failed.add('router', 'BFD', 7);
    look({ router: 7 });
    assert.deepEqual(resets, []);
    clock.advance(seconds(5));
    look({ router: 7 });
    look({ router: 7 });
    assert.deepEqual(resets, ['router: BFD']);
    assert.deepEqual([...withheld], ['router']);
  });

  test('a session that nobody knew of when the path failed is ended as soon as GoBGP tells of it', () => {
    for (const before of [undefined, 'down'] as const) {
      resets = [];
      failed.add('router', 'BFD', before);
      look({ router: 7 });
      assert.deepEqual(resets, ['router: BFD'], String(before));
      assert.equal(look({ router: 8 }), true, String(before));
    }
  });

  test('a peer that GoBGP does not have is forgotten when nothing is left of it', () => {
    failed.add('router', 'BFD', 7);
    clock.advance(seconds(5));
    assert.equal(look({}), false);
    assert.deepEqual([...withheld], ['router']);
    named.clear();
    assert.equal(look({}), true);
    assert.deepEqual([...withheld], []);
  });
});
