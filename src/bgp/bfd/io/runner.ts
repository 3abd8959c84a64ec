/**
 * Carries sessions out: datagrams in, packets out, one timer per session. In: the sessions that are wanted. Out: what
 * they are now, and each change of state or negotiated time.
 *
 * A process that was kept from running finds its timers due and the neighbour's packets waiting. So the end of a
 * detection time is believed only after everything that waits in the sockets was read.
 */
import { randomInt } from 'node:crypto';
import { familyOf } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { type Clock, type Instant, after, milliseconds } from '#lib/time.ts';
import type { DesiredBfdSession, ObservedBfdSession } from '../control-messages.ts';
import {
  type ControlPacket,
  decodeControlPacket,
  encodeControlPacket,
  type MalformedReason,
} from '../control-packet.ts';
import {
  type BfdEvent,
  type BfdParameters,
  type BfdSession,
  detectionDue,
  detectionTime,
  failureOver,
  newSession,
  nextDeadline,
  pathFailed,
  step,
  transmitInterval,
} from '../session.ts';
import { type Hops, portOf, Receivers } from './receivers.ts';
import type { BfdUdp, Datagram, Sender } from './udp.ts';

export interface RunnerModules {
  readonly clock: Clock;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  readonly udp: BfdUdp;
  /** The C bit that is sent; absent: set. */
  readonly controlPlaneIndependent?: boolean;
  /** Calls back when what waits in the sockets at this moment was handed over. */
  readonly afterReading: (callback: () => void) => void;
  /** The path of this session failed, or is failed and its nexthops are others now. Before `changed`. */
  readonly failed: (session: DesiredBfdSession) => void;
  readonly changed: (session: ObservedBfdSession) => void;
}

export type DiscardReason = MalformedReason | 'noSession' | 'authentication';

/** How often reading is waited for before a detection time is believed: a flood must not keep a session Up. */
const MOST_READINGS = 100;

interface Running {
  desired: DesiredBfdSession;
  session: BfdSession;
  sender: Sender | undefined;
  sendProblem: string | undefined;
  timer: { readonly at: Instant; readonly cancel: () => void } | undefined;
  /** The end of the detection time is reached and waits for reading. */
  doubtful: boolean;
  /** It is wanted no more and says AdminDown until then. */
  endsAt: Instant | undefined;
  since: number;
  failed: boolean;
  failures: number;
  changes: number;
  sent: number;
  received: number;
}

export class BfdRunner {
  readonly #modules: RunnerModules;
  readonly #byName = new Map<string, Running>();
  /** By local discriminator, those that say goodbye included. */
  readonly #running = new Map<number, Running>();
  readonly #receivers: Receivers;
  readonly #discarded = new Map<DiscardReason, number>();
  #datagrams = 0;
  #idle: (() => void)[] = [];

