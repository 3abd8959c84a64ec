// What goes wrong between a client and the API server, each thing by itself and then all of them at random.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import type { ApiStore } from '#kubernetes/io/client.ts';
import { listAndWatch, rest, usualTuning } from '#kubernetes/io/list-watch.ts';
import type { Companions, Reader } from '#kubernetes/io/list-watch.ts';
import { ApiError } from '#kubernetes/store.ts';
import type { ApiCode, ApiObject, ResourceType, Watching } from '#kubernetes/store.ts';
import { fakeApi } from '../../support/kubernetes/fake-api.ts';
import type { FakeApi, Misfortune } from '../../support/kubernetes/fake-api.ts';
import { configMaps, failsWith } from '../../support/kubernetes/store-contract.ts';
import { seededRandom } from '../../support/random.ts';

let api: FakeApi;
beforeEach(async () => (api = await fakeApi([configMaps])));
afterEach(() => api.close());

const namespace = 'default';
const put = (name: string, n: string): ApiObject => api.put(configMaps, { metadata: { name, namespace }, data: { n } });

interface Follower {
  readonly calls: { readonly objects: ReadonlyMap<string, string>; readonly keys: readonly string[] }[];
  readonly health: (ApiCode | undefined)[];
  readonly watching: Watching;
}

function follow(store: ApiStore = api.store()): Follower {
  const calls: Follower['calls'] = [];
  const health: Follower['health'] = [];
  const watching = store.watch(configMaps, {
    selection: { namespace },
    keep: (object) => (object['data'] as { readonly n: string }).n,
    changed: (objects, keys) => void calls.push({ objects: new Map(objects), keys: [...keys] }),
    health: (error) => void health.push(error?.code),
  });
  return { calls, health, watching };
}

const eventually = (what: string, holds: () => boolean, seen: () => string = () => ''): Promise<unknown> =>
  waitFor(what, () => Promise.resolve(holds() ? found(true) : notYet(seen())), { deadline: seconds(20) });

const held = (it: Follower): string =>
  JSON.stringify([...(it.calls.at(-1)?.objects ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)));
const truth = (): string =>
  JSON.stringify(
    api.objects
      .all(api.type(configMaps))
      .map((it) => [`${namespace}/${it.metadata.name}`, (it['data'] as { n: string }).n]),
  );
const inStep = (it: Follower): Promise<unknown> =>
  eventually(
    'the truth',
    () => it.calls.length > 0 && held(it) === truth(),
    () => `${held(it)} is not ${truth()}`,
  );

const lists = (): number => api.requests.filter((it) => it.verb === 'list').length;

