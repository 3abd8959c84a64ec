import assert from 'node:assert/strict';
import { describe as suite, test } from 'node:test';
import type { Asn } from '#lib/ip.ts';
import { after, instant, milliseconds, seconds } from '#lib/time.ts';
import { survivor } from '#bgp/session/collision.ts';
import {
  type SessionConfig,
  idleHoldTime,
  jittered,
  keepaliveAt,
  keepaliveTimeOf,
  openHoldTime,
  sendHoldTime,
} from '#bgp/session/config.ts';
import type { Effect, Event } from '#bgp/session/events.ts';
import { transition } from '#bgp/session/machine.ts';
import { type Agreement, type State, initialState, nextDeadline, sessionStateOf } from '#bgp/session/state.ts';
import { cease } from '#bgp/wire/notification.ts';
import {
  type OpenTraits,
  agreementOf,
  config,
  describe,
  establishedWith,
  now,
  openSent,
  openWith,
  openingWith,
  connecting,
  openConfirm,
  active,
  ourOpen,
} from './fixtures.ts';

type Step = Event extends infer E ? (E extends Event ? Omit<E, 'at' | 'random'> : never) : never;
const at = (step: Step, time = now, random = 0.5): Event => ({ ...step, at: time, random }) as Event;
const deadline = { kind: 'deadlineReached', input: [], drops: { signature: 0, hopLimit: 0 } } as const;

/** Runs steps one after another, all at `now`, and answers the state and every effect. */
function run(start: State, steps: readonly Step[], using: SessionConfig = config): { state: State; effects: Effect[] } {
  let state = start;
  const effects: Effect[] = [];
  for (const step of steps) {
    const answer = transition(using, state, at(step));
    state = answer.state;
    effects.push(...answer.effects);
  }
  return { state, effects };
}

const keepsRoutes = (effects: readonly Effect[]): boolean | undefined =>
  effects.find((effect) => effect.kind === 'sessionDown')?.reason.keepRoutes;

suite('a session that we open', () => {
  test('passes Connect, OpenSent and OpenConfirm to Established', () => {
    const names: string[] = [];
    let state: State = initialState;
    const steps: Step[] = [
      { kind: 'start' },
      { kind: 'tcpConnected', connection: 'out-1', open: ourOpen },
      { kind: 'openReceived', connection: 'out-1', open: openWith() },
      { kind: 'keepaliveReceived', connection: 'out-1' },
    ];
    for (const step of steps) {
      ({ state } = transition(config, state, at(step)));
      names.push(sessionStateOf(state));
    }
    assert.deepEqual(names, ['Connect', 'OpenSent', 'OpenConfirm', 'Established']);
  });

  test('is never begun by a passive peer', () => {
    const passiveConfig = { ...config, passive: true };
    const { state, effects } = run(initialState, [{ kind: 'start' }], passiveConfig);
    assert.equal(sessionStateOf(state), 'Active');
    assert.equal(nextDeadline(state), undefined);
    assert.deepEqual(effects, []);
  });
});

