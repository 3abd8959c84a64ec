import assert from 'node:assert/strict';
import { type Socket, connect, createServer } from 'node:net';
import { afterEach, describe as suite, test } from 'node:test';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { seconds, systemClock } from '#lib/time.ts';
import type { BgpFacts } from '#bgp/engine.ts';
import { createSpeaker } from '#bgp/speaker.ts';
import { type Listener, createListener } from '#bgp/io/listener.ts';
import { dropsBetween, nothingDropped, parseDroppedSegments, readDroppedSegments } from '#bgp/io/dropped-segments.ts';
import { connectTcp } from '#bgp/io/tcp-socket.ts';
import { closeDescriptor, openTcpSocket } from '#linux/socket.ts';
import { supportsTcpAo } from '#linux/tcp-ao.ts';
import { manualClock } from '../../../support/manual-clock.ts';
import { eventually } from '../../../support/netns.ts';
import { intent, ip, peerIntent } from '../speaker/network.ts';

const open: Listener[] = [];
/** Of both ends. */
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(open.splice(0).map((listener) => listener.close()));
});

const peer = (address: string) => ({
  address: address as IpAddress,
  password: undefined,
  minimumHopLimit: undefined,
  accept: () => undefined,
});

suite('a listener', () => {
  test('says that its port is taken and listens as soon as it is free', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '0.0.0.0', resolve));
    const address = holder.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const clock = manualClock();
    let changed = 0;
    const listener = createListener({ port }, { clock, changed: () => changed++ });
    open.push(listener);
    assert.match(listener.listenError ?? '', new RegExp(`port ${port} is taken`));
    const registered = listener.register(peer('127.0.0.2'));
    assert.ok(registered.ok);
    await new Promise((resolve) => holder.close(resolve));
    changed = 0;
    clock.advance(seconds(5));
    assert.equal(listener.listenError, undefined);
    assert.equal(listener.listening, port);
    assert.equal(changed, 1);
  });

  test('without a port listens on nothing and still knows its peers', () => {
    const listener = createListener({ port: undefined }, { clock: manualClock(), changed: () => undefined });
    open.push(listener);
    assert.equal(listener.listening, undefined);
    assert.equal(listener.listenError, undefined);
    assert.ok(listener.register(peer('127.0.0.2')).ok);
  });

  test('gives an address to the first peer that has it, and to the next when that is gone', () => {
    const listener = createListener({ port: 0 }, { clock: manualClock(), changed: () => undefined });
    open.push(listener);
    const first = listener.register(peer('127.0.0.2'));
    const second = listener.register(peer('127.0.0.2'));
    assert.ok(first.ok);
    assert.ok(!second.ok);
    assert.equal(second.error.code, 'SESSION_DUPLICATE_ADDRESS');
    first.value.close();
    assert.ok(listener.register(peer('127.0.0.2')).ok);
  });

  test('a link-local address is one peer on each link, and their keys must be the same', () => {
    const listener = createListener({ port: 0 }, { clock: manualClock(), changed: () => undefined });
    open.push(listener);
    const onLink = (interfaceIndex: number, password: string) =>
      listener.register({ ...peer('fe80::1'), interfaceIndex, password });
    const [first, second, third] = [onLink(2, 'one'), onLink(3, 'one'), onLink(4, 'other')];
    assert.ok(first.ok && second.ok && third.ok);
    assert.equal(onLink(2, 'one').ok, false);
    assert.deepEqual([first.value.problem, second.value.problem], [undefined, undefined]);
    assert.match(
      third.value.problem?.text ?? '',
      /fe80::1 is the neighbour on another link too, with another password/,
    );
    first.value.close();
    second.value.close();
    assert.equal(third.value.problem, undefined, 'the only one now');
  });

  test('refuses a peer whose key the kernel does not take, and says so', () => {
    const listener = createListener({ port: 0 }, { clock: manualClock(), changed: () => undefined });
    open.push(listener);
    const registered = listener.register({ ...peer('127.0.0.2'), password: 'x'.repeat(81) });
    assert.ok(registered.ok);
    assert.equal(registered.value.problem?.code, 'SESSION_MD5_UNAVAILABLE');
  });
});

