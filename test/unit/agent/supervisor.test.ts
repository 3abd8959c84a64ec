import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { ThreadName } from '#agent/entries.ts';
import { stuckText, Supervisor } from '#agent/supervisor.ts';
import type { IpAddress } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { eventually } from '../../support/netns.ts';

const ip = (text: string): IpAddress => text as IpAddress;

interface Line {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

function supervise() {
  const lines: Line[] = [];
  const rebuilt: (readonly ThreadName[])[] = [];
  const gaveUp: string[] = [];
  const supervisor = new Supervisor(
    { runDirectory: '/nowhere', logLevel: 'debug' },
    {
      entry: () => new URL('../../support/fixture-thread.ts', import.meta.url),
      log: (_level, event, fields) => lines.push({ event, fields }),
      facts: () => undefined,
      attached: () => undefined,
      rebuild: (names) => {
        rebuilt.push(names);
        return Promise.resolve();
      },
      giveUp: (reason) => gaveUp.push(reason),
    },
  );
  const count = (event: string): number => lines.filter((line) => line.event === event).length;
  return { supervisor, lines, rebuilt, gaveUp, count };
}

const allBeat = (supervisor: Supervisor): Promise<boolean> =>
  eventually('all beat', () => supervisor.states().every((state) => state.state === 'running'));

test('threads answer, refuse with a code, and are connected with each other in both directions', async () => {
  const { supervisor, lines, count } = supervise();
  const answer = await supervisor.background.ask('lookup', ip('9.9.9.9'));
  assert.equal(answer.destination, '9.9.9.9');
  await assert.rejects(
    supervisor.background.ask('lookup', ip('1.1.1.1')),
    (error) => error instanceof AppError && error.code === 'OS_EPERM',
  );
  await eventually('four ends heard each other', () => count('fixture.heard') === 4);
  const heard = lines
    .filter((line) => line.event === 'fixture.heard')
    .map(({ fields }) => `${String(fields['from'])} > ${String(fields['thread'])}`);
  assert.deepEqual(heard.sort(), ['background > bgp', 'background > pods', 'bgp > background', 'pods > background']);
  await allBeat(supervisor);
  assert.equal(await supervisor.stop({ sessions: 'silent' }), true);
});

test('a thread that dies releases what it parked and is built again; its pending calls fail', async () => {
  const { supervisor, rebuilt, count, gaveUp } = supervise();
  const pods = supervisor.pods as unknown as typeof supervisor.background;
  const pending = pods.ask('lookup', ip('2.0.0.1'));
  const failed = assert.rejects(pending, (error) => error instanceof AppError && error.code === 'AGENT_THREAD_ENDED');
  await pods.ask('lookup', ip('0.0.0.1')).catch(() => undefined);
  await failed;
  await eventually('it was built again', () => rebuilt.length === 1);
  assert.deepEqual(rebuilt, [['pods']]);
  assert.equal(count('fixture.released'), 1);
  assert.equal(supervisor.states().find((state) => state.name === 'pods')?.restarts, 1);
  assert.equal(
    (await (supervisor.pods as unknown as typeof supervisor.background).ask('lookup', ip('9.0.0.1'))).type,
    'unicast',
  );
  assert.deepEqual(gaveUp, []);

  await supervisor.background.ask('lookup', ip('0.0.0.1')).catch(() => undefined);
  await eventually('a second death within a minute gives up', () => gaveUp.length === 1);
  assert.match(gaveUp[0] ?? '', /background died .* s after the last death/);
  await supervisor.stop({ sessions: 'silent' });
});

test('whoever waits at a descriptor that libc opened for a thread is let go when the thread dies', async () => {
  const { supervisor, rebuilt } = supervise();
  // The name is an address with this process in it: abstract names are the machine's.
  const name = `3.0.0.${process.pid}`;
  const server = createServer().listen(`\0${name}`);
  await once(server, 'listening');
  const connected = once(server, 'connection') as Promise<[Socket]>;
  await supervisor.background.ask('lookup', ip(name));
  const [socket] = await connected;
  socket.resume();
  await supervisor.background.ask('lookup', ip('0.0.0.1')).catch(() => undefined);
  await eventually('the connection has ended', () => socket.readableEnded);
  await eventually('all were built again', () => rebuilt.length === 1);
  server.close();
  await allBeat(supervisor);
  await supervisor.stop({ sessions: 'silent' });
});

test('the death of the background thread takes all through the same start', async () => {
  const { supervisor, rebuilt } = supervise();
  await supervisor.background.ask('lookup', ip('0.0.0.1')).catch(() => undefined);
  await eventually('all were built again', () => rebuilt.length === 1);
  assert.deepEqual(rebuilt, [['bgp', 'background', 'pods']]);
  assert.ok(supervisor.states().every((state) => state.restarts === 1));
  // One that is still being loaded has a stop to wait for that is not its own.
  await allBeat(supervisor);
  assert.equal(await supervisor.stop({ sessions: 'silent' }), true);
});

test('a thread hangs when it is silent, or in one call, for more than 5 s', () => {
  assert.equal(stuckText(4.9, { name: 'routes', seconds: 4.9 }), undefined);
  assert.equal(stuckText(6.2, undefined), 'has said nothing for 6 s');
  assert.equal(stuckText(0.5, { name: 'routes', seconds: 7 }), 'routes has been running for 7 s');
});
