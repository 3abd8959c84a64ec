// What befalls a node whose sessions are GoBGP's: gobgpd is killed, hangs, loses its socket, or is another program.
import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import type { BgpIntent, PeerIntent } from '#bgp/engine.ts';
import { connectGobgp } from '#bgp/gobgp/io/client.ts';
import type { WatchMessage } from '#bgp/gobgp/messages.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { Driver, GobgpLab, inGobgp } from '../../support/gobgp.ts';
import { eventually } from '../../support/netns.ts';
import { asn, intent, ip, kernelView, peerIntent, prefix } from '../../unit/bgp/speaker/network.ts';

const view = kernelView([['192.0.2.1/24', '2001:db8::1/64']]);
const bird = `
protocol static s4 { ipv4; route 198.51.100.0/24 blackhole; route 198.51.101.0/24 blackhole; }
protocol bgp node {
  local 192.0.2.2 as 65002;
  neighbor 192.0.2.1 as 65001;
  error wait time 1,2;
  connect delay time 1;
  graceful restart on;
  ipv4 { import all; export where source = RTS_STATIC; };
}
`;
const learned = ['198.51.100.0/24', '198.51.101.0/24'];

const wanted = (lab: GobgpLab, peer: Partial<PeerIntent> = {}): BgpIntent =>
  inGobgp(
    lab,
    intent({
      asn: asn(65001),
      peers: [
        peerIntent({
          name: 'bird',
          address: ip('192.0.2.2'),
          peerAsn: asn(65002),
          families: ['ipv4'],
          holdTime: seconds(90),
          connectRetryTime: seconds(1),
          sourceAddress: ip('192.0.2.1'),
          ...peer,
        }),
      ],
      announcements: [{ prefix: prefix('10.60.1.0/26'), source: 'block' }],
    }),
  );

const removing = (desired: BgpIntent): BgpIntent => ({
  ...desired,
  ...(desired.engine && { engine: { ...desired.engine, foreign: 'Remove' } }),
});

/** What GoBGP's watch tells of routes waits for it. */
let held: Promise<void> | undefined;
const connect: typeof connectGobgp = async (address, options) => {
  const client = await connectGobgp(address, options);
  return {
    ...client,
    async *batches<T>(method: string, request: object, signal?: AbortSignal): AsyncGenerator<readonly T[]> {
      for await (const batch of client.batches<T & Partial<WatchMessage>>(method, request, signal)) {
        if (batch.some(({ table }) => table)) await held;
        yield batch;
      }
    },
  };
};

