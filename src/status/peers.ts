/** What is answered about sessions. PURE. */
import type { PeerFacts, PeerIntent } from '#bgp/engine.ts';
import { dynamicPeers, peerAddressText } from '#bgp/engine.ts';
import { type BfdFacts, diagnosticText } from '#bgp/bfd/facts.ts';
import { toSeconds } from '#lib/time.ts';
import type { BfdAnswer, ConditionAnswer, FamilyCounts, PeerAnswer } from './answers.ts';
import type { Snapshot } from './snapshot.ts';

export const isoTime = (milliseconds: number): string => new Date(milliseconds).toISOString();
const none: FamilyCounts = { ipv4: 0, ipv6: 0 };

/** Every peer of the intent, whether the engine has said something of it or not; then those the engine still winds down. */
export function peerAnswers(snapshot: Snapshot): readonly PeerAnswer[] {
  const { bgpIntent, bgp, bfd, conditions, firstSessionSeconds } = snapshot;
  const facts = new Map((bgp?.peers ?? []).map((peer) => [peer.name, peer]));
  const answers: PeerAnswer[] = (bgpIntent?.peers ?? [])
    .flatMap(withDynamic(bgp?.peers ?? []))
    .map((intent) =>
      peerAnswer(intent, facts.get(intent.name), bfdAnswer(intent, bfd), conditions, firstSessionSeconds),
    );
  return answers.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** A listen range, and behind it those who came from there, with what is wanted of each. */
const withDynamic =
  (facts: readonly PeerFacts[]) =>
  (intent: PeerIntent): PeerIntent[] => {
    if (intent.listenRange === undefined) return [intent];
    const { listenRange: _, ...session } = intent;
    return [intent, ...dynamicPeers(intent.name, facts).map(({ name, address }) => ({ ...session, name, address }))];
  };

function peerAnswer(
  intent: PeerIntent,
  facts: PeerFacts | undefined,
  bfd: BfdAnswer | undefined,
  conditions: readonly ConditionAnswer[],
  startSeconds: number | undefined,
): PeerAnswer {
  const restart = facts === undefined ? undefined : nextRestart(intent, facts, startSeconds, bfd);
  const error = facts?.lastError;
  return {
    name: intent.name,
    address: addressOf(intent, facts),
    port: intent.port,
    asn: facts?.peerAsn ?? intent.peerAsn,
    localAsn: intent.localAsn,
    state: facts?.range === undefined ? (facts?.state ?? 'Idle') : 'Listening',
    ...(facts === undefined ? {} : { since: isoTime(facts.since) }),
    enabled: intent.enabled,
    families: facts?.state === 'Established' ? facts.families : intent.families,
    ...(facts?.holdTimeSeconds === undefined ? {} : { holdTimeSeconds: facts.holdTimeSeconds }),
    ...(facts?.routerId === undefined ? {} : { routerId: facts.routerId }),
    ...(facts?.localAddress === undefined ? {} : { localAddress: facts.localAddress }),
    received: facts?.received ?? none,
    accepted: facts?.accepted ?? none,
    announced: facts?.announced ?? none,
    flaps: facts?.flaps ?? 0,
    messagesReceived: facts?.messages.received ?? 0,
    messagesSent: facts?.messages.sent ?? 0,
    capabilities: facts?.capabilities ?? [],
    ...(facts?.addPath === undefined ? {} : { addPath: facts.addPath }),
    ...(error === undefined ? {} : { lastError: { code: error.code, text: error.text, at: isoTime(error.at) } }),
    ...(facts?.retryAt === undefined ? {} : { retryAt: isoTime(facts.retryAt) }),
    ...(intent.drain === undefined ? {} : { drain: intent.drain }),
    ...(bfd === undefined ? {} : { bfd }),
    ...(restart === undefined ? {} : { nextRestart: restart }),
    conditions: conditions.filter((condition) => condition.object === `peers/${intent.name}`),
  };
}

function bfdAnswer(intent: PeerIntent, { daemon, sessions }: BfdFacts): BfdAnswer | undefined {
  if (intent.bfd === undefined || intent.listenRange !== undefined) return undefined;
  const session = sessions.find(({ name }) => name === intent.name);
  if (session === undefined) return { state: 'Unknown', failed: false, failures: 0, stateChanges: 0 };
  const { state, hops, transmitIntervalMilliseconds, detectionTimeMilliseconds, failed, failures, problem } = session;
  return {
    state,
    since: isoTime(session.since),
    hops,
    transmitIntervalMilliseconds,
    detectionTimeMilliseconds,
    failed,
    failures,
    stateChanges: session.changes,
    diagnostic: diagnosticText(session.diagnostic),
    peerState: session.remoteState,
    peerDiagnostic: diagnosticText(session.remoteDiagnostic),
    controlPlaneIndependent: !(daemon.state === 'running' && daemon.endsWithAgent === true),
    peerControlPlaneIndependent: session.remoteControlPlaneIndependent,
    ...(problem === undefined ? {} : { problem }),
  };
}

function addressOf(intent: PeerIntent, facts: PeerFacts | undefined): string {
  const { listenRange: range } = intent;
  if (range !== undefined) return `${range.prefix} (${facts?.range?.peers ?? 0} of ${range.limit})`;
  if (facts !== undefined) return peerAddressText(facts);
  return intent.interface === undefined ? intent.address : `%${intent.interface}`;
}

/** Seconds that long-lived graceful restart keeps routes as the last choice, behind the restart time; 0: it is not there. */
const longLivedSeconds = ({ longLivedGracefulRestart: asked }: PeerIntent, { gracefulRestart }: PeerFacts): number =>
  asked !== undefined && gracefulRestart?.longLived === true ? toSeconds(asked.staleTime) : 0;

const lastChoiceText = (intent: PeerIntent, facts: PeerFacts): string => {
  const time = longLivedSeconds(intent, facts);
  const some = intent.longLivedGracefulRestart?.families ?? [];
  const which = some.length === intent.families.length ? '' : ` (${some.join(' ')})`;
  return time === 0 ? '' : `, then ${time} s as the last choice${which}`;
};

/**
 * How long the peer goes on sending traffic to a node that lost power while the link stays up: until BFD or its hold timer
 * says so, and with the N bit for the restart time on top (RFC 8538 §4), then for what RFC 9494 §4.2 adds.
 */
function powerLossText(intent: PeerIntent, facts: PeerFacts, bfd: BfdAnswer | undefined): string {
  if (bfd?.state === 'Up') return 'power loss: as long as BFD takes';
  const { holdTimeSeconds: hold = 0, gracefulRestart } = facts;
  if (hold === 0) return 'power loss: no hold time watches the node';
  if (gracefulRestart?.notification !== true) return `power loss: ${hold} s`;
  return `power loss: ${hold + toSeconds(intent.gracefulRestart.restartTime)} s${lastChoiceText(intent, facts)}`;
}

/** RFC 5882 §4.3: with C=0 a restart cannot be told from a failure of the path. */
const peersOwnText = (bfd: BfdAnswer | undefined): string =>
  bfd?.state === 'Up' && bfd.peerControlPlaneIndependent === false
    ? "; the peer's own restart is a failure of the path (its BFD has C=0)"
    : '';

/**
 * What a restart of this agent costs at this peer, and at worst the loss of power; only known while the session is up. It
 * supposes that the kernel's routes stand until then: F is 1 for each family that keeps what it has, be it nothing.
 */
export function nextRestart(
  intent: PeerIntent,
  facts: PeerFacts,
  startSeconds: number | undefined,
  bfd?: BfdAnswer,
): { readonly hitless: boolean; readonly text: string } | undefined {
  if (facts.state !== 'Established') return undefined;
  const { hitless, text } = restartCost(intent, facts, startSeconds, bfd);
  return { hitless, text: `${text}; ${powerLossText(intent, facts, bfd)}${peersOwnText(bfd)}` };
}

function restartCost(
  intent: PeerIntent,
  facts: PeerFacts,
  startSeconds: number | undefined,
  bfd: BfdAnswer | undefined,
): { readonly hitless: boolean; readonly text: string } {
  if (!intent.gracefulRestart.enabled) return { hitless: false, text: 'not hitless: graceful restart is off here' };
  if (facts.gracefulRestart === undefined)
    return { hitless: false, text: 'not hitless: the peer has no graceful restart' };
  if (bfd?.state === 'Up' && bfd.controlPlaneIndependent === false)
    return { hitless: false, text: 'not hitless: BFD ends with the agent (C=0), which is a failure of the path' };
  const keeps = toSeconds(intent.gracefulRestart.restartTime);
  const needed = startSeconds === undefined ? '' : `, we need ${startSeconds.toFixed(1)} s`;
  const kept = `keeps routes ${keeps} s${lastChoiceText(intent, facts)}${needed}`;
  if (startSeconds !== undefined && startSeconds > keeps)
    return { hitless: false, text: `not hitless: the peer ${kept}` };
  return { hitless: true, text: `hitless (peer ${kept})` };
}
