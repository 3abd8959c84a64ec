/**
 * Runs one peer's session: read, frame, decode, event, transition, effects. In: the peer, its sockets, the clock. Out: calls
 * of the speaker's `SessionHandlers`. It decides nothing: what happens next is `session/machine.ts`'s word.
 *
 * Events go through one mailbox, so that what a handler asks for happens after what it was told.
 */
import type { Socket } from 'node:net';
import { type Family, type IpAddress, parseAddress } from '#lib/ip.ts';
import { assertNever } from '#lib/result.ts';
import { type Instant, milliseconds } from '#lib/time.ts';
import type { SessionState } from '../engine.ts';
import { holdTimeOf } from '../session/agree.ts';
import type { SessionConfig } from '../session/config.ts';
import { replaces } from '../session/errors.ts';
import type { Effect, Event } from '../session/events.ts';
import { transition } from '../session/machine.ts';
import {
  type Agreement,
  type ConnectionId,
  type State,
  initialState,
  nextDeadline,
  sessionStateOf,
} from '../session/state.ts';
import { HEADER_BYTES } from '../wire/codes.ts';
import type { Frame } from '../wire/framing.ts';
import { decodeRouteRefresh, encodeMessage } from '../wire/message.ts';
import { MESSAGE_TYPE, type Reset } from '../wire/messages.ts';
import { decodeNotification } from '../wire/notification.ts';
import { decodeOpen } from '../wire/open.ts';
import { splitUpdate } from '../wire/update.ts';
import { Connection } from './connection.ts';
import type { Registration } from './listener.ts';
import { type DroppedSegments, dropsBetween, nothingDropped, readDroppedSegments } from './dropped-segments.ts';
import {
  type Session,
  type SessionModules,
  type SessionOptions,
  configOf,
  expectedOf,
  openOf,
  targetOf,
} from './session-options.ts';
import type { Negotiated, SessionPort } from './session-port.ts';
import { adoptTcp, connectTcp, descriptorOf, setKey } from './tcp-socket.ts';

export type { LocalGracefulRestart, Session, SessionModules, SessionOptions } from './session-options.ts';

/** Idle until `start`. Registers with the listener then, and takes itself out in `stop`. */
export const createSession = (options: SessionOptions, modules: SessionModules): Session =>
  new SessionRunner(options, modules);

/** A function so that TypeScript keeps the union: the event's own fields without time and chance. */
type Happening = Event extends infer E ? (E extends Event ? Omit<E, 'at' | 'random'> : never) : never;

class SessionRunner implements Session {
  readonly messages = { received: 0, sent: 0 };
  lastError: SessionPort['lastError'];
  /** No session came up since. */
  private errorStands = false;
  private readonly options: SessionOptions;
  private readonly modules: SessionModules;
  private readonly config: SessionConfig;
  private machine: State = initialState;
  private password: string | undefined;
  private registration: Registration | undefined;
  private readonly connections = new Map<ConnectionId, Connection>();
  private readonly closing = new Set<Promise<void>>();
  private accepted = 0;
  private droppedBefore: DroppedSegments = nothingDropped;
  private paused = false;
  private readonly mailbox: Event[] = [];
  private running = false;
  private armedAt: Instant | undefined;
  private disarm: (() => void) | undefined;

  constructor(options: SessionOptions, modules: SessionModules) {
    this.options = options;
    this.modules = modules;
    this.password = options.peer.password;
    this.config = configOf(options);
  }

  get state(): SessionState {
    return sessionStateOf(this.machine);
  }

  get retryAt(): Instant | undefined {
    return this.machine.kind === 'Idle' ? this.machine.startAt : undefined;
  }

  get families(): readonly Family[] {
    return this.machine.kind === 'Established' ? this.machine.agreement.context.families : [];
  }

  start(): void {
    if (this.registration === undefined) {
      const { peer, interface: link } = this.options;
      const registered = this.modules.listener.register({
        address: peer.address,
        interfaceIndex: link?.index,
        password: this.password,
        tcpAo: peer.tcpAo,
        minimumHopLimit: this.config.minimumHopLimit,
        inRange: this.options.inRange,
        accept: (socket) => this.accept(socket),
      });
      // Two sessions with one router would throw each other out for ever.
      if (!registered.ok) return this.failed(registered.error);
      this.registration = registered.value;
      if (this.registration.problem !== undefined) this.failed(this.registration.problem);
    }
    this.dispatch({ kind: 'start' });
  }

  send(bytes: Uint8Array): boolean {
    if (this.machine.kind !== 'Established') return true;
    const room = this.write(this.machine.id, bytes);
    this.dispatch({ kind: 'messageSent' });
    return room;
  }

  reset(reset: Reset): void {
    this.dispatch({ kind: 'resetRequested', reset });
  }

  async stop(how: 'silent' | Reset): Promise<void> {
    this.registration?.close();
    this.registration = undefined;
    this.dispatch({ kind: 'stop', how });
    await Promise.all(this.closing);
  }