suite('a listener and TCP-AO', () => {
  const fd = openTcpSocket('ipv4');
  const isSupported = supportsTcpAo(fd, '127.0.0.2' as IpAddress);
  closeDescriptor(fd);
  const tcpAo = [{ sendId: 1, receiveId: 2, algorithm: 'hmac-sha1', key: 'x' }] as const;

  test('refuses a peer whose keys the kernel cannot have, and no other', () => {
    const listener = createListener({ port: 0 }, { clock: manualClock(), changed: () => undefined });
    open.push(listener);
    const signed = listener.register({ ...peer('127.0.0.2'), tcpAo });
    const plain = listener.register(peer('127.0.0.3'));
    assert.ok(signed.ok && plain.ok);
    assert.equal(signed.value.problem?.code, isSupported ? undefined : 'SESSION_TCP_AO_UNSUPPORTED');
    assert.equal(plain.value.problem, undefined);
    signed.value.close();
    const again = listener.register(peer('127.0.0.2'));
    assert.ok(again.ok);
    assert.equal(again.value.problem, undefined, 'nothing is left of the keys');
  });

  test('a link-local address on two links has one set of keys', () => {
    const listener = createListener({ port: 0 }, { clock: manualClock(), changed: () => undefined });
    open.push(listener);
    const first = listener.register({ ...peer('fe80::1'), interfaceIndex: 2 });
    const second = listener.register({ ...peer('fe80::1'), interfaceIndex: 3, tcpAo });
    assert.ok(first.ok && second.ok);
    assert.equal(first.value.problem, undefined);
    assert.equal(second.value.problem?.code, 'SESSION_TCP_AO_UNAVAILABLE');
  });

  test('nothing is connected without the keys', () => {
    const made = connectTcp({
      address: '127.0.0.2' as IpAddress,
      port: 1,
      sourceAddress: undefined,
      password: undefined,
      tcpAo,
      hopLimit: undefined,
      minimumHopLimit: undefined,
      userTimeout: seconds(9),
    });
    if (made.ok) made.value.on('error', () => undefined).destroy();
    assert.equal(made.ok, isSupported);
    if (!made.ok) assert.equal(made.error.code, 'SESSION_TCP_AO_UNSUPPORTED');
  });
});

suite('counters of dropped segments', () => {
  const netstat = [
    'TcpExt: SyncookiesSent TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure TCPMinTTLDrop TCPSackShifted',
    'TcpExt: 0 1 2 30 7 4',
    'IpExt: InNoRoutes TCPMD5Failure',
    'IpExt: 0 99',
    '',
  ].join('\n');
  const rows = [
    {
      name: 'are found by their names',
      text: netstat,
      expected: { md5: { notFound: 1, unexpected: 2, failure: 30 }, hopLimit: 7 },
      ofPeers: [31, 2, 7],
    },
    {
      name: 'are zero where there are none',
      text: 'TcpExt: A\nTcpExt: 1\n',
      expected: nothingDropped,
      ofPeers: [0, 0, 0],
    },
    { name: 'are zero in an empty file', text: '', expected: nothingDropped, ofPeers: [0, 0, 0] },
  ];
  for (const { name, text, expected, ofPeers } of rows) {
    test(name, () => {
      const counters = parseDroppedSegments(text);
      assert.deepEqual(counters, expected);
      const drops = (hasKey: boolean, ttlSecurity: boolean) =>
        dropsBetween(nothingDropped, counters, { hasKey, ttlSecurity });
      assert.deepEqual(
        [drops(true, false).signature, drops(false, false).signature, drops(true, true).hopLimit],
        ofPeers,
      );
      assert.equal(drops(true, false).hopLimit, 0);
    });
  }

  test('are read from this kernel', () => {
    assert.ok(Number.isInteger(readDroppedSegments().hopLimit));
  });
});

