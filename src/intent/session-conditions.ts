/** Conditions of BGP: is a session up, are its routes used, is the peer told what it should be. */
import type { PeerFacts, PeerIntent, RangeFacts } from '#bgp/engine.ts';
import { dynamicPeers, isNearLimit, peerAddressText } from '#bgp/engine.ts';
import { neighbourKnown } from './neighbour-conditions.ts';
import { families, familyOf } from '#lib/ip.ts';
import type { Family } from '#lib/ip.ts';
import { gate } from './gate.ts';
import type { Compiled, Condition, Facts, PeerOrigin } from './node-intent.ts';
import { sessionAdvice } from './session-advice.ts';

type Verdict = Pick<Condition, 'status' | 'reason' | 'message'>;

export function sessionConditions(compiled: Compiled, facts: Facts): Condition[] {
  const announced = gate(compiled, facts).bgp?.announcements ?? [];
  const announcedFamilies = new Set(announced.map((it) => familyOf(it.prefix)));
  const observed = new Map((facts.bgp?.peers ?? []).map((peer) => [peer.name, peer]));
  const suspects = suspectsOf(compiled, observed);
  const conditionsOf = (
    peer: PeerIntent,
    origin: PeerOrigin | undefined,
    session: PeerFacts | undefined,
  ): Condition[] => {
    const base = { kind: 'BGPPeer', name: peer.name };
    const found: Condition[] = [{ ...base, type: 'Established', ...established(peer, origin, session, suspects) }];
    if (peer.enabled && session?.range !== undefined)
      found.push({ ...base, type: 'ListenRange', ...listenRange(session.range) });
    if (peer.enabled && session?.neighbour !== undefined)
      found.push({ ...base, type: 'NeighbourKnown', ...neighbourKnown(session, session.neighbour) });
    if (peer.enabled && session?.state === 'Established') {
      found.push({ ...base, type: 'PrefixLimit', ...prefixLimit(peer, session) });
      if (peer.addPath !== undefined)
        found.push({ ...base, type: 'SeveralPaths', ...severalPaths(session, peer.addPath) });
      found.push({ ...base, type: 'RoutesAccepted', ...routesAccepted(peer, session) });
      found.push({ ...base, type: 'RoutesAnnounced', ...routesAnnounced(session, announcedFamilies) });
    }
    return found;
  };
  return (compiled.intent.bgp?.peers ?? []).flatMap((peer, i) => {
    const { listenRange: range, ...session } = peer;
    const children = range === undefined ? [] : dynamicPeers(peer.name, facts.bgp?.peers ?? []);
    return [
      ...conditionsOf(peer, compiled.peers[i], observed.get(peer.name)),
      // Whoever came from a listen range is told of by its own name, `NAME/ADDRESS`.
      ...children.flatMap((child) =>
        conditionsOf({ ...session, name: child.name, address: child.address }, compiled.peers[i], child),
      ),
    ];
  });
}

function listenRange({ prefix, peers, limit, refused }: RangeFacts): Verdict {
  const words = `${peers} of at most ${limit} peers from ${prefix}`;
  if (peers < limit) return { status: 'True', reason: 'ListenRangeOpen', message: `${words}.` };
  return {
    status: 'False',
    reason: 'ListenRangeFull',
    message: `${words}; others are refused (${refused} connections so far). Raise spec.listenRange.limit if they are meant to come.`,
  };
}

