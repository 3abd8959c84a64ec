// `flatroute ipam check`: every disagreement between kernel, books and runtime is told, and repaired only with proofs.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { createNamespace, eventually, type TestNamespace } from '../support/netns.ts';
import { type Answer, call } from '../support/pod-calls.ts';
import { PodNode } from '../support/pod-node.ts';

let node: PodNode;
let pods: TestNamespace[] = [];

async function pod(): Promise<TestNamespace> {
  const made = await createNamespace('frt-pods');
  pods.push(made);
  return made;
}
const hostOf = (answer: Answer): string => answer.result.interfaces[0]?.name ?? '';
const codes = async (): Promise<string[]> => (await node.check()).findings.map(({ code }) => code).sort();
const outcomes = async (repair: 'plan' | 'apply'): Promise<string[]> =>
  (await node.check(repair)).findings.map(({ code, outcome }) => `${code} ${outcome}`).sort();
const answers = async (target: string | undefined): Promise<boolean> =>
  (await node.exec(['ping', '-c', '1', '-W', '1', target ?? ''])).code === 0;

/** Writes what libcni writes after an ADD. */
async function runtimeKeeps(containerId: string, netns: string, result: object): Promise<void> {
  const config = { cniVersion: '1.1.0', name: 'net', plugins: [{ type: 'flatroute' }] };
  const text = JSON.stringify({
    kind: 'cniCacheV1',
    containerId,
    config: Buffer.from(JSON.stringify(config)).toString('base64'),
    ifName: 'eth0',
    networkName: 'net',
    netns,
    result,
  });
  await node.run([
    'sh',
    '-c',
    `mkdir -p /run/cni-results; cat > /run/cni-results/net-${containerId}-eth0 <<'X'\n${text}\nX`,
  ]);
}

before(async () => {
  node = await PodNode.create();
  await node.startAgent();
});
afterEach(async () => {
  for (const { container } of await node.rows()) await call(node, 'DEL', undefined, { containerId: container });
  for (const made of pods) await made.dispose();
  pods = [];
  await node.run(['rm', '-rf', '/run/cni-results']);
  await node.nothingLeft();
  assert.deepEqual((await node.check()).findings, []);
});
after(() => node.dispose());

describe('a check', () => {
  test('finds nothing where all agree, and says how much it compared', async () => {
    for (const containerId of ['a', 'b']) await call(node, 'ADD', await pod(), { containerId });
    const { findings, ...rest } = await node.check();
    assert.deepEqual(findings, []);
    assert.deepEqual({ ...rest, unseen: rest.unseen.length }, { pods: 2, addresses: 4, unseen: 1 });
    assert.match(rest.unseen[0] ?? '', /no results of libcni/);
  });

  const damages: readonly {
    readonly name: string;
    readonly argv: (host: string, address: string) => readonly string[];
    readonly code: string;
    /** Otherwise only the pod's runtime can help. */
    readonly repaired?: false;
  }[] = [
    { name: 'a route that is gone', argv: (_, address) => ['ip', 'route', 'del', address], code: 'RouteWrong' },
    {
      name: 'a route with another source',
      argv: (host, address) => ['ip', 'route', 'replace', address, 'dev', host, 'proto', '179', 'scope', 'link'],
      code: 'RouteWrong',
    },
    {
      name: 'a neighbour entry with another MAC address',
      argv: (host, address) => ['ip', 'neigh', 'replace', address, 'lladdr', '02:00:00:00:00:09', 'dev', host],
      code: 'NeighbourWrong',
    },
    { name: 'a link group of nobody', argv: (host) => ['ip', 'link', 'set', host, 'group', '0'], code: 'LinkChanged' },
    { name: 'a record of nobody', argv: (host) => ['ip', 'link', 'set', host, 'alias', 'mine'], code: 'LinkChanged' },
    {
      name: 'a route of ours to a pod that has not this address',
      argv: (host) => ['ip', 'route', 'add', '10.99.0.77', 'dev', host, 'proto', '179', 'scope', 'link'],
      code: 'RouteUnexpected',
    },
    {
      name: 'a neighbour entry of an address that the pod has not',
      argv: (host) => ['ip', 'neigh', 'add', '2001:db8::77', 'lladdr', '02:00:00:00:00:09', 'dev', host],
      code: 'NeighbourUnexpected',
    },
    {
      name: 'rules that somebody flushed',
      argv: () => ['nft', 'flush', 'chain', 'inet', 'flatroute', 'pods'],
      code: 'RulesMissing',
    },
  ];
  for (const { name, argv, code } of damages)
    test(`finds ${name}, says what it would do, and does it when told to`, async () => {
      const added = await call(node, 'ADD', await pod());
      const target = added.addresses[0] ?? '';
      await node.run(argv(hostOf(added), target));
      assert.deepEqual(await codes(), [code]);
      const [one] = (await node.check()).findings;
      assert.ok(one?.text !== '' && one?.action !== '' && one?.outcome === undefined);
      assert.deepEqual(await outcomes('plan'), [`${code} wouldRepair`]);
      assert.deepEqual(await codes(), [code], 'a plan changes nothing');
      assert.deepEqual(await outcomes('apply'), [`${code} repaired`]);
      assert.ok(await answers(target));
    });
});

