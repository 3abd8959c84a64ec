// The session of RFC 5880 §6.8: state x received state, timers, Poll Sequences, administrative control.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BfdState, bfdStates, type ControlPacket, type SentPacket } from '#bgp/bfd/control-packet.ts';
import {
  type BfdParameters,
  type BfdSession,
  type BfdStep,
  detectionTime,
  newSession,
  nextDeadline,
  step,
  transmitInterval,
} from '#bgp/bfd/session.ts';
import { instant } from '#lib/time.ts';

const parameters: BfdParameters = {
  desiredMinTxMicroseconds: 50_000,
  requiredMinRxMicroseconds: 60_000,
  detectMultiplier: 3,
  passive: false,
  administrativelyDown: false,
};

const heard = (state: BfdState, changes: Partial<ControlPacket> = {}): ControlPacket => ({
  diagnostic: 0,
  state,
  poll: false,
  final: false,
  controlPlaneIndependent: false,
  authenticationPresent: false,
  demand: false,
  detectMultiplier: 5,
  myDiscriminator: 77,
  yourDiscriminator: 1,
  desiredMinTxMicroseconds: 100_000,
  requiredMinRxMicroseconds: 40_000,
  requiredMinEchoRxMicroseconds: 0,
  ...changes,
});

const receive = (session: BfdSession, at: number, packet: ControlPacket, random = 0): BfdStep =>
  step(session, { kind: 'packetReceived', at: instant(at), random, packet });
const wake = (session: BfdSession, at: number, random = 0): BfdStep =>
  step(session, { kind: 'deadlineReached', at: instant(at), random });
const configure = (session: BfdSession, at: number, changes: Partial<BfdParameters>): BfdStep =>
  step(session, { kind: 'configured', at: instant(at), random: 0, parameters: { ...session.parameters, ...changes } });

const fresh = (changes: Partial<BfdParameters> = {}): BfdSession =>
  newSession({ ...parameters, ...changes }, 1, { at: instant(0), random: 0 });

/** A session in this state at the time 0, its neighbour heard last at that time. */
function inState(state: BfdState): BfdSession {
  if (state === 'AdminDown') return configure(inState('Up'), 0, { administrativelyDown: true }).session;
  if (state === 'Down') return fresh();
  const init = receive(fresh(), 0, heard('Down')).session;
  return state === 'Init' ? init : receive(init, 0, heard('Up')).session;
}

/** RFC 5880 §6.8.6, every cell: [state, diagnostic] after the packet. */
const table: Readonly<Record<BfdState, Readonly<Record<BfdState, readonly [BfdState, number]>>>> = {
  AdminDown: { AdminDown: ['AdminDown', 7], Down: ['AdminDown', 7], Init: ['AdminDown', 7], Up: ['AdminDown', 7] },
  Down: { AdminDown: ['Down', 0], Down: ['Init', 0], Init: ['Up', 0], Up: ['Down', 0] },
  Init: { AdminDown: ['Down', 3], Down: ['Init', 0], Init: ['Up', 0], Up: ['Up', 0] },
  Up: { AdminDown: ['Down', 3], Down: ['Down', 3], Init: ['Up', 0], Up: ['Up', 0] },
};

for (const state of bfdStates) {
  for (const remote of bfdStates) {
    const [wanted, diagnostic] = table[state][remote];
    test(`${state} that hears ${remote} is ${wanted} with diagnostic ${diagnostic}`, () => {
      const before = inState(state);
      assert.equal(before.state, state);
      const { session, send } = receive(before, 10, heard(remote));
      assert.deepEqual([session.state, session.diagnostic], [wanted, diagnostic]);
      assert.equal(session.remote.state, remote);
      assert.equal(session.remote.discriminator, 77);
      // A change is told at once, nothing else is (RFC 5880 §6.8.7).
      assert.deepEqual(
        send.map((packet) => packet.state),
        wanted === state ? [] : [wanted],
      );
    });
  }

  test(`${state} at the end of the detection time`, () => {
    const before = inState(state);
    const { session } = wake(before, 100_000);
    const failed = state === 'Init' || state === 'Up';
    assert.equal(session.state, failed ? 'Down' : state);
    if (failed) assert.equal(session.diagnostic, 1);
    assert.equal(session.remote.discriminator, 0);
  });
}

