/**
 * A router is drained, taken down for work and comes back, under 1000 datagrams a second each way and family between a pod and a
 * VM behind two routers. Not one may be lost. The agent is killed in the middle of one drain, and goes on with it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { flatroute } from '#lab/program.ts';
import type { RouterKind } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import { cannotRun } from '../interop/two-routers.ts';
import { Rack } from '../support/rack.ts';
import { Streams, assertNothingLost, clock } from '../support/streams.ts';

const RATE = 1000;

for (const kind of ['bird', 'frr'] as const satisfies readonly RouterKind[]) {
  describe(`drain under two routers (${kind})`, { skip: cannotRun(kind) }, () => {
    test('each router is drained and brought back in turn, and no packet is lost', { timeout: 300_000 }, async (t) => {
      await using rack = await Rack.create(kind, { interconnected: true });
      const pod = await rack.addPod('pod');
      const streams = await Streams.start(Rack.podEnd(pod), rack.vmEnd(), RATE, 280);
      const timeline: string[] = [];
      const say = async (...words: readonly string[]): Promise<string> => {
        timeline.push(`${clock(Date.now())} flatroute ${words.join(' ')}`);
        const out = await rack.node.run(flatroute(...words));
        timeline.push(`${clock(Date.now())} ${out.trim().replaceAll('\n', '; ')}`);
        return out;
      };
      const drainStep = async (name: string): Promise<string | undefined> =>
        (await rack.agent.questions.peers()).find((peer) => peer.name === name)?.drain;

      const text = await say('drain', 'first', '--wait', '1');
      assert.match(text, /first: announced with GRACEFUL_SHUTDOWN.*\nfirst: withdrawn\nfirst: session ended/);
      // The agent has said so; the router reads it, and the node's kernel is told, each in its own time.
      await waitFor(
        'the router to know that its session ended, and nothing to leave by it',
        async () => {
          const [row] = (await rack.routers[0]?.sessions()) ?? [];
          const kernel = await rack.node.run(['ip', '-4', 'route', 'show', 'proto', '179']);
          const isOver = row?.established === false && !kernel.includes('172.16.1.2');
          return isOver ? found(undefined) : notYet(`${row?.state}; ${kernel}`);
        },
        { deadline: seconds(60) },
      );
      await say('undrain', 'first');
      await rack.restored();

      // The second one; whoever is killed half way goes on with it.
      const drained = rack.node.exec(flatroute('drain', 'second', '--wait', '2'));
      await waitFor(
        'the second router to be withdrawn from',
        async () => {
          const step = await drainStep('second');
          return step === 'withdraw' || step === 'down' ? found(undefined) : notYet(`step ${step}`);
        },
        { deadline: seconds(60) },
      );
      timeline.push(`${clock(Date.now())} kill while second is withdrawn`);
      await rack.agent.stop('SIGKILL');
      await drained;
      await rack.agent.start();
      await waitFor(
        'the drain to be over',
        async () => {
          const step = await drainStep('second');
          return step === 'down' ? found(undefined) : notYet(`step ${step}`);
        },
        { deadline: seconds(60) },
      );
      timeline.push(`${clock(Date.now())} second is down`);
      await say('undrain');
      await rack.restored();

      const directions = await streams.stop();
      for (const { name, sent, lost } of directions) t.diagnostic(`${name}: ${sent} sent, ${lost} lost`);
      timeline.push(await rack.agent.log(100));
      assertNothingLost(directions, timeline);
    });
  });
}
