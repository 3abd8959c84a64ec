/**
 * What the engine says about itself. In: the peers and tables as they are; out: BgpFacts, at most ten a second while things
 * change and once more when they have come to rest.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import { families, familyOf } from '#lib/ip.ts';
import type { Clock, Duration, Instant } from '#lib/time.ts';
import { after, between, milliseconds } from '#lib/time.ts';
import type { BgpFacts, BgpIntent, PeerFacts, PeerIntent } from '../engine.ts';
import type { Listener } from '../io/listener.ts';
import type { DroppedSegments } from '../io/dropped-segments.ts';
import type { NextHops } from '../rib/next-hops.ts';
import { formatCapability } from '../wire/capabilities.ts';
import { familyOfAfi } from '../wire/codes.ts';
import { identifierText } from '../wire/negotiate.ts';
import type { Core } from './core.ts';
import type { Peer } from './peer.ts';
import type { PeerOutput } from './peer-output.ts';

/** How long facts wait after the last ones: soon when something happened, later when only messages were counted. */
interface Pace {
  readonly shortest: Duration;
  readonly longest: Duration;
  /** Times what the last facts took: with a thousand peers they are dear, and sessions wait meanwhile. */
  readonly rest: number;
}
const soon: Pace = { shortest: milliseconds(100), longest: milliseconds(1000), rest: 20 };
const later: Pace = { shortest: milliseconds(1000), longest: milliseconds(10_000), rest: 400 };

/** Runs `publish` after a change, and not more often than it may. */
export class FactsPacer {
  readonly #clock: Clock;
  readonly #publish: () => void;
  #last: Instant | undefined;
  #cost = milliseconds(0);
  #due: Instant | undefined;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(clock: Clock, publish: () => void) {
    this.#clock = clock;
    this.#publish = publish;
  }

  changed(): void {
    this.#arm(soon);
  }

  /** Nothing that anybody acts on changed. */
  counted(): void {
    if (this.#due === undefined) this.#arm(later);
  }

  #arm({ shortest, longest, rest }: Pace): void {
    if (this.#stopped) return;
    const wait = milliseconds(Math.min(Math.max(shortest, rest * this.#cost), longest));
    const now = this.#clock.now();
    const at = this.#last === undefined ? now : after(this.#last, wait);
    const due = at > now ? at : now;
    if (this.#due !== undefined && this.#due <= due) return;
    this.#cancel?.();
    this.#due = due;
    this.#cancel = this.#clock.at(due, () => this.#run());
  }

  #run(): void {
    this.#due = undefined;
    this.#last = this.#clock.now();
    this.#publish();
    this.#cost = between(this.#last, this.#clock.now());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }
}

const perFamily = (count: (family: Family) => number): Record<Family, number> => ({
  ipv4: count('ipv4'),
  ipv6: count('ipv6'),
});

/** More gateways of one peer are no router's any more. */
const mostGateways = 64;

/** Of a peer with BFD: what a failure of the path to `address` takes away. */
export function pathFacts(
  intent: PeerIntent,
  address: IpAddress,
  interfaceIndex: number | undefined,
  nextHops: NextHops,
): PeerFacts['path'] {
  if (intent.bfd === undefined || intent.listenRange !== undefined) return undefined;
  return {
    onLink: nextHops.isOnLink(address, interfaceIndex),
    gateways: nextHops.gatewaysOf(intent.name, address, interfaceIndex).slice(0, mostGateways),
  };
}

const mostNamed = 5;

function leftOut(output: PeerOutput): PeerFacts['leftOut'] {
  const outputs = families.flatMap((family) => output.ribOut(family) ?? []);
  const count = outputs.reduce((sum, { group }) => sum + group.leftOut.size, 0);
  if (count === 0) return undefined;
  const some = outputs.flatMap(({ group, rib }) =>
    [...group.leftOut.values().take(mostNamed)].map((prefix) => rib.table.prefix(prefix)),
  );
  return { count, some: some.slice(0, mostNamed) };
}

function peerFacts(peer: Peer, core: Core, dropped: DroppedSegments): PeerFacts {
  const { intent, session, negotiated, adjacency, output } = peer;
  const restart = negotiated?.gracefulRestart;
  return {
    name: intent.name,
    address: peer.endpoint?.address ?? intent.address,
    peerAsn: negotiated?.context.peerAsn ?? intent.peerAsn,
    state: session?.state ?? 'Idle',
    since: peer.since,
    families: negotiated?.context.families ?? [],
    addPath: negotiated?.context.addPath,
    holdTimeSeconds: negotiated === undefined ? undefined : negotiated.holdTime / 1000,
    capabilities: (negotiated?.peerCapabilities ?? []).map(formatCapability),
    routerId: negotiated === undefined ? undefined : identifierText(negotiated.peerIdentifier),
    localAddress: negotiated?.localAddress,
    received: perFamily((family) => adjacency?.received[family] ?? 0),
    accepted: perFamily((family) => adjacency?.accepted[family] ?? 0),
    announced: perFamily((family) => output?.ribOut(family)?.announced ?? 0),
    leftOut: output && leftOut(output),
    noNextHop: output?.noNextHop ?? [],
    flaps: peer.flaps,
    lastError: session === undefined ? peer.hold.why : session.lastError,
    retryAt: peer.retryAt,
    drops: peer.drops(dropped),
    messages: session === undefined ? { received: 0, sent: 0 } : { ...session.messages },
    gracefulRestart:
      restart === undefined
        ? undefined
        : {
            peerRestartTimeSeconds: restart.restartTimeSeconds,
            peerForwarding: restart.families.flatMap(({ afi, safi, forwarding }) =>
              forwarding ? (familyOfAfi(afi, safi) ?? []) : [],
            ),
            notification: negotiated?.notificationRestart ?? false,
            longLived: negotiated?.longLivedGracefulRestart !== undefined,
          },
    path: peer.endpoint && pathFacts(peer.intent, peer.endpoint.address, peer.endpoint.interface?.index, core.nextHops),
    neighbour: neighbourFacts(peer),
  };
}

function neighbourFacts({ neighbour }: Peer): PeerFacts['neighbour'] {
  if (neighbour === undefined) return undefined;
  const { name, state, others, problem } = neighbour;
  return { interface: name, state, others, problem };
}

export function factsOf(
  intent: BgpIntent | undefined,
  generation: number,
  core: Core,
  peers: ReadonlyMap<string, Peer>,
  listener: Listener | undefined,
  dropped: DroppedSegments,
  optionMemory: number | undefined,
  range: (peer: Peer) => Pick<PeerFacts, 'range' | 'lastError'> | undefined,
): BgpFacts {
  const all = [...peers.values()];
  const announced = (intent?.announcements ?? []).map(({ prefix }) => {
    const family = familyOf(prefix);
    const id = core.ribs[family].local.get(prefix) ?? 0;
    return {
      prefix,
      peers: all
        .filter((peer) => id !== 0 && peer.output?.ribOut(family)?.hasPrefix(id) === true)
        .map((peer) => peer.intent.name),
    };
  });
  const table = (family: Family): { prefixes: number; paths: number; best: number } => {
    const rib = core.ribs[family];
    return { prefixes: rib.table.size, paths: rib.paths.size, best: rib.bestCount };
  };

  return {
    generation,
    listening: listener?.listening,
    listenError: listener?.listenError,
    optionMemory,
    peers: all.map((peer) => ({ ...peerFacts(peer, core, dropped), ...range(peer) })),
    announced,
    routes: { ipv4: table('ipv4'), ipv6: table('ipv6') },
  };
}