  pause(): void {
    this.paused = true;
    if (this.machine.kind === 'Established') this.connections.get(this.machine.id)?.pause();
  }

  resume(): void {
    this.paused = false;
    for (const connection of this.connections.values()) connection.resume();
  }

  setPassword(password: string | undefined): void {
    this.password = password;
    this.registration?.setPassword(password);
    if (this.registration?.problem !== undefined) this.failed(this.registration.problem);
    for (const { id, socket } of this.connections.values()) {
      const fd = descriptorOf(socket);
      const keyed = fd === undefined ? undefined : setKey(fd, this.options.peer.address, password);
      // Fail closed: a connection without the key that it should have is no connection.
      if (keyed?.ok === false) this.dispatch({ kind: 'tcpFails', connection: id, error: keyed.error });
    }
  }

  private accept(socket: Socket): void {
    const adopted = adoptTcp(socket, targetOf(this.options, this.password));
    if (!adopted.ok) {
      socket.destroy();
      return this.failed(adopted.error);
    }
    const connection = this.attach(`in-${++this.accepted}`, socket);
    this.dispatch({
      kind: 'tcpAccepted',
      connection: connection.id,
      open: openOf(this.options, this.modules.gracefulRestart()),
    });
    connection.begin();
  }

  private attach(id: ConnectionId, socket: Socket): Connection {
    const connection = new Connection(id, socket, this.modules.clock, {
      connected: () =>
        this.dispatch({
          kind: 'tcpConnected',
          connection: id,
          open: openOf(this.options, this.modules.gracefulRestart()),
        }),
      frame: (frame, first) => this.receive(id, frame, first),
      invalid: (reset) => this.dispatch({ kind: 'messageInvalid', connection: id, message: 'header', reset }),
      chunkDone: () => this.modules.handlers.counted(),
      failed: (error) => this.dispatch({ kind: 'tcpFails', connection: id, error }),
      sendQueue: (now) => this.dispatch({ kind: 'sendQueue', connection: id, now }),
      writable: () => {
        if (this.machine.kind === 'Established' && this.machine.id === id) this.modules.handlers.writable();
      },
    });
    this.connections.set(id, connection);
    return connection;
  }

  private receive(connection: ConnectionId, { type, bytes }: Frame, first: boolean): void {
    this.messages.received++;
    const body = bytes.subarray(HEADER_BYTES);
    switch (type) {
      case MESSAGE_TYPE.OPEN: {
        const open = decodeOpen(body);
        return this.dispatch(
          open.ok
            ? { kind: 'openReceived', connection, open: open.value }
            : { kind: 'messageInvalid', connection, message: 'open', reset: open.error },
        );
      }
      case MESSAGE_TYPE.UPDATE:
        // The first message of those that came together has restarted HoldTimer; the machine has nothing to say to the others.
        if (!first && this.hears(connection)) return this.deliverAtOnce(connection, body);
        return this.dispatch({ kind: 'updateReceived', connection, body });
      case MESSAGE_TYPE.NOTIFICATION:
        return this.dispatch({ kind: 'notificationReceived', connection, notification: decodeNotification(body) });
      case MESSAGE_TYPE.KEEPALIVE:
        return this.dispatch({ kind: 'keepaliveReceived', connection });
      case MESSAGE_TYPE.ROUTE_REFRESH: {
        const refresh = decodeRouteRefresh(bytes);
        return this.dispatch(
          refresh.ok
            ? { kind: 'routeRefreshReceived', connection, message: refresh.value }
            : { kind: 'messageInvalid', connection, message: 'routeRefresh', reset: refresh.error },
        );
      }
      default:
        throw new RangeError(`framing let message type ${type} pass`);
    }
  }

  private dispatch(happening: Happening): void {
    this.mailbox.push({ ...happening, at: this.modules.clock.now(), random: this.modules.random() });
    if (!this.running) this.work();
  }

  private hears(connection: ConnectionId): boolean {
    const { machine, running, modules } = this;
    return machine.kind === 'Established' && machine.id === connection && !running && modules.record === undefined;
  }

  private deliverAtOnce(connection: ConnectionId, body: Uint8Array): void {
    this.running = true;
    this.deliver(connection, body);
    this.running = false;
    if (this.mailbox.length > 0) this.work();
  }

  /** What is in the mailbox, one after another. */
  private work(): void {
    this.running = true;
    const before = this.state;
    try {
      for (let event = this.mailbox.shift(); event !== undefined; event = this.mailbox.shift()) {
        const { state, effects } = transition(this.config, this.machine, event);
        this.modules.record?.(this.machine, event, state, effects);
        this.machine = state;
        for (const effect of effects) this.perform(effect);
      }
    } finally {
      this.running = false;
    }
    this.arm();
    if (this.state !== before) this.modules.handlers.changed();
  }

