// The health check of the node's proxy: what answers mean, when they count, and real ones over HTTP.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import {
  judged,
  notAsked,
  type Probe,
  ProxyHealth,
  type ProxyPlace,
  probeProxy,
  readAnswer,
} from '#agent/proxy-health.ts';
import type { ProxyFacts } from '#intent/node-intent.ts';
import { seconds } from '#lib/time.ts';
import { manualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/netns.ts';

const good: Probe = { kind: 'healthy' };
const bad: Probe = { kind: 'unhealthy', text: 'its /healthz answers 503' };
const gone: Probe = { kind: 'silent', text: 'refused' };

describe('answers in a row', () => {
  const rows: readonly (readonly [string, readonly Probe[], readonly (boolean | undefined)[]])[] = [
    ['the first good one counts', [good], [true]],
    ['its own word that it does not work counts at once', [good, bad], [true, false]],
    ['silence counts the third time', [good, gone, gone, gone], [true, true, true, false]],
    [
      'silence with an answer in between is none',
      [good, gone, gone, good, gone, gone],
      [true, true, true, true, true, true],
    ],
    ['from the start: unknown, then not there', [gone, gone, gone], [undefined, undefined, false]],
    ['one that was away must answer three times', [bad, good, good, good], [false, false, false, true]],
    [
      'and without a break',
      [bad, good, good, gone, good, good, good],
      [false, false, false, false, false, false, true],
    ],
    ['one that comes up while it is asked too', [gone, good, good, good], [undefined, undefined, undefined, true]],
  ];
  for (const [name, probes, expected] of rows) {
    test(name, () => {
      let record = notAsked;
      const facts = probes.map((probe) => {
        record = judged(record, probe);
        return record.facts.healthy;
      });
      assert.deepEqual(facts, expected);
    });
  }
});

describe('what /healthz of kube-proxy says', () => {
  const body = '{"lastUpdated":"2026-01-01T00:00:00Z","currentTime":"2026-01-01T00:00:00Z","nodeEligible":';
  const rows: readonly (readonly [string, number, string, Probe])[] = [
    ['200', 200, `${body}true,"healthy":true}`, good],
    ['200 of something else that has no JSON', 200, 'ok', good],
    ['503', 503, `${body}true,"healthy":false}`, bad],
    [
      '503 for a node that is about to be removed',
      503,
      `${body}false,"healthy":true}`,
      { kind: 'unhealthy', text: 'its /healthz answers 503: the node is about to be removed' },
    ],
    ['404 of another program', 404, '', { kind: 'unhealthy', text: 'its /healthz answers 404' }],
  ];
  for (const [name, status, text, expected] of rows)
    test(name, () => assert.deepEqual(readAnswer(status, text), expected));
});

test('it is asked again a second after each answer, until nobody wants to know; only changes are told', async () => {
  const clock = manualClock();
  const told: ProxyFacts[] = [];
  const ports: number[] = [];
  let answer: Probe = good;
  const at = (port: number): ProxyPlace => ({ port, addresses: [] });
  const probe = ({ port }: ProxyPlace): Promise<Probe> => {
    ports.push(port);
    return Promise.resolve(answer);
  };
  const turn = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
  };
  const health = new ProxyHealth({ clock, changed: (facts) => void told.push(facts), probe });
  health.watch(at(10_256));
  health.watch(at(10_256));
  await turn();
  for (let i = 0; i < 3; i++) {
    clock.advance(seconds(1));
    await turn();
  }
  assert.deepEqual([ports.length, told], [4, [{ healthy: true, problem: undefined }]]);
  answer = bad;
  clock.advance(seconds(1));
  await turn();
  assert.deepEqual(told.at(-1), { healthy: false, problem: 'its /healthz answers 503' });
  health.watch(at(10_257));
  assert.deepEqual(told.at(-1), { healthy: undefined, problem: undefined });
  await turn();
  assert.equal(ports.at(-1), 10_257);
  health.watch(undefined);
  clock.advance(seconds(60));
  await turn();
  assert.equal(ports.length, 6);
});

describe('over HTTP', () => {
  const listening = async (server: Server, address = '127.0.0.1'): Promise<number> => {
    server.listen(0, address);
    await eventually('the port', () => server.listening);
    return (server.address() as AddressInfo).port;
  };
  test('the answer is read, whatever its length', async () => {
    await using server = createServer((request, response) => {
      response.statusCode = request.url === '/healthz' ? 200 : 404;
      response.end('x'.repeat(1_000_000));
    });
    assert.deepEqual(
      await probeProxy({ port: await listening(server), addresses: [] }, new AbortController().signal),
      good,
    );
  });
  test('an address of the node is asked where nobody answers on the loopback', async () => {
    await using server = createServer((_, response) => void response.end());
    const port = await listening(server, '127.0.0.9');
    const { signal } = new AbortController();
    assert.deepEqual(await probeProxy({ port, addresses: ['127.0.0.9'] }, signal), good);
  });
  test('nobody there, and somebody who says nothing, are both silence with a reason', async () => {
    const silent = createServer(() => undefined);
    const port = await listening(silent);
    const found = await probeProxy({ port, addresses: [] }, new AbortController().signal);
    assert.deepEqual(found, {
      kind: 'silent',
      text: `nobody answers on port ${port} of this host (no answer in time)`,
    });
    silent.closeAllConnections();
    silent.close();
    await eventually('the port to be closed', () => !silent.listening);
    const refused = await probeProxy({ port, addresses: [] }, new AbortController().signal);
    assert.deepEqual(refused, { kind: 'silent', text: `nobody answers on port ${port} of this host (refused)` });
  });
});
