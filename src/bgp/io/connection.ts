/**
 * One TCP connection as a stream of frames. In: a socket, connected or on its way. Out: its frames one at a time, its end
 * once, and whether the peer takes what is written. It knows no states and no timers of BGP.
 *
 * Reading stops at once when paused: frames that are here already wait, then TCP holds back the peer.
 */
import type { Socket } from 'node:net';
import { type Clock, after, seconds } from '#lib/time.ts';
import { POLLERR, POLLHUP, POLLIN, pollDescriptor } from '#linux/socket.ts';
import type { PendingInput } from '../session/events.ts';
import type { SessionError } from '../session/errors.ts';
import type { ConnectionId } from '../session/state.ts';
import { type Frame, MessageStream } from '../wire/framing.ts';
import type { Reset } from '../wire/messages.ts';
import { descriptorOf, errorOfSocket } from './tcp-socket.ts';

export interface ConnectionHandlers {
  connected(): void;
  /** `first` of those that were read at once: the others came at the same time. */
  frame(frame: Frame, first: boolean): void;
  /** What came is not BGP; nothing more is read. */
  invalid(reset: Reset): void;
  /** All frames of a chunk were handed over. */
  chunkDone(): void;
  /** Not connected, closed by the peer, or broken; once, and never after close() or abort(). */
  failed(error: SessionError): void;
  sendQueue(now: 'blocked' | 'progress' | 'drained'): void;
  /** Room again after write() answered false. */
  writable(): void;
}

/** How long a connection that we close may take to carry its last octets; then it is cut. */
const lingerTime = seconds(2);

export class Connection {
  readonly id: ConnectionId;
  readonly socket: Socket;
  /** Resolves when the socket is gone, at most `lingerTime` after close(). */
  readonly gone: Promise<void>;
  private readonly stream = new MessageStream();
  private readonly handlers: ConnectionHandlers;
  private readonly clock: Clock;
  private wasConnected = false;
  private over = false;
  private paused = false;
  private blocked = false;
  /** Octets read that no frame has taken yet. */
  private buffered = 0;

  constructor(id: ConnectionId, socket: Socket, clock: Clock, handlers: ConnectionHandlers) {
    this.id = id;
    this.socket = socket;
    this.clock = clock;
    this.handlers = handlers;
    this.gone = new Promise((resolve) => {
      socket.once('close', () => {
        resolve();
        this.fail({ code: 'SESSION_CONNECTION_CLOSED', text: 'the connection was closed without a NOTIFICATION' });
      });
    });
    socket.on('connect', () => {
      this.wasConnected = true;
      if (!this.over) this.handlers.connected();
    });
    socket.on('data', (chunk: Buffer) => this.read(chunk));
    socket.on('end', () =>
      this.fail({ code: 'SESSION_CONNECTION_CLOSED', text: 'the peer closed the connection without a NOTIFICATION' }),
    );
    socket.on('error', (error) => this.fail(errorOfSocket(error, this.wasConnected)));
    socket.on('drain', () => {
      if (!this.over) this.handlers.writable();
    });
  }

  /** For a socket that was accepted: it is connected and has not been read. */
  begin(): void {
    this.wasConnected = true;
    if (!this.paused) this.socket.resume();
  }

  /** Longest message that may come (RFC 8654). */
  set longest(octets: number) {
    this.stream.longest = octets;
  }

  get pending(): PendingInput {
    return {
      connection: this.id,
      unread: (this.paused && (this.buffered > 0 || this.socket.readableLength > 0)) || this.polls(POLLIN),
      partialBytes: this.buffered,
    };
  }

  /** Whole messages; false: the socket is full. The octets are taken in either case. */
  write(bytes: Uint8Array): boolean {
    // The peer has reset the connection: writing would fail and throw away the NOTIFICATION that may lie unread before it.
    if (this.over || (!this.paused && this.polls(POLLERR | POLLHUP))) return true;
    const room = this.socket.write(bytes, () => this.written());
    if (this.socket.writableLength > 0 && !this.blocked) {
      this.blocked = true;
      this.handlers.sendQueue('blocked');
    }
    return room;
  }

  pause(): void {
    this.paused = true;
    this.socket.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.drain();
    if (!this.isPaused() && !this.over) this.socket.resume();
  }

  /** Closes after what was written is out; what still comes is thrown away, or the kernel would answer it with RST. */
  close(): void {
    if (this.over) return;
    this.over = true;
    this.socket.resume();
    this.socket.end();
    const cancel = this.clock.at(after(this.clock.now(), lingerTime), () => this.socket.destroy());
    this.socket.once('close', cancel);
  }

  abort(): void {
    this.over = true;
    this.socket.destroy();
  }

  private isPaused(): boolean {
    return this.paused;
  }

  /** What the kernel says about the connection now. */
  private polls(events: number): boolean {
    const fd = descriptorOf(this.socket);
    if (fd === undefined || !this.wasConnected) return false;
    return (pollDescriptor(fd, events, 0) & events) !== 0;
  }

  private read(chunk: Buffer): void {
    if (this.over) return;
    this.buffered += chunk.length;
    // A view of a plain array is cut into messages at half the price of a Buffer.
    this.stream.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
    this.drain();
  }

  private drain(): void {
    let first = true;
    while (!this.over && !this.paused) {
      const framing = this.stream.next();
      if (framing.kind === 'incomplete') break;
      if (framing.kind === 'invalid') {
        this.handlers.invalid(framing.reset);
        break;
      }
      this.buffered -= framing.frame.bytes.length;
      this.handlers.frame(framing.frame, first);
      first = false;
    }
    if (!this.over) this.handlers.chunkDone();
  }

  private written(): void {
    if (!this.blocked || this.over) return;
    const drained = this.socket.writableLength === 0;
    if (drained) this.blocked = false;
    this.handlers.sendQueue(drained ? 'drained' : 'progress');
  }

  private fail(error: SessionError): void {
    if (this.over) return;
    this.over = true;
    this.handlers.failed(error);
  }
}
