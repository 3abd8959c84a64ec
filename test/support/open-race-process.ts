/**
 * One side of many simultaneous opens: as many sessions as asked for, each with a peer of its own on loopback, all started at
 * the same moment. Argument: OpenRaceOptions as JSON. Says `listening` to its parent, begins when it is told to, and sends
 * what became of the sessions when all have stood for a while or the time is up.
 */
import type { Asn, IpAddress } from '#lib/ip.ts';
import { seconds, systemClock } from '#lib/time.ts';
import { createListener } from '#bgp/io/listener.ts';
import { createSession } from '#bgp/io/session-runner.ts';
import type { PeerIntent } from '#bgp/engine.ts';
import { cease } from '#bgp/wire/notification.ts';

export interface OpenRaceOptions {
  readonly side: 1 | 2;
  readonly sessions: number;
  readonly port: number;
  readonly peerPort: number;
}

export interface OpenRaceReport {
  /** Milliseconds until each session was up for good; `undefined`: it is not. */
  readonly settled: readonly (number | undefined)[];
  /** Times that each was established. */
  readonly ups: readonly number[];
  readonly errors: Readonly<Record<string, number>>;
}

export const racePeer = (overrides: Partial<PeerIntent> & Pick<PeerIntent, 'name' | 'address'>): PeerIntent => ({
  port: 179,
  peerAsn: 64513 as Asn,
  localAsn: 64512 as Asn,
  families: ['ipv4'],
  password: undefined,
  sourceAddress: undefined,
  passive: false,
  holdTime: seconds(9),
  connectRetryTime: seconds(120),
  ebgpMultihop: 1,
  importPolicy: 'All',
  filters: [],
  transit: false,
  maxPrefixes: 1000,
  gracefulRestart: { enabled: true, restartTime: seconds(120) },
  allowedLocalAsns: 0,
  enabled: true,
  ...overrides,
});

/** All have to be up at once for this long. */
const restMilliseconds = 300;
const deadlineMilliseconds = 30_000;

async function play({ side, sessions, port, peerPort }: OpenRaceOptions): Promise<void> {
  const other = 3 - side;
  const asn = (of: number): Asn => (64511 + of) as Asn;
  const listener = createListener({ port }, { clock: systemClock, changed: () => undefined });
  const settled: (number | undefined)[] = Array.from({ length: sessions }, () => undefined);
  const ups: number[] = Array.from({ length: sessions }, () => 0);
  const errors: Record<string, number> = {};
  let began = 0;
  const made = settled.map((_, i) =>
    createSession(
      {
        peer: racePeer({
          name: `peer-${i}`,
          address: `127.${10 + other}.${i >> 7}.${1 + (i & 127)}` as IpAddress,
          sourceAddress: `127.${10 + side}.${i >> 7}.${1 + (i & 127)}` as IpAddress,
          port: peerPort,
          localAsn: asn(side),
          peerAsn: asn(other),
        }),
        local: {
          routerId: `10.0.0.${side}` as IpAddress,
          capabilities: { enhancedRouteRefresh: true, extendedMessage: true, extendedNextHop: false },
        },
      },
      {
        clock: systemClock,
        wallClock: () => Date.now(),
        random: Math.random,
        listener,
        gracefulRestart: () => undefined,
        handlers: {
          established: () => {
            ups[i] = (ups[i] ?? 0) + 1;
            settled[i] = performance.now() - began;
          },
          update: () => undefined,
          routeRefresh: () => undefined,
          writable: () => undefined,
          down: ({ code, text }) => {
            settled[i] = undefined;
            const what = `${code} ${text}`;
            errors[what] = (errors[what] ?? 0) + 1;
          },
          changed: () => undefined,
          counted: () => undefined,
        },
      },
    ),
  );
  process.send?.('listening');
  await new Promise((resolve) => process.once('message', resolve));
  began = performance.now();
  for (const session of made) session.start();
  let rested = performance.now();
  while (performance.now() - rested < restMilliseconds && performance.now() - began < deadlineMilliseconds) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (made.some(({ state }) => state !== 'Established')) rested = performance.now();
  }
  const report: OpenRaceReport = { settled, ups, errors };
  process.send?.(report);
  await new Promise((resolve) => process.once('message', resolve));
  await Promise.all(made.map((session) => session.stop(cease(2, 'the race is over'))));
  await listener.close();
  process.exit(0);
}

if (process.argv[1] === import.meta.filename) await play(JSON.parse(process.argv[2] ?? '{}') as OpenRaceOptions);
