/**
 * The agent is killed with -9 again and again under 1000 datagrams a second each way and family between a pod and a VM behind two
 * routers. Not one may be lost: the routers keep the node's routes, the node's kernel keeps the routers', in groups of two that
 * never shrink.
 *
 * FLATROUTE_KILLS and FLATROUTE_SEED choose how often and when; both are printed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { seconds } from '#lib/time.ts';
import type { PeerView } from '#lab/node-agent.ts';
import type { BfdOptions, RouterKind } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { cannotRun } from '../interop/two-routers.ts';
import { Rack } from '../support/rack.ts';
import { Streams, assertNothingLost, clock } from '../support/streams.ts';
import { seededRandom } from '../support/random.ts';

/** Without a number: some without BFD, and one with each way of it. */
const wantedKills = process.env['FLATROUTE_KILLS'];
const seed = Number(process.env['FLATROUTE_SEED'] ?? Date.now() % 1_000_000);
const RATE = 1000;

/** Both routers, once BFD is up with them. */
const watched = async (rack: Rack): Promise<readonly PeerView[]> =>
  await waitFor(
    'BFD with both routers',
    async () => {
      const peers = await rack.agent.questions.peers();
      const isUp = peers.length === 2 && peers.every(({ bfd }) => bfd?.state === 'Up');
      return isUp ? found(peers) : notYet(JSON.stringify(peers));
    },
    { deadline: seconds(60) },
  );

/** With BFD the routers would notice after 150 ms what they must not notice at all. */
const variants: readonly (readonly [string, RouterKind, BfdOptions | undefined])[] = [
  ['FRR', 'frr', undefined],
  ['BIRD', 'bird', undefined],
  ['FRR, BFD', 'frr', {}],
  ['BIRD, bfd on', 'bird', {}],
  ['BIRD, bfd graceful', 'bird', { graceful: true }],
];

for (const [name, kind, bfd] of variants) {
  const kills = Number(wantedKills ?? (bfd === undefined ? 3 : 1));
  describe(`under two routers (${name})`, { skip: cannotRun(kind) }, () => {
    test(`${kills} kills of the agent and an upgrade lose no packet (seed ${seed})`, {
      timeout: 900_000,
    }, async (t) => {
      const random = seededRandom(seed);
      await using rack = await Rack.create(kind, bfd === undefined ? {} : { bfd });
      // A daemon may end a session once more before it is settled; nothing is sent yet.
      const settled = bfd === undefined ? [] : await watched(rack);
      const pid = await rack.agent.bfdPid();
      const pod = await rack.addPod('pod');
      const kernel = await rack.watchKernel();
      const streams = await Streams.start(Rack.podEnd(pod), rack.vmEnd(), RATE, 800);
      const timeline: string[] = [];
      const happened = (what: string): void => void timeline.push(`${clock(Date.now())} ${what}`);
      for (let kill = 1; kill <= kills; kill++) {
        await delay(random.unit() * 800);
        // One router is slow: the other's routes are there long before. With BFD that is a dead one, which is not tried here.
        const slow = bfd === undefined ? rack.routers[kill % 4] : undefined;
        await slow?.signal('SIGSTOP');
        happened(`kill ${kill}${slow === undefined ? '' : `, ${slow.host.name} is slow`}`);
        await rack.agent.stop('SIGKILL');
        if (random.unit() < 0.25) {
          // The next one dies at once as well, before it has said a word.
          await rack.agent.launch();
          await delay(random.unit() * 50);
          await rack.agent.stop('SIGKILL');
          happened('killed again while it started');
        }
        // Nobody starts it again for a while.
        else await delay(random.unit() * 500);
        await rack.agent.start();
        if (slow !== undefined) {
          await rack.restored(rack.routers.filter((router) => router !== slow));
          await delay(random.unit() * 300);
          await slow.signal('SIGCONT');
        }
        await rack.restored();
        happened('restored');
      }
      // An upgrade: no drain, so the sessions end without a word.
      await rack.agent.stop('SIGTERM');
      await rack.agent.start();
      await rack.restored();
      happened('restored after SIGTERM');
      const directions = await streams.stop();
      if (bfd !== undefined) {
        assert.equal(await rack.agent.bfdPid(), pid, "BFD's process is the one that it was");
        const log = await rack.node.readFile('/run/flatroute/bfd.log');
        for (const peer of await watched(rack))
          assert.equal(
            peer.bfd?.failures,
            settled.find(({ name: before }) => before === peer.name)?.bfd?.failures,
            `${peer.name}: ${log}\n${timeline.join('\n')}`,
          );
      }
      for (const { name, sent, lost, duplicates } of directions)
        t.diagnostic(`${name}: ${sent} sent, ${lost} lost, ${duplicates} twice`);
      const touched = await kernel();
      timeline.push(...touched);
      timeline.push(await rack.agent.log(400));
      assertNothingLost(directions, timeline);
      assert.deepEqual(touched, [], `learned routes were never touched\n${timeline.join('\n')}`);
    });
  });
}
