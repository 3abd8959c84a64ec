// Two sessions of ours over a real link: MD5 keys, interfaces, and what the kernel counts.
import assert from 'node:assert/strict';
import { type TestContext, describe, test } from 'node:test';
import type { IpAddress } from '#lib/ip.ts';
import { closeDescriptor, openTcpSocket } from '#linux/socket.ts';
import { supportsTcpAo } from '#linux/tcp-ao.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { type HostSession, startSession } from '../../support/session-host.ts';
import type { SessionProcessOptions } from '../../support/session-process.ts';

const addresses = {
  ipv4: ['172.16.1.1', '172.16.1.2'],
  ipv6: ['fd16::1', 'fd16::2'],
  'link-local': ['fe80::1', 'fe80::2'],
} as const;
const interfaces = ['up-a', 'up-b'] as const;

interface Ends {
  readonly hosts: readonly [Host, Host];
  readonly sessions: readonly [HostSession, HostSession];
}

async function twoEnds(
  t: TestContext,
  more: readonly [Partial<SessionProcessOptions>, Partial<SessionProcessOptions>],
  family: keyof typeof addresses = 'ipv4',
): Promise<Ends> {
  const lab = await Lab.create('frt-session');
  t.after(async () => await lab.dispose());
  const hosts = [await lab.addHost('a'), await lab.addHost('b')] as const;
  await lab.link({
    a: hosts[0],
    b: hosts[1],
    names: interfaces,
    addresses: [
      ['172.16.1.1/30', '172.16.1.2/30'],
      ['fd16::1/64', 'fd16::2/64'],
      ['fe80::1/64', 'fe80::2/64'],
    ],
  });
  const [a, b] = addresses[family];
  const one = { routerId: '10.0.0.1', localAsn: 64512, peerAsn: 64513, address: b, source: a, listenPort: 179 };
  const two = { routerId: '10.0.0.2', localAsn: 64513, peerAsn: 64512, address: a, source: b, listenPort: 179 };
  if (family === 'link-local') {
    Object.assign(one, { interface: interfaces[0] });
    Object.assign(two, { interface: interfaces[1] });
  }
  const [first, second] = more;
  const sessions = [
    await startSession(hosts[0], { ...one, ...first }),
    await startSession(hosts[1], { ...two, ...second }),
  ] as const;
  return { hosts, sessions };
}

const established = (session: HostSession) =>
  session.reports('Established', (report) => report.state === 'Established');

describe('TCP MD5 between two of our sessions', { concurrency: false }, () => {
  for (const family of ['ipv4', 'ipv6', 'link-local'] as const) {
    for (const [name, a, b] of [
      ['a connects', {}, { passive: true }],
      ['b connects', { passive: true }, {}],
      ['both connect', {}, {}],
    ] as const) {
      // Both ways at once is enough where only the socket's address differs.
      if (family === 'link-local' && name !== 'both connect') continue;
      test(`the same key opens the session over ${family}, ${name}`, async (t) => {
        const password = 'same';
        const { sessions } = await twoEnds(
          t,
          [
            { password, ...a },
            { password, ...b },
          ],
          family,
        );
        const reports = await Promise.all(sessions.map(established));
        assert.deepEqual(
          reports.map(({ localAddress }) => localAddress),
          addresses[family],
        );
        for (const { interfaceIndex } of reports) assert.equal(interfaceIndex !== undefined, family === 'link-local');
      });
    }
  }

  const wrong = [
    ['the keys differ', { password: 'one' }, { password: 'other' }],
    ['only we have a key', { password: 'one' }, {}],
    ['only the peer has a key', {}, { password: 'other' }],
  ] as const;
  for (const [name, a, b] of wrong) {
    test(`no session when ${name}, and it is told from a peer that is not there`, async (t) => {
      const { sessions } = await twoEnds(t, [a, b]);
      for (const session of sessions)
        await session.reports('a mismatch', (report) => report.codes.includes('SESSION_PASSWORD_MISMATCH'));
      for (const session of sessions) assert.equal((await session.latest())?.ups, 0);
    });
  }

  test('a key is changed on a live session without ending it', async (t) => {
    const keys = { password: 'old', nextPassword: 'new', holdTimeSeconds: 90 };
    const { sessions } = await twoEnds(t, [keys, { ...keys, passive: true }]);
    await Promise.all(sessions.map(established));
    for (const { process } of sessions) process.kill('SIGUSR2');
    for (const session of sessions) {
      const before = await session.reports('the new key', (report) => report.rekeyed);
      // What each asks for from then on is signed with the new key: that it comes is proof that segments pass.
      const enough = before.received + 4;
      const report = await session.reports('messages with the new key', ({ received }) => received >= enough);
      assert.deepEqual([report.ups, report.downs], [1, []]);
    }
  });
});

