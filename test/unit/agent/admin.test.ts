import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type AdminServer, serveAdmin } from '#agent/admin/server.ts';
import type { RouteQuery } from '#bgp/engine.ts';
import { type AgentClient, connectAgent } from '#cli/client.ts';
import { runCommandLine } from '#cli/command-line.ts';
import type { Prefix } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { EventAnswer } from '#status/answers.ts';
import { blockAnswers, statusAnswer } from '#status/node.ts';
import { peerAnswers } from '#status/peers.ts';
import { poolAnswers } from '#status/pools.ts';
import type { Snapshot } from '#status/snapshot.ts';
import { eventually } from '../../support/netns.ts';
import { bfdIntent, bfdRuns, bfdSession, peerIntent, snapshot as plainSnapshot } from '../../support/snapshot.ts';

/** With BFD to one peer. */
function snapshot(changes: Partial<Snapshot> = {}): Snapshot {
  const made = plainSnapshot(changes);
  assert.ok(made.bgpIntent);
  const peers = [peerIntent('tor-a', { bfd: bfdIntent() }), peerIntent('tor-b', { bfd: bfdIntent() })];
  const bfd = { daemon: bfdRuns, sessions: [bfdSession('tor-a', { problem: 'no way' })] };
  return { ...made, bgpIntent: { ...made.bgpIntent, peers }, bfd };
}

const directory = mkdtempSync(join(tmpdir(), 'flatroute-admin-'));
const path = join(directory, 'admin.sock');
const queries: RouteQuery[] = [];
const resets: string[] = [];
const drains: string[] = [];
const checked = (repair: string): { outcome?: 'left'; reason?: string } =>
  repair === 'no' ? {} : { outcome: 'left', reason: repair };
const listeners = new Set<(event: EventAnswer) => void>();
let later = false;
let answers = 0;
let server: AdminServer;
let client: AgentClient;

before(async () => {
  server = await serveAdmin(path, {
    // Each answer differs from the last, as uptime does.
    snapshot: () => snapshot({ now: snapshot().now + (later ? 1000 * answers++ : 0) }),
    routes: (query) => {
      queries.push(query);
      return Promise.resolve({
        rows: [
          {
            prefix: '10.0.0.0/8' as Prefix,
            peer: 'tor-a',
            nextHop: undefined,
            asPath: '',
            origin: 'IGP',
            localPref: undefined,
            med: 0,
            communities: [],
            accepted: true,
            reason: 'r',
            best: true,
            multipath: false,
            stale: false,
          },
        ],
        more: true,
      });
    },
    lookup: (address) => Promise.resolve({ destination: address, type: 'blackhole', metric: 0, hops: [] }),
    pods: () => Promise.reject(new AppError('AGENT_THREAD_ENDED', 'thread pods is not running')),
    check: ({ repair }) =>
      Promise.resolve({
        findings: [
          { code: 'PodGone', subject: 'fr0', pod: 'ns/p', text: 't', action: 'a', ...checked(repair) },
          { code: 'AddressHeld', subject: '10.0.0.1', pod: '', text: 't', action: 'a' },
        ],
        pods: 3,
        addresses: 6,
        unseen: ['u'],
      }),
    reset: (peer, how) => {
      resets.push(`${peer} ${how}`);
      return Promise.resolve(peer === 'tor-a');
    },
    drain: (peers, wait) => void drains.push(`drain ${peers.join()} ${wait}`),
    undrain: (peers) => void drains.push(`undrain ${peers.join()}`),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    log: () => undefined,
  });
  client = await connectAgent(path);
});
after(async () => {
  client.close();
  await server.close();
  rmSync(directory, { recursive: true });
});

const refused = (text: RegExp) => (error: unknown) => error instanceof AppError && text.test(error.message);

test('the socket belongs to its owner alone', () => assert.equal(statSync(path).mode & 0o777, 0o600));

