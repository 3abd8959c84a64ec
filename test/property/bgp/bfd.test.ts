// BFD as properties: the codec over all bytes, and two sessions over a network that loses and delays, in virtual time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  bfdStates,
  type ControlPacket,
  decodeControlPacket,
  encodeControlPacket,
  type SentPacket,
} from '#bgp/bfd/control-packet.ts';
import {
  type BfdParameters,
  type BfdSession,
  type BfdStep,
  detectionTime,
  newSession,
  nextDeadline,
  step,
} from '#bgp/bfd/session.ts';
import { type Instant, instant } from '#lib/time.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

const packets: fc.Arbitrary<SentPacket> = fc.record({
  diagnostic: fc.integer({ min: 0, max: 31 }),
  state: fc.constantFrom(...bfdStates),
  poll: fc.boolean(),
  final: fc.boolean(),
  controlPlaneIndependent: fc.boolean(),
  authenticationPresent: fc.constant(false as const),
  demand: fc.boolean(),
  detectMultiplier: fc.integer({ min: 1, max: 255 }),
  myDiscriminator: fc.integer({ min: 1, max: 0xffff_ffff }),
  yourDiscriminator: fc.integer({ min: 1, max: 0xffff_ffff }),
  desiredMinTxMicroseconds: u32,
  requiredMinRxMicroseconds: u32,
  requiredMinEchoRxMicroseconds: u32,
});

test('what is written is read as the same packet', () => {
  fc.assert(
    fc.property(packets, (packet) => {
      assert.deepEqual(decodeControlPacket(encodeControlPacket(packet)), { ok: true, value: { ...packet } });
    }),
  );
});

test('any bytes are a packet or a reason', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const read = decodeControlPacket(bytes);
      if (read.ok) assert.ok(read.value.myDiscriminator !== 0 && read.value.detectMultiplier !== 0);
      else assert.equal(typeof read.error, 'string');
    }),
    { numRuns: 500 },
  );
});

const parameters: fc.Arbitrary<BfdParameters> = fc.record({
  desiredMinTxMicroseconds: fc.integer({ min: 10_000, max: 2_000_000 }),
  requiredMinRxMicroseconds: fc.integer({ min: 10_000, max: 2_000_000 }),
  detectMultiplier: fc.integer({ min: 1, max: 10 }),
  passive: fc.boolean(),
  administrativelyDown: fc.constant(false),
});

