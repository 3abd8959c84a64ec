/** A session with a real listener and sockets on loopback, a clock that is moved by hand, and a list of what it told. */
import type { Asn, IpAddress } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { PeerIntent } from '#bgp/engine.ts';
import { type Listener, createListener } from '#bgp/io/listener.ts';
import type { Negotiated, SessionDown } from '#bgp/io/session-port.ts';
import { type LocalGracefulRestart, type Session, createSession } from '#bgp/io/session-runner.ts';
import type { Reset, UpdateMessage } from '#bgp/wire/messages.ts';
import { type ManualClock, manualClock } from '../../../support/manual-clock.ts';
import { eventually as until } from '../../../support/netns.ts';
import { PeerListener, peerAddress } from './scripted-peer.ts';

export interface Told {
  readonly up: Negotiated[];
  readonly down: SessionDown[];
  readonly updates: UpdateMessage[];
  refreshes: number;
  writable: number;
  changed: number;
}

export interface UnderTest {
  readonly session: Session;
  readonly listener: Listener;
  readonly clock: ManualClock;
  readonly told: Told;
  readonly peer: PeerListener;
  /** What `update` answers next. */
  answer: Reset | undefined;
  state(wanted: string): Promise<unknown>;
  fails(code: string): Promise<unknown>;
  /** Waits until the octets that were sent have been read by the session. */
  reads(action: () => void): Promise<void>;
  close(): Promise<void>;
}

export const intentOf = (port: number, more: Partial<PeerIntent> = {}): PeerIntent => ({
  name: 'tor',
  address: peerAddress as IpAddress,
  port,
  peerAsn: 64513 as Asn,
  localAsn: 64512 as Asn,
  families: ['ipv4'],
  password: undefined,
  sourceAddress: '127.0.0.1' as IpAddress,
  passive: false,
  holdTime: seconds(9),
  connectRetryTime: seconds(10),
  ebgpMultihop: 1,
  importPolicy: 'All',
  filters: [],
  transit: false,
  maxPrefixes: 1000,
  gracefulRestart: { enabled: true, restartTime: seconds(120) },
  allowedLocalAsns: 0,
  enabled: true,
  ...more,
});

export interface TestOptions {
  readonly intent?: Partial<PeerIntent>;
  readonly restart?: LocalGracefulRestart;
  readonly refusesInterface?: (index: number) => boolean;
  readonly routerId?: string;
}

export async function underTest(options: TestOptions = {}): Promise<UnderTest> {
  const clock = manualClock();
  const peer = await PeerListener.open();
  const told: Told = { up: [], down: [], updates: [], refreshes: 0, writable: 0, changed: 0 };
  const { refusesInterface } = options;
  const listener = createListener(
    { port: 0 },
    { clock, changed: () => undefined, ...(refusesInterface === undefined ? {} : { refusesInterface }) },
  );
  const session = createSession(
    {
      peer: intentOf(peer.port, options.intent),
      local: {
        routerId: (options.routerId ?? '10.0.0.1') as IpAddress,
        capabilities: { enhancedRouteRefresh: false, extendedMessage: true, extendedNextHop: false },
      },
    },
    {
      clock,
      wallClock: () => 1_700_000_000_000,
      random: () => 0.5,
      listener,
      gracefulRestart: () => options.restart,
      handlers: {
        established: (negotiated) => told.up.push(negotiated),
        update: (message) => {
          told.updates.push(message);
          return test.answer;
        },
        routeRefresh: () => told.refreshes++,
        writable: () => told.writable++,
        down: (reason) => told.down.push(reason),
        changed: () => told.changed++,
        counted: () => told.changed++,
      },
    },
  );
  const test: UnderTest = {
    session,
    listener,
    clock,
    told,
    peer,
    answer: undefined,
    state: (wanted) => until(`state ${wanted}, it is ${session.state}`, () => session.state === wanted),
    fails: (code) => until(`error ${code}, it is ${session.lastError?.code}`, () => session.lastError?.code === code),
    async reads(action) {
      const before = told.changed;
      action();
      await until('the session reads', () => told.changed > before);
    },
    async close() {
      await Promise.all([session.stop('silent'), Promise.resolve().then(() => clock.advance(seconds(2)))]);
      await peer.close();
      await listener.close();
    },
  };
  return test;
}