test('while not Up a second is announced and kept, however fast the profile is', () => {
  const { session, send } = wake(fresh(), 0);
  assert.deepEqual(
    send.map(({ desiredMinTxMicroseconds, requiredMinRxMicroseconds }) => [
      desiredMinTxMicroseconds,
      requiredMinRxMicroseconds,
    ]),
    [[1_000_000, 60_000]],
  );
  assert.equal(session.transmitAt, 1000);
});

test('Up: the interval is the slower of both wishes, the detection time the neighbour multiplier of the other two', () => {
  const up = inState('Up');
  assert.equal(transmitInterval(up), 50);
  assert.equal(detectionTime(up), 500);
  const slower = receive(up, 5, heard('Up', { requiredMinRxMicroseconds: 80_000, desiredMinTxMicroseconds: 10_000 }));
  assert.equal(transmitInterval(slower.session), 80);
  assert.equal(detectionTime(slower.session), 300);
  assert.equal(slower.session.detectAt, 305);
});

test('the detection time counts from the last packet and not one instant less', () => {
  const up = receive(inState('Up'), 1000, heard('Up')).session;
  assert.equal(wake(up, 1499.9).session.state, 'Up');
  assert.equal(wake(up, 1500).session.state, 'Down');
});

for (const { multiplier, longest, shortest } of [
  { multiplier: 3, longest: 50, shortest: 37.5 },
  { multiplier: 1, longest: 45, shortest: 37.5 },
]) {
  test(`jitter with multiplier ${multiplier}: ${shortest} to ${longest} ms of 50`, () => {
    const up = configure(inState('Up'), 0, { detectMultiplier: multiplier }).session;
    const at = Number(up.transmitAt);
    const first = wake(up, at, 0).session;
    const last = wake(up, at, 0.999_999).session;
    assert.equal(Number(first.transmitAt) - at, longest);
    assert.ok(Math.abs(Number(last.transmitAt) - at - shortest) < 0.01);
  });
}

test('going Up starts a Poll Sequence that a Final ends', () => {
  const init = inState('Init');
  const { session, send } = receive(init, 0, heard('Init'));
  assert.deepEqual(
    send.map(({ poll, final, state }) => ({ poll, final, state })),
    [{ poll: true, final: false, state: 'Up' }],
  );
  assert.equal(wake(session, 50).send[0]?.poll, true, 'it is repeated until it is answered');
  const done = receive(session, 10, heard('Up', { final: true })).session;
  assert.equal(done.poll, 'none');
  assert.equal(wake(done, Number(done.transmitAt)).send[0]?.poll, false);
});

test('a Poll is answered at once, with Final and without Poll, also while one of ours runs', () => {
  const up = inState('Up');
  assert.equal(up.poll, 'running');
  const { session, send } = receive(up, 1, heard('Up', { poll: true }));
  assert.deepEqual(
    send.map(({ poll, final }) => ({ poll, final })),
    [{ poll: false, final: true }],
  );
  assert.equal(session.transmitAt, up.transmitAt, 'the periodic packets keep their time');
});

const quiet = (): BfdSession => receive(inState('Up'), 0, heard('Up', { final: true })).session;

test('a longer transmit interval holds when the neighbour has heard of it, a shorter one at once', () => {
  const longer = configure(quiet(), 0, { desiredMinTxMicroseconds: 300_000 });
  assert.equal(longer.send[0]?.desiredMinTxMicroseconds, 300_000);
  assert.equal(longer.send[0]?.poll, true);
  assert.equal(transmitInterval(longer.session), 50);
  assert.equal(transmitInterval(receive(longer.session, 1, heard('Up', { final: true })).session), 300);
  assert.equal(transmitInterval(configure(quiet(), 0, { desiredMinTxMicroseconds: 40_000 }).session), 40);
});

