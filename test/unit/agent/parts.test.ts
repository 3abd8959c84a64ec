import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { podsGateOf } from '#agent/intent-loop.ts';
import { lockedText } from '#agent/lock.ts';
import { NodeWatch } from '#agent/threads/node-watch.ts';
import { IntentRules, natOutgoing, type RulesDriver, untranslated } from '#agent/threads/intent-rules.ts';
import { PodLinkWatch } from '#agent/threads/pod-link-watch.ts';
import { LINK_GROUP } from '#dataplane/kernel-names.ts';
import type { PodLinkChange } from '#dataplane/io/kernel-observer.ts';
import type { DataplaneIntent } from '#dataplane/intent.ts';
import type { NodeIntent } from '#intent/node-intent.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { milliseconds, systemClock } from '#lib/time.ts';
import { manualClock } from '../../support/manual-clock.ts';
import { eventually } from '../../support/netns.ts';
import { bgpFacts, peerFacts, snapshot } from '../../support/snapshot.ts';

const prefix = (text: string): Prefix => text as Prefix;
const dataplane = (changes: Partial<DataplaneIntent> = {}): DataplaneIntent => ({
  blocks: [prefix('10.60.1.0/26')],
  nodeAddresses: { ipv4: '192.0.2.1' as IpAddress, ipv6: undefined },
  natOutgoing: [],
  poolPrefixes: [],
  serviceRanges: [],
  ...changes,
});

const kernel = (apply: (intent: DataplaneIntent) => Promise<void>): RulesDriver => ({
  apply,
  isAsWritten: () => true,
  isThere: () => false,
});

describe('the gate of pods', () => {
  const intent: NodeIntent = {
    bgp: undefined,
    dataplane: dataplane(),
    pods: { ipam: { pools: [], reserved: [] }, nodeAddresses: { ipv4: undefined, ipv6: undefined }, mtu: undefined },
  };
  test('nothing known yet: no session, nothing announced', () => {
    assert.deepEqual(podsGateOf(intent, {}), { anySession: false, announcedBlocks: [] });
  });
  test('a block that was written to a session is announced', () => {
    assert.deepEqual(podsGateOf(intent, { bgp: bgpFacts([peerFacts('a')]) }), {
      anySession: true,
      announcedBlocks: ['10.60.1.0/26'],
    });
  });
  test('nobody waits for a block that is to be announced to nobody', () => {
    const meant = {
      ...(snapshot().bgpIntent ?? assert.fail()),
      announcements: [{ prefix: prefix('10.60.9.0/26'), source: 'block' as const }],
    };
    assert.deepEqual(podsGateOf({ ...intent, bgp: meant }, {}), {
      anySession: false,
      announcedBlocks: ['10.60.1.0/26'],
    });
  });
  test('what is announced and no block of ours does not count; a block written to nobody neither', () => {
    const bgp = {
      ...bgpFacts([peerFacts('a')]),
      announced: [
        { prefix: prefix('10.9.0.0/16'), peers: ['a'] },
        { prefix: prefix('10.60.1.0/26'), peers: [] },
      ],
    };
    assert.deepEqual(podsGateOf(intent, { bgp }), { anySession: true, announcedBlocks: [] });
  });
});

describe('who holds the lock', () => {
  test('an agent is named by pid', () => {
    assert.match(
      lockedText({ holder: { pid: process.pid, uid: 0, gid: 0 } }),
      new RegExp(`an agent already runs here: pid ${process.pid} \\(.*node.*\\) holds the lock @flatroute-agent`),
    );
  });
  test('another user is named as such', () => {
    assert.match(
      lockedText({ holder: { pid: 999_999_999, uid: 1000, gid: 1000 } }),
      /pid 999999999 of user 1000, which is not root, .* it is no agent/,
    );
  });
  test('a process of another container has no pid here', () => {
    assert.match(lockedText({ holder: { pid: 0, uid: 0, gid: 0 } }), /a process outside this container/);
  });
  test('one that does not answer', () => assert.match(lockedText({ holder: undefined }), /does not answer/));
});

