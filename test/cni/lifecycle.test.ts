// The agent comes and goes; pods, their records and what was asked meanwhile stay.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { createNamespace, eventually, type TestNamespace } from '../support/netns.ts';
import { call } from '../support/pod-calls.ts';
import { CONNECTIONS, intent, nodeIpv4, PodNode } from '../support/pod-node.ts';

let node: PodNode;
let pods: TestNamespace[] = [];

async function pod(): Promise<TestNamespace> {
  const made = await createNamespace('frt-pods');
  pods.push(made);
  return made;
}
const answers = async (target: string | undefined): Promise<boolean> =>
  (await node.exec(['ping', '-c', '1', '-W', '1', target ?? ''])).code === 0;
const spooled = async (): Promise<number> =>
  (await node.run(['sh', '-c', 'ls /run/flatroute/spool 2>/dev/null || true']))
    .split('\n')
    .filter((name) => name !== '').length;

before(async () => {
  node = await PodNode.create();
});
afterEach(async () => {
  for (const made of pods) await made.dispose();
  pods = [];
  await node.killAgent();
  await node.startAgent();
  await node.nothingLeft();
  await node.killAgent();
});
after(() => node.dispose());

describe('an agent that was killed', () => {
  test('knows its pods again, gives no address twice, and the pods never stopped answering', async () => {
    await node.startAgent();
    const began = Date.now();
    const made = [];
    for (let i = 0; i < 5; i++) {
      const one = await pod();
      made.push({
        one,
        id: `c${i}`,
        added: await call(node, 'ADD', one, { containerId: `c${i}`, args: `K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p${i}` }),
      });
    }
    await node.killAgent();
    for (const { added } of made) for (const target of added.addresses) assert.ok(await answers(target), target);
    await node.startAgent();
    const rows = await node.rows();
    const ended = Date.now();
    assert.deepEqual(
      rows.map((row) => `${row.namespace}/${row.pod} ${row.state} ${row.addresses.join(' ')}`).sort(),
      made.map(({ added }, i) => `ns/p${i} live ${added.addresses.join(' ')}`),
    );
    // The clock that is kept with a pod goes by boot, and a step of the other one is no failure.
    for (const { since } of rows) assert.ok(since > began - 1000 && since < ended + 1000, `${began} ${since} ${ended}`);
    const again = await call(node, 'ADD', made[0]?.one, { containerId: 'c0' });
    assert.deepEqual(again.result, made[0]?.added.result);
    const fresh = await call(node, 'ADD', await pod(), { containerId: 'fresh' });
    for (const { added } of made) for (const address of added.addresses) assert.ok(!fresh.addresses.includes(address));
    for (const id of [...made.map((one) => one.id), 'fresh']) await call(node, 'DEL', undefined, { containerId: id });
  });

  test('repairs routes, neighbours and links that went while it was away', async () => {
    await node.startAgent();
    const one = await pod();
    const added = await call(node, 'ADD', one);
    await node.killAgent();
    const host = added.result.interfaces[0]?.name ?? '';
    await node.run(['ip', 'link', 'set', host, 'down']);
    await node.run(['ip', 'neigh', 'flush', 'dev', host, 'nud', 'permanent']);
    assert.ok(!(await answers(added.addresses[0])));
    await node.startAgent();
    // A link that comes up again carries packets when the kernel's link watch has run, which waits for RTNL.
    for (const target of added.addresses) await eventually(`${target} answers`, () => answers(target));
    const neighbours = await node.run(['ip', 'neigh', 'show', 'dev', host]);
    assert.equal(neighbours.split('PERMANENT').length - 1, 2, neighbours);
    await call(node, 'DEL', one);
  });

  test('repairs the same while it runs, when the kernel told of it', async () => {
    await node.startAgent();
    const one = await pod();
    const added = await call(node, 'ADD', one);
    for (const [argv] of [
      [['ip', 'route', 'del', `${added.addresses[0]}/32`]],
      [['ip', 'link', 'set', added.result.interfaces[0]?.name ?? '', 'down']],
      [['nft', 'delete', 'table', 'inet', 'flatroute']],
    ] as const) {
      await node.run(argv);
      await node.tell({ do: 'lookAgain' });
      await eventually(
        `${argv.join(' ')} is repaired`,
        async () =>
          (await answers(added.addresses[0])) &&
          (await node.exec(['nft', 'list', 'chain', 'inet', 'flatroute', 'pods'])).code === 0,
      );
    }
    await call(node, 'DEL', one);
  });

  test("writes a live pod's record again that somebody overwrote, so that its DEL is done", async () => {
    await node.startAgent();
    const one = await pod();
    const added = await call(node, 'ADD', one);
    const path = `/sys/class/net/${added.result.interfaces[0]?.name ?? ''}/ifalias`;
    const alias = await node.run(['ip', 'netns', 'exec', node.namespace.name, 'cat', path]);
    await node.run(['ip', 'link', 'set', added.result.interfaces[0]?.name ?? '', 'alias', 'uplink to tor1']);
    await node.tell({ do: 'lookAgain' });
    await eventually(
      'the record is back',
      async () => (await node.run(['ip', 'netns', 'exec', node.namespace.name, 'cat', path])) === alias,
    );
    await call(node, 'DEL', one);
    await node.nothingLeft();
  });

  test('undoes what was half made', async () => {
    await node.startAgent();
    await node.tell({ do: 'gate', gate: { anySession: true, announcedBlocks: [] } });
    const one = await pod();
    const cut = call(node, 'ADD', one);
    await eventually('the pod is being built', async () => (await node.rows()).some((row) => row.state === 'building'));
    await node.killAgent();
    assert.equal((await cut).error.code, 11);
    assert.match(await node.leftovers(), /group 2817|fr[0-9a-f]{12}/);
    await node.startAgent();
    await node.nothingLeft();
    assert.equal((await call(node, 'ADD', one)).code, 0);
    await call(node, 'DEL', one);
  });

  test('finishes what was half deleted', async () => {
    await node.startAgent();
    await call(node, 'ADD', await pod());
    await node.tell({ do: 'holdReaper', held: true });
    await call(node, 'DEL', undefined);
    await node.killAgent();
    assert.notEqual(await node.leftovers(), '');
    await node.startAgent();
    await node.nothingLeft();
  });

  test('leaves alone what only looks like ours', async () => {
    await node.run(['ip', 'link', 'add', 'fr0123456789ab', 'type', 'veth', 'peer', 'name', 'foreign']);
    await node.run(['ip', 'link', 'set', 'fr0123456789ab', 'group', '2818']);
    node.events.length = 0;
    await node.startAgent();
    await eventually('facts name it', () => node.facts?.foreignLinks.includes('fr0123456789ab'));
    assert.ok(node.events.some((event) => event.name === 'pod_link_unreadable'));
    await node.run(['ip', 'link', 'del', 'fr0123456789ab']);
  });

  for (const [name, damage] of [
    ['carry the record of a newer version', ['alias', 'fr2 something new']],
    ['were put into no group of ours', ['group', '0']],
  ] as const)
    test(`gives nobody the addresses of pods whose links ${name}, until they are gone`, async () => {
      const options = { config: { ipam: { pools: ['tiny'] } } };
      const [first, second, third] = [await pod(), await pod(), await pod()] as const;
      await node.startAgent();
      const kept = await call(node, 'ADD', first, { ...options, containerId: 'k' });
      const hostInterface = kept.result.interfaces[0]?.name ?? '';
      await node.killAgent();
      await node.run(['ip', 'link', 'set', hostInterface, ...damage]);
      await node.startAgent();
      await eventually('facts name it', () => node.facts?.foreignLinks.includes(hostInterface));
      const other = await call(node, 'ADD', second, { ...options, containerId: 'a' });
      assert.equal(other.code, 0);
      assert.notDeepEqual(other.addresses, kept.addresses);
      assert.equal((await call(node, 'ADD', third, { ...options, containerId: 'b' })).error.code, 100);
      await node.run(['ip', 'link', 'del', hostInterface]);
      await node.tell({ do: 'lookAgain' });
      await eventually('facts forget it', () => node.facts?.foreignLinks.length === 0);
      const again = await call(node, 'ADD', third, { ...options, containerId: 'b' });
      assert.deepEqual(again.addresses, kept.addresses);
      for (const containerId of ['a', 'b']) await call(node, 'DEL', undefined, { containerId });
    });

  test('an address that two links claim is free when both are gone', async () => {
    const options = { config: { ipam: { pools: ['tiny'] } } };
    const [first, second, third] = [await pod(), await pod(), await pod()] as const;
    await node.startAgent();
    const one = await call(node, 'ADD', first, { ...options, containerId: 'k' });
    const two = await call(node, 'ADD', second, { ...options, containerId: 'l' });
    const name = two.result.interfaces[0]?.name ?? '';
    const alias = (await node.run(['cat', `/sys/class/net/${name}/ifalias`])).trim();
    const hex = (answer: typeof one): string =>
      (answer.addresses[0] ?? '')
        .split('.')
        .map((part) => Number(part).toString(16).padStart(2, '0'))
        .join('');
    await node.killAgent();
    await node.run(['ip', 'link', 'set', name, 'alias', alias.replace(hex(two), hex(one))]);
    await node.startAgent();
    assert.ok(node.events.some((event) => event.name === 'address_contested'));
    await call(node, 'DEL', undefined, { containerId: 'l' });
    await eventually('the second is gone', async () => (await node.rows()).length === 1);
    const other = await call(node, 'ADD', third, { ...options, containerId: 'm' });
    assert.deepEqual(other.addresses, two.addresses);
    const full = await call(node, 'ADD', second, { ...options, containerId: 'n' });
    assert.equal(full.error.code, 100, 'the first still has its address');
    for (const containerId of ['k', 'm']) await call(node, 'DEL', undefined, { containerId });
  });

  test('a foreign link in the group that is deleted survives, and ours goes all the same', async () => {
    await node.startAgent();
    await node.run(['ip', 'link', 'add', 'foreign0', 'type', 'veth', 'peer', 'name', 'foreign1']);
    await node.run(['ip', 'link', 'set', 'foreign0', 'group', '2820']);
    await call(node, 'ADD', await pod());
    await call(node, 'DEL', undefined);
    await node.nothingLeft();
    assert.equal((await node.exec(['ip', 'link', 'show', 'foreign0'])).code, 0);
    await node.run(['ip', 'link', 'del', 'foreign0']);
  });
});

