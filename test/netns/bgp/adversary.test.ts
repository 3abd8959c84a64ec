// A whole speaker with its real sockets against peers that send whatever bytes they like, over loopback. Beside them one session
// behaves and must not notice.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Asn } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import { seconds, systemClock } from '#lib/time.ts';
import type { BgpEngine, BgpFacts, PeerIntent } from '#bgp/engine.ts';
import { createSpeaker } from '#bgp/speaker.ts';
import { encodeKeepalive, encodeRouteRefresh } from '#bgp/wire/message.ts';
import { openMessage } from '#bgp/wire/negotiate.ts';
import { encodeNotification } from '#bgp/wire/notification.ts';
import { encodeOpen } from '#bgp/wire/open.ts';
import { eventually } from '../../support/netns.ts';
import { PeerEnd } from '../../unit/bgp/io/scripted-peer.ts';
import { intent, ip, kernelView, peerIntent, prefix } from '../../unit/bgp/speaker/network.ts';

const fuzzPeers = 400;
const perConnection = 5;
const maxPrefixes = 2000;

const open = (holdTimeSeconds = 90, asn = 65002): Uint8Array =>
  encodeOpen(
    openMessage({
      localAsn: asn as Asn,
      identifier: 0x0aff0002,
      holdTimeSeconds,
      families,
      enhancedRouteRefresh: true,
      extendedMessage: true,
      extendedNextHop: false,
      gracefulRestart: undefined,
    }),
  );

function message(type: number, ...parts: readonly (readonly number[] | Uint8Array)[]): Uint8Array {
  const body = parts.flatMap((part) => [...part]);
  const length = 19 + body.length;
  return Uint8Array.from([...Array<number>(16).fill(0xff), length >> 8, length & 255, type, ...body]);
}

const u16 = (value: number): number[] => [value >> 8, value & 255];
const attribute = (flags: number, code: number, value: readonly number[]): number[] =>
  value.length > 255 ? [flags | 0x10, code, ...u16(value.length), ...value] : [flags, code, value.length, ...value];

const origin = attribute(0x40, 1, [0]);
const asPath = attribute(0x40, 2, [2, 1, 0, 0, 0xfd, 0xea]);
const nextHop = attribute(0x40, 3, [192, 0, 2, 2]);
const good = [...origin, ...asPath, ...nextHop];
const nlri = [24, 198, 51, 100];
const mpReach = attribute(0x80, 14, [
  0,
  2,
  1,
  16,
  0x20,
  1,
  0xd,
  0xb8,
  ...Array<number>(11).fill(0),
  2,
  0,
  64,
  0x20,
  1,
  0xd,
  0xb8,
  0,
  1,
  0,
  0,
]);
const mpUnreach = attribute(0x80, 15, [0, 2, 1, 64, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0]);

const update = (attributes: readonly number[], reachable: readonly number[] = [], withdrawn: readonly number[] = []) =>
  message(2, u16(withdrawn.length), withdrawn, u16(attributes.length), attributes, reachable);

/** Numerical Recipes' generator, so that a failure can be had again. */
class Chance {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return (this.#state >>> 8) % limit;
  }
}

