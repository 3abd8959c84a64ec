/**
 * Which sessions and pools have series of their own. PURE. A route reflector may have a thousand sessions of fourteen series each;
 * 5,000 nodes would be what Prometheus chokes on. Those of BGPPeers come first, then those that came from listen ranges, by
 * name; totals count all of them.
 */
import type { ObservedBfdSession } from '#bgp/bfd/control-messages.ts';
import type { PeerFacts } from '#bgp/engine.ts';
import type { Snapshot } from './snapshot.ts';

export const mostSessionsShown = 128;
export const mostPoolsShown = 64;

/** Names of sessions; a listen range itself has no session. */
export function withSeries({ bgp, bgpIntent }: Snapshot): ReadonlySet<string> {
  const configured = (bgpIntent?.peers ?? []).filter((it) => it.listenRange === undefined).map((it) => it.name);
  const observed = (bgp?.peers ?? []).map((it) => it.name).filter((name) => !configured.includes(name));
  return new Set([...configured, ...observed.sort()].slice(0, mostSessionsShown));
}

export function shownPeers(snapshot: Snapshot): readonly PeerFacts[] {
  const shown = withSeries(snapshot);
  return (snapshot.bgp?.peers ?? []).filter((it) => shown.has(it.name));
}

export function shownBfd(snapshot: Snapshot): readonly ObservedBfdSession[] {
  const shown = withSeries(snapshot);
  return snapshot.bfd.sessions.filter((it) => shown.has(it.name));
}