suite('a range', () => {
  const connectFrom = async (listener: Listener, from: string): Promise<'open' | 'closed'> => {
    const socket = connect({ host: '127.0.0.1', port: listener.listening ?? 0, localAddress: from });
    sockets.push(socket);
    return await new Promise((resolve) => {
      socket.on('data', () => resolve('open'));
      socket.on('close', () => resolve('closed'));
      socket.on('error', () => resolve('closed'));
    });
  };
  /** Whoever is let in hears one octet. */
  const welcome = (accepted: string[], who: string) => (socket: Socket) => {
    accepted.push(who);
    sockets.push(socket);
    socket.write('.');
  };

  test('lets in whom it admits; a registered peer comes before it, and the longest range before others', async () => {
    const listener = createListener({ port: 0 }, { clock: manualClock(), changed: () => undefined });
    open.push(listener);
    const accepted: string[] = [];
    const range = (prefix: string, admits: boolean) =>
      listener.registerRange({
        prefix: prefix as Prefix,
        password: undefined,
        minimumHopLimit: undefined,
        admit: (address) =>
          admits &&
          listener.register({ ...peer(address), inRange: true, accept: welcome(accepted, `${prefix} ${address}`) }).ok,
      });
    const wide = range('127.0.8.0/21', true);
    range('127.0.9.0/24', false);
    assert.ok(listener.register({ ...peer('127.0.9.1'), accept: welcome(accepted, 'configured') }).ok);
    assert.equal(await connectFrom(listener, '127.0.8.1'), 'open');
    assert.equal(await connectFrom(listener, '127.0.9.1'), 'open');
    assert.equal(await connectFrom(listener, '127.0.9.2'), 'closed');
    assert.equal(await connectFrom(listener, '127.0.16.1'), 'closed');
    assert.deepEqual(accepted, ['127.0.8.0/21 127.0.8.1', 'configured']);
    wide.close();
    assert.equal(await connectFrom(listener, '127.0.8.2'), 'closed');
    assert.equal(listener.refused.unknownAddress, 2);
  });

  test('refuses all when the kernel does not take its key', async () => {
    const listener = createListener({ port: 0 }, { clock: manualClock(), changed: () => undefined });
    open.push(listener);
    const admit = (): boolean => assert.fail('admitted without the key');
    const registered = listener.registerRange({
      prefix: '127.0.8.0/24' as Prefix,
      password: 'x'.repeat(81),
      minimumHopLimit: undefined,
      admit,
    });
    assert.equal(registered.problem?.code, 'SESSION_MD5_UNAVAILABLE');
    assert.equal(await connectFrom(listener, '127.0.8.1'), 'closed');
    assert.equal(listener.refused.key, 1);
  });

  test('two hundred connections that say nothing: the limit is kept, and when they go nothing is left', async () => {
    let facts: BgpFacts | undefined;
    const speaker = createSpeaker(
      { restarted: false, forwardingPreserved: [] },
      {
        clock: systemClock,
        wallClock: Date.now,
        random: Math.random,
        outputs: { fib: () => undefined, event: () => undefined, facts: (now) => (facts = now) },
      },
    );
    const listenRange = { prefix: '127.0.8.0/24' as Prefix, limit: 16 };
    const sixteen = () => facts?.peers.find(({ range }) => range !== undefined)?.range;
    try {
      speaker.apply(
        intent({
          listenPort: 0,
          peers: [peerIntent({ name: 'rack', address: ip('0.0.0.0'), listenRange, ebgpMultihop: 2 })],
        }),
        1,
      );
      const port = await eventually('a port', () => facts?.listening);
      for (let i = 1; i <= 200; i++) {
        const socket = connect({ host: '127.0.0.1', port, localAddress: `127.0.8.${i}` });
        socket.on('error', () => undefined);
        sockets.push(socket);
        // No more at a time than the kernel holds for us: whoever it drops comes seconds later.
        if (i % 50 === 0)
          await eventually(`${i} to be counted`, () => (sixteen()?.refused ?? 0) + (sixteen()?.peers ?? 0) === i);
      }
      assert.deepEqual(sixteen(), { ...listenRange, peers: 16, established: 0, refused: 184 });
      for (const socket of sockets.splice(0)) socket.destroy();
      await eventually('nobody', () => sixteen()?.peers === 0);
      assert.deepEqual(
        facts?.peers.map(({ name }) => name),
        ['rack'],
      );
    } finally {
      await speaker.stop('silent');
    }
  });
});