  private perform(effect: Effect): void {
    const { handlers } = this.modules;
    switch (effect.kind) {
      case 'openConnection':
        return this.open(effect.connection);
      case 'closeConnection':
        return this.close(effect.connection, effect.how);
      case 'send':
        this.write(effect.connection, encodeMessage(effect.message));
        return;
      case 'sessionUp':
        return this.up(effect.connection, effect.agreement);
      case 'sessionDown':
        this.failed(effect.reason);
        return handlers.down(effect.reason);
      case 'failed':
        return this.failed(effect.error);
      case 'deliverUpdate':
        return this.deliver(effect.connection, effect.body);
      case 'deliverRouteRefresh':
        return handlers.routeRefresh(effect.message);
    }
    return assertNever(effect, 'session effect');
  }

  private open(id: ConnectionId): void {
    this.droppedBefore = readDroppedSegments();
    const made = (this.modules.connect ?? connectTcp)(targetOf(this.options, this.password));
    if (made.ok) this.attach(id, made.value);
    else this.dispatch({ kind: 'tcpFails', connection: id, error: made.error });
  }

  private close(id: ConnectionId, how: 'close' | 'abort'): void {
    const connection = this.connections.get(id);
    if (connection === undefined) return;
    this.connections.delete(id);
    if (how === 'abort') connection.abort();
    else connection.close();
    this.closing.add(connection.gone);
    void connection.gone.then(() => this.closing.delete(connection.gone));
  }

  private up(id: ConnectionId, agreement: Agreement): void {
    const connection = this.connections.get(id);
    if (connection === undefined) return;
    connection.longest = agreement.maximumReceiveBytes;
    const { context, peerIdentifier, peerCapabilities, routeRefresh } = agreement;
    const negotiated: Negotiated = {
      context,
      localAddress:
        addressOf(connection.socket.localAddress) ?? this.options.peer.sourceAddress ?? this.options.peer.address,
      remoteAddress: this.options.peer.address,
      interfaceIndex: this.options.interface?.index,
      peerIdentifier,
      holdTime: holdTimeOf(agreement),
      peerCapabilities,
      routeRefresh,
      gracefulRestart: agreement.gracefulRestart,
      longLivedGracefulRestart: agreement.longLivedGracefulRestart,
      notificationRestart: agreement.notificationRestart,
    };
    this.errorStands = false;
    if (this.paused) connection.pause();
    this.modules.handlers.established(negotiated);
  }

  private deliver(connection: ConnectionId, body: Uint8Array): void {
    // A handler before this one may have ended the session.
    if (this.machine.kind !== 'Established' || this.machine.id !== connection) return;
    const update = splitUpdate(body, this.machine.agreement.context);
    const reset = update.ok ? this.modules.handlers.update(update.value) : update.error;
    if (reset !== undefined) this.dispatch({ kind: 'messageInvalid', connection, message: 'update', reset });
  }

  private write(id: ConnectionId, bytes: Uint8Array): boolean {
    const connection = this.connections.get(id);
    if (connection === undefined) return true;
    for (let at = 0; at + HEADER_BYTES <= bytes.length; this.messages.sent++) {
      at += ((bytes[at + 16] ?? 0) << 8) | (bytes[at + 17] ?? 0);
    }
    return connection.write(bytes);
  }

  private failed({ code, text }: { readonly code: string; readonly text: string }): void {
    const at = this.modules.wallClock();
    const shown = this.lastError;
    if (shown === undefined || !this.errorStands || replaces(code, shown.code, milliseconds(at - shown.at))) {
      this.lastError = { code, text, at };
      this.errorStands = true;
    }
    this.modules.handlers.changed();
  }

  /** One timer: armed for the earliest deadline, and left alone when that moves away, as it does with each message. */
  private arm(): void {
    const deadline = nextDeadline(this.machine);
    if (this.armedAt !== undefined && deadline !== undefined && deadline >= this.armedAt) return;
    this.disarm?.();
    this.armedAt = deadline;
    this.disarm = deadline === undefined ? undefined : this.modules.clock.at(deadline, () => this.expire());
  }

  private expire(): void {
    this.armedAt = undefined;
    this.disarm = undefined;
    const deadline = nextDeadline(this.machine);
    if (deadline === undefined || deadline > this.modules.clock.now()) return this.arm();
    const expected = { ...expectedOf(this.options.peer), hasKey: this.password !== undefined };
    const isConnecting = this.machine.kind === 'Opening' && this.machine.outgoing.kind === 'Connect';
    this.dispatch({
      kind: 'deadlineReached',
      input: [...this.connections.values()].map(({ pending }) => pending),
      drops: dropsBetween(this.droppedBefore, isConnecting ? readDroppedSegments() : this.droppedBefore, expected),
    });
  }
}

const addressOf = (text: string | undefined): IpAddress | undefined => parseAddress((text ?? '').replace(/%.*$/, ''));