describe('a watch', () => {
  const endings: readonly (readonly [string, () => void, number])[] = [
    ['ended by the server goes on without a list', () => api.cutWatches('end'), 0],
    ['whose connection is cut goes on without a list', () => api.cutWatches('cut'), 0],
    ['that is too old lists again', () => api.cutWatches('expire'), 1],
    ['with a line that is no JSON lists again', () => api.cutWatches({ line: '{"type":"ADDED","object":{"meta' }), 1],
    [
      'with a line of a type that nobody knows lists again',
      () => api.cutWatches({ line: '{"type":"MOVED","object":{"metadata":{"name":"x","resourceVersion":"9"}}}' }),
      1,
    ],
    [
      'with an object that has no name lists again',
      () => api.cutWatches({ line: '{"type":"ADDED","object":{"metadata":{"resourceVersion":"9"}}}' }),
      1,
    ],
    [
      'with an error of the server lists again',
      () => api.cutWatches({ line: '{"type":"ERROR","object":{"code":500,"message":"etcd"}}' }),
      1,
    ],
  ];
  for (const [name, end, expected] of endings) {
    test(name, async () => {
      put('a', '1');
      const it = follow();
      await eventually('a watch', () => api.watches() === 1);
      await inStep(it);
      api.requests.length = 0;
      end();
      await eventually('the next watch', () => api.requests.some((request) => request.verb === 'watch'));
      put('b', '2');
      await inStep(it);
      assert.equal(lists(), expected);
      // Objects that were seen before are no news.
      assert.deepEqual(
        it.calls.map((call) => call.keys),
        [['default/a'], ['default/b']],
      );
    });
  }

  test('goes on behind a bookmark, not behind the last object', async () => {
    put('a', '1');
    const it = follow();
    await eventually('a watch', () => api.watches() === 1);
    for (let i = 0; i < 5; i++) api.objects.tick();
    api.bookmark();
    const version = String(api.objects.version);
    await eventually('the bookmark to be read', () => {
      api.requests.length = 0;
      api.cutWatches('end');
      return true;
    });
    await eventually('the next watch', () => api.requests.some((request) => request.verb === 'watch'));
    assert.equal(api.requests.find((request) => request.verb === 'watch')?.query.get('resourceVersion'), version);
    await it.watching.stop();
  });

  test('that is refused lists again; that the server is away is said once, and that it is back', async () => {
    const it = follow();
    await inStep(it);
    await eventually('health', () => it.health.length === 1);
    await api.stop();
    await eventually('the failure', () => it.health.length > 1);
    await api.start();
    await eventually('health again', () => it.health.at(-1) === undefined);
    assert.deepEqual([...new Set(it.health)], [undefined, 'API_UNREACHABLE']);
  });

  test('that begins ends the pauses of the others, which had grown while the server was away', async () => {
    const store = api.store({ tuning: { firstPauseMilliseconds: 600_000, longestPauseMilliseconds: 600_000 } });
    const many = Array.from({ length: 4 }, () => follow(store));
    await eventually('all watches', () => api.watches() === 4);
    api.cutWatches('cut');
    await eventually('their failures', () => many.every((it) => it.health.at(-1) === 'API_UNREACHABLE'));
    const late = follow(store);
    await eventually('all watches again', () => api.watches() === 5);
    await Promise.all([...many, late].map((it) => it.watching.stop()));
  });

  test('stops while it lists, while it waits, and while the server hangs, and says nothing any more', async () => {
    for (const misfortune of ['hang', { status: 503 }, 'drop-before'] satisfies readonly Misfortune[]) {
      api.misfortune = () => misfortune;
      api.requests.length = 0;
      const it = follow();
      await eventually('a request', () => api.requests.length > 0);
      await it.watching.stop();
      const said = it.health.length;
      api.misfortune = undefined;
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual([it.calls.length, it.health.length], [0, said]);
    }
  });

  test('may be stopped by what it tells', async () => {
    put('a', '1');
    let stopped = false;
    const watching = api.store().watch(configMaps, {
      keep: (object) => object.metadata.name,
      changed: () => {
        void watching.stop().then(() => (stopped = true));
      },
    });
    await eventually('the end', () => stopped);
  });

  test('a list whose pages expire is begun again, and half of it takes nothing away', async () => {
    for (let i = 0; i < 30; i++) put(`a-${i}`, '1');
    let expired = 0;
    api.misfortune = ({ query }) => {
      if (query.get('continue') !== null && expired < 2) {
        expired++;
        api.expirePages();
      }
      return undefined;
    };
    const it = follow(api.store({ tuning: { pageSize: 10 } }));
    await inStep(it);
    assert.deepEqual([it.calls.length, expired], [1, 2]);
    assert.ok(!it.health.includes('API_EXPIRED'));
    expired = 0;
    const listed = await api.store({ tuning: { pageSize: 10 } }).list(configMaps);
    assert.deepEqual([listed.length, expired], [30, 2]);
  });
});