describe('the runtime', () => {
  test('a pod of which it keeps no result and in which nothing runs is taken away after two looks', async () => {
    const [kept, lost, busy, inhabited] = [await pod(), await pod(), await pod(), await pod()] as const;
    const added: Answer[] = [];
    for (const [containerId, one] of [
      ['kept', kept],
      ['lost', lost],
      ['busy', busy],
      ['inhabited', inhabited],
    ] as const)
      added.push(await call(node, 'ADD', one, { containerId }));
    await runtimeKeeps('kept', kept.path, added[0]?.result ?? {});
    await runtimeKeeps('inhabited', inhabited.path, added[3]?.result ?? {});
    const sleeper = spawn('ip', ['netns', 'exec', busy.name, 'sleep', '3600'], { stdio: 'ignore' });
    try {
      assert.deepEqual((await node.check('plan', 3600)).findings, [], 'too young to be judged');
      await eventually('its process is seen', async () =>
        (await node.check()).findings.some(({ text }) => text.includes('1 processes')),
      );
      const plan = await node.check('plan');
      assert.deepEqual(plan.findings.map(({ code, pod: name, outcome }) => `${name} ${code} ${outcome}`).sort(), [
        'busy PodGone left',
        'lost PodGone wouldRepair',
      ]);
      assert.equal((await node.rows()).length, 4);
      const done = await node.check('apply');
      assert.deepEqual(done.findings.map(({ pod: name, outcome }) => `${name} ${outcome}`).sort(), [
        'busy left',
        'lost repaired',
      ]);
      assert.match(
        done.findings.find(({ pod: name }) => name === 'lost')?.reason ?? '',
        /no process .* and the runtime|the runtime .* and no process/,
      );
      await eventually('its veth is gone', async () => (await node.rows()).length === 3);
      assert.ok(await answers(added[2]?.addresses[0]), 'the one that lives still does');
      await eventually('it is counted', () => node.facts?.repairs['podLeftover'] === 1);
    } finally {
      sleeper.kill('SIGKILL');
    }
  });

  test('without its results one proof is not enough while its namespace has a name', async () => {
    await call(node, 'ADD', await pod());
    assert.deepEqual((await node.check('plan')).findings, []);
  });

  test('a namespace that has lost its name and its processes, held by a descriptor alone, is given up', async () => {
    const [one, other] = [await pod(), await pod()];
    await call(node, 'ADD', other, { containerId: 'other' });
    await call(node, 'ADD', one, { containerId: 'one' });
    const held = openSync(one.path, 'r');
    try {
      await one.dispose();
      const [found] = (await node.check('apply')).findings;
      assert.deepEqual([found?.code, found?.pod, found?.outcome], ['PodGone', 'one', 'repaired']);
      assert.match(found?.reason ?? '', /no process.*nothing names/);
    } finally {
      closeSync(held);
    }
  });

  test('a pod that it takes for attached and that is not, and an end that is elsewhere than it says', async () => {
    const [one, two] = [await pod(), await pod()];
    const added = await call(node, 'ADD', one, { containerId: 'one' });
    await runtimeKeeps('one', two.path, added.result);
    await runtimeKeeps('never', two.path, added.result);
    assert.deepEqual(await codes(), ['PodEndMoved', 'ResultWithoutPod']);
    assert.deepEqual(await outcomes('apply'), ['PodEndMoved left', 'ResultWithoutPod left']);
    await node.run(['sh', '-c', 'cd /run/cni-results; echo garbage > net-a-eth0; rm net-never-eth0; : > net-b-eth0']);
    await runtimeKeeps('one', one.path, added.result);
    assert.deepEqual(await codes(), [], 'what is none of libcni is nothing');
  });

  test("an end that was renamed inside the pod, moved to the node, or that is another plugin's now", async () => {
    const [one, two] = [await pod(), await pod()];
    await call(node, 'ADD', one, { containerId: 'one' });
    await call(node, 'ADD', two, { containerId: 'two' });
    await one.run([
      'sh',
      '-c',
      'ip link set eth0 down; ip link set eth0 name mine; ip link add eth0 type veth peer name other',
    ]);
    await two.run(['ip', 'link', 'set', 'eth0', 'name', 'theirs', 'netns', node.namespace.name]);
    const { findings } = await node.check('apply');
    assert.deepEqual(findings.map(({ code, pod: name, outcome }) => `${name} ${code} ${outcome}`).sort(), [
      'one PodEndChanged left',
      'two PodEndMoved left',
    ]);
    assert.match(findings.find(({ pod: name }) => name === 'one')?.text ?? '', /called mine instead of eth0.*down/);
  });
});

