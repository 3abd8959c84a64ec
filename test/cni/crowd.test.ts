// Many callers, large callers, callers in every order: the socket is spoken to directly, as fast as it answers.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { decodeAnswer, encodeRequest, MAX_STDIN_BYTES, PROTOCOL_VERSION } from '#cni/protocol.ts';
import { createNamespace, eventually, type TestNamespace } from '../support/netns.ts';
import { call, type ErrorJson, type ResultJson } from '../support/pod-calls.ts';
import { PodNode } from '../support/pod-node.ts';
import { seededRandom } from '../support/random.ts';

const seed = Number(process.env['FLATROUTE_SEED'] ?? Date.now() % 1_000_000);
const SOCKET = '/run/flatroute/cni.sock';
let node: PodNode;
let pod: TestNamespace;

interface Said {
  readonly code: number;
  readonly result: Partial<ResultJson & ErrorJson>;
}

/** `undefined`: closed without a word. */
function speak(bytes: Buffer): Promise<Said | undefined> {
  return new Promise((done, fail) => {
    const socket = createConnection({ path: node.path(SOCKET) });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      // As the plugin does: it closes when it has its answer.
      if (decodeAnswer(Buffer.concat(chunks)).kind === 'complete') socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // Refused before all was sent; what was answered counts.
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') fail(error);
    });
    socket.on('close', () => {
      const answer = decodeAnswer(Buffer.concat(chunks));
      if (answer.kind !== 'complete') return done(undefined);
      const text = answer.value.stdout.toString();
      const result = text === '' ? {} : (JSON.parse(text) as Partial<ResultJson & ErrorJson>);
      return done({ code: answer.value.code, result });
    });
    socket.on('end', () => socket.end());
    socket.write(bytes);
  });
}

const request = (verb: string, environment: Readonly<Record<string, string>> = {}, stdin = config): Buffer =>
  encodeRequest({
    version: PROTOCOL_VERSION,
    environment: new Map(
      Object.entries({ CNI_COMMAND: verb, CNI_CONTAINERID: 'c', CNI_IFNAME: 'eth0', CNI_NETNS: '', ...environment }),
    ),
    stdin: Buffer.from(stdin),
  });
const config = JSON.stringify({ cniVersion: '1.1.0', name: 'net', type: 'flatroute' });

before(async () => {
  node = await PodNode.create();
  pod = await createNamespace('frt-pods');
  await node.startAgent();
});
afterEach(() => node.nothingLeft());
after(async () => {
  await node.dispose();
  await pod.dispose();
});

test('300 callers at once are all answered', async () => {
  const answers = await Promise.all(
    Array.from({ length: 300 }, (_, i) => speak(request(i % 2 === 0 ? 'DEL' : 'STATUS', { CNI_CONTAINERID: `c${i}` }))),
  );
  for (const answer of answers)
    assert.ok(answer?.code === 0 || answer?.result.code === 11, `told: ${JSON.stringify(answer)}`);
  assert.ok(answers.some((answer) => answer?.code === 0));
  assert.equal((await call(node, 'STATUS', undefined)).code, 0);
});