function established(
  peer: PeerIntent,
  origin: PeerOrigin | undefined,
  session: PeerFacts | undefined,
  suspects: readonly Suspect[],
): Verdict {
  if (!peer.enabled) {
    return origin?.heldDown === 'AdminDown'
      ? { status: 'False', reason: 'AdminDown', message: `spec.adminState is Down. Set it to Up to open the session.` }
      : { status: 'False', reason: 'NotAccepted', message: 'The session is held down; condition Accepted says why.' };
  }
  if (peer.drain === 'down')
    return {
      status: 'False',
      reason: 'Drained',
      message: `Traffic was taken away by flatroute drain, then the session was ended. flatroute undrain ${peer.name} brings it back.`,
    };
  if (session === undefined)
    return { status: 'Unknown', reason: 'Pending', message: 'The speaker has not reported yet.' };
  if (session.state === 'Established') {
    const since = new Date(session.since).toISOString();
    const message = `Established since ${since} with ${peerAddressText(session)}, AS ${session.peerAsn}, for ${session.families.join(' and ')}.`;
    return { status: 'True', reason: 'Established', message };
  }
  if (session.range !== undefined && session.range.established > 0) {
    const { established: up, prefix } = session.range;
    const message = `${up} session${up === 1 ? '' : 's'} from ${prefix}; \`flatroute peers\` names them.`;
    return { status: 'True', reason: 'Established', message };
  }
  if (session.neighbour !== undefined && session.neighbour.state !== 'found')
    return {
      status: 'False',
      reason: 'NoNeighbour',
      message: 'The session waits for its neighbour; condition NeighbourKnown says why.',
    };
  if (session.lastError?.code === 'SESSION_PEER_SHUTDOWN') {
    const message = `The administrator of ${peerAddressText(session)} holds the session down: ${session.lastError.text}. It comes back by itself when it is allowed there.`;
    return { status: 'False', reason: 'PeerShutdown', message };
  }
  if (session.lastError?.code === 'SESSION_MAXIMUM_PREFIXES' && session.state === 'Idle') {
    const wait =
      session.retryAt === undefined ? 'stays down' : `comes back at ${new Date(session.retryAt).toISOString()}`;
    const message = `${peerAddressText(session)}: ${session.lastError.text}. The session ${wait}; \`flatroute reset ${peer.name}\` brings it back at once. Let the router announce less, or raise spec.maxPrefixes.limit.`;
    return { status: 'False', reason: 'TooManyPrefixes', message };
  }
  if (session.lastError?.code === 'SESSION_PEER_NOT_CONNECTED') {
    const advice = `Set spec.ebgpMultihop (or ttlSecurity) to the hops that it is away, 2 or more between loopbacks; or give this node an address on its subnet.`;
    return { status: 'False', reason: 'PeerNotConnected', message: `${session.lastError.text}. ${advice}` };
  }
  if (session.lastError?.code === 'SESSION_TCP_AO_UNSUPPORTED') {
    const advice = `Run a kernel with CONFIG_TCP_AO, or use spec.password instead of spec.authentication, on the router too.`;
    return { status: 'False', reason: 'TcpAoUnsupported', message: `${session.lastError.text}. ${advice}` };
  }
  if (peer.ttlSecurity !== undefined) {
    const drops = lowTtl(session);
    const advice = `Is BGP on at ${peerAddressText(session)}? Turn TTL security on there too, or raise spec.ttlSecurity (${peer.ttlSecurity}) to the hops that it is away.`;
    if (drops !== undefined) return { status: 'False', reason: 'TtlTooLow', message: `${drops} ${advice}` };
  }
  const signatures = wrongSignatures(session, origin);
  if (signatures !== undefined) {
    // The kernel does not say whose segments it dropped.
    const others = suspects.filter((it) => it.name !== peer.name && it.hasPassword === (peer.password !== undefined));
    const also =
      others.length === 0
        ? ''
        : ` The kernel counts all peers together: it may also be ${others.map((it) => it.name).join(', ')} alone.`;
    const advice =
      origin?.password === undefined
        ? 'This peer has no password here: set spec.password, or remove it from the router.'
        : `Compare Secret ${origin.password.secret}, key ${origin.password.key}, with the router.`;
    return { status: 'False', reason: 'AuthFailed', message: `${signatures}${also} ${advice}` };
  }
  if (session.range !== undefined) {
    const last = session.lastError === undefined ? '' : ` Last error: ${session.lastError.text}.`;
    return {
      status: 'False',
      reason: 'NoNeighbour',
      message: `Nobody from ${session.range.prefix} has a session.${last} The routers connect, with this node as neighbour with AS ${peer.localAsn}.`,
    };
  }
  const last =
    session.lastError === undefined ? '' : ` Last error: ${session.lastError.text} (${session.lastError.code}).`;
  return {
    status: 'False',
    reason: 'NotEstablished',
    message: `The session is ${session.state}.${last} ${sessionAdvice(peer, session)}`,
  };
}

interface Suspect {
  readonly name: string;
  readonly hasPassword: boolean;
}

/** Peers of which each could be the one whose segments the kernel drops. */
function suspectsOf(compiled: Compiled, observed: ReadonlyMap<string, PeerFacts>): Suspect[] {
  return (compiled.intent.bgp?.peers ?? []).flatMap((peer, i) => {
    const session = observed.get(peer.name);
    if (!peer.enabled || session === undefined || session.state === 'Established') return [];
    if (wrongSignatures(session, compiled.peers[i]) === undefined) return [];
    return [{ name: peer.name, hasPassword: peer.password !== undefined }];
  });
}