describe('changes of host ends', () => {
  const link = (changes: object, kind: PodLinkChange['kind'] = 'changed'): PodLinkChange => ({
    kind,
    link: {
      index: 7,
      name: 'fr1',
      group: LINK_GROUP.live,
      alias: 'a',
      flags: 0x10041,
      mtu: 1500,
      operationalState: 6,
      ...changes,
    } as unknown as PodLinkChange['link'],
  });
  test('a link that becomes live is our own doing', () => {
    const watch = new PodLinkWatch();
    assert.deepEqual(watch.learn([link({ group: LINK_GROUP.building }), link({})]), []);
  });
  test('a live link that loses its alias is looked at again, one that dies by our order is not', () => {
    const watch = new PodLinkWatch();
    watch.learn([link({})]);
    assert.deepEqual(watch.learn([link({ alias: undefined })]), [{ kind: 'lookAgain' }]);
    watch.learn([link({})]);
    assert.deepEqual(watch.learn([link({ group: LINK_GROUP.dying })]), []);
  });
  test('links that are gone are named together', () => {
    const watch = new PodLinkWatch();
    assert.deepEqual(watch.learn([link({}, 'removed'), link({ index: 8 }, 'removed')]), [
      { kind: 'linksGone', indexes: [7, 8] },
    ]);
  });
});

describe('rules of natOutgoing', () => {
  test('the same intent twice runs nft once; a new one while it runs is applied after it', async () => {
    const applied: DataplaneIntent[] = [];
    const gates: (() => void)[] = [];
    const rules = new IntentRules(
      natOutgoing,
      { changed: () => undefined },
      kernel(async (intent) => {
        applied.push(intent);
        await new Promise<void>((resolve) => {
          gates.push(resolve);
        });
      }),
    );
    const second = dataplane({ natOutgoing: [prefix('10.60.0.0/16')] });
    rules.set(dataplane());
    rules.set(dataplane());
    rules.set(second);
    gates.shift()?.();
    await eventually('the second run', () => applied.length === 2);
    gates.shift()?.();
    rules.set(second);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(applied, [dataplane(), second]);
    rules.stop();
  });
  test('rules that somebody flushed are written again and counted; what others change besides is only looked at', async () => {
    let written = 0;
    let looked = 0;
    let inKernel = false;
    const rules = new IntentRules(
      natOutgoing,
      { changed: () => undefined },
      {
        apply: () => {
          written += 1;
          inKernel = true;
          return Promise.resolve();
        },
        isAsWritten: () => {
          looked += 1;
          return inKernel;
        },
        isThere: () => false,
      },
    );
    const turns = async (): Promise<void> => {
      for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    };
    rules.lookAgain();
    assert.equal(written, 0, 'nothing is written before there is an intent');
    rules.set(dataplane());
    await turns();
    rules.lookAgain();
    await turns();
    assert.deepEqual([written, looked, rules.repairs], [1, 1, 0], 'somebody changed rules of his own');
    inKernel = false;
    rules.lookAgain();
    await turns();
    assert.deepEqual([written, inKernel, rules.repairs], [2, true, 1]);
    rules.stop();
  });
  test('a flush while the rules are written is seen when that is done', async () => {
    let finish: (() => void) | undefined;
    let written = 0;
    let inKernel = false;
    const rules = new IntentRules(
      natOutgoing,
      { changed: () => undefined },
      {
        apply: async () => {
          written += 1;
          inKernel = written > 1;
          await new Promise<void>((resolve) => {
            finish = resolve;
          });
        },
        isAsWritten: () => inKernel,
        isThere: () => false,
      },
    );
    rules.set(dataplane());
    rules.lookAgain();
    finish?.();
    await eventually('the second run', () => written === 2);
    finish?.();
    rules.stop();
  });
  test('without ranges of Services no chain is made for them, but one of an agent before is emptied', () => {
    for (const isThere of [false, true]) {
      const applied: DataplaneIntent[] = [];
      const apply = (intent: DataplaneIntent): Promise<void> => {
        applied.push(intent);
        return Promise.resolve();
      };
      const driver = { apply, isAsWritten: () => true, isThere: () => isThere };
      const rules = new IntentRules(untranslated, { changed: () => undefined }, driver);
      rules.set(dataplane());
      assert.equal(applied.length, isThere ? 1 : 0);
      rules.set(dataplane({ serviceRanges: [prefix('198.51.100.0/24')] }));
      rules.stop();
    }
  });
  test('a failure is a problem until a run succeeds', async () => {
    let fails = true;
    let changes = 0;
    const rules = new IntentRules(
      natOutgoing,
      {
        changed: () => {
          changes += 1;
        },
      },
      kernel(() =>
        fails ? Promise.reject(new AppError('OS_NFT_MISSING', 'the nft program cannot be run')) : Promise.resolve(),
      ),
    );
    rules.set(dataplane());
    await eventually('the problem', () => rules.problems.length === 1);
    assert.match(rules.problems[0]?.text ?? '', /not in force: the nft program cannot be run/);
    fails = false;
    rules.set(dataplane());
    await eventually('no problem any more', () => rules.problems.length === 0);
    assert.equal(changes, 2);
    rules.stop();
  });
});