test('answers arrive as they were made, what is not known is not there', async () => {
  const { uptimeSeconds, ...status } = await client.status();
  const { uptimeSeconds: wanted, ...expected } = statusAnswer(snapshot());
  assert.deepEqual(status, JSON.parse(JSON.stringify(expected)));
  assert.equal(uptimeSeconds, wanted);
  assert.deepEqual(await client.peers(undefined), JSON.parse(JSON.stringify(peerAnswers(snapshot()))));
  assert.equal((await client.peers('tor-a'))[0]?.bfd?.detectionTimeMilliseconds, 150);
  assert.deepEqual(await client.pools(), JSON.parse(JSON.stringify(poolAnswers(snapshot()))));
  assert.deepEqual(await client.blocks(), JSON.parse(JSON.stringify(blockAnswers(snapshot()))));
  assert.deepEqual(await client.conditions(), []);
  assert.deepEqual(await client.drift(), {
    repairs: { 'learned route': 2 },
    routeConflicts: [],
    problems: [],
    foreignLinks: [],
  });
});

test('a check of pods says what it found, and with a repair what became of it', async () => {
  const plain = await client.check('no', 5);
  assert.deepEqual(plain.findings[0], { code: 'PodGone', subject: 'fr0', pod: 'ns/p', text: 't', action: 'a' });
  assert.deepEqual({ ...plain, findings: [] }, { findings: [], pods: 3, addresses: 6, unseen: ['u'] });
  assert.equal((await client.check('apply', 0)).findings[0]?.reason, 'apply');
  await assert.rejects(client.check('no', -1), refused(/olderThanSeconds -1/));
});

test('a zero that is known is there', async () => {
  const answer = await client.routes({ direction: 'best', prefix: '10.1.2.3' });
  assert.equal(answer.routes[0]?.med, 0);
  assert.ok(!('localPref' in (answer.routes[0] ?? {})));
  assert.deepEqual(answer.kernel, { destination: '10.1.2.3', type: 'blackhole', metric: 0, hops: [] });
  assert.equal(answer.more, true);
});

test('a query reaches the engine with what was asked, and the default limit', async () => {
  queries.length = 0;
  await client.routes({ direction: 'received', peer: 'tor-a', prefix: '10.0.0.0/8', within: true, family: 'ipv4' });
  assert.deepEqual(queries, [
    { direction: 'received', peer: 'tor-a', prefix: '10.0.0.0/8', within: true, family: 'ipv4', limit: 1000 },
  ]);
});

test('wrong requests are refused with a sentence', async () => {
  await assert.rejects(
    client.routes({ direction: 'best', prefix: '10.0.0.1/8' }),
    refused(/"10\.0\.0\.1\/8" is not an address or prefix/),
  );
  await assert.rejects(client.routes({ direction: 'best', limit: 10_001 }), refused(/limit 10001: at most 10000/));
  await assert.rejects(
    client.routes({ direction: 'best', peer: 'x' }),
    refused(/no peer is called x; there are tor-a, tor-b/),
  );
  await assert.rejects(client.routes({ direction: 'upwards' as 'best' }), refused(/direction "upwards"/));
  await assert.rejects(client.peers('x'), refused(/no peer is called x/));
});

test('a thread that is away is an error with its words, and the server lives on', async () => {
  await assert.rejects(client.pods(), refused(/thread pods is not running/));
  assert.equal((await client.status()).node, 'node-1');
});

test('resets arrive with their kind; an unknown peer is refused, and one that the engine does not have', async () => {
  resets.length = 0;
  await client.reset('tor-a', true);
  await assert.rejects(client.reset('tor-z', false), refused(/no peer is called tor-z/));
  await assert.rejects(client.reset('tor-b', false), refused(/tor-b is not with the engine now/));
  assert.deepEqual(resets, ['tor-a soft', 'tor-z hard', 'tor-b hard']);
});