/** Errors that a peer also gives whose segments the kernel drops: silence. */
const silence: readonly (string | undefined)[] = [
  undefined,
  'SESSION_CONNECT_TIMEOUT',
  'SESSION_CONNECTION_LOST',
  'SESSION_HOLD_TIMER_EXPIRED',
];

/**
 * What speaks for two different passwords. The session itself says so after a whole ConnectRetryTime; before that, and while
 * it only waits for the peer, the kernel's counter does. That one is of all peers that have a password as well, so it counts
 * only for a silent one.
 */
function wrongSignatures(session: PeerFacts, origin: PeerOrigin | undefined): string | undefined {
  const { lastError, drops } = session;
  if (lastError?.code === 'SESSION_PASSWORD_MISMATCH') return `${peerAddressText(session)}: ${lastError.text}.`;
  if (drops.signature === 0 || origin?.password === undefined || !silence.includes(lastError?.code)) return undefined;
  return `The kernel dropped ${segments(drops.signature)} with a wrong or missing MD5 signature, and ${peerAddressText(session)} is silent.`;
}

/** What speaks for a TTL that is too low; the kernel's counter is of all peers that look at it, so it counts for a silent one. */
function lowTtl(session: PeerFacts): string | undefined {
  const { lastError, drops } = session;
  const address = peerAddressText(session);
  if (lastError?.code === 'SESSION_TTL_TOO_LOW') return `${address}: ${lastError.text}.`;
  if (drops.hopLimit === 0 || !silence.includes(lastError?.code)) return undefined;
  return `The kernel dropped ${segments(drops.hopLimit)} with a time-to-live that is too low (of all peers together), and ${address} is silent.`;
}

const segments = (count: number): string => (count === 1 ? '1 segment' : `${count} segments`);

const sum = (counts: Readonly<Record<Family, number>>): number => counts.ipv4 + counts.ipv6;

function prefixLimit(peer: PeerIntent, session: PeerFacts): Verdict {
  const near = families.filter((family) => isNearLimit(session.received[family], peer));
  const limit = peer.maxPrefixes;
  if (near.length === 0)
    return { status: 'True', reason: 'BelowLimit', message: `At most ${limit} prefixes of a family are allowed.` };
  const counts = near.map((family) => `${session.received[family]} ${family}`).join(' and ');
  return {
    status: 'False',
    reason: 'NearLimit',
    message: `${peerAddressText(session)} announces ${counts} prefixes; above ${limit} of a family the session goes down. Raise spec.maxPrefixes.limit, or let the router announce less.`,
  };
}

function severalPaths(session: PeerFacts, asked: NonNullable<PeerIntent['addPath']>): Verdict {
  const { families: carried, addPath } = session;
  const without = (agreed: readonly Family[] = []): string =>
    carried.filter((family) => !agreed.includes(family)).join(' and ');
  const [noReceive, noSend] = [
    asked.receive ? without(addPath?.receive) : '',
    asked.send > 1 ? without(addPath?.send) : '',
  ];
  const missing = [
    ...(noReceive === '' ? [] : [`does not offer to send several paths of ${noReceive}`]),
    ...(noSend === '' ? [] : [`does not offer to take several paths of ${noSend}`]),
  ];
  if (missing.length === 0) {
    const ways = [
      ...(asked.receive ? ['received'] : []),
      ...(asked.send > 1 ? [`announced, ${asked.send} at most`] : []),
    ];
    return {
      status: 'True',
      reason: 'SeveralPathsAgreed',
      message: `Several paths of a prefix may be ${ways.join(' and ')}.`,
    };
  }
  return {
    status: 'False',
    reason: 'SeveralPathsNotOffered',
    message: `${peerAddressText(session)} ${missing.join(', and ')}. Switch add-path on there, or take it out of spec.addPath.`,
  };
}

function routesAccepted(peer: PeerIntent, session: PeerFacts): Verdict {
  const [received, accepted] = [sum(session.received), sum(session.accepted)];
  if (received === 0)
    return {
      status: 'Unknown',
      reason: 'NothingReceived',
      message: `${peerAddressText(session)} announces no route to this node.`,
    };
  if (accepted > 0)
    return {
      status: 'True',
      reason: 'RoutesAccepted',
      message: `${accepted} of ${received} received routes are accepted.`,
    };
  const why =
    peer.filters.length > 0
      ? `filters ${peer.filters.map((it) => it.name).join(', ')}, then importPolicy ${peer.importPolicy}`
      : `importPolicy ${peer.importPolicy}`;
  return {
    status: 'False',
    reason: 'NothingAccepted',
    message: `None of ${received} received routes is accepted (${why}). \`flatroute routes --received\` says why for each; set spec.importPolicy to DefaultRoute or All, or add a filter, if they should be.`,
  };
}