describe('TCP-AO between two of our sessions', { concurrency: false }, () => {
  const fd = openTcpSocket('ipv4');
  const isSupported = supportsTcpAo(fd, addresses.ipv4[0] as IpAddress);
  closeDescriptor(fd);
  const ours = [{ sendId: 1, receiveId: 2, algorithm: 'hmac-sha1', key: 'a secret of both' }] as const;
  const theirs = [{ ...ours[0], sendId: 2, receiveId: 1 }] as const;
  const unsupported = 'SESSION_TCP_AO_UNSUPPORTED';

  for (const family of ['ipv4', 'ipv6'] as const)
    test(`opens the session over ${family} where the kernel has it, and says that it cannot where it has not`, async (t) => {
      const { sessions } = await twoEnds(t, [{ tcpAo: ours }, { tcpAo: theirs }], family);
      for (const session of sessions)
        if (isSupported) await established(session);
        else {
          const report = await session.reports('no TCP-AO', ({ codes }) => codes.includes(unsupported));
          assert.match(report.text, /this kernel has no TCP-AO .*nothing is opened without it/);
          assert.ok(!JSON.stringify(report).includes(ours[0].key));
        }
    });

  test('a peer without keys gets no session, whatever the kernel has', async (t) => {
    const { sessions } = await twoEnds(t, [{ tcpAo: ours, passive: true }, {}]);
    if (isSupported) await sessions[1].reports('silence', ({ codes }) => codes.includes('SESSION_CONNECT_TIMEOUT'));
    else {
      await sessions[0].reports('no TCP-AO', ({ codes }) => codes.includes(unsupported));
      await sessions[1].reports('the end', ({ codes }) =>
        codes.some((code) => ['SESSION_CONNECTION_CLOSED', 'SESSION_CONNECTION_LOST'].includes(code)),
      );
    }
    for (const session of sessions) assert.equal((await session.latest())?.ups, 0);
  });
});

test('a link-local peer is another peer on another link', async (t) => {
  const { sessions } = await twoEnds(t, [{ passive: true, interface: 'lo' }, {}], 'link-local');
  await sessions[1].reports('the end', ({ codes }) =>
    codes.some((code) => ['SESSION_CONNECTION_CLOSED', 'SESSION_CONNECTION_LOST'].includes(code)),
  );
  const { ups, refused } = await sessions[0].reports('its state', () => true);
  assert.deepEqual([ups, refused.interface], [0, 0]);
});

describe('GTSM between two of our sessions', { concurrency: false }, () => {
  const near = { ttlSecurity: 1 };
  for (const family of ['ipv4', 'ipv6'] as const) {
    test(`opens the session over ${family} when both ends have it, whoever connects`, async (t) => {
      for (const [a, b] of [
        [near, { ...near, passive: true }],
        [{ ...near, passive: true }, near],
      ] as const) {
        const { sessions } = await twoEnds(t, [a, b], family);
        await Promise.all(sessions.map(established));
      }
    });

    // Without it a packet of ours to another AS has TTL 1.
    test(`refuses the connection of a peer without it over ${family}, and says so`, async (t) => {
      const stranger = `${addresses[family][0]}9`;
      const { sessions } = await twoEnds(t, [{ ...near, passive: true, stranger }, {}], family);
      const report = await sessions[0].reports('the TTL', ({ codes }) => codes.includes('SESSION_TTL_TOO_LOW'));
      assert.match(report.text, /connection came with TTL 1, and at least 255 is needed/);
      assert.equal(report.ups, 0);
    });
  }
});

test('a connection over a refused interface is closed, and the kernel named the interface', async (t) => {
  const { sessions } = await twoEnds(t, [{ passive: true, refusedInterface: interfaces[0] }, {}]);
  // Not SESSION_CONNECTION_REFUSED: that would be a listener that is not there yet.
  const closed = ['SESSION_CONNECTION_CLOSED', 'SESSION_CONNECTION_LOST'];
  await sessions[1].reports('the end', ({ codes }) => codes.some((code) => closed.includes(code)));
  assert.equal((await sessions[0].reports('its state', () => true)).ups, 0);
});

test('a peer that vanishes is given up when the hold time is over, and keeps its routes only when it closes TCP', async (t) => {
  const { sessions } = await twoEnds(t, [{ holdTimeSeconds: 3 }, { passive: true }]);
  await Promise.all(sessions.map(established));
  sessions[1].process.kill('SIGSTOP');
  const report = await sessions[0].reports('down', ({ downs }) => downs.length > 0);
  sessions[1].process.kill('SIGCONT');
  assert.deepEqual(report.downs, ['SESSION_HOLD_TIMER_EXPIRED']);
  const [silence = 0] = report.silences;
  assert.ok(silence > 2900, `after ${silence} ms already`);
  await sessions[0].reports('up again', ({ ups }) => ups === 2);
  sessions[1].process.kill('SIGKILL');
  await sessions[0].reports('down with the routes kept', ({ downs }) =>
    downs.some((down) => down.endsWith(' keep') && down.startsWith('SESSION_CONNECTION_')),
  );
});