suite('collision of two connections (RFC 4271 §6.8, RFC 6286 §2.3)', () => {
  const low = { identifier: 1, asn: 64512 };
  const high = { identifier: 2, asn: 64513 };
  const rows = [
    { name: 'higher identifier here', local: high, peer: low, stands: 'outgoing' },
    { name: 'higher identifier there', local: low, peer: high, stands: 'incoming' },
    { name: 'equal, higher AS here', local: { identifier: 2, asn: 64514 }, peer: high, stands: 'outgoing' },
    { name: 'equal, higher AS there', local: { identifier: 2, asn: 64512 }, peer: high, stands: 'incoming' },
    {
      name: 'identifiers above 2^31 compare as unsigned',
      local: { identifier: 0xc0000201, asn: 1 },
      peer: { identifier: 0x0a000001, asn: 2 },
      stands: 'outgoing',
    },
  ] as const;
  for (const { name, local, peer, stands } of rows) {
    test(name, () => assert.equal(survivor(local, peer), stands));
  }

  const highConfig = { ...config, identifier: 0x0a000003 };
  const orders = [
    { name: 'theirs confirmed first, ours wins', using: highConfig, first: 'in-1', second: 'out-1', dropped: 'in-1' },
    { name: 'ours confirmed first, ours wins', using: highConfig, first: 'out-1', second: 'in-1', dropped: 'in-1' },
    { name: 'theirs confirmed first, theirs wins', using: config, first: 'in-1', second: 'out-1', dropped: 'out-1' },
    { name: 'ours confirmed first, theirs wins', using: config, first: 'out-1', second: 'in-1', dropped: 'out-1' },
  ] as const;
  for (const { name, using, first, second, dropped } of orders) {
    test(name, () => {
      const { state, effects } = run(
        openingWith(openSent('out-1'), openSent('in-1')),
        [
          { kind: 'openReceived', connection: first, open: openWith() },
          { kind: 'openReceived', connection: second, open: openWith() },
          { kind: 'keepaliveReceived', connection: dropped === 'in-1' ? 'out-1' : 'in-1' },
        ],
        using,
      );
      assert.equal(sessionStateOf(state), 'Established');
      const ceases = effects.filter((effect) => effect.kind === 'send' && effect.message.kind === 'notification');
      assert.deepEqual(
        ceases.map((effect) => effect.kind === 'send' && [effect.connection, effect.message]),
        [[dropped, { kind: 'notification', code: 6, subcode: 7, data: new Uint8Array(0) }]],
      );
      assert.ok(effects.every(({ kind }) => kind !== 'failed'));
    });
  }

  test('our attempt is given up when the peer’s connection is established first', () => {
    const { effects } = run(openingWith(connecting, openConfirm('in-1')), [
      { kind: 'keepaliveReceived', connection: 'in-1' },
    ]);
    assert.deepEqual(effects[0], { kind: 'closeConnection', connection: 'out-1', how: 'abort' });
  });
});

suite('OPEN is judged', () => {
  const internal = { ...config, peerAsn: config.localAsn };
  const rows: readonly { name: string; open: OpenTraits; using?: SessionConfig; answer: string }[] = [
    { name: 'another AS', open: { asn: 64999 }, answer: 'NOTIFICATION 2/2' },
    {
      name: 'our own identifier from an internal peer',
      open: { asn: 64512, identifier: config.identifier },
      using: internal,
      answer: 'NOTIFICATION 2/3',
    },
    {
      name: 'our own identifier from a peer that says our AS',
      open: { asn: 64512, identifier: config.identifier },
      using: { ...config, peerAsn: 'internal' },
      answer: 'NOTIFICATION 2/3',
    },
    { name: 'any other AS', open: { asn: 64999 }, using: { ...config, peerAsn: 'external' }, answer: 'KEEPALIVE' },
    { name: 'our AS', open: { asn: 64512 }, using: { ...config, peerAsn: 'external' }, answer: 'NOTIFICATION 2/2' },
    {
      name: 'no family in common',
      open: { families: ['ipv6'] },
      using: { ...config, families: ['ipv4'] },
      answer: 'NOTIFICATION 2/7',
    },
    {
      name: 'our own identifier from another AS (RFC 6286 §2.1)',
      open: { identifier: config.identifier },
      answer: 'KEEPALIVE',
    },
  ];
  for (const { name, open, using = config, answer } of rows) {
    test(name, () => {
      const state = openingWith(openSent('out-1'));
      const event = at({ kind: 'openReceived', connection: 'out-1', open: openWith(open) });
      const told = describe(state, transition(using, state, event));
      assert.match(told, new RegExp(`; ${answer} out-1`));
    });
  }

  test('hold time is the smaller offer, and zero switches both timers off', () => {
    for (const [offered, hold] of [
      [3, 3],
      [9, 9],
      [240, 9],
      [0, 0],
    ] as const) {
      const { state } = run(openingWith(openSent('out-1')), [
        { kind: 'openReceived', connection: 'out-1', open: openWith({ holdTimeSeconds: offered }) },
        { kind: 'keepaliveReceived', connection: 'out-1' },
      ]);
      assert.equal(state.kind, 'Established');
      if (state.kind !== 'Established') return;
      assert.equal(state.holdAt, hold === 0 ? undefined : after(now, seconds(hold)));
      assert.equal(state.keepaliveAt === undefined, hold === 0);
    }
  });
});

