/** One end of a BGP connection that a test plays by hand, over loopback: it sends any octets and remembers what came. */
import { type Server, type Socket, connect, createServer } from 'node:net';
import type { Asn } from '#lib/ip.ts';
import { MessageStream } from '#bgp/wire/framing.ts';
import { MESSAGE_TYPE } from '#bgp/wire/messages.ts';
import { openMessage } from '#bgp/wire/negotiate.ts';
import { encodeOpen } from '#bgp/wire/open.ts';
import { encodeKeepalive } from '#bgp/wire/message.ts';
import { eventually as until } from '../../../support/netns.ts';

export const peerAddress = '127.0.0.2';

export interface PeerTraits {
  readonly asn?: number;
  readonly identifier?: number;
  readonly holdTimeSeconds?: number;
  readonly restart?: boolean;
}

export const peerOpen = ({
  asn = 64513,
  identifier = 0x0a000002,
  holdTimeSeconds = 9,
  restart = false,
}: PeerTraits = {}): Uint8Array =>
  encodeOpen(
    openMessage({
      localAsn: asn as Asn,
      identifier,
      holdTimeSeconds,
      families: ['ipv4'],
      enhancedRouteRefresh: false,
      extendedMessage: false,
      extendedNextHop: false,
      gracefulRestart: restart
        ? {
            restarted: false,
            notification: false,
            restartTimeSeconds: 120,
            families: [{ afi: 1, safi: 1, forwarding: true }],
          }
        : undefined,
    }),
  );
export const keepalive = encodeKeepalive();

export class PeerEnd {
  readonly socket: Socket;
  /** Type octets of the messages that came, and for a NOTIFICATION code and subcode: `1`, `4`, `3:6/7`. */
  readonly heard: string[] = [];
  closed = false;
  private readonly stream = new MessageStream();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => (this.closed = true));
    socket.on('end', () => (this.closed = true));
    socket.on('data', (chunk: Buffer) => {
      this.stream.push(chunk);
      for (let framing = this.stream.next(); framing.kind === 'complete'; framing = this.stream.next()) {
        const { type, bytes } = framing.frame;
        this.heard.push(type === MESSAGE_TYPE.NOTIFICATION ? `${type}:${bytes[19]}/${bytes[20]}` : `${type}`);
      }
    });
  }

  send(...messages: readonly Uint8Array[]): void {
    for (const message of messages) this.socket.write(message);
  }

  hears(message: string): Promise<unknown> {
    return until(`the peer hears ${message}, it heard ${this.heard.join(' ')}`, () => this.heard.includes(message));
  }

  ends(): Promise<unknown> {
    return until('the peer sees the end of the connection', () => this.closed);
  }
}

/** Where our session connects to. */
export class PeerListener {
  readonly ends: PeerEnd[] = [];
  private readonly server: Server;

  private constructor(server: Server) {
    this.server = server;
    server.on('connection', (socket) => this.ends.push(new PeerEnd(socket)));
  }

  static async open(): Promise<PeerListener> {
    const server = createServer({ allowHalfOpen: false });
    await new Promise<void>((resolve) => server.listen(0, peerAddress, resolve));
    return new PeerListener(server);
  }

  get port(): number {
    const address = this.server.address();
    return address !== null && typeof address === 'object' ? address.port : 0;
  }

  /** The n-th connection that came. */
  async next(n = 0): Promise<PeerEnd> {
    await until(`connection ${n} comes`, () => this.ends.length > n);
    return this.ends[n] ?? Promise.reject(new Error('gone'));
  }

  async close(): Promise<void> {
    for (const { socket } of this.ends) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** The peer connects to our listener. */
export async function dial(port: number, from = peerAddress): Promise<PeerEnd> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: from });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return new PeerEnd(socket);
}