  constructor(modules: RunnerModules) {
    this.#modules = modules;
    this.#receivers = new Receivers({
      ...modules,
      received: (datagram, hops) => this.#received(datagram, hops),
      problemChanged: (family, hops) => {
        for (const running of this.#byName.values())
          if (running.desired.hops === hops && familyOf(running.desired.remote) === family) this.#report(running);
      },
    });
  }

  /**
   * The sessions that are wanted from now on. A session whose neighbour or way there is another is a new one. What there
   * is of a peer in `keep` stays.
   */
  setSessions(desired: readonly DesiredBfdSession[], keep: readonly string[] = []): void {
    const wanted = new Map(desired.map((session) => [session.name, session]));
    const kept = new Set(keep);
    for (const [name, running] of this.#byName) {
      const next = wanted.get(name);
      if (next === undefined && (kept.has(name) || kept.has(name.slice(0, name.indexOf('/'))))) continue;
      if (next === undefined || !sameWay(running.desired, next)) this.#dismiss(running);
    }
    for (const session of desired) {
      const running = this.#byName.get(session.name);
      if (running === undefined) this.#admit(session);
      else {
        running.desired = session;
        if (running.failed) this.#modules.failed(session);
        if (!sameParameters(running.session.parameters, session))
          this.#step(running, { kind: 'configured', parameters: session, ...this.#moment() });
      }
    }
    this.#receivers.want([...this.#running.values()].map((running) => running.desired));
  }

  observed(): readonly ObservedBfdSession[] {
    return [...this.#byName.values()].map((running) => this.#observe(running));
  }

  /** Datagrams that were no packet for any session, by reason. */
  get discarded(): ReadonlyMap<DiscardReason, number> {
    return this.#discarded;
  }

  /** Ends all sessions by AdminDown (RFC 5880 §6.8.16); resolves when every neighbour had time to hear it. */
  end(): Promise<void> {
    this.setSessions([]);
    return new Promise((resolve) => {
      this.#idle.push(() => {
        this.#receivers.close();
        resolve();
      });
      this.#checkIdle();
    });
  }

  #moment(): { readonly at: Instant; readonly random: number } {
    return { at: this.#modules.clock.now(), random: Math.random() };
  }

  #admit(desired: DesiredBfdSession): void {
    let discriminator = randomInt(1, 2 ** 32);
    while (this.#running.has(discriminator)) discriminator = randomInt(1, 2 ** 32);
    const running: Running = {
      desired,
      session: newSession(desired, discriminator, this.#moment(), this.#modules.controlPlaneIndependent),
      sender: undefined,
      sendProblem: undefined,
      timer: undefined,
      doubtful: false,
      endsAt: undefined,
      since: this.#modules.now(),
      failed: false,
      failures: 0,
      changes: 0,
      sent: 0,
      received: 0,
    };
    this.#byName.set(desired.name, running);
    this.#running.set(discriminator, running);
    this.#arm(running);
  }

  /** AdminDown, for as long as the neighbour may take to hear it, if it has ever heard us. */
  #dismiss(running: Running): void {
    this.#byName.delete(running.desired.name);
    const { session } = running;
    const known = session.remote.discriminator !== 0;
    const { at, random } = this.#moment();
    this.#step(running, {
      kind: 'configured',
      parameters: { ...session.parameters, administrativelyDown: true },
      at,
      random,
    });
    // RFC 5880 §6.8.16: until the neighbour's detection time, as it was until now, is over.
    const goodbye = session.parameters.detectMultiplier * transmitInterval(session);
    running.endsAt = known ? after(at, milliseconds(goodbye)) : at;
    this.#arm(running);
  }

  #step(running: Running, event: BfdEvent): void {
    const before = running.session;
    const { session, send } = step(before, event);
    running.session = session;
    for (const packet of send) {
      running.sent += 1;
      this.#send(running, encodeControlPacket(packet));
    }
    if (session.state !== before.state) {
      running.since = this.#modules.now();
      running.changes += 1;
    }
    if (failureOver(session)) running.failed = false;
    if (pathFailed(before, session)) {
      running.failed = true;
      running.failures += 1;
      this.#modules.failed(running.desired);
    }
    if (hasNews(before, session)) this.#report(running);
    this.#arm(running);
  }

  #send(running: Running, bytes: Uint8Array): void {
    const { desired } = running;
    const before = running.sendProblem;
    try {
      running.sender ??= this.#modules.udp.sender({ ...desired, port: portOf(desired.hops) });
      running.sender.send(bytes);
      running.sendProblem = undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      // The interface or its address may be another one by now: the next packet gets a new socket.
      running.sender?.close();
      running.sender = undefined;
      running.sendProblem = error.message;
    }
    if (running.sendProblem !== before) this.#report(running);
  }

  #report(running: Running): void {
    if (this.#byName.get(running.desired.name) === running) this.#modules.changed(this.#observe(running));
  }

  #arm(running: Running): void {
    const deadline = running.endsAt ?? Number.POSITIVE_INFINITY;
    const at = Math.min(nextDeadline(running.session) ?? Number.POSITIVE_INFINITY, deadline) as Instant;
    // A timer that is too early looks again; one that is too late is replaced.
    if (running.doubtful || (running.timer !== undefined && running.timer.at <= at)) return;
    running.timer?.cancel();
    running.timer =
      at === Number.POSITIVE_INFINITY
        ? undefined
        : { at, cancel: this.#modules.clock.at(at, () => this.#timerReached(running)) };
  }

  #timerReached(running: Running): void {
    running.timer = undefined;
    const { at, random } = this.#moment();
    if (running.endsAt !== undefined && running.endsAt <= at) this.#forget(running);
    else if (detectionDue(running.session, at)) {
      running.doubtful = true;
      this.#afterAllReading(MOST_READINGS, () => {
        running.doubtful = false;
        this.#step(running, { kind: 'deadlineReached', ...this.#moment() });
      });
    } else this.#step(running, { kind: 'deadlineReached', at, random });
  }

  #afterAllReading(readings: number, callback: () => void): void {
    const before = this.#datagrams;
    this.#modules.afterReading(() => {
      if (this.#datagrams === before || readings === 0) callback();
      else this.#afterAllReading(readings - 1, callback);
    });
  }

  #forget(running: Running): void {
    running.timer?.cancel();
    running.sender?.close();
    this.#running.delete(running.session.localDiscriminator);
    this.#receivers.want([...this.#running.values()].map((running) => running.desired));
    this.#checkIdle();
  }

  #checkIdle(): void {
    if (this.#running.size > 0) return;
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }

  #received(datagram: Datagram, hops: Hops): void {
    this.#datagrams += 1;
    const read = decodeControlPacket(datagram.bytes);
    if (!read.ok) return this.#discard(read.error);
    const packet = read.value;
    const running = this.#sessionOf(packet, datagram, hops);
    if (running === undefined) return this.#discard('noSession');
    // RFC 5880 §6.8.6: no authentication is in use.
    if (packet.authenticationPresent) return this.#discard('authentication');
    running.received += 1;
    this.#step(running, { kind: 'packetReceived', packet, ...this.#moment() });
  }

  /**
   * RFC 5880 §6.3: by our discriminator, once the neighbour knows it; before that by its address (RFC 5881 §3, RFC 5883
   * §3). A packet of another address than the neighbour's is never taken, also when it knows the discriminator: there
   * is no authentication that would say whose it is.
   */
  #sessionOf(packet: ControlPacket, datagram: Datagram, hops: Hops): Running | undefined {
    const candidates =
      packet.yourDiscriminator === 0 ? this.#byName.values() : [this.#running.get(packet.yourDiscriminator)];
    for (const candidate of candidates) {
      if (candidate === undefined) continue;
      const { remote, hops: ours, interface: link } = candidate.desired;
      const sameLink = datagram.interface === undefined || link === undefined || datagram.interface === link;
      if (remote === datagram.source && ours === hops && sameLink) return candidate;
    }
    return undefined;
  }

  #discard(reason: DiscardReason): void {
    this.#discarded.set(reason, (this.#discarded.get(reason) ?? 0) + 1);
  }

  #observe(running: Running): ObservedBfdSession {
    const { desired, session, since, failed, failures, changes, sent, received } = running;
    const { remote } = session;
    const problem = this.#receivers.problem(familyOf(desired.remote), desired.hops) ?? running.sendProblem;
    return {
      name: desired.name,
      remote: desired.remote,
      hops: desired.hops,
      state: session.state,
      diagnostic: session.diagnostic,
      remoteState: remote.state,
      remoteDiagnostic: remote.diagnostic,
      remoteControlPlaneIndependent: remote.controlPlaneIndependent,
      since,
      failed,
      failures,
      changes,
      transmitIntervalMilliseconds: transmitInterval(session),
      detectionTimeMilliseconds: detectionTime(session),
      sent,
      received,
      ...(problem === undefined ? {} : { problem }),
    };
  }
}

/** What somebody wants to know at once; counters are asked for. */
const hasNews = (before: BfdSession, now: BfdSession): boolean =>
  before.state !== now.state ||
  before.diagnostic !== now.diagnostic ||
  before.remote.state !== now.remote.state ||
  before.remote.controlPlaneIndependent !== now.remote.controlPlaneIndependent ||
  transmitInterval(before) !== transmitInterval(now) ||
  detectionTime(before) !== detectionTime(now);

const sameWay = (a: DesiredBfdSession, b: DesiredBfdSession): boolean =>
  a.remote === b.remote && a.local === b.local && a.interface === b.interface && a.hops === b.hops;

const sameParameters = (a: BfdParameters, b: BfdParameters): boolean =>
  a.desiredMinTxMicroseconds === b.desiredMinTxMicroseconds &&
  a.requiredMinRxMicroseconds === b.requiredMinRxMicroseconds &&
  a.detectMultiplier === b.detectMultiplier &&
  a.passive === b.passive &&
  a.administrativelyDown === b.administrativelyDown;