test('a stop ends an ADD that waits: its caller may try again, and nothing is left', async () => {
  await node.startAgent();
  const [one, two] = [await pod(), await pod()];
  await call(node, 'ADD', one);
  await node.tell({ do: 'holdReaper', held: true });
  // For the end of the earlier interface, longer than a stop takes.
  const waiting = call(node, 'ADD', two);
  await eventually('the ADD waits', async () => (await node.rows()).some((row) => row.state === 'dying'));
  await node.stopAgent();
  const { error } = await waiting;
  assert.equal(error.code, 11);
  assert.match(error.msg, /closed the connection before it answered/);
});

test('a pod whose DEL was answered sends and receives nothing, though its interface is still there', async () => {
  await node.startAgent();
  const [gone, other] = [await pod(), await pod()];
  const [first, second] = [await call(node, 'ADD', gone), await call(node, 'ADD', other, { containerId: 'other' })];
  const pings = (
    from: { exec: (argv: readonly string[]) => Promise<{ code: number }> },
    to: typeof first,
  ): Promise<boolean[]> =>
    Promise.all(to.addresses.map(async (it) => (await from.exec(['ping', '-c', '1', '-W', '1', it])).code === 0));
  assert.deepEqual(
    [await pings(gone, second), await pings(other, first), await pings(node, first)].flat(),
    Array(6).fill(true),
  );
  await node.tell({ do: 'holdReaper', held: true });
  await call(node, 'DEL', gone);
  const face = first.result.interfaces[0]?.name ?? '';
  assert.match(await node.run(['ip', 'link', 'show', face]), / state UP .*group 2819 /);
  await node.run([
    'nft',
    'add table inet probe; add chain inet probe seen { type filter hook prerouting priority -290; }',
  ]);
  await node.run(['nft', `add rule inet probe seen iifname ${face} counter`]);
  const reached = await Promise.all([pings(gone, second), pings(other, first), pings(node, first)]);
  assert.deepEqual(reached.flat(), Array(6).fill(false));
  assert.match(await node.run(['nft', 'list', 'chain', 'inet', 'probe', 'seen']), /counter packets 0 bytes 0/);
  await node.run(['nft', 'delete', 'table', 'inet', 'probe']);
  await node.tell({ do: 'holdReaper', held: false });
  await call(node, 'DEL', other, { containerId: 'other' });
});

