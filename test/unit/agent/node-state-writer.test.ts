import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import { NodeStateWriter } from '#agent/node-state-writer.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import type { BGPNodeStatus } from '#resources/bgp-node-state.ts';
import { nodeState } from '#status/node-state.ts';
import type { Snapshot } from '#status/snapshot.ts';
import { type FakeApi, type FakeType, fakeApi } from '../../support/kubernetes/fake-api.ts';
import { allTypes } from '../../support/kubernetes/fake-api-process.ts';
import { type ManualClock, manualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/netns.ts';
import { bgpFacts, peerFacts, snapshot } from '../../support/snapshot.ts';

describe('the writer of BGPNodeState', async () => {
  const api: FakeApi = await fakeApi(allTypes);
  after(async () => {
    await api.close();
  });
  const type = (kind: string): FakeType => allTypes.find((it) => it.kind === kind) ?? assert.fail();
  let clock: ManualClock;
  let now: Snapshot;
  let uid: string | undefined;
  let writer: NodeStateWriter;

  const make = (): NodeStateWriter =>
    new NodeStateWriter('node-1', {
      store: api.store(),
      clock,
      random: () => 0,
      status: (before) => nodeState(now, { bootID: 'boot 1', generationOf: () => undefined }, before),
      starting: () => now.state === 'starting',
      nodeUID: () => uid,
      minSessions: () => 1,
      log: () => undefined,
    });
  beforeEach(() => {
    for (const kind of ['BGPNodeState', 'Node'])
      for (const it of api.objects.all(type(kind))) api.remove(type(kind), it.metadata.name);
    api.misfortune = undefined;
    api.requests.length = 0;
    clock = manualClock();
    now = snapshot();
    uid = 'uid-1';
    writer = make();
  });

  const status = (): BGPNodeStatus | undefined =>
    api.objects.get(type('BGPNodeState'), 'node-1')?.['status'] as BGPNodeStatus | undefined;
  const calls = () => api.requests.map((it) => `${it.verb} ${it.type.plural}`);
  const down = (): void => {
    now = snapshot({ bgp: bgpFacts([peerFacts('tor-a', { state: 'Idle' }), peerFacts('tor-b', { state: 'Idle' })]) });
  };
  const back = (): void => {
    now = snapshot();
  };
  const writes = (count: number): Promise<unknown> =>
    eventually(`${count} writes`, () => {
      clock.advance(milliseconds(0));
      return writer.writes === count;
    });

  test('makes the object once, owned by the Node, and writes nothing while nothing changes', async () => {
    writer.changed();
    clock.advance(seconds(2));
    await writes(1);
    assert.deepEqual(calls(), ['list nodes', 'get bgpnodestates', 'create bgpnodestates', 'patch bgpnodestates']);
    assert.deepEqual(api.objects.get(type('BGPNodeState'), 'node-1')?.metadata.ownerReferences, [
      { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'uid-1' },
    ]);
    for (let i = 0; i < 60; i++) {
      writer.changed();
      clock.advance(seconds(2));
    }
    assert.equal(calls().length, 4);
  });

  test('an agent that comes again reads and writes nothing when all is as it was', async () => {
    writer.changed();
    clock.advance(seconds(2));
    await writes(1);
    await writer.stop();
    api.requests.length = 0;
    writer = make();
    writer.changed();
    clock.advance(seconds(2));
    await eventually('the read', () => calls().includes('get bgpnodestates'));
    for (let i = 0; i < 20; i++) {
      clock.advance(seconds(2));
      writer.changed();
    }
    assert.deepEqual([writer.writes, calls()], [0, ['list nodes', 'get bgpnodestates']]);
  });

  test('what decides about pods does not wait for the interval, as long as it does not flap', async () => {
    writer.changed();
    clock.advance(seconds(2));
    await writes(1);
    for (const state of [down, back, down, back]) {
      state();
      writer.changed();
      clock.advance(seconds(2));
      await writes(Math.min(2, writer.writes + 1));
    }
    // Two are prompt, the first of them at the start; what comes then is written once in 10 s, as it is by then.
    assert.deepEqual([writer.writes, status()?.established], [2, 0]);
    clock.advance(seconds(10));
    await writes(3);
    assert.equal(status()?.established, 1);
  });

  test('a session more or less is written once in 10 s when the node needs no more than it has', async () => {
    const tor = (name: string, up: boolean) => peerFacts(name, { state: up ? 'Established' : 'Idle' });
    const sessions = (a: boolean, b: boolean): void => {
      now = snapshot({ bgp: bgpFacts([tor('tor-a', a), tor('tor-b', b)]) });
    };
    sessions(true, true);
    writer.changed();
    clock.advance(seconds(2));
    await writes(1);
    sessions(true, false);
    writer.changed();
    clock.advance(seconds(5));
    assert.equal(writer.writes, 1);
    clock.advance(seconds(5));
    await writes(2);
    assert.deepEqual(status()?.routing, { peers: 2, established: 1, unannounced: 0 });
  });

  test('an agent that starts says nothing before its node is fit for pods, or 30 s passed', async () => {
    down();
    for (let i = 0; i < 14; i++) {
      writer.changed();
      clock.advance(seconds(2));
    }
    assert.deepEqual(calls(), []);
    clock.advance(seconds(4));
    await writes(1);
    assert.equal(status()?.routing?.established, 0);
  });

  test('the API away: later, with what is so then; deleted by somebody: made again', async () => {
    api.misfortune = () => 'drop-before';
    writer.changed();
    clock.advance(seconds(2));
    await eventually('a try', () => api.requests.length > 0);
    down();
    api.misfortune = undefined;
    await eventually('the write', () => {
      clock.advance(seconds(5));
      return writer.writes === 1;
    });
    assert.equal(status()?.established, 0);
    api.remove(type('BGPNodeState'), 'node-1');
    now = snapshot();
    writer.changed();
    await eventually('the object again', () => {
      clock.advance(seconds(5));
      return status()?.established === 1;
    });
  });

  test('without a Node there is nothing to own it, and a Node made again owns it from then on', async () => {
    uid = undefined;
    writer.changed();
    clock.advance(seconds(60));
    assert.deepEqual(calls(), []);
    uid = 'uid-1';
    writer.changed();
    clock.advance(seconds(2));
    await writes(1);
    uid = 'uid-2';
    writer.changed();
    await eventually('the new owner', () => {
      clock.advance(seconds(5));
      return api.objects.get(type('BGPNodeState'), 'node-1')?.metadata.ownerReferences?.[0]?.uid === 'uid-2';
    });
  });
});
