/**
 * One BGP session in a process of its own, so that it can live in any network namespace. Argument: SessionProcessOptions
 * as JSON. Writes a SessionReport as one line of JSON whenever something changed. SIGTERM stops it with a Cease, SIGINT
 * silently; SIGUSR2 puts `nextPassword` on it and asks for all routes ten times a second from then on.
 */
import { readFileSync } from 'node:fs';
import type { Asn, IpAddress } from '#lib/ip.ts';
import { seconds, systemClock } from '#lib/time.ts';
import type { TcpAoKey } from '#bgp/engine.ts';
import { createListener } from '#bgp/io/listener.ts';
import { createSession } from '#bgp/io/session-runner.ts';
import { encodeRouteRefresh } from '#bgp/wire/message.ts';
import { cease } from '#bgp/wire/notification.ts';

export interface SessionProcessOptions {
  readonly routerId: string;
  readonly localAsn: number;
  readonly peerAsn: number;
  readonly address: string;
  /** Of a link-local address. */
  readonly interface?: string;
  readonly source?: string;
  readonly passive?: boolean;
  readonly listenPort?: number;
  readonly password?: string;
  readonly nextPassword?: string;
  readonly tcpAo?: readonly TcpAoKey[];
  readonly holdTimeSeconds?: number;
  readonly connectRetrySeconds?: number;
  /** Connections over this interface are refused. */
  readonly refusedInterface?: string;
  readonly ttlSecurity?: number;
  /** Another address that may connect, of a peer without GTSM. */
  readonly stranger?: string;
}

export interface SessionReport {
  readonly state: string;
  readonly ups: number;
  readonly downs: readonly string[];
  /** Milliseconds without a message of the peer before each of them. */
  readonly silences: readonly number[];
  readonly codes: readonly string[];
  readonly text: string;
  readonly received: number;
  readonly localAddress: string | undefined;
  readonly interfaceIndex: number | undefined;
  readonly refused: { readonly unknownAddress: number; readonly interface: number; readonly key: number };
  readonly listening: number | undefined;
  readonly rekeyed: boolean;
}

const options = JSON.parse(process.argv[2] ?? '{}') as SessionProcessOptions;
const indexOf = (name: string): number => Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
const refusedIndex = options.refusedInterface === undefined ? undefined : indexOf(options.refusedInterface);
const report = {
  ups: 0,
  downs: [] as string[],
  silences: [] as number[],
  codes: [] as string[],
  localAddress: undefined as string | undefined,
  interfaceIndex: undefined as number | undefined,
};
let rekeyed = false;
let last = '';
let heard = { messages: 0, at: performance.now() };

function write(): void {
  const code = session.lastError?.code;
  if (code !== undefined && report.codes.at(-1) !== code) report.codes.push(code);
  const line: SessionReport = {
    ...report,
    state: session.state,
    text: session.lastError?.text ?? '',
    received: session.messages.received,
    refused: listener.refused,
    listening: listener.listening,
    rekeyed,
  };
  const text = JSON.stringify(line);
  if (text !== last) process.stdout.write(`${text}\n`);
  last = text;
}

const listener = createListener(
  { port: options.listenPort },
  { clock: systemClock, changed: () => undefined, refusesInterface: (index) => index === refusedIndex },
);
const session = createSession(
  {
    peer: {
      name: 'peer',
      address: options.address as IpAddress,
      port: 179,
      peerAsn: options.peerAsn as Asn,
      localAsn: options.localAsn as Asn,
      families: ['ipv4', 'ipv6'],
      password: options.password,
      tcpAo: options.tcpAo,
      sourceAddress: options.source as IpAddress | undefined,
      passive: options.passive ?? false,
      holdTime: seconds(options.holdTimeSeconds ?? 9),
      connectRetryTime: seconds(options.connectRetrySeconds ?? 1),
      ebgpMultihop: 1,
      importPolicy: 'All',
      filters: [],
      transit: false,
      maxPrefixes: 1000,
      gracefulRestart: { enabled: true, restartTime: seconds(120) },
      allowedLocalAsns: 0,
      enabled: true,
      ttlSecurity: options.ttlSecurity,
    },
    interface:
      options.interface === undefined ? undefined : { name: options.interface, index: indexOf(options.interface) },
    local: {
      routerId: options.routerId as IpAddress,
      capabilities: { enhancedRouteRefresh: true, extendedMessage: true, extendedNextHop: false },
    },
  },
  {
    clock: systemClock,
    wallClock: Date.now,
    random: Math.random,
    listener,
    gracefulRestart: () => ({
      restartTimeSeconds: 120,
      restarted: false,
      notification: false,
      families: [{ family: 'ipv4', forwarding: false }],
    }),
    handlers: {
      established: (negotiated) => {
        report.ups++;
        report.localAddress = negotiated.localAddress;
        report.interfaceIndex = negotiated.interfaceIndex;
      },
      update: () => undefined,
      routeRefresh: () => undefined,
      writable: () => undefined,
      down: ({ code, keepRoutes }) => {
        report.downs.push(keepRoutes ? `${code} keep` : code);
        report.silences.push(Math.round(performance.now() - heard.at));
      },
      changed: () => write(),
      counted: () => {
        const { received } = session.messages;
        if (received !== heard.messages) heard = { messages: received, at: performance.now() };
        write();
      },
    },
  },
);

if (options.stranger !== undefined)
  listener.register({
    address: options.stranger as IpAddress,
    password: undefined,
    minimumHopLimit: undefined,
    accept: (socket) => socket.destroy(),
  });

async function end(how: 'silent' | ReturnType<typeof cease>): Promise<void> {
  await session.stop(how);
  await listener.close();
  process.exit(0);
}

process.on('SIGTERM', () => void end(cease(2, 'test is over')));
process.on('SIGINT', () => void end('silent'));
process.on('SIGUSR2', () => {
  session.setPassword(options.nextPassword);
  rekeyed = true;
  setInterval(() => session.send(encodeRouteRefresh({ afi: 1, safi: 1, subtype: 0 })), 100);
  write();
});
session.start();
write();