test('a shorter receive interval holds when the neighbour has heard of it, a longer one at once', () => {
  const slow = receive(
    configure(quiet(), 0, { requiredMinRxMicroseconds: 400_000 }).session,
    0,
    heard('Up', { final: true }),
  );
  assert.equal(detectionTime(slow.session), 2000);
  assert.equal(slow.session.detectAt, 2000);
  const shorter = configure(slow.session, 0, { requiredMinRxMicroseconds: 10_000 }).session;
  assert.equal(detectionTime(shorter), 2000);
  assert.equal(detectionTime(receive(shorter, 1, heard('Up', { final: true })).session), 500);
});

test('a longer receive interval moves the detection time that is running', () => {
  const before = quiet();
  assert.equal(before.detectAt, 500);
  assert.equal(configure(before, 100, { requiredMinRxMicroseconds: 1_000_000 }).session.detectAt, 5000);
});

test('a change during a Poll Sequence needs a Final of its own', () => {
  const first = configure(quiet(), 0, { desiredMinTxMicroseconds: 200_000 }).session;
  const second = configure(first, 0, { desiredMinTxMicroseconds: 300_000 }).session;
  const answered = receive(second, 1, heard('Up', { final: true })).session;
  assert.equal(answered.poll, 'running');
  assert.equal(transmitInterval(answered), 50);
  assert.equal(transmitInterval(receive(answered, 2, heard('Up', { final: true })).session), 300);
});

test('a passive session is silent until it is spoken to, and again after it lost its neighbour', () => {
  const session = fresh({ passive: true });
  assert.equal(nextDeadline(session), undefined);
  const answered = receive(session, 10, heard('Down'));
  assert.deepEqual(
    answered.send.map(({ state }) => state),
    ['Init'],
  );
  assert.notEqual(answered.session.transmitAt, undefined);
  const lost = wake(answered.session, Number(answered.session.detectAt));
  assert.equal(lost.session.state, 'Down');
  assert.deepEqual(lost.send, []);
  assert.equal(nextDeadline(lost.session), undefined);
});

test('a neighbour that wants no packets gets none but answers to its Polls', () => {
  const { session, send } = receive(quiet(), 0, heard('Up', { requiredMinRxMicroseconds: 0 }));
  assert.deepEqual(send, []);
  assert.equal(session.transmitAt, undefined);
  assert.equal(receive(session, 1, heard('Up', { requiredMinRxMicroseconds: 0, poll: true })).send[0]?.final, true);
});

test('a neighbour in Demand mode gets no periodic packets while both are Up (RFC 5880 §6.6)', () => {
  const demanded = receive(quiet(), 0, heard('Up', { demand: true })).session;
  assert.equal(demanded.transmitAt, undefined);
  assert.notEqual(configure(demanded, 1, { desiredMinTxMicroseconds: 90_000 }).session.transmitAt, undefined, 'a Poll');
  assert.notEqual(receive(demanded, 1, heard('Up')).session.transmitAt, undefined);
});

test('AdminDown is told at once with diagnostic 7, at the slow pace, and left to Down', () => {
  const ended = configure(quiet(), 100, { administrativelyDown: true });
  const said = ended.send.map(({ state, diagnostic, poll, desiredMinTxMicroseconds }: SentPacket) => [
    state,
    diagnostic,
    poll,
    desiredMinTxMicroseconds,
  ]);
  assert.deepEqual(said, [['AdminDown', 7, false, 1_000_000]]);
  assert.equal(ended.session.transmitAt, 1100);
  const back = configure(ended.session, 200, { administrativelyDown: false });
  assert.deepEqual([back.session.state, back.session.diagnostic], ['Down', 0]);
});

test('a process that ends with the agent does not say C', () => {
  const session = newSession(parameters, 1, { at: instant(0), random: 0 }, false);
  assert.equal(wake(session, 0).send[0]?.controlPlaneIndependent, false);
});

test('every packet says C and never A, D or M', () => {
  for (const state of bfdStates) {
    const [packet] =
      wake(inState(state), 50_000).send.length > 0 ? wake(inState(state), 50_000).send : wake(fresh(), 0).send;
    assert.ok(packet);
    assert.deepEqual(
      [packet.controlPlaneIndependent, packet.authenticationPresent, packet.demand],
      [true, false, false],
    );
  }
});