describe('what befalls GoBGP as the engine', { timeout: 600_000 }, () => {
  let lab: GobgpLab;
  let driver: Driver;
  let generation = 0;
  const apply = (desired: BgpIntent): void => driver.engine.apply(desired, ++generation);
  const begin = (restarted = false, desired = wanted(lab)): void => {
    driver = new Driver({ restarted }, { answerTime: seconds(1), connect });
    driver.engine.setKernelView(view);
    apply(desired);
  };
  /** The agent is gone as soon as the policies of this direction are in force. */
  const dieAtPolicy = async (way: 'import' | 'export', desired: BgpIntent): Promise<void> => {
    const died = new Promise<void>((resolve) => {
      driver.onEvent = (_, { what }): void => {
        if (typeof what === 'string' && what.endsWith(`in force (${way})`)) resolve(driver.engine.stop('silent'));
      };
    });
    apply(desired);
    await died;
  };

  const drift = (): string => (driver.facts?.engine?.drift ?? []).join('; ');

  before(async () => {
    lab = await GobgpLab.create();
    lab.startGobgp();
    await lab.startBird(bird);
    begin();
    await eventually('the session', () => driver.isUp('bird'));
    await eventually('the routes', () => driver.kernel.size === 2 && driver.complete);
    await eventually('the block', async () => (await lab.learned('node')).length === 1);
  });
  after(async () => {
    await driver.engine.stop('silent');
    await lab.dispose();
  });

  test('the agent restarts: the session stays, nothing is changed, what is learned is there again', async () => {
    const since = driver.peer('bird')?.since;
    await driver.engine.stop('silent');
    begin(true);
    await eventually('the routes', () => driver.kernel.size === 2 && driver.complete);
    await eventually('the facts', () => driver.facts?.announced[0]?.peers.length === 1);
    assert.equal(driver.peer('bird')?.since, since);
    const changes = driver.events.filter(({ event }) => event === 'gobgp.changed' || event === 'gobgp.started');
    assert.deepEqual(changes, []);
  });

  test('the agent dies between a new export policy and its withdrawals: the next one withdraws, in the same session', async () => {
    const since = driver.peer('bird')?.since;
    const drained = wanted(lab, { drain: 'withdraw' });
    await dieAtPolicy('export', drained);
    assert.deepEqual(await lab.learned('node'), ['10.60.1.0/26']);
    begin(true, drained);
    await eventually('nothing at BIRD', async () => (await lab.learned('node')).length === 0);
    await eventually('the same session', () => driver.peer('bird')?.since === since);
    apply(wanted(lab));
    await eventually('the block', async () => (await lab.learned('node')).length === 1);
  });

  test('the agent dies between a new import policy and its use: the next one uses it', async () => {
    const none = wanted(lab, { importPolicy: 'None' });
    await dieAtPolicy('import', none);
    assert.equal(driver.kernel.size, 2);
    begin(true, none);
    await eventually(
      'an empty table in GoBGP',
      async () => !(await lab.gobgp('global', 'rib')).includes('198.51.100.0'),
    );
    apply(wanted(lab));
    await eventually('the routes', () => driver.kernel.size === 2 && driver.complete);
    // Policies go when what they judged has been judged anew.
    await eventually(
      'no policy but those in force',
      async () => [...(await lab.gobgp('policy')).matchAll(/^Name /gm)].length === 3,
    );
  });

  test('gobgpd is killed and comes back: what was learned stays in the kernel throughout', async () => {
    const withdrawn: string[] = [];
    driver.onWithdraw = (it): void => void withdrawn.push(it);
    await lab.killGobgp();
    await eventually('the word of it', () => driver.facts?.engine?.problem !== undefined);
    assert.equal(driver.peer('bird')?.state, 'Idle');
    assert.equal(driver.peer('bird')?.lastError?.code, 'GOBGP_UNREACHABLE');
    lab.startGobgp();
    await eventually('the session', () => driver.isUp('bird'));
    await eventually('the block', async () => (await lab.learned('node')).length === 1);
    await eventually('all routes', () => driver.kernel.size === 2);
    assert.deepEqual([...driver.kernel.keys()].sort(), learned);
    assert.deepEqual(withdrawn, []);
    driver.onWithdraw = undefined;
  });

  test('what the watch of a new gobgpd tells late is not missing: routes stay, and only the one that is gone goes', async () => {
    const withdrawn: string[] = [];
    driver.onWithdraw = (it): void => void withdrawn.push(it);
    await Promise.all([lab.killGobgp(), lab.killBird()]);
    await eventually('the word of it', () => driver.facts?.engine?.problem !== undefined);
    await lab.startBird(bird.replace('route 198.51.101.0/24 blackhole;', ''));
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    try {
      lab.startGobgp();
      await eventually('a route to go', () => withdrawn.length > 0);
      assert.deepEqual(withdrawn, ['198.51.101.0/24']);
      assert.deepEqual([...driver.kernel.keys()], ['198.51.100.0/24']);
    } finally {
      driver.onWithdraw = undefined;
      held = undefined;
      resolve();
    }
    await lab.killBird();
    await lab.startBird(bird);
    await eventually('all routes', () => driver.kernel.size === 2);
    await eventually('the block', async () => (await lab.learned('node')).length === 1);
  });

  test('a peer and a path that somebody added are named and left alone, and removed when that is asked for', async () => {
    await lab.gobgp('neighbor', 'add', '192.0.2.99', 'as', '65099');
    await lab.gobgp('global', 'rib', 'add', '203.0.113.0/24');
    apply(wanted(lab));
    await eventually('the drift', () => drift().includes('192.0.2.99') && drift().includes('203.0.113.0/24'));
    assert.match(await lab.gobgp('neighbor'), /192\.0\.2\.99/);
    apply(removing(wanted(lab)));
    await eventually('their end', async () => !(await lab.gobgp('neighbor')).includes('192.0.2.99'));
    await eventually('no drift', () => drift() === '');
    assert.doesNotMatch(await lab.gobgp('global', 'rib'), /203\.0\.113\.0/);
    assert.equal(driver.isUp('bird'), true);
    apply(wanted(lab));
  });

  test('what somebody took away is put back', async () => {
    const since = driver.peer('bird')?.since ?? 0;
    await lab.gobgp('global', 'rib', 'del', '10.60.1.0/26', 'identifier', '1718383220');
    await lab.gobgp('neighbor', 'del', '192.0.2.2');
    apply(wanted(lab));
    await eventually('another session', () => driver.isUp('bird') && (driver.peer('bird')?.since ?? 0) > since);
    await eventually('the block', async () => (await lab.learned('node')).length === 1);
    await eventually('the routes', () => driver.kernel.size === 2);
  });

  /** Whatever fails meanwhile, what is stopped goes on. */
  const whileHanging = async (look: () => Promise<void>): Promise<void> => {
    process.kill(lab.gobgpdPid(), 'SIGSTOP');
    try {
      await eventually('the word of it', () => driver.facts?.engine?.problem !== undefined);
      await look();
      assert.equal(driver.kernel.size, 2);
    } finally {
      process.kill(lab.gobgpdPid(), 'SIGCONT');
    }
  };

  test('gobgpd hangs and goes on: it is said, and the session is the same afterwards', async () => {
    const stopped = Date.now();
    await whileHanging(() => Promise.resolve());
    await eventually('the session', () => driver.isUp('bird') && driver.facts?.engine?.problem === undefined);
    assert.ok((driver.peer('bird')?.since ?? stopped) < stopped, 'the session is the one from before');
  });

  test('a peer goes while gobgpd hangs: its routes are gone as soon as gobgpd goes on', async () => {
    await whileHanging(async () => void (await lab.birdc('disable', 'node')));
    await eventually('an empty kernel', () => driver.kernel.size === 0);
    await lab.birdc('enable', 'node');
    await eventually('the routes', () => driver.kernel.size === 2);
  });

  test('the socket is gone: what is connected goes on, and what is not says so', async () => {
    await rename(lab.socket, `${lab.socket}.away`);
    const second = new Driver();
    try {
      apply(wanted(lab, { importPolicy: 'None' }));
      await eventually('an empty kernel', () => driver.kernel.size === 0);
      second.engine.setKernelView(view);
      second.engine.apply(wanted(lab), 1);
      await eventually('the word of it', () => second.facts?.engine?.problem?.includes('is not reachable'));
    } finally {
      await second.engine.stop('silent');
      await rename(`${lab.socket}.away`, lab.socket);
    }
    apply(wanted(lab));
    await eventually('the routes', () => driver.kernel.size === 2);
  });

  test('GoBGP stays away for longer than peers keep our routes: what was learned goes', async () => {
    apply(wanted(lab, { gracefulRestart: { enabled: true, restartTime: milliseconds(1000) } }));
    await eventually('the session', () => driver.isUp('bird') && driver.kernel.size === 2);
    await lab.killGobgp();
    await eventually('an empty kernel', () => driver.kernel.size === 0);
  });

  test('what listens there is another program', async () => {
    const server = new grpc.Server();
    await new Promise<void>((resolve, reject) =>
      server.bindAsync(`unix:${lab.socket}`, grpc.ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      ),
    );
    await eventually('the word of it', () => driver.facts?.engine?.problem?.includes('has neither interface of GoBGP'));
    assert.equal(driver.peer('bird')?.lastError?.code, 'GOBGP_OTHER_VERSION');
    server.forceShutdown();
  });
});
