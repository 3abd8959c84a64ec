/** A session with the real state machine and codec on simulated connections: the session runner without sockets. */
import type { Family, IpAddress } from '#lib/ip.ts';
import type { Instant } from '#lib/time.ts';
import type { SessionState } from '#bgp/engine.ts';
import { type Session, type SessionModules, type SessionOptions, configOf, openOf } from '#bgp/io/session-options.ts';
import type { SessionPort } from '#bgp/io/session-port.ts';
import { holdTimeOf } from '#bgp/session/agree.ts';
import type { Effect, Event } from '#bgp/session/events.ts';
import { transition } from '#bgp/session/machine.ts';
import {
  type Agreement,
  type ConnectionId,
  type State,
  initialState,
  nextDeadline,
  sessionStateOf,
} from '#bgp/session/state.ts';
import { MessageStream } from '#bgp/wire/framing.ts';
import { decodeMessage, encodeMessage } from '#bgp/wire/message.ts';
import type { Reset } from '#bgp/wire/messages.ts';
import { splitUpdate } from '#bgp/wire/update.ts';
import type { Addresses, End } from './wire.ts';

type Happening = Event extends infer E ? (E extends Event ? Omit<E, 'at' | 'random'> : never) : never;

interface Attached {
  readonly end: End;
  readonly stream: MessageStream;
}

export class SimulatedSession implements Session {
  readonly messages = { received: 0, sent: 0 };
  lastError: SessionPort['lastError'];
  readonly #options: SessionOptions;
  readonly #modules: SessionModules;
  readonly #addresses: Addresses;
  readonly #connections = new Map<ConnectionId, Attached>();
  readonly #mailbox: Event[] = [];
  #machine: State = initialState;
  #running = false;
  #accepted = 0;
  #disarm: (() => void) | undefined;
  #deaf: (() => void) | undefined;
  #dead = false;

  constructor(options: SessionOptions, modules: SessionModules, addresses: Addresses) {
    this.#options = options;
    this.#modules = modules;
    this.#addresses = addresses;
  }

  get state(): SessionState {
    return sessionStateOf(this.#machine);
  }

  get retryAt(): Instant | undefined {
    return this.#machine.kind === 'Idle' ? this.#machine.startAt : undefined;
  }

  get families(): readonly Family[] {
    return this.#machine.kind === 'Established' ? this.#machine.agreement.context.families : [];
  }

  get #local(): IpAddress {
    const { sourceAddress } = this.#options.peer;
    if (sourceAddress === undefined) throw new Error('a simulated session needs its source address');
    return sourceAddress;
  }

