/**
 * A program that sends numbered datagrams at a constant rate and counts those that come, to the last one. It runs at both
 * ends of a path; each end hears of the other's losses by the numbers that are missing.
 *
 *   streams.ts PORT RATE SECONDS LOCAL,REMOTE...   one stream each way for each pair of addresses, RATE datagrams a second;
 *       prints "heard REMOTE" when the first datagram of one has come, "running" when that of each has, stops sending and prints
 *       "stopped" at SIGINT or after SECONDS, and prints StreamReport[] at SIGTERM, when nothing has come for a second: whoever
 *       sends it knows that the other end has stopped, however long that one had to wait for its turn
 *
 * Sending catches up with the clock, so a process that had to wait for its turn sends more at once and none less.
 */
import { type Socket, createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import type { IpAddress } from '#lib/ip.ts';
import { setThreadPriority } from '#linux/priority.ts';
import { setSocketBuffers } from '#linux/socket-options.ts';
import { bindInternet, openUdpSocket } from '#linux/socket.ts';

/** Numbers that did not come, and when their neighbours were sent (wall clock, milliseconds). */
export interface StreamGap {
  readonly first: number;
  readonly last: number;
  readonly from: number;
  readonly to: number;
}

/** One pair of addresses, seen from one end. */
export interface StreamReport {
  readonly local: string;
  readonly remote: string;
  readonly sent: number;
  /** The number that came first; what was sent before is not counted as lost. */
  readonly firstNumber: number;
  readonly lastNumber: number;
  /** Different numbers that came. */
  readonly received: number;
  readonly duplicates: number;
  readonly gaps: readonly StreamGap[];
  /** Datagrams that the receiving socket had no room for: this program's loss, not the path's. */
  readonly overflowed: number;
  /** What the socket complained of: as a rule ICMP errors that answer what was sent. */
  readonly errors: Readonly<Record<string, number>>;
}

/** A report names this many gaps. */
const mostGaps = 20;
const quietMilliseconds = 1000;
const socketBytes = 16 * 1024 * 1024;
/** Four hours at 1000 a second. */
const mostNumbers = 1 << 24;

class Stream {
  readonly local: string;
  readonly remote: string;
  readonly socket: Socket;
  readonly connected: Promise<void>;
  sent = 0;
  #first = -1;
  #last = -1;
  #received = 0;
  #duplicates = 0;
  readonly #errors: Record<string, number> = {};
  /** When each number was sent, as its sender says; 0: it did not come. */
  readonly #sentAt = new Float64Array(mostNumbers);
  readonly #datagram = Buffer.alloc(12);

  constructor(pair: string, port: number) {
    const [local = '', remote = ''] = pair.split(',');
    this.local = local;
    this.remote = remote;
    const family = isIPv6(remote) ? 'ipv6' : 'ipv4';
    // Made here: Node does not say the descriptor of a socket of its own.
    const fd = openUdpSocket(family);
    setSocketBuffers(fd, socketBytes, socketBytes);
    bindInternet(fd, local as IpAddress, port);
    this.socket = createSocket(family === 'ipv6' ? 'udp6' : 'udp4');
    this.socket.on('message', (message) => this.#hear(message));
    // A path that is away for a moment answers with an ICMP error: that is a lost datagram, not the end.
    this.socket.on('error', (error) => this.#note(error));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.connected = promise;
    this.socket.bind({ fd }, () => this.socket.connect(port, remote, resolve));
  }

  get hasHeard(): boolean {
    return this.#received > 0;
  }
  get received(): number {
    return this.#received;
  }

  send(upTo: number): void {
    for (; this.sent < upTo; this.sent++) {
      this.#datagram.writeUInt32BE(this.sent, 0);
      this.#datagram.writeDoubleBE(Date.now(), 4);
      this.socket.send(Buffer.from(this.#datagram), (error) => {
        if (error !== null) this.#note(error);
      });
    }
  }

  #note(error: NodeJS.ErrnoException): void {
    const code = error.code ?? error.message;
    this.#errors[code] = (this.#errors[code] ?? 0) + 1;
  }

  #hear(message: Buffer): void {
    if (message.length !== 12) return;
    const number = message.readUInt32BE(0);
    if (number >= mostNumbers) return;
    if (this.#first < 0) {
      this.#first = number;
      console.log(`heard ${this.remote}`);
    }
    if (this.#sentAt[number] !== 0) this.#duplicates++;
    else this.#received++;
    this.#sentAt[number] = message.readDoubleBE(4);
    this.#last = Math.max(this.#last, number);
  }

  report(overflowed: number): StreamReport {
    const gaps: StreamGap[] = [];
    for (let number = this.#first; number <= this.#last && gaps.length < mostGaps; number++) {
      if (this.#sentAt[number] !== 0) continue;
      const first = number;
      while (this.#sentAt[number] === 0) number++;
      gaps.push({ first, last: number - 1, from: this.#sentAt[first - 1] ?? 0, to: this.#sentAt[number] ?? 0 });
    }
    return {
      local: this.local,
      remote: this.remote,
      sent: this.sent,
      firstNumber: this.#first,
      lastNumber: this.#last,
      received: this.#received,
      duplicates: this.#duplicates,
      gaps,
      overflowed,
      errors: this.#errors,
    };
  }
}

/** The last column of /proc/net/udp and /proc/net/udp6 for the sockets of this port. */
function overflows(port: number): number {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let drops = 0;
  for (const file of ['/proc/self/net/udp', '/proc/self/net/udp6'])
    for (const line of readFileSync(file, 'utf8').split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/);
      if (columns[1]?.endsWith(suffix) === true) drops += Number(columns.at(-1));
    }
  return drops;
}

async function main(port: number, rate: number, atMostSeconds: number, pairs: readonly string[]): Promise<void> {
  setThreadPriority(-10);
  const streams = pairs.map((pair) => new Stream(pair, port));
  await Promise.all(streams.map((stream) => stream.connected));
  let told = false;
  const began = performance.now();
  const sending = setInterval(() => {
    const due = Math.floor(((performance.now() - began) * rate) / 1000);
    for (const stream of streams) stream.send(due);
    if (!told && streams.every((stream) => stream.hasHeard)) {
      told = true;
      console.log('running');
    }
  }, 1);
  let isSending = true;
  const finish = (): void => {
    if (!isSending) return;
    isSending = false;
    clearInterval(sending);
    console.log('stopped');
  };
  const report = (): void => {
    finish();
    let before = -1;
    const look = (): void => {
      const received = streams.reduce((sum, stream) => sum + stream.received, 0);
      if (received !== before) {
        before = received;
        return;
      }
      clearInterval(quiet);
      const overflowed = overflows(port);
      console.log(JSON.stringify(streams.map((stream) => stream.report(overflowed))));
      process.exit(0);
    };
    // Timers come before sockets in a turn of the loop: what waits there after a long one is read before it is counted.
    const quiet = setInterval(() => setImmediate(look), quietMilliseconds);
  };
  process.on('SIGINT', finish);
  process.once('SIGTERM', report);
  setTimeout(finish, atMostSeconds * 1000).unref();
}

const [port = '', rate = '', atMostSeconds = '', ...pairs] = process.argv.slice(2);
if (pairs.length === 0) {
  console.error('usage: streams.ts PORT RATE SECONDS LOCAL,REMOTE...');
  process.exit(2);
}
await main(Number(port), Number(rate), Number(atMostSeconds), pairs);