describe('a speaker among peers that send anything', { timeout: 600_000, concurrency: false }, () => {
  let engine: BgpEngine;
  let facts: BgpFacts | undefined;
  let healthy: PeerEnd;
  let port = 0;
  const ends: PeerEnd[] = [];
  const delay = monitorEventLoopDelay({ resolution: 5 });
  let beat: NodeJS.Timeout | undefined;

  /** Each test takes peers of its own, since after an error Idle refuses for a while. */
  const peers: PeerIntent[] = [
    peerIntent({
      name: 'healthy',
      address: ip('127.0.0.3'),
      sourceAddress: undefined,
      passive: true,
      holdTime: seconds(30),
    }),
    ...Array.from({ length: 60 + fuzzPeers }, (_, i) =>
      peerIntent({
        name: `peer-${i}`,
        address: ip(`127.0.${1 + Math.floor(i / 200)}.${1 + (i % 200)}`),
        sourceAddress: undefined,
        passive: true,
        maxPrefixes,
      }),
    ),
  ];
  let used = 0;

  const dial = async (address: string): Promise<PeerEnd> => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: address });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    const end = new PeerEnd(socket);
    ends.push(end);
    return end;
  };
  const stateOf = (name: string) => facts?.peers.find((peer) => peer.name === name);
  /** A connection of the next peer that was not used yet. */
  const next = async (): Promise<{ end: PeerEnd; name: string }> => {
    const name = `peer-${used++}`;
    return { end: await dial(peers.find((peer) => peer.name === name)?.address ?? ''), name };
  };
  const up = async (): Promise<{ end: PeerEnd; name: string }> => {
    const { end, name } = await next();
    end.send(open(), encodeKeepalive());
    await end.hears('4');
    return { end, name };
  };
  /** All that was sent before was read when this is answered. */
  const alive = async (end: PeerEnd): Promise<boolean> => {
    const markers = (): number => end.heard.filter((heard) => heard === '5').length;
    const earlier = markers();
    end.send(encodeRouteRefresh({ afi: 1, safi: 1, subtype: 0 }));
    await eventually('an answer or the end', () => end.closed || markers() > earlier);
    return !end.closed;
  };
  const notification = (end: PeerEnd): string | undefined => end.heard.find((heard) => heard.startsWith('3:'));

  before(async () => {
    engine = createSpeaker(
      { restarted: false, forwardingPreserved: [] },
      {
        clock: systemClock,
        wallClock: () => Date.now(),
        random: Math.random,
        outputs: {
          fib: ({ sequence }) => void setImmediate(() => engine.fibApplied(sequence)),
          facts: (latest) => {
            facts = latest;
          },
          event: () => undefined,
        },
      },
    );
    engine.setKernelView(kernelView([['192.0.2.1/24', '2001:db8::1/64', '127.0.0.1/8']]));
    engine.apply(
      intent({ listenPort: 0, peers, announcements: [{ prefix: prefix('10.60.1.0/26'), source: 'block' }] }),
      1,
    );
    port = await eventually('listening', () => facts?.listening);
    healthy = await dial('127.0.0.3');
    healthy.send(open(30), encodeKeepalive(), update(good, [24, 203, 0, 113]));
    beat = setInterval(() => healthy.send(encodeKeepalive()), 500);
    await eventually('the healthy session', () => stateOf('healthy')?.accepted.ipv4 === 1);
    delay.enable();
  });

  after(async () => {
    clearInterval(beat);
    delay.disable();
    for (const { socket } of ends) socket.destroy();
    await engine.stop('silent');
  });

  const beforeOpen: readonly (readonly [string, readonly Uint8Array[], string | undefined])[] = [
    ['octets that are no BGP', [Buffer.from('GET / HTTP/1.1\r\n\r\n')], '3:1/1'],
    ['a length below a header', [message(1).fill(0, 16, 18)], '3:1/2'],
    ['a length above 4096', [message(1).fill(0xff, 16, 18)], '3:1/2'],
    ['an unknown type', [message(9, [1, 2, 3])], '3:1/3'],
    ['KEEPALIVE first', [encodeKeepalive()], '3:5/1'],
    ['UPDATE first', [update(good, nlri)], '3:5/1'],
    ['ROUTE-REFRESH first', [encodeRouteRefresh({ afi: 1, safi: 1, subtype: 0 })], '3:5/1'],
    ['OPEN of another AS', [open(90, 65099)], '3:2/2'],
    ['OPEN twice', [open(), open()], '3:5/2'],
    ['OPEN, then UPDATE without KEEPALIVE', [open(), update(good, nlri)], '3:5/2'],
    [
      'NOTIFICATION with nothing that fits',
      [encodeNotification({ code: 255, subcode: 255, data: new Uint8Array(4075).fill(0x9b) })],
      undefined,
    ],
  ];
  for (const [name, messages, answer] of beforeOpen) {
    test(`before the session is up: ${name}`, async () => {
      const { end } = await next();
      end.send(...messages);
      await end.ends();
      assert.equal(notification(end), answer);
    });
  }

  const inSession: readonly (readonly [string, readonly Uint8Array[], string | undefined, number])[] = [
    ['a good route', [update(good, nlri)], undefined, 1],
    ['MP_REACH_NLRI twice', [update([...mpReach, ...good, ...mpReach])], '3:3/1', 0],
    ['MP_UNREACH_NLRI twice', [update([...mpUnreach, ...mpUnreach])], '3:3/1', 0],
    [
      'MP_REACH_NLRI with no route in it',
      [update([...attribute(0x80, 14, [0, 1, 1, 4, 192, 0, 2, 2, 0]), ...good])],
      undefined,
      0,
    ],
    ['MP_UNREACH_NLRI of a family nobody speaks', [update(attribute(0x80, 15, [0x40, 4, 70, 1, 2, 3]))], undefined, 0],
    ['both families in one message', [update([...mpReach, ...good], nlri)], undefined, 2],
    ['announced and withdrawn in one message', [update(good, nlri, nlri)], undefined, 1],
    ['a withdrawal of what was never announced', [update([], [], [...nlri, 0, 32, 1, 2, 3, 4])], undefined, 0],
    ['the same prefix a thousand times', [update(good, Array.from({ length: 1000 }, () => nlri).flat())], undefined, 1],
    ['host bits set', [update(good, [20, 198, 51, 0xff])], undefined, 1],
    ['prefix length 33', [update(good, [33, 1, 2, 3, 4, 5])], '3:3/10', 0],
    ['a prefix cut short', [update(good, [24, 1, 2])], '3:3/10', 0],
    ['attributes beyond the message', [message(2, [0, 0], [0xff, 0xff], good)], '3:3/1', 0],
    ['withdrawn routes beyond the message', [message(2, [0xff, 0xff, 0, 0])], '3:3/1', 0],
    ['ORIGIN twice', [update([...origin, ...good], nlri)], undefined, 1],
    ['no ORIGIN takes the route back', [update(good, nlri), update([...asPath, ...nextHop], nlri)], undefined, 0],
    ['no attributes at all take the route back', [update(good, nlri), update([], nlri)], undefined, 0],
    [
      'an attribute cut short takes the route back',
      [update(good, nlri), update([...good, 0xc0, 8, 200, 1], nlri)],
      undefined,
      0,
    ],
    ['an unknown well-known attribute', [update([...good, ...attribute(0x40, 99, [1])], nlri)], '3:3/2', 0],
    [
      'an unknown attribute of 60,000 octets',
      [update([...good, ...attribute(0xc0, 99, Array<number>(60_000).fill(7))], nlri)],
      undefined,
      1,
    ],
    [
      '15,000 communities',
      [update([...good, ...attribute(0xc0, 8, Array<number>(60_000).fill(9))], nlri)],
      undefined,
      1,
    ],
    [
      'an AS path of 12,000',
      [
        update(
          [
            ...origin,
            ...attribute(
              0x40,
              2,
              Array.from({ length: 47 }, () => [
                2,
                255,
                ...Array.from({ length: 255 }, () => [0, 0, 0xfd, 0xea]).flat(),
              ]).flat(),
            ),
            ...nextHop,
          ],
          nlri,
        ),
      ],
      undefined,
      1,
    ],
    [
      '200 different unknown attributes',
      [update([...good, ...Array.from({ length: 200 }, (_, i) => attribute(0xc0, 40 + i, [i])).flat()], nlri)],
      undefined,
      1,
    ],
    ['an empty UPDATE a thousand times', Array.from({ length: 1000 }, () => update([])), undefined, 0],
    [
      'ROUTE-REFRESH twenty thousand times',
      Array.from({ length: 20_000 }, (_, i) => encodeRouteRefresh({ afi: 1, safi: 1, subtype: i % 4 })),
      undefined,
      0,
    ],
    [
      'ROUTE-REFRESH of no family',
      [
        encodeRouteRefresh({ afi: 0, safi: 0, subtype: 0 }),
        encodeRouteRefresh({ afi: 65535, safi: 255, subtype: 255 }),
      ],
      undefined,
      0,
    ],
    ['ROUTE-REFRESH of the wrong length', [message(5, [0, 1, 0, 1, 1])], '3:1/2', 0],
    ['a refresh marker of the wrong length', [message(5, [0, 1, 1, 1, 1])], '3:7/1', 0],
    ['KEEPALIVE with a body', [message(4, [0])], '3:1/2', 0],
    ['OPEN in the session', [open()], '3:5/3', 0],
    ['KEEPALIVE five thousand times', Array.from({ length: 5000 }, () => encodeKeepalive()), undefined, 0],
  ];
  for (const [name, messages, answer, routes] of inSession) {
    test(`in the session: ${name}`, async () => {
      const { end, name: peer } = await up();
      end.send(...messages);
      const stays = await alive(end);
      assert.equal(notification(end), answer);
      assert.equal(stays, answer === undefined);
      if (stays)
        await eventually(`${routes} routes of ${peer}`, () => {
          const received = stateOf(peer)?.received;
          return received !== undefined && received.ipv4 + received.ipv6 === routes;
        });
      end.socket.destroy();
      await eventually('its routes are gone', () => stateOf(peer)?.received.ipv4 === 0);
    });
  }

  const errors = new Set(['SESSION_NOTIFICATION_RECEIVED', 'SESSION_PEER_SHUTDOWN']);
  for (const [name, code, subcode, data] of [
    ['no data', 6, 2, []],
    ['a shutdown text longer than it is', 6, 2, [255, 65]],
    ['a shutdown text that is no UTF-8', 6, 2, [3, 0xff, 0xfe, 0x80]],
    ['Hard Reset in Hard Reset in Hard Reset', 6, 9, [6, 9, 6, 9, 6, 9, 6, 2, 1, 65]],
    ['codes that nobody gave out', 200, 77, Array<number>(4000).fill(1)],
  ] as const) {
    test(`NOTIFICATION in the session: ${name}`, async () => {
      const { end, name: peer } = await up();
      end.send(update(good, nlri), message(3, [code, subcode], data));
      await end.ends();
      await eventually(
        'down, with an error that can be shown',
        () => errors.has(stateOf(peer)?.lastError?.code ?? '') && stateOf(peer)?.received.ipv4 === 0,
      );
    });
  }

  test('messages that come octet by octet, or end in the middle', async () => {
    const { end } = await up();
    for (const octet of update(good, nlri)) {
      end.socket.write(Uint8Array.of(octet));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(await alive(end), true);
    end.socket.write(update(good, nlri).subarray(0, 30));
    end.socket.destroy();
  });

  test('one route more than allowed is Cease/1, and the peer may come again', async () => {
    const { end, name } = await up();
    const routes = Array.from({ length: maxPrefixes + 1 }, (_, i) => [32, 20, 0, i >> 8, i & 255]);
    for (let at = 0; at < routes.length; at += 500) end.send(update(good, routes.slice(at, at + 500).flat()));
    await end.hears('3:6/1');
    await end.ends();
    await eventually('everything of it is gone', () => stateOf(name)?.received.ipv4 === 0);
  });

  test(`${fuzzPeers * perConnection} UPDATEs with flipped, cut and doubled octets: each is taken, or refused by a NOTIFICATION`, async () => {
    const chance = new Chance(20_260_101);
    const samples = [
      update(good, nlri),
      update([...mpReach, ...good]),
      update(mpUnreach, [], nlri),
      update(
        [
          ...good,
          ...attribute(0x80, 4, [0, 0, 0, 1]),
          ...attribute(0xc0, 8, [0, 1, 0, 2]),
          ...attribute(0xc0, 16, [0, 2, 0, 1, 0, 0, 0, 1]),
          ...attribute(0xc0, 32, Array<number>(12).fill(3)),
          ...attribute(0xc0, 7, [0, 0, 0xfd, 0xea, 1, 2, 3, 4]),
        ],
        [...nlri, 8, 20, 32, 1, 2, 3, 4],
      ),
      update([...mpReach, ...good, ...mpUnreach], nlri, [16, 10, 1]),
    ];
    let refused = 0;
    let sent = 0;
    for (let n = 0; n < fuzzPeers; n++) {
      const { end } = await up();
      for (let i = 0; i < perConnection; i++) {
        const bytes = Uint8Array.from(samples[chance.below(samples.length)] ?? []);
        // The header stays right: a message that says it is longer is waited for, and that is all there is to see.
        for (let flips = 1 + chance.below(3); flips > 0; flips--)
          bytes[19 + chance.below(bytes.length - 19)] = chance.below(2) === 0 ? chance.below(256) : chance.below(5);
        end.send(bytes);
        sent++;
      }
      if (!(await alive(end))) {
        refused++;
        assert.match(notification(end) ?? 'nothing', /^3:3\/([1-9]|1[01])$/);
      }
      end.socket.destroy();
    }
    assert.equal(sent, fuzzPeers * perConnection);
    assert.ok(refused > fuzzPeers / 10 && refused < 0.95 * fuzzPeers, `${refused} of ${fuzzPeers} sessions ended`);
  });

  test('the session that behaved has noticed nothing, and nothing is left of the others', async (t) => {
    await eventually('nothing left', () => facts?.routes.ipv4.paths === 1 && facts.routes.ipv6.paths === 0);
    const peer = stateOf('healthy');
    assert.deepEqual([peer?.state, peer?.flaps, peer?.accepted.ipv4], ['Established', 0, 1]);
    assert.equal(healthy.closed, false);
    assert.equal(notification(healthy), undefined);
    assert.deepEqual(facts?.routes.ipv4, { prefixes: 2, paths: 1, best: 2 });
    t.diagnostic(`longest turn of the event loop ${(delay.max / 1e6).toFixed(0)} ms`);
  });
});