  start(): void {
    this.#deaf ??= this.#addresses.accept(this.#local, this.#options.peer.address, (end) => {
      const id: ConnectionId = `in-${++this.#accepted}`;
      this.#attach(id, end);
      this.#dispatch({ kind: 'tcpAccepted', connection: id, open: this.#open() });
    });
    this.#dispatch({ kind: 'start' });
  }

  send(bytes: Uint8Array): boolean {
    if (this.#machine.kind !== 'Established') return true;
    this.#write(this.#machine.id, bytes);
    this.#dispatch({ kind: 'messageSent' });
    return true;
  }

  reset(reset: Reset): void {
    this.#dispatch({ kind: 'resetRequested', reset });
  }

  stop(how: 'silent' | Reset): Promise<void> {
    this.#deaf?.();
    this.#dispatch({ kind: 'stop', how });
    return Promise.resolve();
  }

  // Everything is read at once.
  pause(): void {}
  resume(): void {}
  setPassword(): void {}

  /** The process is gone (its kernel closes), or the whole machine is (nothing is said). */
  die(how: 'crash' | 'power'): void {
    this.#dead = true;
    this.#deaf?.();
    this.#disarm?.();
    for (const { end } of this.#connections.values())
      if (how === 'crash') end.close();
      else end.vanish();
    this.#connections.clear();
  }

  #open() {
    return openOf(this.#options, this.#modules.gracefulRestart());
  }

  #attach(id: ConnectionId, end: End): void {
    this.#connections.set(id, { end, stream: new MessageStream() });
    end.handlers = {
      connected: () => this.#dispatch({ kind: 'tcpConnected', connection: id, open: this.#open() }),
      octets: (bytes) => this.#read(id, bytes),
      gone: (refused) =>
        this.#dispatch({
          kind: 'tcpFails',
          connection: id,
          error: refused
            ? { code: 'SESSION_CONNECTION_REFUSED', text: 'refused' }
            : { code: 'SESSION_CONNECTION_CLOSED', text: 'closed' },
        }),
    };
  }

  #read(id: ConnectionId, bytes: Uint8Array): void {
    const { stream } = this.#connections.get(id) ?? {};
    if (stream === undefined) return;
    stream.push(bytes);
    for (let framing = stream.next(); framing.kind !== 'incomplete'; framing = stream.next()) {
      if (framing.kind === 'invalid') throw new Error(framing.reset.text);
      this.messages.received++;
      const { type, bytes: message } = framing.frame;
      if (type === 2) this.#dispatch({ kind: 'updateReceived', connection: id, body: message.slice(19) });
      else this.#other(id, type, message);
      if (!this.#connections.has(id)) return;
    }
  }

  #other(id: ConnectionId, type: number, bytes: Uint8Array): void {
    const message = decodeMessage({ type, bytes }, undefined);
    if (!message.ok) throw new Error(message.error.text);
    const { value } = message;
    if (value.kind === 'open') this.#dispatch({ kind: 'openReceived', connection: id, open: value });
    else if (value.kind === 'keepalive') this.#dispatch({ kind: 'keepaliveReceived', connection: id });
    else if (value.kind === 'notification')
      this.#dispatch({ kind: 'notificationReceived', connection: id, notification: value });
    else if (value.kind === 'routeRefresh')
      this.#dispatch({ kind: 'routeRefreshReceived', connection: id, message: value });
  }

  #dispatch(happening: Happening): void {
    if (this.#dead) return;
    this.#mailbox.push({ ...happening, at: this.#modules.clock.now(), random: this.#modules.random() });
    if (this.#running) return;
    this.#running = true;
    for (let event = this.#mailbox.shift(); event !== undefined; event = this.#mailbox.shift()) {
      const { state, effects } = transition(configOf(this.#options), this.#machine, event);
      this.#machine = state;
      for (const effect of effects) this.#perform(effect);
    }
    this.#running = false;
    this.#arm();
    this.#modules.handlers.changed();
  }

  #perform(effect: Effect): void {
    const { handlers } = this.#modules;
    switch (effect.kind) {
      case 'openConnection': {
        const end = this.#addresses.connect(this.#local, this.#options.peer.address, {
          connected: () => undefined,
          octets: () => undefined,
          gone: () => undefined,
        });
        return this.#attach(effect.connection, end);
      }
      case 'closeConnection': {
        const attached = this.#connections.get(effect.connection);
        this.#connections.delete(effect.connection);
        return attached?.end.close();
      }
      case 'send': {
        return this.#write(effect.connection, encodeMessage(effect.message));
      }
      case 'sessionUp':
        return this.#up(effect.connection, effect.agreement);
      case 'sessionDown':
        this.lastError = { code: effect.reason.code, text: effect.reason.text, at: this.#modules.wallClock() };
        return handlers.down(effect.reason);
      case 'failed':
        this.lastError = { ...effect.error, at: this.#modules.wallClock() };
        return undefined;
      case 'deliverUpdate':
        return this.#deliver(effect.connection, effect.body);
      default:
        return handlers.routeRefresh(effect.message);
    }
  }

  #up(id: ConnectionId, agreement: Agreement): void {
    const attached = this.#connections.get(id);
    if (attached === undefined) return;
    attached.stream.longest = agreement.maximumReceiveBytes;
    const { context, peerIdentifier, peerCapabilities, routeRefresh, gracefulRestart, notificationRestart } = agreement;
    this.#modules.handlers.established({
      context,
      localAddress: this.#local,
      remoteAddress: this.#options.peer.address,
      peerIdentifier,
      holdTime: holdTimeOf(agreement),
      peerCapabilities,
      routeRefresh,
      gracefulRestart,
      longLivedGracefulRestart: agreement.longLivedGracefulRestart,
      notificationRestart,
    });
  }

  #deliver(id: ConnectionId, body: Uint8Array): void {
    if (this.#machine.kind !== 'Established' || this.#machine.id !== id) return;
    const update = splitUpdate(body, this.#machine.agreement.context);
    if (!update.ok) throw new Error(update.error.text);
    const reset = this.#modules.handlers.update(update.value);
    if (reset !== undefined) this.#dispatch({ kind: 'messageInvalid', connection: id, message: 'update', reset });
  }

  #write(id: ConnectionId, bytes: Uint8Array): void {
    this.messages.sent++;
    this.#connections.get(id)?.end.send(bytes);
  }

  #arm(): void {
    this.#disarm?.();
    const deadline = nextDeadline(this.#machine);
    this.#disarm =
      deadline === undefined
        ? undefined
        : this.#modules.clock.at(deadline, () => {
            this.#dispatch({
              kind: 'deadlineReached',
              input: [...this.#connections.keys()].map((connection) => ({
                connection,
                unread: false,
                partialBytes: 0,
              })),
              drops: { signature: 0, hopLimit: 0 },
            });
          });
  }
}
