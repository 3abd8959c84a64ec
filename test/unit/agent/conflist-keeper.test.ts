import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { ConflistKeeper } from '#agent/conflist-keeper.ts';
import { conflistConditions } from '#intent/conflist-conditions.ts';
import type { ConflistFacts } from '#intent/node-intent.ts';
import { seconds } from '#lib/time.ts';
import { type ManualClock, manualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/netns.ts';

describe('the list that the agent keeps for the container runtime', () => {
  let root = '';
  let file = '';
  let clock: ManualClock;
  let facts: ConflistFacts | undefined;
  let keeper: ConflistKeeper | undefined;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'flatroute-conflist-'));
    mkdirSync(join(root, 'bin'));
    file = join(root, 'net.d', '05-flatroute.conflist');
    clock = manualClock();
    facts = undefined;
  });
  afterEach(() => {
    keeper?.stop();
    rmSync(root, { recursive: true });
  });

  const keep = (from?: string): ConflistKeeper => {
    keeper = new ConflistKeeper(
      { file, from, binaryDirectory: join(root, 'bin') },
      { clock, facts: (told) => (facts = told), log: () => undefined },
    );
    keeper.start();
    return keeper;
  };
  const put = (name: string, text: string): void => {
    mkdirSync(join(root, 'net.d'), { recursive: true });
    writeFileSync(join(root, 'net.d', name), text);
  };
  const types = (): readonly string[] =>
    (JSON.parse(readFileSync(file, 'utf8')) as { plugins: { type: string }[] }).plugins.map(({ type }) => type);
  const reason = (): string | undefined => conflistConditions('node-1', { conflist: facts })[0]?.reason;

  test('is written when the agent can serve and not before, and stays when the agent stops', () => {
    const kept = keep();
    assert.deepEqual([facts?.inPlace, reason()], [false, 'ConflistWaits']);
    kept.serve();
    assert.deepEqual([types(), reason()], [['flatroute'], 'NetworkConfigured']);
    kept.stop();
    assert.deepEqual(types(), ['flatroute']);
  });

  test('has portmap and bandwidth in it when they are there to be called, also when they come later', () => {
    writeFileSync(join(root, 'bin', 'portmap'), '');
    keep().serve();
    assert.deepEqual(types(), ['flatroute', 'portmap']);
    writeFileSync(join(root, 'bin', 'bandwidth'), '');
    clock.advance(seconds(31));
    assert.deepEqual(types(), ['flatroute', 'portmap', 'bandwidth']);
  });

  test('is not written again when it is as it should be', () => {
    keep().serve();
    const { ino } = statSync(file);
    keeper?.stop();
    keep().serve();
    clock.advance(seconds(100));
    assert.equal(statSync(file).ino, ino);
  });

  test('comes back when it was removed or changed, without a fight about it', async () => {
    keep().serve();
    clock.advance(seconds(10));
    rmSync(file);
    await eventually('the removal to be seen', () =>
      Promise.resolve(clock.armed.some((at) => at < 20_000) || undefined),
    );
    clock.advance(seconds(1));
    assert.deepEqual([types(), facts?.restored], [['flatroute'], 1]);
    put('05-flatroute.conflist', '{}');
    await eventually('the change to be seen', () =>
      Promise.resolve(clock.armed.some((at) => at < 20_000) || undefined),
    );
    clock.advance(seconds(1));
    assert.equal(readFileSync(file, 'utf8'), '{}');
    clock.advance(seconds(2));
    assert.deepEqual([types(), facts?.restored], [['flatroute'], 2]);
  });

  test('another list that comes first is named; Multus, our own plugin and broken files are not meant', () => {
    put('00-multus.conf', '{"type": "multus-shim", "cniVersion": "1.0.0"}');
    put('01-own.conflist', '{"plugins": [{"type": "flatroute"}, {"type": "tuning"}]}');
    put('02-broken.conflist', '{');
    put('03-notes.txt', '{"type": "bridge"}');
    put('10-later.conflist', '{"plugins": [{"type": "bridge"}]}');
    const kept = keep();
    kept.serve();
    assert.deepEqual(facts?.foreign, []);
    put('04-calico.conflist', '{"plugins": [{"type": "calico"}, {"type": "portmap"}]}');
    clock.advance(seconds(31));
    assert.deepEqual([facts?.foreign, reason()], [['04-calico.conflist'], 'ForeignConflist']);
  });

  test('a list of the operator is written as it is, and one without flatroute in it never', () => {
    const from = join(root, 'own.json');
    const text = '{"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"flatroute","mtu":9000}]}';
    writeFileSync(from, text);
    keep(from).serve();
    assert.equal(readFileSync(file, 'utf8'), text);
    writeFileSync(from, '{"plugins": [{"type": "bridge"}]}');
    clock.advance(seconds(31));
    assert.equal(readFileSync(file, 'utf8'), text);
    assert.deepEqual(
      conflistConditions('node-1', { conflist: facts }).map(({ reason: why, message }) => [why, message]),
      [['ConflistNotWritten', `${from} is not a CNI configuration list with a plugin of type flatroute; correct it.`]],
    );
  });
});
