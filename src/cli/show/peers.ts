/** `flatroute peers` for people. PURE. */
import { longestPauseSeconds } from '#bgp/engine.ts';
import type { FamilyCounts, PeerAnswer } from '#status/answers.ts';
import { ageSince } from '../output/age.ts';
import { type Column, type Note, renderTable, type TableOptions } from '../output/table.ts';
import type { Colour } from '../output/text.ts';

const sum = (counts: FamilyCounts): number => counts.ipv4 + counts.ipv6;
const up = (peer: PeerAnswer): boolean => peer.state === 'Established';
/** A range that waits for whoever comes lacks nothing. */
const listens = (peer: PeerAnswer): boolean => peer.state === 'Listening';

const stateText = (peer: PeerAnswer): string => {
  if (!peer.enabled) return 'Shutdown';
  if (peer.drain === 'down') return 'Drained';
  return peer.drain === undefined ? peer.state : `${peer.state} (draining)`;
};

function stateColour(peer: PeerAnswer): Colour {
  if (up(peer)) return 'green';
  if (listens(peer)) return 'dim';
  return peer.enabled && peer.drain !== 'down' ? 'red' : 'dim';
}

export function showPeers(peers: readonly PeerAnswer[], now: number, options: TableOptions): readonly string[] {
  if (peers.length === 0) return ['no BGP peers: no BGPPeer selects this node'];
  const columns: readonly Column<PeerAnswer>[] = [
    { title: 'PEER', value: (p) => p.name, shrinkTo: 12 },
    { title: 'ADDRESS', value: (p) => (p.port === 179 ? p.address : `${p.address} port ${p.port}`), shrinkTo: 15 },
    { title: 'AS', value: (p) => String(p.asn), align: 'right' },
    { title: 'STATE', value: stateText, colour: stateColour },
    { title: 'SINCE', value: (p) => ageSince(p.since, now), align: 'right' },
    { title: 'IN (ACC/RCV)', value: (p) => (up(p) ? `${sum(p.accepted)}/${sum(p.received)}` : ''), align: 'right' },
    { title: 'OUT', value: (p) => (up(p) ? String(sum(p.announced)) : ''), align: 'right' },
    ...(peers.some((p) => p.bfd !== undefined) ? [bfdColumn(now)] : []),
    { title: 'FAMILIES', value: (p) => p.families.join(' '), drop: 2 },
    { title: 'FLAPS', value: (p) => String(p.flaps), align: 'right', drop: 3 },
    {
      title: 'NEXT RESTART',
      value: (p) => p.nextRestart?.text ?? '',
      colour: (p) => (p.nextRestart === undefined || p.nextRestart.hitless ? undefined : 'yellow'),
      drop: 1,
      shrinkTo: 20,
    },
  ];
  return renderTable(columns, peers, options, (peer) => peerNotes(peer, now));
}

/** How long the path is as it is, and how soon a failure would be noticed. */
const bfdColumn = (now: number): Column<PeerAnswer> => ({
  title: 'BFD',
  value: ({ bfd }) => {
    if (bfd === undefined) return '';
    const state = bfd.failed ? 'failed' : bfd.peerState === 'AdminDown' ? 'off' : bfd.state.toLowerCase();
    const time = bfd.state === 'Up' && bfd.detectionTimeMilliseconds !== undefined;
    return [state, ageSince(bfd.since, now), time ? `${bfd.detectionTimeMilliseconds}ms` : '']
      .filter((word) => word !== '')
      .join(' ');
  },
  colour: ({ bfd }) => (bfd === undefined ? undefined : bfd.state === 'Up' ? 'green' : bfd.failed ? 'red' : 'yellow'),
});

/** Why a session is not up, or what is wrong although it is. */
function peerNotes(peer: PeerAnswer, now: number): readonly Note[] {
  const notes: Note[] = peer.conditions
    .filter((condition) => condition.severity !== 'info')
    .map((condition) => ({
      text: `${condition.reason}: ${condition.message}`,
      colour: condition.severity === 'error' ? 'red' : 'yellow',
    }));
  if (!up(peer) && peer.enabled && peer.lastError !== undefined) {
    const { code, text } = peer.lastError;
    if (!notes.some((note) => note.text.includes(text))) notes.push({ text: `${code}: ${text}`, colour: 'red' });
  }
  const wait = peer.retryAt === undefined ? 0 : Math.ceil((Date.parse(peer.retryAt) - now) / 1000);
  const why =
    wait > longestPauseSeconds
      ? `\`flatroute reset ${peer.name}\` does it now`
      : `the pause grows with each failure, to ${longestPauseSeconds} s`;
  if (wait > 1) notes.push({ text: `next try in ${wait} s; ${why}` });
  return notes;
}

/** Exit code 1 when a session that should be up is not, or a peer has a condition that says error. */
export const peersAreFine = (peers: readonly PeerAnswer[]): boolean =>
  peers.every(
    (peer) =>
      (up(peer) || listens(peer) || !peer.enabled || peer.drain === 'down') &&
      peer.conditions.every((c) => c.severity !== 'error'),
  );