test('100 MB are refused, whether they are announced or not, and the agent does not grow', async () => {
  const memory = (): number => {
    const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${agent}/status`, 'utf8'));
    return Number(line?.[1]) / 1024;
  };
  const children = readFileSync(`/proc/${node.agentPid}/task/${node.agentPid}/children`, 'utf8').trim();
  const agent = children === '' ? String(node.agentPid) : children.split(' ')[0];
  const before = memory();
  const announced = Buffer.alloc(100 * 1024 * 1024);
  const head = request('ADD');
  head.copy(announced);
  announced.writeUInt32BE(100 * 1024 * 1024, head.length - config.length - 4);
  const garbage = Buffer.alloc(100 * 1024 * 1024, 'x');
  for (const bytes of [announced, garbage]) {
    const said = await speak(bytes);
    assert.ok(said === undefined || (said.result.code === 6 && said.code === 1), JSON.stringify(said));
  }
  assert.ok(memory() < before + 64, `${before} MiB, then ${memory()} MiB`);
  const largest = request(
    'DEL',
    {},
    `{"cniVersion":"1.1.0","name":"net","type":"flatroute","x":"${'x'.repeat(MAX_STDIN_BYTES - 100)}"}`,
  );
  assert.equal((await speak(largest))?.code, 0, 'what is just small enough is served');
});

test(`100 interleavings of ADD and DEL of one attachment end as their last call says (FLATROUTE_SEED=${seed})`, async (t) => {
  t.diagnostic(`FLATROUTE_SEED=${seed}`);
  const random = seededRandom(seed);
  const add = (): Promise<Said | undefined> => speak(request('ADD', { CNI_NETNS: pod.path }));
  const del = (): Promise<Said | undefined> =>
    speak(request('DEL', random.unit() < 0.5 ? { CNI_NETNS: pod.path } : {}));
  const addresses = (said: Said | undefined): string => (said?.result.ips ?? []).map((ip) => ip.address).join(' ');
  for (let round = 0; round < 100; round++) {
    const under = Array.from({ length: 2 + random.below(5) }, async () => {
      await delay(random.below(12));
      const isAdd = random.unit() < 0.6;
      return { isAdd, said: await (isAdd ? add() : del()) };
    });
    for (const { isAdd, said } of await Promise.all(under)) {
      assert.ok(said !== undefined, `round ${round}: closed without an answer`);
      assert.ok(said.code === 0 || said.result.code === 11, `round ${round}: ${JSON.stringify(said)}`);
      if (isAdd && said.code === 0) assert.equal(said.result.ips?.length, 2);
    }
    const live = (await node.rows()).filter((row) => row.state === 'live');
    assert.ok(live.length <= 1, `round ${round}: ${JSON.stringify(live)}`);
    // Whatever was before: the next one is the one that counts.
    if (random.unit() < 0.5) {
      const said = await add();
      assert.equal(said?.code, 0, `round ${round}: ${JSON.stringify(said)}`);
      const [row, ...others] = (await node.rows()).filter(({ state }) => state === 'live');
      assert.deepEqual([addresses(said), others.length], [row?.addresses.map(withLength).join(' '), 0]);
      assert.equal(addresses(await add()), addresses(said), 'again is the same');
    } else {
      assert.equal((await del())?.code, 0);
      assert.deepEqual(
        (await node.rows()).filter((row) => row.state === 'live'),
        [],
      );
    }
  }
  assert.deepEqual((await node.check()).findings, []);
  assert.equal((await del())?.code, 0);
});

const withLength = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;

test('without nft no pod is joined and STATUS says why; those that live go on, and all is well once nft works', async () => {
  const added = await call(node, 'ADD', pod);
  await node.killAgent();
  await node.run(['nft', 'flush', 'ruleset']);
  await node.startAgent(undefined, '/run/programs');
  const [refused, status] = [
    await call(node, 'ADD', pod, { containerId: 'other' }),
    await call(node, 'STATUS', undefined),
  ];
  assert.deepEqual([refused.error.code, status.error.code], [11, 50], refused.stdout);
  for (const { error } of [refused, status]) assert.match(error.details, /install nftables/);
  assert.equal((await node.exec(['ping', '-c', '1', '-W', '1', added.addresses[0] ?? ''])).code, 0);
  assert.deepEqual(
    (await node.check()).findings.map(({ code }) => code),
    ['RulesMissing'],
  );
  assert.equal((await call(node, 'DEL', undefined)).code, 0);
  await node.run([
    'sh',
    '-c',
    'mkdir /run/programs; printf "#!/bin/sh\\necho nothing works >&2; exit 1\\n" > /run/programs/nft; chmod +x /run/programs/nft',
  ]);
  await node.tell({ do: 'lookAgain' });
  await eventually('its words are told', async () =>
    (await call(node, 'STATUS', undefined)).error.details.includes('nothing works'),
  );
  await node.run(['sh', '-c', 'ln -sf $(command -v nft) /run/programs/nft']);
  await node.tell({ do: 'lookAgain' });
  await eventually('pods are joined again', async () => (await call(node, 'STATUS', undefined)).code === 0);
  assert.equal((await call(node, 'ADD', pod)).code, 0);
  assert.equal((await call(node, 'DEL', pod)).code, 0);
});