test('whatever is received, sent packets keep the rules of RFC 5880 §6.8.7 and timers are ahead', () => {
  const events = fc.array(
    fc.record({
      packet: fc.option(packets, { nil: undefined }),
      parameters: fc.option(parameters, { nil: undefined }),
      wait: fc.integer({ min: 0, max: 3000 }),
      random: fc.double({ min: 0, max: 0.999, noNaN: true }),
    }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(parameters, events, (first, list) => {
      let now = 0;
      let session = newSession(first, 9, { at: instant(0), random: 0 });
      for (const { packet, parameters: changed, wait, random } of list) {
        now += wait;
        const moment = { at: instant(now), random };
        const steps: BfdStep[] = [];
        if (packet !== undefined) steps.push(step(session, { kind: 'packetReceived', packet, ...moment }));
        else if (changed !== undefined)
          steps.push(step(session, { kind: 'configured', parameters: changed, ...moment }));
        else steps.push(step(session, { kind: 'deadlineReached', ...moment }));
        for (const result of steps) {
          session = result.session;
          for (const sent of result.send) {
            assert.ok(!(sent.poll && sent.final));
            assert.equal(sent.state, session.state);
            assert.ok(sent.state === 'Up' || sent.desiredMinTxMicroseconds >= 1_000_000);
            if (session.remote.minRxMicroseconds === 0) assert.ok(sent.final);
            if (session.parameters.passive && session.remote.discriminator === 0)
              assert.fail('a passive end spoke first');
          }
        }
        // A deadline that was served is not due again at once, or the runner would spin.
        if (packet === undefined && changed === undefined) {
          const again = step(session, { kind: 'deadlineReached', ...moment });
          const next = nextDeadline(again.session);
          assert.ok(next === undefined || next > now, `${next} after ${now}`);
        }
      }
    }),
  );
});

interface Flight {
  readonly to: number;
  readonly at: number;
  readonly packet: ControlPacket;
}

/** Two ends and the wire between them. */
class Wire {
  now = 0;
  cut = false;
  lossPerMille = 0;
  readonly ends: BfdSession[];
  readonly stateChanges: { readonly end: number; readonly at: number; readonly state: string }[] = [];
  #flying: Flight[] = [];
  #chance: () => number;
  #delay: number;

  constructor(first: BfdParameters, second: BfdParameters, seed: number, delay: number) {
    let x = seed | 1;
    this.#chance = () => {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      return (x >>> 0) / 2 ** 32;
    };
    this.#delay = delay;
    this.ends = [first, second].map((wanted, i) =>
      newSession(wanted, i + 1, { at: instant(this.#chance() * 100), random: this.#chance() }),
    );
  }

  #apply(end: number, result: BfdStep): void {
    if (result.session.state !== this.ends[end]?.state)
      this.stateChanges.push({ end, at: this.now, state: result.session.state });
    this.ends[end] = result.session;
    for (const packet of result.send) {
      const lost = this.cut || this.#chance() * 1000 < this.lossPerMille;
      if (!lost) this.#flying.push({ to: 1 - end, at: this.now + this.#delay, packet });
    }
  }

  run(until: number): void {
    for (;;) {
      const flight = this.#flying.reduce<Flight | undefined>(
        (a, b) => (a === undefined || b.at < a.at ? b : a),
        undefined,
      );
      const due = this.ends.map((end) => nextDeadline(end) ?? (Number.POSITIVE_INFINITY as Instant));
      const timer = Math.min(...due);
      const at = Math.min(flight?.at ?? Number.POSITIVE_INFINITY, timer);
      if (at > until) break;
      this.now = Math.max(this.now, at);
      const moment = { at: instant(this.now), random: this.#chance() };
      if (flight !== undefined && flight.at <= timer) {
        this.#flying = this.#flying.filter((other) => other !== flight);
        const session = this.ends[flight.to];
        if (session !== undefined)
          this.#apply(flight.to, step(session, { kind: 'packetReceived', packet: flight.packet, ...moment }));
      } else {
        const end = due.indexOf(timer as Instant);
        const session = this.ends[end];
        if (session !== undefined) this.#apply(end, step(session, { kind: 'deadlineReached', ...moment }));
      }
    }
    this.now = until;
  }
}

const seeds = fc.integer({ min: 1, max: 0x7fff_ffff });

test('two ends come Up, stay Up, notice a cut within the detection time, and come Up again', () => {
  fc.assert(
    fc.property(parameters, parameters, seeds, fc.integer({ min: 0, max: 5 }), (a, b, seed, delay) => {
      const wire = new Wire(a, { ...b, passive: a.passive ? false : b.passive }, seed, delay);
      wire.run(10_000);
      assert.deepEqual(
        wire.ends.map(({ state }) => state),
        ['Up', 'Up'],
      );
      const changesBefore = wire.stateChanges.length;
      wire.run(40_000);
      assert.equal(wire.stateChanges.length, changesBefore, 'nothing flaps');
      assert.deepEqual(
        wire.ends.map(({ poll }) => poll),
        ['none', 'none'],
      );
      const limits = wire.ends.map((end) => detectionTime(end) + 2 * delay);
      wire.cut = true;
      wire.run(40_000 + Math.max(...limits) + 1);
      for (const end of [0, 1]) {
        const down = wire.stateChanges.slice(changesBefore).find((change) => change.end === end);
        assert.equal(down?.state, 'Down');
        assert.ok((down?.at ?? 0) <= 40_000 + (limits[end] ?? 0), `end ${end} was late`);
      }
      wire.cut = false;
      wire.run(120_000);
      assert.deepEqual(
        wire.ends.map(({ state }) => state),
        ['Up', 'Up'],
      );
    }),
    { numRuns: 60 },
  );
});

test('after any loss the ends agree as soon as the network is whole', () => {
  fc.assert(
    fc.property(parameters, parameters, seeds, fc.integer({ min: 100, max: 900 }), (a, b, seed, loss) => {
      const wire = new Wire({ ...a, passive: false }, b, seed, 1);
      wire.lossPerMille = loss;
      wire.run(20_000);
      wire.lossPerMille = 0;
      wire.run(100_000);
      assert.deepEqual(
        wire.ends.map(({ state }) => state),
        ['Up', 'Up'],
      );
    }),
    { numRuns: 40 },
  );
});
