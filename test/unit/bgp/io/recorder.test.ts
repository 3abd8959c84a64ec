// The recorder on a real directory: what is in a file, what happens when it is full, and when it cannot be written.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Asn } from '#lib/ip.ts';
import { instant, seconds } from '#lib/time.ts';
import { createRecorder, prepareRecordDirectory } from '#bgp/io/recorder.ts';
import type { Event } from '#bgp/session/events.ts';
import type { SessionConfig } from '#bgp/session/config.ts';
import { transition } from '#bgp/session/machine.ts';
import { eventually } from '../../../support/netns.ts';
import { replayer } from '#bgp/session/replay.ts';
import { type State, initialState } from '#bgp/session/state.ts';

const config: SessionConfig = {
  localAsn: 65001 as Asn,
  peerAsn: 65002 as Asn,
  identifier: 1,
  families: ['ipv4'],
  connectRetryTime: seconds(10),
  passive: false,
  hasPassword: true,
  minimumHopLimit: undefined,
  keepaliveTime: undefined,
};

const scratch = (t: TestContext): string => {
  const directory = mkdtempSync(join(tmpdir(), 'flatroute-record-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
};

const failures: string[] = [];
const modules = {
  wallClock: () => 1_700_000_000_000,
  program: 'test',
  failed: (peer: string, text: string) => void failures.push(`${peer}: ${text}`),
};

/** A session that starts and stops; each pair is two steps. */
function live(record: ReturnType<ReturnType<typeof createRecorder>['session']>, pairs: number): void {
  let state: State = initialState;
  for (let at = 0; at < 2 * pairs; at++) {
    const event: Event =
      at % 2 === 0
        ? { kind: 'start', at: instant(at), random: 0.5 }
        : { kind: 'stop', how: 'silent', at: instant(at), random: 0.5 };
    const next = transition(config, state, event);
    record(state, event, next.state, next.effects);
    ({ state } = next);
  }
}

function played(directory: string, name: string): { steps: number; begins: number; wrong: number } {
  const player = replayer();
  const all = readFileSync(join(directory, name), 'utf8')
    .split('\n')
    .flatMap((line) => player(line) ?? []);
  return {
    steps: all.filter(({ kind }) => kind === 'step').length,
    begins: all.filter(({ kind }) => kind === 'begin').length,
    wrong: all.filter((one) => one.kind === 'broken' || (one.kind === 'step' && one.differs !== undefined)).length,
  };
}

test('a peer that begins twice has one file with two beginnings, and its name cannot leave the directory', async (t) => {
  const directory = scratch(t);
  const recorder = createRecorder(directory, modules);
  live(recorder.session('../rack/192.0.2.1', '192.0.2.1', config), 2);
  live(recorder.session('../rack/192.0.2.1', '192.0.2.1', config), 1);
  await recorder.close();
  assert.deepEqual(readdirSync(directory), ['.._rack_192.0.2.1.jsonl']);
  assert.deepEqual(played(directory, '.._rack_192.0.2.1.jsonl'), { steps: 6, begins: 2, wrong: 0 });
});

test('a full file is put aside, and the next one begins with the state that it needs', async (t) => {
  const directory = scratch(t);
  const recorder = createRecorder(directory, modules, { fileBytes: 4000, waitingBytes: 1_000_000 });
  live(recorder.session('tor', '192.0.2.1', config), 40);
  await recorder.close();
  assert.deepEqual(readdirSync(directory).sort(), ['tor.1.jsonl', 'tor.jsonl']);
  for (const name of ['tor.1.jsonl', 'tor.jsonl']) {
    const { steps, begins, wrong } = played(directory, name);
    assert.ok(steps > 0 && begins === 1 && wrong === 0, `${name}: ${steps} ${begins} ${wrong}`);
    assert.ok(readFileSync(join(directory, name)).length < 6000);
  }
});

test('steps that the disk does not take are left out and counted; what follows can be played', async (t) => {
  const directory = scratch(t);
  const recorder = createRecorder(directory, modules, { fileBytes: 1_000_000, waitingBytes: 1 });
  const record = recorder.session('tor', '192.0.2.1', config);
  live(record, 5);
  // The first step is on its way to the disk; the others met a full queue, until the disk has taken it.
  const begins = (): number => readFileSync(join(directory, 'tor.jsonl'), 'utf8').split('"begin"').length - 1;
  await eventually('the disk to have taken it', () => {
    if (begins() >= 2) return true;
    live(record, 1);
    return false;
  });
  await recorder.close();
  const lines = readFileSync(join(directory, 'tor.jsonl'), 'utf8').trim().split('\n');
  const lost = lines.flatMap((line) => {
    const value = JSON.parse(line) as { readonly kind: string; readonly lost?: number };
    return value.kind === 'begin' ? [value.lost ?? -1] : [];
  });
  assert.equal(lost[0], 0);
  assert.ok((lost[1] ?? 0) >= 9, `${lost[1]} steps are said to be lost`);
  assert.equal(played(directory, 'tor.jsonl').wrong, 0);
});

test('a file that cannot be written is said once, and the session goes on', async (t) => {
  const directory = scratch(t);
  mkdirSync(join(directory, 'tor.jsonl'));
  const recorder = createRecorder(directory, modules);
  failures.length = 0;
  const record = recorder.session('tor', '192.0.2.1', config);
  live(record, 1);
  await eventually('it to be said', () => failures.length > 0);
  live(record, 1);
  await recorder.close();
  assert.equal(failures.length, 1);
  assert.match(failures[0] ?? '', /^tor: EISDIR/);
});

test('a record directory that is a file is refused with its name', (t) => {
  const directory = scratch(t);
  const file = join(directory, 'file');
  writeFileSync(file, '');
  chmodSync(file, 0o400);
  assert.throws(() => prepareRecordDirectory(file), {
    code: 'AGENT_RECORD_DIRECTORY',
    message: /file: cannot be made a directory/,
  });
});