describe('a call', () => {
  test('is made again after 429, when the server says so, and the last answer counts', async () => {
    let left = 2;
    api.misfortune = () => (left-- > 0 ? { status: 429, retryAfter: 0 } : undefined);
    const store = api.store();
    await store.create(configMaps, { metadata: { name: 'a', namespace }, data: {} });
    assert.equal(api.requests.length, 3);
    left = Infinity;
    const hasty = api.store({ tuning: { busyAttempts: 2 } });
    await assert.rejects(hasty.get(configMaps, 'a', namespace), failsWith('API_BUSY'));
  });

  test('takes no longer than it may', async () => {
    api.misfortune = () => 'hang';
    const store = api.store({ tuning: { callMilliseconds: 30 } });
    await assert.rejects(store.get(configMaps, 'a', namespace), failsWith('API_UNREACHABLE', /no answer within/));
    const write = store.create(configMaps, { metadata: { name: 'a', namespace } });
    await assert.rejects(write, (error) => error instanceof ApiError && error.maybeDone);
  });

  test('whose answer is no object is an error that quotes nothing of it', async () => {
    for (const text of ['', 'not JSON: hunter2', '[]', '{"metadata":{"name":7},"data":"hunter2"}']) {
      api.misfortune = () => ({ text });
      await assert.rejects(api.store().get(configMaps, 'a', namespace), (error) => {
        assert.ok(!String(error).includes('hunter2'));
        return failsWith('API_ANSWER')(error);
      });
    }
  });

  test('a write that the server failed at may have happened, one that it refused has not', async () => {
    const object = { metadata: { name: 'a', namespace } };
    for (const [status, maybeDone] of [
      [500, true],
      [504, true],
      [422, false],
      [403, false],
    ] as const) {
      api.misfortune = () => ({ status });
      await assert.rejects(
        api.store().create(configMaps, object),
        (error) => error instanceof ApiError && error.status === status && error.maybeDone === maybeDone,
      );
    }
  });

  test('says who asks, and every answer is counted', async () => {
    const counted: string[] = [];
    let bytes = 0;
    const store = api.store({
      userAgent: 'flatroute-agent/1.2.3',
      onRequest: (verb, code) => void counted.push(`${verb} ${code}`),
      onReceived: (more) => (bytes += more),
    });
    await store.get(configMaps, 'a', namespace);
    await store.list(configMaps);
    await api.stop();
    await assert.rejects(store.get(configMaps, 'a', namespace));
    assert.deepEqual(counted, ['get 404', 'list 200', 'get none', 'get none']);
    assert.ok(bytes > 0);
    assert.ok(api.requests.every((it) => it.headers['user-agent'] === 'flatroute-agent/1.2.3'));
  });
});

