import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { EventSender, type Note } from '#kubernetes/events.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { type ManualClock, manualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/netns.ts';
import { type FakeApi, fakeApi } from '../../support/kubernetes/fake-api.ts';
import { allTypes } from '../../support/kubernetes/fake-api-process.ts';

const note = (reason: string, text = 'words'): Note => ({
  regarding: { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'u1' },
  type: 'Warning',
  reason,
  action: 'Established',
  text,
});

describe('Events', async () => {
  const api: FakeApi = await fakeApi(allTypes);
  after(async () => {
    await api.close();
  });
  let clock: ManualClock;
  let sender: EventSender;
  const type = api.type(allTypes.find((it) => it.kind === 'Event') ?? assert.fail());
  const events = () => api.objects.all(type);

  beforeEach(() => {
    for (const it of events()) api.remove(type, `default/${it.metadata.name}`);
    api.misfortune = undefined;
    api.requests.length = 0;
    clock = manualClock();
    sender = new EventSender(
      { controller: 'flatroute.io/agent', instance: 'node-1' },
      { store: api.store(), clock, wallClock: () => Date.UTC(2026, 0, 1) + clock.now(), spread: () => milliseconds(0) },
    );
  });
  /** What is due is sent before time goes on. */
  const pass = async (by: number, sent: number, dropped = 0): Promise<void> => {
    clock.advance(milliseconds(by));
    await eventually(`${sent} sent, ${dropped} dropped`, () => {
      clock.advance(milliseconds(0));
      return sender.facts.sent === sent && sender.facts.dropped === dropped;
    });
  };

  test('stand in namespace default when their object has none, with who said it', async () => {
    sender.tell(note('SessionDown'));
    await pass(0, 1);
    const [event] = events();
    assert.deepEqual(
      [
        event?.metadata.namespace,
        event?.['reason'],
        event?.['note'],
        event?.['eventTime'],
        event?.['reportingInstance'],
      ],
      ['default', 'SessionDown', 'words', '2026-01-01T00:00:00.000000Z', 'node-1'],
    );
  });

  test('the same again is a series of one Event, written once a minute', async () => {
    sender.tell(note('SessionDown'));
    await pass(0, 1);
    for (let i = 0; i < 50; i++) sender.tell(note('SessionDown', `again ${i}`));
    await pass(60_000, 2);
    assert.deepEqual(
      events().map((it) => (it['series'] as { count: number }).count),
      [51],
    );
    assert.deepEqual(
      api.requests.map((it) => it.verb),
      ['create', 'patch'],
    );
  });

  test('a burst goes at once up to ten, then one a second; a full queue drops and counts', async () => {
    for (let i = 0; i < 70; i++) sender.tell(note(`Reason${i}`));
    assert.equal(sender.facts.dropped, 6);
    await pass(0, 10, 6);
    await pass(1000, 11, 6);
    await pass(1000, 12, 6);
  });

  test('wait for an API that is away, five minutes at most', async () => {
    api.misfortune = () => 'drop-before';
    sender.tell(note('SessionDown'));
    clock.advance(milliseconds(0));
    await eventually('a try', () => api.requests.length > 0);
    api.misfortune = undefined;
    await pass(16_000, 1);
    api.misfortune = () => ({ status: 403, reason: 'Forbidden' });
    sender.tell(note('Refused'));
    await pass(seconds(1), 1, 1);
  });

  test('nothing is sent after a stop', async () => {
    sender.tell(note('SessionDown'));
    await sender.stop();
    clock.advance(seconds(10));
    assert.deepEqual([api.requests.length, clock.armed.length], [0, 0]);
  });
});
