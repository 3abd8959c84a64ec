/** Traffic taken away from peers by hand, on top of what resources say. PURE. */
import type { DrainStep } from '#bgp/engine.ts';
import type { NodeIntent } from './node-intent.ts';

/** Seconds that `flatroute drain --wait` may ask for. */
export const longestDrainWait = 600;

/** In the place of a peer's name: every peer of the node. */
export const EVERY_PEER = '*';

/** By peer name or EVERY_PEER. */
export type Drains = ReadonlyMap<string, DrainStep>;

const steps: readonly (DrainStep | undefined)[] = [undefined, 'deprefer', 'withdraw', 'down'];

/** A peer is as far as the furthest of what is said of it and of every peer. */
export function drainOf(drains: Drains, peer: string): DrainStep | undefined {
  const own = drains.get(peer);
  const all = drains.get(EVERY_PEER);
  return steps.indexOf(own) > steps.indexOf(all) ? own : all;
}

export function withDrains(intent: NodeIntent, drains: Drains): NodeIntent {
  if (intent.bgp === undefined || drains.size === 0) return intent;
  const peers = intent.bgp.peers.map((peer) => {
    const drain = drainOf(drains, peer.name);
    return drain === undefined ? peer : { ...peer, drain };
  });
  return { ...intent, bgp: { ...intent.bgp, peers } };
}