suite('timers', () => {
  test('jitter is between 75 and 100 per cent (RFC 4271 §10)', () => {
    assert.equal(jittered(milliseconds(1000), 0), 750);
    assert.ok(jittered(milliseconds(1000), 0.999999) < 1000);
    assert.equal(keepaliveAt(instant(0), seconds(3), 0), 2250);
    assert.equal(keepaliveAt(instant(0), seconds(1), 0), 1000, 'not more often than once a second');
    assert.equal(keepaliveAt(instant(0), undefined, 0.5), undefined);
    const rows = [
      [90, undefined, 30_000],
      [90, 20, 20_000],
      [90, 60, 30_000],
      [0, 20, undefined],
    ] as const;
    for (const [hold, configured, expected] of rows)
      assert.equal(keepaliveTimeOf(seconds(hold), configured && seconds(configured)), expected);
  });

  test('idle hold time doubles from nothing to one minute', () => {
    const row = [0, 1, 2, 3, 6, 7, 8, 40].map((n) => idleHoldTime(n, 0) / 750);
    assert.deepEqual(row, [0, 1, 2, 4, 32, 60, 60, 60]);
  });

  test('a session that stood for a minute has ended the oscillation', () => {
    const lost: Step = { kind: 'tcpFails', connection: 'out-1', error: { code: 'SESSION_CONNECTION_LOST', text: '' } };
    const rows = [
      [59_999, 7000],
      [60_000, 0],
    ] as const;
    for (const [stood, held] of rows) {
      const time = after(now, milliseconds(stood));
      const { state } = transition(config, establishedWith({ oscillations: 4 }), at(lost, time));
      assert.equal(sessionStateOf(state), 'Active');
      assert.equal(nextDeadline(state), after(time, milliseconds(held)));
    }
  });

  test('a peer that was lost is let in at once, however often the session broke before', () => {
    const lost: Step = { kind: 'tcpFails', connection: 'out-1', error: { code: 'SESSION_CONNECTION_LOST', text: '' } };
    const { state } = run(establishedWith({ oscillations: 9 }), [
      lost,
      { kind: 'tcpAccepted', connection: 'in-1', open: ourOpen },
    ]);
    assert.equal(sessionStateOf(state), 'OpenSent');
  });

  test('an OPEN is awaited for four minutes', () => {
    const { state } = run(openingWith(connecting), [{ kind: 'tcpConnected', connection: 'out-1', open: ourOpen }]);
    assert.equal(nextDeadline(state), after(now, openHoldTime));
  });

  test('a KEEPALIVE goes out at its time and the next is due a jittered third of the hold time later', () => {
    const state = establishedWith({ keepaliveAt: now });
    const answer = transition(config, state, at(deadline));
    assert.match(describe(state, answer), /KEEPALIVE out-1$/);
    assert.equal(answer.state.kind === 'Established' && answer.state.keepaliveAt, after(now, milliseconds(2625)));
  });

  test('what is sent puts the next KEEPALIVE off, what comes puts the hold timer off', () => {
    const state = establishedWith({ keepaliveAt: now, holdAt: now });
    const sent = transition(config, state, at({ kind: 'messageSent' })).state;
    assert.equal(sent.kind === 'Established' && sent.keepaliveAt, after(now, milliseconds(2625)));
    const heard = transition(config, state, at({ kind: 'keepaliveReceived', connection: 'out-1' })).state;
    assert.equal(heard.kind === 'Established' && heard.holdAt, after(now, seconds(9)));
  });

  test('unread octets give a silent peer more time, an unfinished message does not', () => {
    const state = establishedWith({ holdAt: now });
    const unread = transition(
      config,
      state,
      at({ ...deadline, input: [{ connection: 'out-1', unread: true, partialBytes: 5 }] }),
    );
    assert.equal(describe(state, unread), 'Established out-1');
    assert.equal(nextDeadline(unread.state), after(now, seconds(10)));
    const half = transition(
      config,
      state,
      at({ ...deadline, input: [{ connection: 'out-1', unread: false, partialBytes: 21 }] }),
    );
    const down = half.effects.find((effect) => effect.kind === 'sessionDown');
    assert.equal(down?.reason.code, 'SESSION_HOLD_TIMER_EXPIRED');
    assert.match(down?.reason.text ?? '', /21 octets of an unfinished message/);
  });

  test('a peer that takes nothing is dropped after the send hold time, without a NOTIFICATION (RFC 9687 §4)', () => {
    assert.equal(sendHoldTime(seconds(90)), seconds(480));
    assert.equal(sendHoldTime(seconds(600)), seconds(1200));
    assert.equal(sendHoldTime(seconds(0)), undefined);
    const blocked = run(establishedWith({ holdAt: undefined, keepaliveAt: undefined }), [
      { kind: 'sendQueue', connection: 'out-1', now: 'blocked' },
    ]).state;
    const due = nextDeadline(blocked);
    assert.equal(due, after(now, seconds(480)));
    const told = describe(blocked, transition(config, blocked, at(deadline, due)), due);
    assert.equal(told, 'Idle for 0 ms; abort out-1; down SESSION_SEND_HOLD_TIMER_EXPIRED');
    const drained = run(blocked, [{ kind: 'sendQueue', connection: 'out-1', now: 'drained' }]).state;
    assert.equal(nextDeadline(drained), undefined);
  });

  test('silence with dropped segments meanwhile is a password mismatch, or a TTL that is too low', () => {
    for (const [signature, hopLimit, code] of [
      [0, 0, 'SESSION_CONNECT_TIMEOUT'],
      [3, 0, 'SESSION_PASSWORD_MISMATCH'],
      [0, 2, 'SESSION_TTL_TOO_LOW'],
    ] as const) {
      const state = openingWith({ ...connecting, connectRetryAt: now });
      const { effects } = transition(config, state, at({ ...deadline, drops: { signature, hopLimit } }));
      assert.equal(effects.find((effect) => effect.kind === 'failed')?.error.code, code);
    }
  });

  test('no attempt of ours is begun while the peer’s connection is under way', () => {
    const state = openingWith({ ...active, connectRetryAt: now }, openSent('in-1'));
    const answer = transition(config, state, at(deadline));
    assert.deepEqual(answer.effects, []);
    assert.equal(nextDeadline(answer.state), after(now, milliseconds(8750)));
  });
});