test('the node is checked at the start and when an uplink changes, not when pods come; stop waits for the check', async () => {
  let checks = 0;
  let finish: (() => void) | undefined;
  const watch = new NodeWatch({
    check: async () => {
      checks += 1;
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return { made: [], problems: [{ code: 'X', text: `check ${checks}` }] };
    },
    changed: () => undefined,
    log: () => undefined,
    clock: systemClock,
  });
  const face = (name: string, pod: boolean) => ({ index: 1, name, up: true, mtu: 1500, pod, addresses: [] });
  watch.view({ interfaces: [face('eth0', false)], routes: [] });
  watch.start();
  await eventually('the first check', () => checks === 1);
  finish?.();
  await eventually('its answer', () => watch.problems.length === 1);
  watch.view({ interfaces: [face('eth0', false), face('fr1', true)], routes: [] });
  watch.view({ interfaces: [face('eth0', false), face('eth1', false)], routes: [] });
  await eventually('the check after eth1 came', () => checks === 2);
  const stopped = watch.stop();
  finish?.();
  await stopped;
  assert.deepEqual(
    watch.problems.map((problem) => problem.text),
    ['check 1'],
    'what comes after the stop is not told',
  );
});

test('a setting that somebody undoes is made again at once, counted, and a problem for ten minutes', async () => {
  const clock = manualClock();
  const words: string[] = [];
  let broken = true;
  const setting = { name: 'net/ipv4/ip_forward', value: '1', consequence: 'nothing is forwarded' };
  let checks = 0;
  const watch = new NodeWatch({
    check: () => {
      checks += 1;
      const made = broken ? [setting] : [];
      broken = false;
      return Promise.resolve({ made, problems: [] });
    },
    changed: () => undefined,
    log: (level, event) => words.push(`${level} ${event}`),
    clock,
  });
  const turn = async (by: number): Promise<void> => {
    const before = checks;
    clock.advance(milliseconds(by));
    await eventually('a check', () => checks > before);
    await new Promise((resolve) => setImmediate(resolve));
  };
  watch.view({ interfaces: [], routes: [] });
  watch.start();
  await turn(0);
  assert.deepEqual([words, watch.problems, watch.repairs], [['info node.setting'], [], 0]);
  broken = true;
  watch.settingsChanged();
  await turn(0);
  assert.deepEqual([words.at(-1), watch.repairs], ['warn node.setting_undone', 1]);
  assert.match(watch.problems[0]?.text ?? '', /^net\.ipv4\.ip_forward was changed by somebody else and set to 1 again/);
  for (let minute = 0; minute < 10; minute++) await turn(60_000);
  assert.deepEqual(watch.problems, []);
  await watch.stop();
});