for (const seed of [1, 2, 3, 4]) {
  test(`whatever happens in between, a watch ends in step and told every change (seed ${seed})`, async () => {
    const random = seededRandom(seed);
    const known = new Map<string, string>();
    const it = follow(api.store({ tuning: { pageSize: 7, idleMilliseconds: 500 } }));
    const misfortunes: readonly (() => Misfortune | undefined)[] = [
      () => undefined,
      () => undefined,
      () => 'drop-before',
      () => ({ status: 503 }),
      () => ({ status: 429, retryAfter: 0 }),
      () => ({ text: '{' }),
    ];
    const happenings: readonly (() => void)[] = [
      ...Array.from({ length: 8 }, () => () => void put(`o-${random.below(30)}`, String(random.below(4)))),
      ...Array.from({ length: 4 }, () => () => {
        const gone = api.objects.all(api.type(configMaps));
        if (gone.length > 0) api.remove(configMaps, `${namespace}/${random.pick(gone).metadata.name}`);
      }),
      () => api.cutWatches('end'),
      () => api.cutWatches('cut'),
      () => api.cutWatches('expire'),
      () => api.cutWatches({ line: '{"type":"ADDED","obj' }),
      () => api.bookmark(),
      () => api.objects.compact(),
      () => api.expirePages(),
      () => {
        const now = random.pick(misfortunes);
        api.misfortune = () => (random.below(2) === 0 ? now() : undefined);
      },
    ];
    for (let round = 0; round < 400; round++) {
      random.pick(happenings)();
      if (random.below(4) === 0) await new Promise((resolve) => setImmediate(resolve));
      if (random.below(20) === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    api.misfortune = undefined;
    await inStep(it);
    for (const { objects, keys } of it.calls) {
      for (const key of keys) {
        const value = objects.get(key);
        if (value === undefined) known.delete(key);
        else known.set(key, value);
      }
      assert.deepEqual([...known].sort(byKey), [...objects].sort(byKey), 'a change that was not told');
    }
    await eventually('a watch', () => api.watches() === 1);
    const calls = it.calls.length;
    api.requests.length = 0;
    api.cutWatches('expire');
    await eventually('a list', () => api.watches() === 1 && lists() > 0);
    assert.equal(it.calls.length, calls, 'a list that brings nothing new is told to nobody');
  });
}

const byKey = ([a]: readonly [string, string], [b]: readonly [string, string]): number => (a < b ? -1 : 1);

test('a watch of a custom resource that ends before its time looks at every object anew, of a kind of Kubernetes it goes on', async () => {
  const follow = async (type: ResourceType): Promise<{ readonly seen: string[]; readonly lists: number }> => {
    const seen: string[] = [];
    let lists = 0;
    let watches = 0;
    const metadata = { name: 'one', uid: 'u', resourceVersion: '7' };
    const reader: Reader = {
      type,
      // The same version, with a field that the older definition left out.
      page: () => {
        lists += 1;
        const object = { metadata, spec: lists === 1 ? {} : { added: 'field' } };
        return Promise.resolve({ objects: [object], resourceVersion: '9', next: undefined, remaining: 0 });
      },
      watch: async (_, on, signal) => {
        on.open();
        // What two lists bring in one turn of the loop is told once.
        await eventually('what was listed to be told', () => seen.length === lists);
        if (++watches > 1) await rest(60_000, signal);
        return 'early';
      },
    };
    const watching = listAndWatch(
      reader,
      {
        keep: (object) => JSON.stringify(object['spec']),
        changed: (objects) => void seen.push([...objects.values()].join()),
      },
      { firstPauseMilliseconds: 1, longestPauseMilliseconds: 2, steadyMilliseconds: 1000, spreadMilliseconds: 1 },
    );
    await eventually('the second watch', () => watches === 2);
    await watching.stop();
    return { seen, lists };
  };
  const custom = { group: 'flatroute.io', version: 'v1alpha1', plural: 'bgppeers', kind: 'BGPPeer', namespaced: false };
  assert.deepEqual(await follow(custom), { seen: ['{}', '{"added":"field"}'], lists: 2 });
  assert.deepEqual(await follow(configMaps), { seen: ['{}'], lists: 1 });
});

test('a watch that a server ends early after a long time is followed by a list later, not by all nodes at once', async () => {
  let lists = 0;
  let ended = false;
  const reader: Reader = {
    type: { group: 'flatroute.io', version: 'v1alpha1', plural: 'bgppeers', kind: 'BGPPeer', namespaced: false },
    page: () => {
      lists += 1;
      return Promise.resolve({ objects: [], resourceVersion: '9', next: undefined, remaining: 0 });
    },
    watch: async (_, on, signal) => {
      on.open();
      if (ended) await rest(60_000, signal);
      ended = true;
      return 'early';
    },
  };
  const tuning = { firstPauseMilliseconds: 0, longestPauseMilliseconds: 0, steadyMilliseconds: 0 };
  const watching = listAndWatch(
    reader,
    { keep: () => undefined, changed: () => undefined },
    { ...tuning, spreadMilliseconds: 86_400_000 },
  );
  await eventually('the end of the watch', () => ended);
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
  assert.equal(lists, 1);
  await watching.stop();
});

/** Virtual time in which `ask` answers every list and watch of eight watches of one client. */
async function play(
  context: TestContext,
  ask: (what: 'list' | 'watch', at: number) => Promise<'early' | 'due'>,
): Promise<{
  readonly asked: number[];
  readonly changes: () => number;
  readonly until: (end: number) => Promise<void>;
}> {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const timers = context.mock.method(globalThis, 'setTimeout');
  // Node takes a negative time for a bug, and so it is.
  context.after(() => {
    const times = timers.mock.calls.map(({ arguments: [, time = 0] }) => time);
    assert.ok(
      times.length > 0 && Math.min(...times) >= 0,
      `the shortest of ${times.length} is ${Math.min(...times)} ms`,
    );
  });
  let now = 0;
  const asked: number[] = [];
  let changes = 0;
  const companions: Companions = { pauses: new Set() };
  const watchings = Array.from({ length: 8 }, (_, n) => {
    const reader: Reader = {
      type: { ...configMaps, plural: `kind${n}` },
      page: async () => {
        asked.push(now);
        await ask('list', now);
        return {
          objects: [{ metadata: { name: 'one', resourceVersion: '7' } }],
          resourceVersion: '9',
          next: undefined,
          remaining: 0,
        };
      },
      watch: async (_, on, signal) => {
        asked.push(now);
        await ask('watch', now);
        on.open();
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        return 'due';
      },
    };
    const about = { keep: () => 1, changed: (objects: ReadonlyMap<string, number>) => void (changes += objects.size) };
    return listAndWatch(reader, about, usualTuning, companions);
  });
  context.after(async () => await Promise.all(watchings.map((it) => it.stop())));
  const until = async (end: number): Promise<void> => {
    for (; now < end; now += 100) {
      context.mock.timers.tick(100);
      for (let turn = 0; turn < 2; turn++) await new Promise(setImmediate);
    }
  };
  await until(100);
  return { asked, changes: () => changes, until };
}
const minutes = (count: number): number => count * 60_000;

for (const [status, code] of [
  [429, 'API_BUSY'],
  [503, 'API_UNREACHABLE'],
] as const) {
  test(`ten minutes of ${status} with Retry-After of a second are no storm, and all watches are back within a minute`, async (context) => {
    const { asked, changes, until } = await play(context, (_, at) =>
      at < minutes(10)
        ? Promise.reject(new ApiError(code, 'too many requests', { status, retryAfter: milliseconds(1000) }))
        : Promise.resolve('due'),
    );
    await until(minutes(10));
    const [first = 0, ...later] = Array.from(
      { length: 10 },
      (_, minute) => asked.filter((at) => at >= minutes(minute) && at < minutes(minute + 1)).length,
    );
    assert.ok(first <= 8 * 8, `${first} in the first minute`);
    assert.ok(Math.max(...later) <= 8 * 4, `${later.join(', ')} in the minutes after it`);
    // Nobody came back before the second that the server asked for was over: at one time there is one request of each watch.
    assert.ok(asked.every((at) => asked.filter((other) => other >= at && other < at + 1000).length <= 8));
    assert.equal(changes(), 0);
    asked.length = 0;
    await until(minutes(11));
    assert.deepEqual([changes(), asked.length], [8, 16]);
  });
}

test('watches that are all too old list once more within three seconds; where that goes on, ever more rarely', async (context) => {
  const lists: number[] = [];
  const { changes, until } = await play(context, (what, at) => {
    if (what === 'list') lists.push(at);
    return what === 'watch' && at < minutes(10)
      ? Promise.reject(new ApiError('API_EXPIRED', 'too old', { status: 410 }))
      : Promise.resolve('due');
  });
  assert.equal(lists.length, 8);
  await until(3100);
  const again = lists.slice(8, 16);
  assert.equal(again.length, 8);
  assert.ok(Math.max(...again) > 1000 && new Set(again).size > 3, `at ${again.join(', ')}`);
  await until(minutes(10));
  assert.ok(lists.filter((at) => at > minutes(1)).length <= 9 * 8 * 4, `${lists.length} lists`);
  assert.ok(Math.max(...lists.slice(1).map((at, n) => at - (lists[n] ?? 0))) < 30_000);
  // What was listed was there from the first list on.
  assert.equal(changes(), 8);
  lists.length = 0;
  await until(minutes(11));
  assert.equal(lists.length, 8);
});