suite('whether the peer’s routes may be kept', () => {
  const lost: Step = { kind: 'tcpFails', connection: 'out-1', error: { code: 'SESSION_CONNECTION_LOST', text: '' } };
  const notified = (code: number, subcode: number): Step => ({
    kind: 'notificationReceived',
    connection: 'out-1',
    notification: { kind: 'notification', code, subcode, data: new Uint8Array(0) },
  });
  const asked = (subcode: number): Step => ({ kind: 'resetRequested', reset: cease(subcode, 'asked for') });
  const plain = agreementOf();
  const spared = { ...plain, notificationRestart: true };
  const rows = [
    {
      name: 'TCP lost, no graceful restart',
      agreement: agreementOf(openWith({ restart: 'none' })),
      step: lost,
      kept: false,
    },
    { name: 'TCP lost, helper only', agreement: agreementOf(openWith({ restart: 'helper' })), step: lost, kept: false },
    { name: 'TCP lost, graceful restart', agreement: plain, step: lost, kept: true },
    { name: 'NOTIFICATION', agreement: plain, step: notified(6, 2), kept: false },
    { name: 'NOTIFICATION, N bits', agreement: spared, step: notified(6, 2), kept: true },
    { name: 'Hard Reset, N bits', agreement: spared, step: notified(6, 9), kept: false },
    { name: 'Cease/10 of the peer, N bits', agreement: spared, step: notified(6, 10), kept: true },
    { name: 'our Cease/4, N bits', agreement: spared, step: asked(4), kept: true },
    { name: 'our Cease/6, N bits', agreement: spared, step: asked(6), kept: true },
    { name: 'our Cease/4', agreement: plain, step: asked(4), kept: false },
    { name: 'BFD down', agreement: plain, step: asked(10), kept: false },
    { name: 'BFD down, N bits', agreement: spared, step: asked(10), kept: false },
    { name: 'too many prefixes, N bits', agreement: spared, step: asked(1), kept: false },
    { name: 'hold timer', agreement: plain, step: deadline, kept: false },
    { name: 'hold timer, N bits', agreement: spared, step: deadline, kept: true },
    { name: 'stopped', agreement: spared, step: { kind: 'stop', how: 'silent' } as const, kept: false },
  ] as const;
  for (const { name, agreement, step, kept } of rows) {
    test(`${name}: ${kept ? 'kept' : 'dropped'}`, () => {
      const { effects } = run(establishedWith({ agreement, holdAt: now }), [step]);
      assert.equal(keepsRoutes(effects), kept);
    });
  }

  const end = (subcode: number, agreement: Agreement, kind: 'stop' | 'resetRequested' = 'stop') => {
    const reset = cease(subcode, 'good night');
    const { effects } = run(establishedWith({ agreement }), [kind === 'stop' ? { kind, how: reset } : { kind, reset }]);
    const said = effects.flatMap((effect) =>
      effect.kind === 'send' && effect.message.kind === 'notification' ? [effect.message] : [],
    );
    return said.map(({ code, subcode: sub, data }) => `${code}/${sub} ${Buffer.from(data).toString('hex')}`);
  };

  test('an end is said as Hard Reset, with the Cease inside, to a peer that has the N bit too (RFC 8538 §3.1)', () => {
    const text = `0a${Buffer.from('good night').toString('hex')}`;
    assert.deepEqual(end(2, plain), [`6/2 ${text}`]);
    assert.deepEqual(end(2, spared), [`6/9 0602${text}`]);
    assert.deepEqual(end(3, spared), ['6/9 0603']);
    assert.deepEqual(end(10, spared, 'resetRequested'), ['6/9 060a']);
    assert.deepEqual(end(10, plain, 'resetRequested'), ['6/10 ']);
    assert.deepEqual(end(4, spared, 'resetRequested'), [`6/4 ${text}`]);
    assert.deepEqual(end(6, spared), ['6/6 ']);
  });

  test('why a session ended is told by what is inside the Hard Reset', () => {
    const { effects } = run(establishedWith({ agreement: spared }), [asked(1)]);
    const down = effects.find((effect) => effect.kind === 'sessionDown')?.reason;
    assert.deepEqual([down?.code, down?.text], ['SESSION_MAXIMUM_PREFIXES', 'asked for']);
  });

  test('a restarted peer’s new OPEN replaces the session (RFC 4724 §5)', () => {
    const { state, effects } = run(establishedWith({ since: instant(now - 5000) }), [
      { kind: 'tcpAccepted', connection: 'in-1', open: ourOpen },
      { kind: 'openReceived', connection: 'in-1', open: openWith() },
      { kind: 'keepaliveReceived', connection: 'in-1' },
    ]);
    assert.equal(sessionStateOf(state), 'Established');
    const order = effects.map(({ kind }) => kind);
    assert.ok(order.indexOf('sessionDown') < order.indexOf('sessionUp'));
    const down = effects.find((effect) => effect.kind === 'sessionDown')?.reason;
    assert.deepEqual([down?.keepRoutes, down?.replaced], [true, true]);
  });

  test('a connection that waited in the backlog while the session came up is a collision, not a restart', () => {
    const { state, effects } = run(establishedWith({ since: instant(now - 4900) }), [
      { kind: 'tcpAccepted', connection: 'in-1', open: ourOpen },
      { kind: 'openReceived', connection: 'in-1', open: openWith() },
    ]);
    assert.equal(state.kind === 'Established' && state.id, 'out-1');
    assert.equal(keepsRoutes(effects), undefined);
  });

  test('without graceful restart the new connection loses', () => {
    const agreement = agreementOf(openWith({ restart: 'helper' }));
    const { state, effects } = run(establishedWith({ agreement }), [
      { kind: 'tcpAccepted', connection: 'in-1', open: ourOpen },
      { kind: 'openReceived', connection: 'in-1', open: openWith() },
    ]);
    assert.equal(state.kind === 'Established' && state.id, 'out-1');
    assert.equal(keepsRoutes(effects), undefined);
  });
});

