// kill -9 of the pods' agent at random moments while pods come and go: no address twice, none leaked, nothing left over,
// and every pod that was answered "ok" has its network all the time. SEED=... repeats a run, KILLS=... makes it shorter.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createNamespace, type TestNamespace } from '../support/netns.ts';
import { call } from '../support/pod-calls.ts';
import { intent, PodNode, prefix } from '../support/pod-node.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const kills = Number(process.env['KILLS'] ?? 100);
const SLOTS = 6;

/** mulberry32: small, and the same numbers for the same seed everywhere. */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

// Few addresses, so that each is given again and again.
const small = {
  ...intent,
  ipam: {
    pools: [
      {
        name: 'small',
        blocks: [prefix('10.99.0.0/28'), prefix('2001:db8:99::/124')],
        assignmentMode: 'Automatic' as const,
        disabled: false,
      },
    ],
    reserved: [],
  },
};

let node: PodNode;
const namespaces: TestNamespace[] = [];
before(async () => {
  node = await PodNode.create();
  for (let i = 0; i < SLOTS; i++) namespaces.push(await createNamespace('frt-pods'));
});
after(async () => {
  await node.dispose();
  for (const namespace of namespaces) await namespace.dispose();
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What there is to see when a pod does not answer: both ends, the way there, and what the agents said of it. */
async function describeLoss(namespace: TestNamespace, containerId: string, target: string): Promise<string> {
  const seen = await Promise.all([
    node.exec(['ping', '-c', '2', '-W', '1', target]),
    node.exec(['ip', 'route', 'get', target]),
    node.exec(['ip', '-d', 'link']),
    node.exec(['ip', 'neigh']),
    node.exec(['nft', 'list', 'ruleset']),
    namespace.exec(['ip', 'addr']),
    namespace.exec(['ip', '-6', 'route']),
    namespace.exec(['ip', 'neigh']),
  ]);
  const said = node.events.filter((event) => event.data['container'] === containerId);
  return [...seen.map(({ stdout, stderr }) => stdout + stderr), JSON.stringify(said)].join('\n---\n');
}

test(`${kills} kills at random moments (SEED=${seed})`, async (t) => {
  t.diagnostic(`SEED=${seed}`);
  const random = randomFrom(seed);
  /** Pods that were answered "ok" and not yet asked to go. */
  const owners = new Map<string, string>();
  const counts = { added: 0, refused: 0, deleted: 0, pings: 0, killedWhileStarting: 0 };
  let over = false;

  async function slot(index: number, namespace: TestNamespace): Promise<void> {
    const own = randomFrom(seed + 1000 * (index + 1));
    for (let generation = 0; !over; generation++) {
      const containerId = `slot${index}-${generation}`;
      const added = await call(node, 'ADD', namespace, { containerId });
      if (added.code === 0) {
        counts.added += 1;
        for (const address of added.addresses) {
          assert.equal(
            owners.get(address),
            undefined,
            `${address} of ${containerId} belongs to ${owners.get(address)}`,
          );
          owners.set(address, containerId);
        }
        assert.equal(added.addresses.length, 2);
        for (let looks = Math.floor(own() * 4); looks > 0; looks--) {
          await pause(own() * 60);
          const target = added.addresses[looks % 2] ?? '';
          const asked = performance.now();
          const answer = await node.exec(['ping', '-D', '-c', '1', '-W', '2', target]);
          if (answer.code !== 0)
            assert.fail(
              `${containerId} lost ${target}: ${answer.code} after ${Math.round(performance.now() - asked)} ms, ${answer.stdout}${answer.stderr}\n${await describeLoss(namespace, containerId, target)}`,
            );
          counts.pings += 1;
        }
        for (const address of added.addresses) owners.delete(address);
      } else {
        counts.refused += 1;
        assert.equal(added.error.code, 11, added.stdout);
      }
      // A runtime deletes until it is told that it worked, after a failed ADD too.
      for (;;) {
        const deleted = await call(node, 'DEL', own() < 0.5 ? namespace : undefined, { containerId });
        if (deleted.code === 0) break;
        assert.equal(deleted.error.code, 11, deleted.stdout);
      }
      counts.deleted += 1;
    }
  }

  async function killer(): Promise<void> {
    try {
      for (let i = 0; i < kills && !over; i++) {
        const starting = node.startAgent(small);
        if (random() < 0.2) {
          await pause(random() * 250);
          const failed = starting.then(
            () => false,
            () => true,
          );
          await node.killAgent();
          if (await failed) counts.killedWhileStarting += 1;
        } else {
          await starting;
          await pause(random() * 200);
          await node.killAgent();
        }
        if (random() < 0.3) await pause(random() * 100);
      }
      await node.startAgent(small);
    } finally {
      over = true;
    }
  }

  const ends = await Promise.allSettled([
    killer(),
    ...namespaces.map((namespace, i) =>
      slot(i, namespace).finally(() => {
        over = true;
      }),
    ),
  ]);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  await node.nothingLeft();
  for (const namespace of namespaces) assert.equal((await namespace.exec(['ip', 'link', 'show', 'eth0'])).code, 1);
  t.diagnostic(JSON.stringify(counts));
  assert.ok(counts.added > kills / 2 && counts.pings > 0, 'enough happened for the test to mean something');
  const complaints = node.events.filter((event) => event.level === 'error');
  assert.deepEqual(complaints, []);
});
