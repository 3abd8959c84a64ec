// What an agent that is restarted while the API server is away still knows of Services.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { ServiceMemory } from '#agent/service-memory.ts';
import { AgentServices } from '#agent/services.ts';
import type { Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { ServiceView } from '#resources/service-view.ts';
import { manualClock } from '../../support/manual-clock.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'flatroute-memory-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const view = (name: string, anywhere: number): ServiceView => ({
  service: `shop/${name}`,
  addresses: [
    {
      prefix: '198.51.100.7/32' as Prefix,
      use: 'LoadBalancer',
      range: '198.51.100.0/24' as Prefix,
      policy: 'Local',
    },
  ],
  endpoints: { ipv4: anywhere > 0 ? 'elsewhere' : 'none', ipv6: 'none' },
});
const silent = (): void => undefined;

test('a burst of changes is written once, the last of it, and only what has endpoints', () => {
  const clock = manualClock();
  const memory = new ServiceMemory(folder, { clock, log: silent });
  memory.remember([view('a', 0)]);
  memory.remember([view('a', 1), view('b', 0)]);
  assert.deepEqual(readdirSync(folder), []);
  clock.advance(seconds(2));
  assert.deepEqual(new ServiceMemory(folder, { clock, log: silent }).read(), [view('a', 1)]);
  memory.remember([]);
  memory.stop();
  assert.deepEqual(memory.read(), []);
});

test('when nobody asks for Services any more nothing is kept of them; while they cannot be read all of it is', () => {
  const clock = manualClock();
  const services = new AgentServices(folder, { clock, log: silent, proxy: silent, again: silent });
  services.learn([view('a', 1)], undefined);
  clock.advance(seconds(2));
  services.learn(undefined, 'The API server cannot be reached.');
  assert.deepEqual(services.memory.read(), [view('a', 1)]);
  services.learn([view('b', 1)], undefined);
  services.learn(undefined, undefined);
  clock.advance(seconds(2));
  assert.deepEqual(readdirSync(folder), []);
});

test('a file that is not there, is damaged or of another version counts for nothing', () => {
  const memory = new ServiceMemory(folder, { clock: manualClock(), log: silent });
  assert.equal(memory.read(), undefined);
  const address = { ...view('a', 1).addresses[0], use: 'NodePort' };
  for (const text of ['', '[', '{}', '[{}]', '[null]', JSON.stringify([{ ...view('a', 1), addresses: [address] }])]) {
    writeFileSync(join(folder, 'services.json'), text);
    assert.equal(memory.read(), undefined, text);
  }
});

test('a directory that cannot be written is a warning', () => {
  const lines: string[] = [];
  const clock = manualClock();
  const memory = new ServiceMemory(join(folder, 'missing'), { clock, log: (_, event) => void lines.push(event) });
  memory.remember([view('a', 1)]);
  clock.advance(seconds(2));
  assert.deepEqual(lines, ['services.not-remembered']);
});

test('a restarted agent waits for what decides about Services, but not for long', async () => {
  const clock = manualClock();
  const made = (): AgentServices =>
    new AgentServices(folder, { clock, log: silent, proxy: () => undefined, again: () => undefined });
  const known = made();
  known.settled();
  await known.known();
  assert.equal(clock.armed.length, 0);
  const unknown = made();
  let over = false;
  const waiting = unknown.known().then(() => (over = true));
  clock.advance(seconds(4));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(over, false);
  clock.advance(seconds(1));
  await waiting;
});
