/**
 * What a changed intent means for each peer, as pure difference. A field's class is *reset* (the session goes down and
 * comes back), *refresh* (routes are judged or announced anew, only UPDATEs are sent) or *none*. The table is total over
 * PeerIntent, so a new field cannot be forgotten.
 */
import { type BgpIntent, type PeerIntent, wantsSession } from '../engine.ts';

export type ChangeClass = 'none' | 'refresh' | 'reset';

export const fieldClass: Readonly<Record<keyof PeerIntent, ChangeClass>> = {
  // The key of the comparison; it cannot change.
  name: 'none',
  address: 'reset',
  port: 'reset',
  peerAsn: 'reset',
  localAsn: 'reset',
  innerAsn: 'reset',
  prependsReceived: 'reset',
  families: 'reset',
  // Another key goes onto the listener and the live connection; see `changeOf` for the first and the last one.
  password: 'none',
  sourceAddress: 'reset',
  passive: 'reset',
  holdTime: 'reset',
  connectRetryTime: 'reset',
  ebgpMultihop: 'reset',
  importPolicy: 'refresh',
  filters: 'refresh',
  transit: 'refresh',
  maxPrefixes: 'refresh',
  // Stands in the OPEN.
  gracefulRestart: 'reset',
  allowedLocalAsns: 'refresh',
  // Going down by it is a stop, not a reset; the speaker handles both ways itself.
  enabled: 'reset',
  shutdownText: 'none',
  keepaliveTime: 'reset',
  ttlSecurity: 'reset',
  tcpAo: 'reset',
  // Whoever is no longer in it ends; the speaker sees to that.
  listenRange: 'none',
  interface: 'reset',
  maxPrefixesWarning: 'none',
  maxPrefixesRestart: 'none',
  maxAnnounced: 'refresh',
  // These stand in the OPEN.
  addPath: 'reset',
  role: 'reset',
  roleRequired: 'reset',
  // The codec judges paths while they come in.
  enforceFirstAs: 'reset',
  routeReflectorClient: 'refresh',
  nextHopMode: 'refresh',
  longLivedGracefulRestart: 'reset',
  notificationRestart: 'reset',
  staleTime: 'none',
  // A session of its own, with its own changes.
  bfd: 'none',
  // The speaker ends the session itself at the last step.
  drain: 'refresh',
};

const rank: Readonly<Record<ChangeClass, number>> = { none: 0, refresh: 1, reset: 2 };
const same = (a: unknown, b: unknown): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);

/** The severest class among the fields that differ. */
export function changeOf(observed: PeerIntent, desired: PeerIntent): ChangeClass {
  if (wantsSession(observed) !== wantsSession(desired)) return 'reset';
  // A connection that began without signatures cannot go on with them, nor the other way round: the peer would drop it.
  if ((observed.password === undefined) !== (desired.password === undefined)) return 'reset';
  // One session becomes many, or many one.
  if ((observed.listenRange === undefined) !== (desired.listenRange === undefined)) return 'reset';
  let severest: ChangeClass = 'none';
  for (const field of Object.keys(fieldClass) as (keyof PeerIntent)[]) {
    if (same(observed[field], desired[field])) continue;
    if (rank[fieldClass[field]] > rank[severest]) severest = fieldClass[field];
  }
  return severest;
}

export interface PeerChange {
  readonly peer: PeerIntent;
  readonly change: ChangeClass;
}

export interface PeerPlan {
  readonly removed: readonly string[];
  readonly added: readonly PeerIntent[];
  readonly changed: readonly PeerChange[];
}

/** `observed` undefined: nothing is in force yet. */
export function planPeers(observed: BgpIntent | undefined, desired: BgpIntent): PeerPlan {
  const present = new Map((observed?.peers ?? []).map((peer) => [peer.name, peer]));
  const wanted = new Set(desired.peers.map((peer) => peer.name));
  // All sessions say these in their OPEN or stand on the listener.
  const resetsAll =
    observed !== undefined &&
    (observed.asn !== desired.asn ||
      observed.routerId !== desired.routerId ||
      observed.listenPort !== desired.listenPort);
  const added: PeerIntent[] = [];
  const changed: { peer: PeerIntent; change: ChangeClass }[] = [];
  for (const peer of desired.peers) {
    const before = present.get(peer.name);
    if (before === undefined) added.push(peer);
    else changed.push({ peer, change: resetsAll ? 'reset' : changeOf(before, peer) });
  }
  return { removed: [...present.keys()].filter((name) => !wanted.has(name)), added, changed };
}
