/** What an agent reports of its routing, for the controller to decide whether the node takes pods. PURE. */
import { dynamicPeers } from '#bgp/engine.ts';
import { isMeshSession } from '#intent/node-peers.ts';
import type { RoutingReport } from '#intent/readiness.ts';
import type { Reason } from '#intent/reasons.ts';
import type { Snapshot } from './snapshot.ts';

/** The node waits for a block, or the kernel does. */
const onTheWay: readonly Reason[] = ['ClaimPending', 'BlackholeMissing'];

export function routingReport({ node, bgp, bgpIntent, objectConditions }: Snapshot): RoutingReport {
  const peers = (bgpIntent?.peers ?? []).filter(({ name }) => !isMeshSession(name));
  const facts = bgp?.peers ?? [];
  const sessions = new Set(
    peers.flatMap(({ name, listenRange }) =>
      listenRange === undefined ? facts.filter((it) => it.name === name) : dynamicPeers(name, facts),
    ),
  );
  const established = new Set([...sessions].filter((it) => it.state === 'Established').map((it) => it.name));
  const told = new Set(
    (bgp?.announced ?? []).filter((it) => it.peers.some((peer) => established.has(peer))).map((it) => it.prefix),
  );
  const untold = (bgpIntent?.announcements ?? []).filter((it) => it.source === 'block' && !told.has(it.prefix));
  const waiting = objectConditions.filter(
    (it) => it.kind === 'Node' && it.name === node && onTheWay.includes(it.reason),
  );
  return { peers: peers.length, established: established.size, unannounced: untold.length + waiting.length };
}