test('an interface of ours that no book has is taken over, one that cannot be read is told and left', async () => {
  const one = await pod();
  const added = await call(node, 'ADD', one, { containerId: 'one' });
  const alias = (await node.run(['cat', `/sys/class/net/${hostOf(added)}/ifalias`])).trim();
  await node.tell({ do: 'linksGone', indexes: [] });
  // As after a record that was lost: the same interface under another index.
  await call(node, 'DEL', undefined, { containerId: 'one' });
  await node.nothingLeft();
  const host = hostOf(added);
  await node.run([
    'ip',
    'link',
    'add',
    host,
    'address',
    'ee:ee:ee:ee:ee:ee',
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    one.name,
  ]);
  await node.run(['ip', 'link', 'set', host, 'alias', alias, 'group', '2818']);
  await node.run(['ip', 'link', 'set', host, 'up']);
  assert.deepEqual(await codes(), ['LinkUnknown']);
  await node.check('apply');
  assert.deepEqual(
    (await node.rows()).map(({ addresses }) => addresses),
    [added.addresses],
  );
  await call(node, 'DEL', undefined, { containerId: 'one' });
  await node.run(['ip', 'link', 'add', 'fr0123456789ab', 'type', 'veth', 'peer', 'name', 'foreign']);
  await node.run(['ip', 'link', 'set', 'fr0123456789ab', 'group', '2818']);
  await node.tell({ do: 'lookAgain' });
  await eventually('it is known', async () => (await codes()).join() === 'LinkUnreadable');
  assert.deepEqual(await outcomes('apply'), ['LinkUnreadable left']);
  await node.run(['ip', 'link', 'del', 'fr0123456789ab']);
  await node.tell({ do: 'lookAgain' });
  await eventually('it is forgotten', () => node.facts?.foreignLinks.length === 0);
});

test('an interface that has the index of one that went unseen is left as it is', async () => {
  const added = await call(node, 'ADD', await pod());
  const host = hostOf(added);
  const index = (await node.run(['sh', '-c', `ip -o link show ${host} | cut -d: -f1`])).trim();
  await node.run(['ip', 'link', 'del', host]);
  await node.run(['ip', 'link', 'add', 'theirs', 'index', index, 'type', 'veth', 'peer', 'name', 'other']);
  await node.run(['ip', 'link', 'set', 'theirs', 'alias', 'mine']);
  assert.deepEqual(await codes(), ['LinkMissing']);
  await node.tell({ do: 'lookAgain' });
  await eventually('the pod is forgotten', async () => (await node.rows()).length === 0);
  assert.match(await node.run(['ip', 'link', 'show', 'theirs']), /group default[^]*alias mine/);
  await node.run(['ip', 'link', 'del', 'theirs']);
});