describe('the spool', () => {
  test('keeps a DEL that found nobody, 0700 and 0600, and the next agent does it before it listens', async () => {
    await node.startAgent();
    const one = await pod();
    await call(node, 'ADD', one);
    await node.killAgent();
    assert.equal((await call(node, 'DEL', one)).code, 0);
    assert.equal((await call(node, 'DEL', undefined)).code, 0);
    assert.equal(await spooled(), 2);
    assert.equal(
      (await node.run(['sh', '-c', 'stat -c %a /run/flatroute/spool /run/flatroute/spool/*'])).trim(),
      '700\n600\n600',
    );
    await node.startAgent();
    await node.nothingLeft();
    assert.equal(await spooled(), 0);
  });

  test('a directory that was made anew behind the watch is found at the next look', async () => {
    await node.startAgent();
    await call(node, 'ADD', await pod());
    await node.killAgent();
    await call(node, 'DEL', undefined);
    await node.run(['mv', '/run/flatroute/spool', '/run/flatroute/later']);
    await node.startAgent();
    assert.equal((await node.rows()).length, 1);
    await node.run(['rm', '-r', '/run/flatroute/spool']);
    await node.run(['mv', '/run/flatroute/later', '/run/flatroute/spool']);
    await node.tell({ do: 'lookAgain' });
    await node.nothingLeft();
  });

  test('a record that is older than the attachment is ignored', async () => {
    await node.startAgent();
    const one = await pod();
    await call(node, 'ADD', one);
    await node.killAgent();
    await call(node, 'DEL', one);
    const [record] = (await node.run(['ls', '/run/flatroute/spool'])).split('\n');
    await node.run(['cp', `/run/flatroute/spool/${record}`, '/run/flatroute/kept']);
    await node.startAgent();
    await node.nothingLeft();
    const added = await call(node, 'ADD', one);
    assert.equal(added.code, 0);
    await node.run(['mv', '/run/flatroute/kept', `/run/flatroute/spool/${record}`]);
    await eventually('the record was dealt with', async () => (await spooled()) === 0);
    assert.deepEqual(
      (await node.rows()).map((row) => row.state),
      ['live'],
    );
    await call(node, 'DEL', one);
  });
});