test('with equal identifiers the AS that the peer said decides a collision (RFC 6286 §2.3)', () => {
  const any = { ...config, peerAsn: 'external' } as const;
  for (const [asn, lost] of [
    [64999, 'out-1'],
    [64000, 'in-1'],
  ] as const) {
    const open = openWith({ asn, identifier: config.identifier });
    const { effects } = run(
      openingWith(openSent('out-1'), openSent('in-1')),
      [
        { kind: 'openReceived', connection: 'out-1', open },
        { kind: 'openReceived', connection: 'in-1', open },
        { kind: 'keepaliveReceived', connection: lost === 'out-1' ? 'in-1' : 'out-1' },
      ],
      any,
    );
    const closed = effects.flatMap((effect) => (effect.kind === 'closeConnection' ? [effect.connection] : []));
    assert.deepEqual(closed, [lost]);
  }
});

test('an AS above 65535 is compared whole', () => {
  const wide = { ...config, peerAsn: 4_200_000_001 as Asn };
  const open = openWith({ asn: 4_200_000_001 });
  assert.equal(open.myAs, 23456);
  const { state } = run(openingWith(openSent('out-1')), [{ kind: 'openReceived', connection: 'out-1', open }], wide);
  assert.equal(sessionStateOf(state), 'OpenConfirm');
});