test('--watch prints again what changed, one JSON line each, until it is interrupted', async () => {
  const stop = new AbortController();
  const lines: string[] = [];
  let time = 0;
  later = true;
  const code = await runCommandLine(['status', '--watch', '-o', 'json', '--socket', path], {
    out: (text) => {
      lines.push(text);
      if (lines.length === 2) stop.abort();
    },
    err: () => undefined,
    terminal: false,
    columns: () => undefined,
    environment: {},
    now: () => time++,
    signal: stop.signal,
  });
  later = false;
  assert.equal(code, 0, 'the last answer was fine');
  assert.equal(lines.length, 2);
  for (const line of lines) assert.equal((JSON.parse(line) as { node: string }).node, 'node-1');
  assert.ok(lines.every((line) => line.trimEnd().split('\n').length === 1));
});

test('events stream until the reader goes, and the subscription goes with it', async () => {
  const stop = new AbortController();
  const seen: EventAnswer[] = [];
  const reading = (async () => {
    for await (const event of client.watch(stop.signal)) {
      seen.push(event);
      if (seen.length === 2) stop.abort();
    }
  })();
  await eventually('the subscription', () => listeners.size === 1);
  const event = {
    at: new Date(0).toISOString(),
    level: 'info',
    event: 'session.established',
    fields: { peer: 'tor-a' },
  } as const;
  for (const listener of listeners) for (let i = 0; i < 2; i++) listener(event);
  await reading;
  assert.deepEqual(seen, [event, event]);
  await eventually('the end of the subscription', () => listeners.size === 0);
});

test('a reader that is too slow loses events and is told how many; nothing grows without end', async () => {
  const stop = new AbortController();
  const reader = client.watch(stop.signal)[Symbol.asyncIterator]();
  const first = reader.next();
  await eventually('the subscription', () => listeners.size === 1);
  const big = 'x'.repeat(10_000);
  for (const listener of listeners) {
    for (let i = 0; i < 5000; i++) listener({ at: '', level: 'info', event: 'burst', fields: { i, big } });
  }
  await first;
  let told: unknown;
  for (let i = 0; i < 5000 && told === undefined; i++) {
    const { value, done } = await reader.next();
    if (done === true) break;
    if ((value as EventAnswer).event === 'watch.dropped') told = (value as EventAnswer).fields['events'];
  }
  assert.ok(typeof told === 'number' && told > 1000);
  stop.abort();
  await reader.return?.(undefined);
});

test('a drain names peers that there are, and how long each step may take', async () => {
  await client.drain(['tor-a'], 2.5);
  await client.drain([], 0);
  await client.undrain(['tor-a']);
  assert.deepEqual(drains, ['drain tor-a 2500', 'drain  0', 'undrain tor-a']);
  await assert.rejects(client.drain(['tor-x'], 1), /no peer is called tor-x; there are/);
  await assert.rejects(client.undrain(['tor-x']), /no peer is called tor-x/);
  await assert.rejects(client.drain([], 601), /wait 601: 0 to 600 seconds/);
});

test('every field of a peer that the answers know can go over the wire', () => {
  const words = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, word]) => word ?? '');
  const between = (text: string, begin: string): string => {
    const at = text.indexOf(begin);
    return text.slice(at, text.indexOf('\n}', at));
  };
  const source = readFileSync('src/status/answers.ts', 'utf8');
  const proto = readFileSync('proto/flatroute/agent/v1/agent.proto', 'utf8');
  for (const [answer, message] of [
    ['PeerAnswer', 'Peer'],
    ['BfdAnswer', 'Bfd'],
    ['PodAnswer', 'Pod'],
    ['BlockAnswer', 'Block'],
    ['ConditionAnswer', 'Condition'],
  ] as const) {
    const fields = words(between(source, `interface ${answer} {`), /\n  readonly (\w+)\??:/g);
    const known = words(between(proto, `message ${message} {`), /\b([a-z_0-9]+) = \d+;/g).map((name) =>
      name.replaceAll(/_(.)/g, (_all, letter: string) => letter.toUpperCase()),
    );
    assert.ok(fields.length > 3);
    assert.deepEqual(
      fields.filter((field) => !known.includes(field)),
      [],
      message,
    );
  }
});
