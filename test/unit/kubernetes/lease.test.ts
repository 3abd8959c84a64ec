// Leader election against the fake API server, in time that the test makes.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { type Leadership, contend, fenced, leaseType } from '#kubernetes/lease.ts';
import type { ApiError } from '#kubernetes/store.ts';
import { after, seconds } from '#lib/time.ts';
import { type ManualClock, manualClock } from '../../support/manual-clock.ts';
import { type FakeApi, fakeApi } from '../../support/kubernetes/fake-api.ts';
import { failsWith } from '../../support/kubernetes/store-contract.ts';
import { eventually } from '../../support/netns.ts';

interface Candidate {
  readonly leadership: Leadership;
  readonly clock: ManualClock;
  readonly log: string[];
  readonly failures: ApiError[];
}

const namespace = 'flatroute-system';
const RETRY = seconds(2);
let api: FakeApi;
let open: Leadership[];

beforeEach(async () => {
  api = await fakeApi([leaseType]);
  open = [];
});
afterEach(async () => {
  api.misfortune = undefined;
  await Promise.all(open.map(async (one) => await one.stop()));
  await api.close();
});

/** `wall`: milliseconds since the epoch at its start. */
function candidate(identity: string, wall: () => number = () => 1_700_000_000_000): Candidate {
  const clock = manualClock();
  const log: string[] = [];
  const failures: ApiError[] = [];
  const leadership = contend(
    { namespace, name: 'lead', identity },
    {
      store: api.store(),
      clock,
      now: () => new Date(wall() + clock.now()),
      random: () => 0,
      acquired: () => log.push('acquired'),
      lost: (why) => log.push(`lost: ${why}`),
      failed: (error) => failures.push(error),
    },
  );
  open.push(leadership);
  return { leadership, clock, log, failures };
}

const spec = (): Record<string, unknown> =>
  (api.objects.get(api.type(leaseType), `${namespace}/lead`)?.['spec'] ?? {}) as Record<string, unknown>;

/** Between two tries. */
async function resting({ clock }: Candidate): Promise<void> {
  await eventually('the end of a try', () => clock.armed.includes(after(clock.now(), RETRY)));
}

/** Lets one retry period pass for these candidates, one after the other. */
async function turn(...candidates: readonly Candidate[]): Promise<void> {
  for (const one of candidates) {
    await resting(one);
    one.clock.advance(RETRY);
    await resting(one);
  }
}

async function turns(count: number, ...candidates: readonly Candidate[]): Promise<void> {
  for (let i = 0; i < count; i++) await turn(...candidates);
}

async function started(identity: string): Promise<Candidate> {
  const one = candidate(identity);
  await resting(one);
  return one;
}

const writes = (): number => api.requests.filter(({ verb }) => verb === 'update' || verb === 'create').length;

test('the first who asks makes the lease, with its identity and times', async () => {
  const a = await started('a');
  assert.deepEqual(a.log, ['acquired']);
  assert.ok(a.leadership.leads());
  assert.equal(spec()['holderIdentity'], 'a');
  assert.equal(spec()['leaseDurationSeconds'], 15);
  assert.match(String(spec()['renewTime']), /^\d{4}-.*\.\d{6}Z$/);
});

test('who holds it renews it without asking first, and the others write nothing', async () => {
  const [a, b] = [await started('a'), await started('b')];
  api.requests.length = 0;
  await turns(10, a, b);
  assert.equal(api.requests.filter(({ verb }) => verb === 'update').length, 10);
  assert.equal(api.requests.filter(({ verb }) => verb === 'get').length, 10);
  assert.deepEqual([a.log, b.log], [['acquired'], []]);
});

test('clocks on the wall that differ by years, and one that jumps, change nothing about who holds it', async () => {
  let wall = 1_700_000_000_000;
  const year = 365 * 86_400_000;
  const [a, b] = [candidate('a', () => wall), candidate('b', () => 1_700_000_000_000 + 10 * year)];
  await resting(a);
  await resting(b);
  for (const jump of [0, -20 * year, 40 * year]) {
    wall += jump;
    await turns(8, a, b);
    assert.deepEqual([a.log, b.log], [['acquired'], []]);
  }
  // The years of the holder's clock are no renewal either.
  await turns(8, b);
  assert.ok(b.leadership.leads());
});

test('a holder that falls silent is followed after 15 s, and counts itself out after 10', async () => {
  const [a, b] = [await started('a'), await started('b')];
  // SIGSTOP: no time passes for a.
  await turns(7, b);
  assert.ok(!b.leadership.leads());
  await turn(b);
  assert.ok(b.leadership.leads());
  assert.equal(spec()['leaseTransitions'], 1);
  // SIGCONT: the clock has gone on, no timer has run yet.
  const before = writes();
  a.clock.advance(seconds(16));
  assert.ok(!a.leadership.leads());
  await resting(a);
  assert.equal(writes(), before);
  assert.deepEqual(a.log, ['acquired', 'lost: not renewed for 10 s']);
  assert.equal(spec()['holderIdentity'], 'b');
});

test('without an API the holder stops after 10 s, and leads again when nobody took it', async () => {
  const a = await started('a');
  api.misfortune = () => 'drop-before';
  await turns(4, a);
  assert.ok(a.leadership.leads());
  await turn(a);
  assert.ok(!a.leadership.leads());
  api.misfortune = undefined;
  await turn(a);
  assert.deepEqual(a.log, ['acquired', 'lost: not renewed for 10 s', 'acquired']);
  assert.ok(a.failures.length > 0);
});

test('a renewal whose answer was lost is found out and goes on', async () => {
  const a = await started('a');
  let cut = 1;
  api.misfortune = ({ verb }) => (verb === 'update' && cut-- > 0 ? 'drop-after' : undefined);
  await turns(3, a);
  assert.ok(a.leadership.leads());
  assert.deepEqual(a.log, ['acquired']);
});

test('a lease that another wrote over is lost at once', async () => {
  const a = await started('a');
  const lease = api.objects.get(api.type(leaseType), `${namespace}/lead`);
  assert.ok(lease);
  api.put(leaseType, { ...lease, spec: { ...spec(), holderIdentity: 'z' } });
  await turn(a);
  assert.deepEqual(a.log, ['acquired', 'lost: z holds it']);
});

test('who stops gives it up, and another has it at its next try', async () => {
  const [a, b] = [await started('a'), await started('b')];
  await a.leadership.stop();
  assert.deepEqual(a.log, ['acquired', 'lost: given up']);
  assert.equal(spec()['holderIdentity'], '');
  await turn(b);
  assert.ok(b.leadership.leads());
});

test('of two that take over at once one gets it', async () => {
  const a = await started('a');
  await a.leadership.stop();
  const both = [candidate('b'), candidate('c')] as const;
  for (const one of both) await resting(one);
  assert.equal(both.filter(({ leadership }) => leadership.leads()).length, 1);
});

test('a write without the lease is refused before it is sent', async () => {
  let leads = true;
  const store = fenced(api.store(), () => leads);
  const lease = { metadata: { name: 'x', namespace } };
  await store.create(leaseType, lease);
  leads = false;
  api.requests.length = 0;
  const refused = failsWith('API_NOT_LEADING');
  await assert.rejects(store.create(leaseType, lease), refused);
  await assert.rejects(store.replace(leaseType, lease), refused);
  await assert.rejects(store.patch(leaseType, 'x', {}, { namespace }), refused);
  await assert.rejects(store.remove(leaseType, 'x', { namespace }), refused);
  assert.equal(api.requests.length, 0);
  assert.ok(await store.get(leaseType, 'x', namespace));
});
