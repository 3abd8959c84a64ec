/** Conditions of BFD: does its process run, and is the path to each peer watched. */
import { type PeerFacts, type PeerIntent, wantsSession } from '#bgp/engine.ts';
import type { ObservedBfdSession } from '#bgp/bfd/control-messages.ts';
import { type BfdFacts, bfdSessionsOf, diagnosticText, noBfd } from '#bgp/bfd/facts.ts';
import { toSeconds } from '#lib/time.ts';
import type { Compiled, Condition, Facts } from './node-intent.ts';

type Verdict = Pick<Condition, 'status' | 'reason' | 'message'>;

const pending: Verdict = { status: 'Unknown', reason: 'Pending', message: 'BFD has not reported yet.' };

export function bfdConditions(compiled: Compiled, facts: Facts): Condition[] {
  const bfd = facts.bfd ?? noBfd;
  const peers = compiled.intent.bgp?.peers ?? [];
  const observed = new Map((facts.bgp?.peers ?? []).map((peer) => [peer.name, peer]));
  const found: Condition[] = [];
  peers.forEach((peer, i) => {
    const missing = compiled.peers[i]?.missingProfile;
    if (!wantsSession(peer) || (peer.bfd === undefined && missing === undefined)) return;
    const verdict = missing === undefined ? watched(peer, observed, bfd) : profileMissing(peer, missing);
    found.push({ kind: 'BGPPeer', name: peer.name, type: 'BFDUp', ...verdict });
  });
  if (peers.some((peer) => wantsSession(peer) && peer.bfd !== undefined))
    found.push({ kind: 'Node', name: compiled.nodeName, type: 'BFDReady', ...ready(bfd) });
  return found;
}

const without = ({ holdTime }: PeerIntent): string =>
  holdTime === 0
    ? 'a router that dies without a word is not noticed'
    : `a router that dies without a word is noticed after the hold time, ${toSeconds(holdTime)} s at most`;

const profileMissing = (peer: PeerIntent, profile: string): Verdict => ({
  status: 'False',
  reason: 'BFDProfileMissing',
  message: `spec.bfd names BFDProfile ${profile}, which does not exist. Add it, or correct the name. The session is up without BFD until then: ${without(peer)}.`,
});

function ready({ daemon }: BfdFacts): Verdict {
  if (daemon.state === 'absent')
    return { status: 'False', reason: 'BFDUnavailable', message: `${daemon.problem} No path is watched until then.` };
  if (daemon.state !== 'running') return pending;
  const { pid, program, notRealTime } = daemon;
  return notRealTime === undefined
    ? { status: 'True', reason: 'BFDReady', message: `The process for BFD runs (pid ${pid}, version ${program}).` }
    : {
        status: 'False',
        reason: 'BFDNotRealTime',
        message: `The process for BFD (pid ${pid}) has no real-time priority: ${notRealTime}. On a busy node its packets may be late, and a late packet is a failed path. Give it CAP_SYS_NICE, or use longer intervals.`,
      };
}

function watched(peer: PeerIntent, observed: ReadonlyMap<string, PeerFacts>, bfd: BfdFacts): Verdict {
  if (bfd.daemon.state === 'absent')
    return {
      status: 'False',
      reason: 'BFDUnavailable',
      message: `${bfd.daemon.problem} Until then ${without(peer)}.`,
    };
  const verdicts = bfdSessionsOf(peer.name, bfd).map((session) =>
    sessionVerdict(peer, session, observed.get(session.name)?.state === 'Established'),
  );
  // Of a listen range the worst is told.
  return (
    verdicts.find(({ status }) => status === 'False') ??
    verdicts.find(({ status }) => status !== 'True') ??
    verdicts[0] ??
    pending
  );
}

function sessionVerdict(peer: PeerIntent, session: ObservedBfdSession, established: boolean): Verdict {
  const { remote, state, remoteState, failed, diagnostic, problem, detectionTimeMilliseconds } = session;
  const since = new Date(session.since).toISOString();
  if (state === 'Up')
    return {
      status: 'True',
      reason: 'BFDUp',
      message: `Up since ${since}; a path to ${remote} that fails is noticed after ${detectionTimeMilliseconds} ms.`,
    };
  if (problem !== undefined)
    return { status: 'False', reason: 'BFDUnavailable', message: `${problem}. Until it goes away ${without(peer)}.` };
  if (failed) {
    const bgp = established
      ? ` The BGP session came up again without it: ${without(peer)}.`
      : ' The BGP session was ended for it.';
    return {
      status: 'False',
      reason: 'BFDFailed',
      message: `The path to ${remote} failed at ${since}: ${diagnosticText(diagnostic)}.${bgp} Look whether ${remote} and the links to it are alive.`,
    };
  }
  if (remoteState === 'AdminDown')
    return {
      status: 'False',
      reason: 'BFDPeerAdminDown',
      message: `${remote} has switched BFD off on purpose (AdminDown); until it comes back ${without(peer)}.`,
    };
  if (!established) return { status: 'Unknown', reason: 'Pending', message: `BFD with ${remote} is ${state}.` };
  return {
    status: 'False',
    reason: 'BFDNotUp',
    message: `BFD with ${remote} is ${state}: the BGP session is up without it, and ${without(peer)}. Check that ${remote} ${neighbourAdvice(peer, session)}.`,
  };
}

const neighbourAdvice = ({ bfd }: PeerIntent, { hops }: ObservedBfdSession): string =>
  hops === 'single'
    ? 'speaks single hop BFD (UDP port 3784) with this node'
    : `speaks multi hop BFD (UDP port 4784) with this node, and that its packets arrive with a time-to-live of at least ${bfd?.minimumTtl} (minimumTtl)`;
