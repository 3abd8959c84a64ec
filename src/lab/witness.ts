/**
 * A program that runs in pods and on the VMs of a lab and says what it sees: it answers each TCP connection and each
 * UDP datagram with the address that it came from, so that nobody can claim a source address that was translated.
 *
 *   witness.ts listen PORT NAME             TCP and UDP; both answer "NAME PEER-ADDRESS\n"
 *   witness.ts ask PORT TARGET...           asks each target, prints one line each: TARGET TAB answer; a target is an
 *                                           address, or `udp:` and an address: that from one source port, always the same
 *   witness.ts flows PORT MS SECONDS ADDRESS...   UDP probes, one flow (source port) for each address, one probe every MS;
 *                                           ends at SIGINT, which stands for "enough", or after SECONDS; prints FlowReport
 */
import { createSocket } from 'node:dgram';
import { connect, createServer, isIPv6 } from 'node:net';
import type { AddressInfo } from 'node:net';

/** What one UDP flow went through; printed as JSON by `flows`, one line for all. */
export interface FlowReport {
  readonly address: string;
  readonly sourcePort: number;
  readonly sent: number;
  readonly answered: number;
  /** Longest time between two answers, and how long before the end the last one came. */
  readonly longestGapMilliseconds: number;
  /** When the longest gap began, since the flow did. */
  readonly gapAtMilliseconds: number;
  readonly silentAtEndMilliseconds: number;
}

/** An IPv4 peer of a dual-stack socket is written as itself. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, '');

function listen(port: number, name: string): void {
  createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(`${name} ${plain(socket.remoteAddress ?? '?')}\n`);
  }).listen(port, '::', () => console.log('listening'));
  const udp = createSocket('udp6');
  udp.on('message', (_, from) => udp.send(`${name} ${plain(from.address)}\n`, from.port, from.address));
  udp.bind(port);
}

/** Longer than a machine is busy. */
const ANSWER_SECONDS = 20;
const noAnswer = `no answer within ${ANSWER_SECONDS} s`;

function askOne(port: number, address: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: address });
    let answer = '';
    socket.setEncoding('utf8');
    socket.setTimeout(ANSWER_SECONDS * 1000, () => socket.destroy(new Error(noAnswer)));
    socket.on('data', (text: string) => (answer += text));
    socket.on('error', (error) => resolve(`! ${error.message}`));
    socket.on('close', () => resolve(answer.trim() === '' ? '! closed without an answer' : answer.trim()));
  });
}

/** So that a translation which outlived its pod would show. */
const UDP_SOURCE_PORT = 40_053;

function askByUdp(port: number, address: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    const finish = (answer: string): void => {
      clearInterval(again);
      clearTimeout(end);
      socket.close(() => resolve(answer));
    };
    // A datagram may be lost, and what nobody listens for is refused: neither is an answer.
    const again = setInterval(() => socket.send('?', port, address), 200);
    const end = setTimeout(() => finish(`! ${noAnswer}`), ANSWER_SECONDS * 1000);
    socket.on('error', () => undefined);
    socket.once('message', (message) => finish(message.toString().trim()));
    socket.bind(UDP_SOURCE_PORT, () => socket.send('?', port, address));
  });
}

interface Flow {
  readonly address: string;
  readonly socket: ReturnType<typeof createSocket>;
  sent: number;
  answered: number;
  readonly began: number;
  last: number;
  longest: number;
  longestAt: number;
}

async function flows(
  port: number,
  everyMilliseconds: number,
  atMostSeconds: number,
  addresses: string[],
): Promise<void> {
  const all: Flow[] = await Promise.all(
    addresses.map(async (address) => {
      const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
      const began = performance.now();
      const flow: Flow = { address, socket, sent: 0, answered: 0, began, last: began, longest: 0, longestAt: 0 };
      socket.on('message', () => {
        const now = performance.now();
        if (now - flow.last > flow.longest) {
          flow.longest = now - flow.last;
          flow.longestAt = flow.last - flow.began;
        }
        flow.last = now;
        flow.answered++;
      });
      // A path that is away for a moment answers with an ICMP error: that is a lost probe, not the end.
      socket.on('error', () => undefined);
      await new Promise<void>((resolve) => socket.bind(0, () => resolve()));
      return flow;
    }),
  );
  console.log('running');
  const probe = Buffer.from('probe');
  const sending = setInterval(() => {
    for (const flow of all) {
      flow.sent++;
      flow.socket.send(probe, port, flow.address);
    }
  }, everyMilliseconds);
  const finish = (): void => {
    clearInterval(sending);
    const end = performance.now();
    // What is still on its way may arrive.
    setTimeout(() => {
      const reports = all.map(
        (flow): FlowReport => ({
          address: flow.address,
          sourcePort: (flow.socket.address() satisfies AddressInfo).port,
          sent: flow.sent,
          answered: flow.answered,
          longestGapMilliseconds: Math.round(flow.longest),
          gapAtMilliseconds: Math.round(flow.longestAt),
          silentAtEndMilliseconds: Math.max(0, Math.round(end - flow.last)),
        }),
      );
      console.log(JSON.stringify(reports));
      process.exit(0);
    }, 300);
  };
  process.once('SIGINT', finish);
  setTimeout(finish, atMostSeconds * 1000).unref();
}

const [verb, port = '', ...rest] = process.argv.slice(2);
if (verb === 'listen') {
  listen(Number(port), rest[0] ?? '');
} else if (verb === 'ask') {
  // Connections at the same time; datagrams share a port.
  const streams = new Map(rest.filter((it) => !it.startsWith('udp:')).map((it) => [it, askOne(Number(port), it)]));
  for (const target of rest) {
    const answer = streams.get(target) ?? askByUdp(Number(port), target.slice('udp:'.length));
    console.log(`${target}\t${await answer}`);
  }
} else if (verb === 'flows') {
  await flows(Number(port), Number(rest[0]), Number(rest[1]), rest.slice(2));
} else {
  console.error('usage: witness.ts listen PORT NAME | ask PORT TARGET... | flows PORT MS SECONDS ADDRESS...');
  process.exit(2);
}
