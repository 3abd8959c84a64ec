/** Snapshots of an agent for tests of what is made of them. */
import type { ObservedBfdSession } from '#bgp/bfd/control-messages.ts';
import { noBfd } from '#bgp/bfd/facts.ts';
import type { BfdIntent, BgpFacts, PeerFacts, PeerIntent } from '#bgp/engine.ts';
import type { PodFacts } from '#ipam/intent.ts';
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import type { Snapshot } from '#status/snapshot.ts';

const ip = (text: string): IpAddress => text as IpAddress;

export const podFacts = (changes: Partial<PodFacts> = {}): PodFacts => ({
  generation: 1,
  pods: 1,
  blocks: [],
  foreignLinks: [],
  outsideBlocks: [],
  fencedOutsideBlocks: [],
  demand: { choices: [], addresses: [] },
  fixedAddresses: [],
  refusals: [],
  repairs: {},
  problems: [],
  mtu: 1500,
  ...changes,
});

export const peerIntent = (name: string, changes: Partial<PeerIntent> = {}): PeerIntent => ({
  name,
  address: ip('192.0.2.1'),
  port: 179,
  peerAsn: 65100 as Asn,
  localAsn: 65001 as Asn,
  families: ['ipv4', 'ipv6'],
  password: 'not for anybody',
  sourceAddress: undefined,
  passive: false,
  holdTime: seconds(90),
  connectRetryTime: seconds(120),
  ebgpMultihop: 1,
  importPolicy: 'None',
  filters: [],
  transit: false,
  maxPrefixes: 10_000,
  gracefulRestart: { enabled: true, restartTime: seconds(120) },
  allowedLocalAsns: 0,
  enabled: true,
  ...changes,
});

/** 50 ms x 3, single hop. */
export const bfdIntent = (changes: Partial<BfdIntent> = {}): BfdIntent => ({
  receiveInterval: milliseconds(50),
  transmitInterval: milliseconds(50),
  detectMultiplier: 3,
  passive: false,
  minimumTtl: 254,
  multihop: false,
  ...changes,
});

/** Up; what BFD's process tells of it. */
export const bfdSession = (name: string, changes: Partial<ObservedBfdSession> = {}): ObservedBfdSession => ({
  name,
  remote: ip('192.0.2.1'),
  hops: 'single',
  state: 'Up',
  diagnostic: 0,
  remoteState: 'Up',
  remoteDiagnostic: 0,
  remoteControlPlaneIndependent: true,
  since: Date.UTC(2026, 0, 1),
  failed: false,
  failures: 0,
  changes: 2,
  transmitIntervalMilliseconds: 50,
  detectionTimeMilliseconds: 150,
  sent: 1,
  received: 1,
  ...changes,
});

export const bfdRuns = { state: 'running', pid: 7, program: '1.2.3', notRealTime: undefined } as const;

export const peerFacts = (name: string, changes: Partial<PeerFacts> = {}): PeerFacts => ({
  name,
  address: ip('192.0.2.1'),
  peerAsn: 65100 as Asn,
  state: 'Established',
  since: Date.UTC(2026, 0, 1),
  families: ['ipv4', 'ipv6'],
  holdTimeSeconds: 90,
  capabilities: ['multiprotocol ipv4', 'graceful restart'],
  routerId: ip('192.0.2.1'),
  localAddress: ip('192.0.2.2'),
  received: { ipv4: 200, ipv6: 14 },
  accepted: { ipv4: 1, ipv6: 0 },
  announced: { ipv4: 2, ipv6: 2 },
  leftOut: undefined,
  noNextHop: [],
  flaps: 3,
  lastError: undefined,
  retryAt: undefined,
  drops: { signature: 0, hopLimit: 0 },
  messages: { received: 10, sent: 11 },
  gracefulRestart: { peerRestartTimeSeconds: 120, peerForwarding: ['ipv4'], notification: false },
  ...changes,
});

export const bgpFacts = (peers: readonly PeerFacts[]): BgpFacts => ({
  generation: 7,
  listening: 179,
  listenError: undefined,
  peers,
  announced: [{ prefix: '10.60.1.0/26' as Prefix, peers: peers.map((peer) => peer.name) }],
  routes: { ipv4: { prefixes: 5, paths: 9, best: 5 }, ipv6: { prefixes: 1, paths: 1, best: 1 } },
});

export const snapshot = (changes: Partial<Snapshot> = {}): Snapshot => ({
  node: 'node-1',
  version: '0.1.0',
  pid: 42,
  startedAt: Date.UTC(2026, 0, 1),
  now: Date.UTC(2026, 0, 1, 2, 14),
  state: 'running',
  waitingFor: [],
  generation: 7,
  bgpIntent: {
    asn: 65001 as Asn,
    routerId: ip('192.0.2.2'),
    listenPort: 179,
    peers: [peerIntent('tor-a'), peerIntent('tor-b')],
    announcements: [],
    ownPrefixes: [],
    multipath: { maximumPaths: 8, relax: true },
  },
  bgp: bgpFacts([
    peerFacts('tor-a'),
    peerFacts('tor-b', {
      state: 'Idle',
      lastError: { code: 'SESSION_HOLD_TIMER_EXPIRED', text: 'nothing heard for 90 s', at: Date.UTC(2026, 0, 1) },
    }),
  ]),
  kernel: {
    generation: 7,
    blackholes: ['10.60.1.0/26' as Prefix],
    learnedRoutes: { ipv4: 5, ipv6: 1 },
    routeConflicts: [],
    repairs: { 'learned route': 2 },
    problems: [],
  },
  pods: podFacts({
    generation: 6,
    pods: 2,
    blocks: [{ pool: 'node', cidr: '10.60.1.0/26' as Prefix, capacity: 62, used: 2, fenced: 1 }],
  }),
  pools: [{ name: 'node', blocks: ['10.60.1.0/26' as Prefix], assignmentMode: 'Automatic', disabled: false }],
  growth: [{ pool: 'node', family: 'ipv4', perHour: 30 }],
  bfd: noBfd,
  conflist: undefined,
  cluster: undefined,
  threads: ['bgp', 'background', 'pods'].map((name) => ({
    name,
    state: 'running',
    restarts: 0,
    delayP50Seconds: 0.0101,
    delayP99Seconds: 0.012,
    delayMaxSeconds: 0.02,
    stuck: undefined,
  })),
  conditions: [],
  objectConditions: [],
  firstSessionSeconds: 1.1,
  ...changes,
});
