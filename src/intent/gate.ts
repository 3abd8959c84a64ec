/**
 * What may be announced now. PURE. A block is announced only when its blackhole route is in the kernel: before that,
 * traffic for its free addresses would go round in circles between this node and its router.
 */
import type { Announcement } from '#bgp/engine.ts';
import type { Facts, NodeIntent } from './node-intent.ts';

/** Announcements that wait for the kernel. */
export function heldBack(intent: NodeIntent, facts: Facts): readonly Announcement[] {
  const inPlace = new Set(facts.kernel?.blackholes ?? []);
  return (intent.bgp?.announcements ?? []).filter(
    (it) => (it.source === 'block' || it.source === 'fixedAddress') && !inPlace.has(it.prefix),
  );
}

/** The intent without what must wait; the same object when nothing must. */
export function gate(intent: NodeIntent, facts: Facts): NodeIntent {
  const held = new Set(heldBack(intent, facts));
  if (intent.bgp === undefined || held.size === 0) return intent;
  const announcements = intent.bgp.announcements.filter((it) => !held.has(it));
  return { ...intent, bgp: { ...intent.bgp, announcements } };
}
