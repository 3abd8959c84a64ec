import assert from 'node:assert/strict';
import { afterEach, describe as suite, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { UpdateWriter } from '#bgp/wire/update-writer.ts';
import { cease, encodeNotification } from '#bgp/wire/notification.ts';
import { encodeRouteRefresh } from '#bgp/wire/message.ts';
import { errorOfSocket } from '#bgp/io/tcp-socket.ts';
import { replaces } from '#bgp/session/errors.ts';
import { type PeerEnd, dial, keepalive, peerOpen, type PeerTraits } from './scripted-peer.ts';
import { type TestOptions, type UnderTest, underTest } from './session-under-test.ts';
import { eventually as until } from '../../../support/netns.ts';

const running: UnderTest[] = [];
const begin = async (options: TestOptions = {}): Promise<UnderTest> => {
  const made = await underTest(options);
  running.push(made);
  made.session.start();
  return made;
};
afterEach(async () => {
  await Promise.all(running.splice(0).map((made) => made.close()));
});

/** An End-of-RIB: the shortest UPDATE. */
const endOfRib = (): Uint8Array => {
  const writer = new UpdateWriter({ maximumMessageBytes: 4096 });
  writer.endOfRib('ipv4');
  return writer.take();
};

async function establish(made: UnderTest, traits: PeerTraits = {}): Promise<PeerEnd> {
  const end = await made.peer.next(made.peer.ends.length === 0 ? 0 : made.peer.ends.length - 1);
  end.send(peerOpen(traits), keepalive);
  await made.state('Established');
  await end.hears('4');
  return end;
}

suite('a session over loopback', () => {
  test('is established when we connect, and keeps itself alive', async () => {
    const made = await begin();
    const end = await establish(made);
    assert.deepEqual(end.heard, ['1', '4']);
    const [negotiated] = made.told.up;
    assert.equal(negotiated?.localAddress, '127.0.0.1');
    assert.equal(negotiated?.remoteAddress, '127.0.0.2');
    assert.equal(negotiated?.holdTime, 9000);
    assert.deepEqual(made.session.families, ['ipv4']);
    made.clock.advance(seconds(3));
    await until('another KEEPALIVE', () => end.heard.filter((type) => type === '4').length === 2);
    assert.deepEqual(made.session.messages, { received: 2, sent: 3 });
  });

  test('is established when the peer connects', async () => {
    const made = await begin({ intent: { passive: true } });
    const end = await dial(made.listener.listening ?? 0);
    await end.hears('1');
    end.send(peerOpen(), keepalive);
    await made.state('Established');
    assert.equal(made.peer.ends.length, 0);
    end.socket.destroy();
  });

  test('begins anew at once when it is stopped and started, however often it has failed', async () => {
    const made = await begin();
    for (let failures = 0; failures < 6; failures++) {
      const end = await made.peer.next(failures);
      await end.hears('1');
      end.send(encodeNotification(cease(3, '')));
      await made.state('Idle');
      if (failures < 5) made.clock.advance(seconds(60));
    }
    void made.session.stop(cease(4, ''));
    made.session.start();
    const end = await made.peer.next(6);
    end.send(peerOpen(), keepalive);
    await made.state('Established');
  });

  test('a NOTIFICATION that a reset follows is heard, whatever is written meanwhile', async () => {
    const made = await begin();
    const end = await establish(made);
    end.send(encodeNotification(cease(1, 'too many')));
    end.socket.resetAndDestroy();
    made.session.send(endOfRib());
    await until('the end', () => made.told.down.length === 1);
    assert.equal(made.told.down[0]?.code, 'SESSION_NOTIFICATION_RECEIVED');
  });

  test('does not mind octets that come two at a time', async () => {
    const made = await begin();
    const end = await made.peer.next();
    const all = Buffer.concat([peerOpen(), keepalive, endOfRib(), endOfRib()]);
    for (let at = 0; at < all.length; at += 2) {
      end.socket.write(all.subarray(at, at + 2));
      await new Promise(setImmediate);
    }
    await until('both UPDATEs', () => made.told.updates.length === 2);
    assert.equal(made.told.updates[0]?.endOfRib, 'ipv4');
    assert.equal(made.session.messages.received, 4);
  });

  test('with hold time 0 has no timer at all', async () => {
    const made = await begin();
    const end = await establish(made, { holdTimeSeconds: 0 });
    assert.deepEqual(made.clock.armed, []);
    made.clock.advance(seconds(86_400));
    assert.equal(made.session.state, 'Established');
    assert.deepEqual(end.heard, ['1', '4']);
  });

  test('hands ROUTE-REFRESH on', async () => {
    const made = await begin();
    const end = await establish(made);
    end.send(encodeRouteRefresh({ afi: 1, safi: 1, subtype: 0 }));
    await until('the refresh', () => made.told.refreshes === 1);
  });

  test('answers what the speaker finds wrong in an UPDATE with its NOTIFICATION, and hands on nothing after it', async () => {
    const made = await begin();
    const end = await establish(made);
    made.answer = { code: 6, subcode: 1, data: new Uint8Array(0), text: 'more than 1000 prefixes' };
    end.send(Buffer.concat([endOfRib(), endOfRib(), endOfRib()]));
    await end.hears('3:6/1');
    assert.equal(made.told.updates.length, 1);
    assert.deepEqual(made.told.down, [
      { code: 'SESSION_MAXIMUM_PREFIXES', text: 'more than 1000 prefixes', keepRoutes: false, replaced: false },
    ]);
  });
});

suite('a peer that does wrong is told, and the session says what it was', () => {
  const header = (length: number, type: number): Uint8Array =>
    Uint8Array.of(...Array.from({ length: 16 }, () => 255), length >> 8, length & 255, type);
  const rows = [
    { name: 'garbage', bytes: Buffer.from('GET / HTTP/1.1\r\n\r\n'), heard: '3:1/1', code: 'SESSION_HEADER_INVALID' },
    { name: 'a length below 19', bytes: header(18, 4), heard: '3:1/2', code: 'SESSION_HEADER_INVALID' },
    { name: 'an unknown type', bytes: header(19, 9), heard: '3:1/3', code: 'SESSION_HEADER_INVALID' },
    { name: 'another AS', bytes: peerOpen({ asn: 64999 }), heard: '3:2/2', code: 'SESSION_BAD_PEER_AS' },
    { name: 'AS 23456 in both fields', bytes: peerOpen({ asn: 23456 }), heard: '3:2/2', code: 'SESSION_BAD_PEER_AS' },
    { name: 'identifier zero', bytes: peerOpen({ identifier: 0 }), heard: '3:2/3', code: 'SESSION_BAD_IDENTIFIER' },
    {
      name: 'a hold time of 2 s',
      bytes: peerOpen({ holdTimeSeconds: 2 }),
      heard: '3:2/6',
      code: 'SESSION_HOLD_TIME_UNACCEPTABLE',
    },
    { name: 'KEEPALIVE before OPEN', bytes: keepalive, heard: '3:5/1', code: 'SESSION_UNEXPECTED_MESSAGE' },
  ];
  for (const { name, bytes, heard, code } of rows) {
    test(name, async () => {
      const made = await begin();
      const end = await made.peer.next();
      end.send(bytes);
      await end.hears(heard);
      await end.ends();
      assert.equal(made.session.lastError?.code, code);
      assert.deepEqual(made.told.down, []);
    });
  }

  test('our own router identifier from a peer of our AS', async () => {
    const made = await begin({ intent: { peerAsn: 64512 as never } });
    const end = await made.peer.next();
    end.send(peerOpen({ asn: 64512, identifier: 0x0a000001 }));
    await end.hears('3:2/3');
    assert.equal(made.session.lastError?.code, 'SESSION_BAD_IDENTIFIER');
  });

  test('half an OPEN and silence', async () => {
    const made = await begin();
    const end = await made.peer.next();
    await end.hears('1');
    await made.reads(() => end.send(peerOpen().subarray(0, 21)));
    made.clock.advance(seconds(239));
    assert.equal(made.session.state, 'OpenSent');
    made.clock.advance(seconds(1));
    await end.hears('3:4/0');
    assert.equal(made.session.lastError?.code, 'SESSION_OPEN_TIMEOUT');
    assert.match(made.session.lastError?.text ?? '', /21 octets of an unfinished message/);
  });

  test('half an UPDATE and silence', async () => {
    const made = await begin();
    const end = await establish(made);
    await made.reads(() => end.send(endOfRib().subarray(0, 22)));
    made.clock.advance(seconds(9));
    await end.hears('3:4/0');
    assert.equal(made.told.down[0]?.code, 'SESSION_HOLD_TIMER_EXPIRED');
    assert.match(made.told.down[0]?.text ?? '', /22 octets/);
  });
});

suite('NOTIFICATION of the peer ends the connection', () => {
  const shutdown = encodeNotification(cease(2, 'back at noon'));
  for (const state of ['OpenSent', 'OpenConfirm', 'Established'] as const) {
    test(`in ${state}`, async () => {
      const made = await begin();
      const end = await made.peer.next();
      if (state !== 'OpenSent') end.send(peerOpen());
      if (state === 'Established') end.send(keepalive);
      await made.state(state);
      end.send(shutdown);
      await made.fails('SESSION_PEER_SHUTDOWN');
      assert.match(made.session.lastError?.text ?? '', /Administrative Shutdown: "back at noon"/);
      assert.equal(made.told.down.length, state === 'Established' ? 1 : 0);
      await end.ends();
      assert.ok(end.heard.every((type) => !type.startsWith('3')));
    });
  }
});

test('a router that is shut down accepts connections and resets them: its reason stands', () => {
  const reset = Object.assign(new Error('connect ECONNRESET'), { code: 'ECONNRESET' });
  for (const wasConnected of [false, true]) {
    const { code } = errorOfSocket(reset, wasConnected);
    assert.ok(!replaces(code, 'SESSION_PEER_SHUTDOWN', seconds(3600)), `connected ${wasConnected}: ${code}`);
  }
});

suite('collision over loopback', () => {
  const rows = [
    { name: 'the higher identifier is ours: our connection stands', routerId: '10.0.0.3', stands: 'ours' },
    { name: 'the higher identifier is theirs: their connection stands', routerId: '10.0.0.1', stands: 'theirs' },
  ] as const;
  for (const { name, routerId, stands } of rows) {
    for (const first of ['ours', 'theirs'] as const) {
      test(`${name}, OPEN first on ${first}`, async () => {
        const made = await begin({ routerId });
        const ours = await made.peer.next();
        const theirs = await dial(made.listener.listening ?? 0);
        await ours.hears('1');
        await theirs.hears('1');
        const [one, two] = first === 'ours' ? [ours, theirs] : [theirs, ours];
        one.send(peerOpen());
        await one.hears('4');
        two.send(peerOpen());
        const [winner, loser] = stands === 'ours' ? [ours, theirs] : [theirs, ours];
        await winner.hears('4');
        winner.send(keepalive);
        await made.state('Established');
        await loser.hears('3:6/7');
        assert.equal(made.session.lastError, undefined);
        theirs.socket.destroy();
      });
    }
  }

  test('a restarted peer’s new connection takes the session over', async () => {
    const restart = { restartTimeSeconds: 120, restarted: false, notification: false, families: [] };
    const made = await begin({ restart });
    await establish(made, { restart: true });
    made.clock.advance(seconds(5));
    const again = await dial(made.listener.listening ?? 0);
    await again.hears('1');
    again.send(peerOpen({ restart: true }), keepalive);
    await until('the second session', () => made.told.up.length === 2);
    assert.deepEqual(
      made.told.down.map(({ code, keepRoutes, replaced }) => [code, keepRoutes, replaced]),
      [['SESSION_REPLACED', true, true]],
    );
    again.socket.destroy();
  });
});

suite('the end of a session', () => {
  const restart = { restartTimeSeconds: 120, restarted: false, notification: false, families: [] };

  test('stopped silently, the peer sees the end of TCP and no NOTIFICATION', async () => {
    const made = await begin();
    const end = await establish(made);
    await made.session.stop('silent');
    await end.ends();
    assert.deepEqual(end.heard, ['1', '4']);
    assert.equal(made.session.state, 'Idle');
    assert.deepEqual(made.clock.armed, []);
  });

  test('stopped with a reason, the peer hears it', async () => {
    const made = await begin();
    const end = await establish(made);
    await made.session.stop(cease(2, 'maintenance'));
    await end.hears('3:6/2');
  });

  test('a peer that does not close its end is cut after two seconds', async () => {
    const made = await begin();
    const end = await made.peer.next();
    end.socket.allowHalfOpen = true;
    end.send(peerOpen(), keepalive);
    await made.state('Established');
    const stopped = made.session.stop(cease(2, 'maintenance'));
    await end.hears('3:6/2');
    made.clock.advance(seconds(2));
    await stopped;
  });

  for (const [traits, kept] of [
    [{ restart: true }, true],
    [{ restart: false }, false],
  ] as const) {
    test(`TCP that ends without a NOTIFICATION ${kept ? 'keeps' : 'drops'} the routes, graceful restart ${kept ? 'on' : 'off'}`, async () => {
      const made = await begin({ restart });
      const end = await establish(made, traits);
      end.socket.destroy();
      await until('down', () => made.told.down.length === 1);
      assert.equal(made.told.down[0]?.keepRoutes, kept);
    });
  }

  test('it comes back by itself', async () => {
    const made = await begin();
    const end = await establish(made);
    end.socket.destroy();
    await until('down', () => made.told.down.length === 1);
    made.clock.advance(seconds(1));
    (await made.peer.next(1)).send(peerOpen(), keepalive);
    await until('up again', () => made.told.up.length === 2);
  });
});

suite('a peer that is not there', () => {
  test('is told apart when it refuses, and tried again after the connect retry time', async () => {
    const made = await underTest();
    running.push(made);
    await made.peer.close();
    made.session.start();
    await made.fails('SESSION_CONNECTION_REFUSED');
    assert.equal(made.session.state, 'Active');
    made.clock.advance(seconds(10));
    assert.equal(made.session.state, 'Connect');
  });

  test('a source address that is not ours is named', async () => {
    const made = await begin({ intent: { sourceAddress: '192.0.2.1' as never } });
    await made.fails('SESSION_SOURCE_ADDRESS_UNAVAILABLE');
    assert.match(made.session.lastError?.text ?? '', /192\.0\.2\.1/);
  });
});

suite('back-pressure', () => {
  test('a paused session reads no more, and unread octets keep it alive past the hold time', async () => {
    const made = await begin();
    const end = await establish(made);
    made.session.pause();
    end.send(endOfRib());
    made.clock.advance(seconds(9));
    assert.equal(made.session.state, 'Established');
    made.clock.advance(seconds(10));
    assert.equal(made.session.state, 'Established');
    assert.equal(made.told.updates.length, 0);
    made.session.resume();
    await until('the UPDATE', () => made.told.updates.length === 1);
    assert.equal(made.session.state, 'Established');
    made.clock.advance(seconds(9));
    assert.equal(made.told.down[0]?.code, 'SESSION_HOLD_TIMER_EXPIRED');
  });

  test('pausing inside an UPDATE keeps the rest of the chunk until resume', async () => {
    const made = await begin();
    const end = await establish(made);
    const updates = Buffer.concat(Array.from({ length: 10 }, endOfRib));
    const original = made.told.updates.push.bind(made.told.updates);
    made.told.updates.push = (...items) => {
      made.session.pause();
      return original(...items);
    };
    end.send(updates);
    await until('the first UPDATE', () => made.told.updates.length === 1);
    await new Promise(setImmediate);
    assert.equal(made.told.updates.length, 1);
    made.session.resume();
    assert.equal(made.told.updates.length, 2);
  });

  test('a peer that does not read makes send() answer false, and writable follows when it does', async () => {
    const made = await begin();
    const end = await establish(made);
    end.socket.pause();
    const update = endOfRib();
    const batch = Buffer.concat(Array.from({ length: 2000 }, () => update));
    let room = true;
    for (let sent = 0; room && sent < 2000; sent++) room = made.session.send(batch);
    assert.equal(room, false);
    assert.equal(made.told.writable, 0);
    end.socket.resume();
    await until('writable', () => made.told.writable === 1);
  });

  test('a peer that never reads is dropped after the send hold time', async () => {
    const made = await begin();
    const end = await establish(made, { holdTimeSeconds: 9 });
    end.socket.pause();
    const batch = Buffer.concat(Array.from({ length: 20_000 }, endOfRib));
    for (let room = true, sent = 0; room && sent < 200; sent++) room = made.session.send(batch);
    for (let elapsed = 0; elapsed < 480 && made.told.down.length === 0; elapsed += 5) {
      const { received } = made.session.messages;
      end.send(keepalive);
      await until('the KEEPALIVE is read', () => made.session.messages.received > received);
      made.clock.advance(seconds(5));
    }
    assert.equal(made.told.down[0]?.code, 'SESSION_SEND_HOLD_TIMER_EXPIRED');
  });
});

suite('the listener', () => {
  test('closes connections of strangers', async () => {
    const made = await begin({ intent: { passive: true } });
    const stranger = await dial(made.listener.listening ?? 0, '127.0.0.9');
    await stranger.ends();
    assert.deepEqual(stranger.heard, []);
    assert.equal(made.listener.refused.unknownAddress, 1);
  });

  test('closes connections over an interface that it refuses', async () => {
    const seen: number[] = [];
    const made = await begin({
      intent: { passive: true },
      refusesInterface: (index) => {
        seen.push(index);
        return true;
      },
    });
    const end = await dial(made.listener.listening ?? 0);
    await end.ends();
    assert.deepEqual(end.heard, []);
    assert.deepEqual(seen, [1]);
    assert.equal(made.listener.refused.interface, 1);
  });

  test('refuses a peer that has been stopped', async () => {
    const made = await begin({ intent: { passive: true } });
    await made.session.stop('silent');
    const end = await dial(made.listener.listening ?? 0);
    await end.ends();
    assert.equal(made.listener.refused.unknownAddress, 1);
  });
});