describe('the plugin alone', () => {
  const environment = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c', CNI_IFNAME: 'eth0', CNI_NETNS: '/run/netns/none' };
  const config = '{"cniVersion":"1.1.0","name":"net","type":"flatroute"}';
  const cases: readonly {
    readonly name: string;
    readonly environment: Record<string, string>;
    readonly stdin: string;
    readonly code: number;
    readonly says: RegExp;
  }[] = [
    { name: 'no environment', environment: {}, stdin: config, code: 4, says: /CNI_COMMAND is not set/ },
    {
      name: 'an unknown verb',
      environment: { ...environment, CNI_COMMAND: 'MOVE' },
      stdin: config,
      code: 4,
      says: /unknown/,
    },
    { name: 'no stdin', environment, stdin: '', code: 6, says: /stdin is empty/ },
    {
      name: 'more than 1 MiB on stdin',
      environment,
      stdin: ' '.repeat(1024 * 1024 + 1),
      code: 6,
      says: /more than 1 MiB/,
    },
    {
      name: 'more environment than it takes',
      environment: { ...environment, CNI_ARGS: 'x'.repeat(66_000) },
      stdin: config,
      code: 4,
      says: /64 KiB/,
    },
    {
      name: 'GC without an agent',
      environment: { ...environment, CNI_COMMAND: 'GC' },
      stdin: config,
      code: 11,
      says: /does not answer/,
    },
  ];
  for (const { name, environment, stdin, code, says } of cases) {
    test(`says what is wrong with ${name}`, async () => {
      const { code: exit, stdout } = await node.plugin({ type: 'flatroute', environment, input: stdin });
      assert.equal(exit, 1);
      const error = JSON.parse(stdout) as { code: number; msg: string; details: string };
      assert.equal(error.code, code);
      assert.match(`${error.msg} ${error.details}`, says);
    });
  }

  test('ADD, CHECK and STATUS wait for an agent that is being replaced', async () => {
    const one = await pod();
    // Only the last part of its start falls into the ten seconds that they wait.
    const begin = await node.prepareAgent();
    const waiting = call(node, 'ADD', one);
    const status = call(node, 'STATUS', undefined);
    await begin();
    assert.equal((await waiting).code, 0);
    assert.equal((await status).code, 0);
    await call(node, 'DEL', one);
  });

  test('gives up after ten seconds: error 11 for ADD, 50 for STATUS', async () => {
    const started = performance.now();
    const [added, status] = await Promise.all([call(node, 'ADD', await pod()), call(node, 'STATUS', undefined)]);
    assert.deepEqual([added.error.code, status.error.code], [11, 50]);
    const took = performance.now() - started;
    assert.ok(took > 9500, `${took} ms`);
  });

  const strangers: readonly {
    readonly name: string;
    readonly bytes: string;
    readonly code: number;
    readonly says: RegExp;
  }[] = [
    { name: 'closes without an answer', bytes: '', code: 11, says: /closed the connection/ },
    {
      name: 'cuts its answer short',
      bytes: 'FRCN\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x64{"cni',
      code: 11,
      says: /cut short/,
    },
    { name: 'speaks something else', bytes: 'HTTP/1.1 400 Bad Request\\r\\n\\r\\n', code: 5, says: /another program/ },
    {
      name: 'announces a giant answer',
      bytes: 'FRCN\\x00\\x01\\x00\\x00\\x7f\\xff\\xff\\xff',
      code: 5,
      says: /too large/,
    },
  ];
  for (const { name, bytes, code, says } of strangers) {
    test(`fails cleanly when whoever listens ${name}`, async () => {
      const script = `require('node:net').createServer((s) => { s.on('error', () => {}); s.once('data', () => s.end(Buffer.from('${bytes}', 'latin1'))); }).listen('/run/flatroute/cni.sock', () => console.log('up'))`;
      const file = `/tmp/frt-pods-stranger-${process.pid}.cjs`;
      writeFileSync(file, script);
      await node.run([
        'sh',
        '-c',
        `mkdir -p /run/flatroute; rm -f /run/flatroute/cni.sock; setsid ${process.execPath} ${file} >/run/flatroute/up 2>&1 & echo $! > /run/flatroute/pid; until grep -q up /run/flatroute/up; do sleep 0.01; done; rm ${file}`,
      ]);
      try {
        const answer = await call(node, 'ADD', await pod());
        assert.equal(answer.code, 1);
        assert.equal(answer.error.code, code, answer.stdout);
        assert.match(`${answer.error.msg} ${answer.error.details}`, says);
      } finally {
        await node.run([
          'sh',
          '-c',
          'kill $(cat /run/flatroute/pid); rm -f /run/flatroute/pid /run/flatroute/up /run/flatroute/cni.sock',
        ]);
      }
    });
  }

  test('an agent that is too busy says so at once', async () => {
    await node.startAgent();
    await node.tell({ do: 'gate', gate: { anySession: true, announcedBlocks: [] } });
    const there = await Promise.all(Array.from({ length: 80 }, pod));
    let refused = 0;
    const many = there.map(async (one, i) => {
      const answer = await call(node, 'ADD', one, { containerId: `busy${i}` });
      if (answer.code !== 0) refused += 1;
      return answer;
    });
    await eventually('those that are too many are told', () => refused === 80 - CONNECTIONS);
    await node.tell({ do: 'gate', gate: { anySession: false, announcedBlocks: [] } });
    for (const { code, error, stdout } of await Promise.all(many)) {
      if (code === 0) continue;
      assert.equal(error.code, 11, stdout);
      assert.match(error.msg, /busy/);
    }
    assert.equal(refused, 80 - CONNECTIONS, 'the others have their pods');
    await Promise.all(many.map((_, i) => call(node, 'DEL', undefined, { containerId: `busy${i}` })));
    await node.nothingLeft();
  });
});

test('an agent that knows nothing yet refuses ADD with 11 and STATUS with 50, and learns', async () => {
  await node.startAgent('none');
  const one = await pod();
  assert.equal((await call(node, 'ADD', one)).error.code, 11);
  assert.equal((await call(node, 'STATUS', undefined)).error.code, 50);
  await node.tell({ do: 'apply', intent, generation: 2 });
  const added = await call(node, 'ADD', one);
  assert.equal(added.code, 0, added.stdout);
  assert.ok((await one.exec(['ping', '-c', '1', '-W', '1', nodeIpv4])).code === 0);
  await eventually('facts of generation 2', () => node.facts?.generation === 2 && node.facts.pods === 1);
  assert.deepEqual(
    node.facts?.blocks.find((block) => block.pool === 'node' && block.cidr === '10.99.0.0/24'),
    { pool: 'node', cidr: '10.99.0.0/24', capacity: 127, used: 1, fenced: 0 },
  );
  await call(node, 'DEL', one);
});
