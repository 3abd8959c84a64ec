/**
 * What two OPENs say about routes over the end of a session. In: the terms of the session that ended, or of the next one, and
 * what the intent grants; out: which families are kept and how long, and which of them survive the peer's return. Pure.
 */
import type { Family } from '#lib/ip.ts';
import { type Duration, milliseconds, seconds } from '#lib/time.ts';
import type { PeerIntent } from '../engine.ts';
import type { Negotiated } from '../io/session-port.ts';
import { familyOfAfi } from '../wire/codes.ts';
import { type Kept, defaultStaleTime } from './stale-routes.ts';

type Tuple = { readonly afi: number; readonly safi: number };

const familyOf = ({ afi, safi }: Tuple): Family[] => {
  const family = familyOfAfi(afi, safi);
  return family === undefined ? [] : [family];
};

export const staleTimeOf = (intent: PeerIntent): Duration => intent.staleTime ?? defaultStaleTime;

/** What graceful restart keeps of a session that is over; `undefined`: nothing. */
export function keptAfter(ended: Negotiated, intent: PeerIntent): Kept | undefined {
  const { gracefulRestart, longLivedGracefulRestart, notificationRestart } = ended;
  const longLived = new Map<Family, Duration>();
  const granted = intent.longLivedGracefulRestart;
  for (const tuple of longLivedGracefulRestart?.families ?? [])
    for (const family of familyOf(tuple)) {
      // RFC 9494 §4.2: the time that was received may be reduced.
      const time = Math.min(seconds(tuple.staleTimeSeconds), granted?.staleTime ?? 0);
      if (granted?.families.includes(family) === true && time > 0) longLived.set(family, milliseconds(time));
    }
  const families = (gracefulRestart?.families ?? []).flatMap(familyOf);
  if (families.length + longLived.size === 0) return undefined;
  const restartTime = seconds(gracefulRestart?.restartTimeSeconds ?? 0);
  return { families, restartTime, longLived, staleTime: staleTimeOf(intent), consecutive: notificationRestart };
}

/** What stays of a session that this end closes to empty the peer: all, until it is said again. */
export const keptByDrain = (ended: Negotiated, intent: PeerIntent): Kept => ({
  families: ended.context.families,
  restartTime: staleTimeOf(intent),
  longLived: new Map(),
  staleTime: staleTimeOf(intent),
  consecutive: ended.notificationRestart,
});

/**
 * Whether routes of a family survive the peer's return: it says to have forwarded meanwhile, in the capability that they were
 * kept by (RFC 4724 §4.2, RFC 9494 §4.2).
 */
export function forwarded(returned: Negotiated, family: Family, longLived: boolean): boolean {
  const is = (tuple: Tuple): boolean => familyOfAfi(tuple.afi, tuple.safi) === family;
  const said = returned.gracefulRestart?.families.find(is);
  if (!longLived) return said?.forwarding === true;
  return returned.longLivedGracefulRestart?.families.find(is)?.forwarding === true && said?.forwarding !== false;
}