function routesAnnounced(session: PeerFacts, wanted: ReadonlySet<Family>): Verdict {
  const without = session.noNextHop.filter((family) => wanted.has(family));
  if (without.length > 0) {
    // An IPv6 session offers RFC 8950; it was the peer that did not.
    const other =
      without.includes('ipv4') && familyOf(session.address) === 'ipv6'
        ? ', or switch on extended next hops (RFC 8950) for IPv4 at the router'
        : '';
    return {
      status: 'False',
      reason: 'NoNextHop',
      message: `${without.join(' and ')} cannot be announced: this node has no address of that family on the session's interface. Add one there, or peer over that family${other}.`,
    };
  }
  const announced = sum(session.announced);
  if (announced === 0 && session.families.some((family) => wanted.has(family))) {
    return {
      status: 'False',
      reason: 'NothingAnnounced',
      message: `Nothing of what this node announces was sent to ${peerAddressText(session)}. Look at the export rules of spec.filters; \`flatroute routes --announced\` shows what was sent.`,
    };
  }
  if (session.leftOut !== undefined) {
    const { count, some } = session.leftOut;
    const more = count > some.length ? `, and ${count - some.length} more` : '';
    const message = `${announced} routes are announced, and no more may be (spec.maxAnnounced); left out: ${some.join(', ')}${more}. Raise maxAnnounced, or announce less: aggregates, filters.`;
    return { status: 'False', reason: 'AnnouncementsLeftOut', message };
  }
  return { status: 'True', reason: 'RoutesAnnounced', message: `${announced} routes are announced.` };
}

export function listeningConditions(compiled: Compiled, facts: Facts): Condition[] {
  const port = compiled.intent.bgp?.listenPort;
  if (port === undefined) return [];
  const base = { kind: 'Node', name: compiled.nodeName, type: 'Listening' } as const;
  if (facts.bgp?.listenError !== undefined) {
    const mend =
      compiled.intent.bgp?.engine === undefined
        ? 'Stop the other daemon, or set listenPort of BGPConfiguration.'
        : 'Condition EngineReady says whether GoBGP is there; otherwise stop the other daemon, or set listenPort of BGPConfiguration.';
    return [
      {
        ...base,
        status: 'False',
        reason: 'ListenFailed',
        message: `TCP port ${port} could not be opened: ${facts.bgp.listenError}. Sessions are only opened from here. ${mend}`,
      },
    ];
  }
  return facts.bgp?.listening === undefined
    ? [{ ...base, status: 'Unknown', reason: 'Pending', message: 'The speaker has not reported yet.' }]
    : [
        {
          ...base,
          status: 'True',
          reason: 'Listening',
          message: `Sessions are accepted on TCP port ${facts.bgp.listening}.`,
        },
      ];
}

/** Octets of one TCP MD5 key with what the kernel keeps beside it: 963 of them fill 131072 octets (measured, Linux 6.18). */
const keyOctets = 136;
/** From this share of the room on it is said; each family has a listener of its own. */
const nearlyFull = 0.8;

/** The kernel refuses a key that does not fit, and the peer has no session then: said before that. */
export function passwordConditions({ nodeName, intent }: Compiled, { bgp }: Facts): Condition[] {
  if (bgp?.optionMemory === undefined) return [];
  const room = Math.floor(bgp.optionMemory / keyOctets);
  const keyed = (intent.bgp?.peers ?? []).filter((peer) => peer.enabled && peer.password !== undefined);
  const places = new Set(keyed.map(({ address, listenRange }) => listenRange?.prefix ?? address));
  const keys = Math.max(...families.map((family) => [...places].filter((it) => familyOf(it) === family).length));
  if (keys <= room * nearlyFull) return [];
  const fits = keys <= room ? `of at most ${room}` : `and room for ${room}: the others have no session`;
  return [
    {
      kind: 'Node',
      name: nodeName,
      type: 'PasswordsFit',
      status: 'False',
      reason: 'PasswordsNearLimit',
      message: `The kernel has ${keys} TCP MD5 passwords on one listener, ${fits}. Run sysctl -w net.core.optmem_max=${2 * keys * keyOctets}, for good by a file in /etc/sysctl.d, and restart the agent.`,
    },
  ];
}
