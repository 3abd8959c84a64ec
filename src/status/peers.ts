/** What is answered about sessions. PURE. */
import type { PeerFacts, PeerIntent } from '#bgp/engine.ts';
import { toSeconds } from '#lib/time.ts';
import type { ConditionAnswer, FamilyCounts, PeerAnswer } from './answers.ts';
import type { Snapshot } from './snapshot.ts';

export const isoTime = (milliseconds: number): string => new Date(milliseconds).toISOString();
const none: FamilyCounts = { ipv4: 0, ipv6: 0 };

/** Every peer of the intent, whether the engine has said something of it or not; then those the engine still winds down. */
export function peerAnswers({ bgpIntent, bgp, conditions, firstSessionSeconds }: Snapshot): readonly PeerAnswer[] {
  const facts = new Map((bgp?.peers ?? []).map((peer) => [peer.name, peer]));
  const answers: PeerAnswer[] = (bgpIntent?.peers ?? []).map((intent) =>
    peerAnswer(intent, facts.get(intent.name), conditions, firstSessionSeconds),
  );
  return answers.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function peerAnswer(
  intent: PeerIntent,
  facts: PeerFacts | undefined,
  conditions: readonly ConditionAnswer[],
  startSeconds: number | undefined,
): PeerAnswer {
  const restart = facts === undefined ? undefined : nextRestart(intent, facts, startSeconds);
  const error = facts?.lastError;
  return {
    name: intent.name,
    address: intent.address,
    port: intent.port,
    asn: facts?.peerAsn ?? intent.peerAsn,
    localAsn: intent.localAsn,
    state: facts?.state ?? 'Idle',
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
    ...(error === undefined ? {} : { lastError: { code: error.code, text: error.text, at: isoTime(error.at) } }),
    ...(facts?.retryAt === undefined ? {} : { retryAt: isoTime(facts.retryAt) }),
    ...(restart === undefined ? {} : { nextRestart: restart }),
    conditions: conditions.filter((condition) => condition.object === `peers/${intent.name}`),
  };
}

/** What a restart of this agent costs at this peer; only known while the session is up. */
export function nextRestart(
  intent: PeerIntent,
  facts: PeerFacts,
  startSeconds: number | undefined,
): { readonly hitless: boolean; readonly text: string } | undefined {
  if (facts.state !== 'Established') return undefined;
  if (!intent.gracefulRestart.enabled) return { hitless: false, text: 'not hitless: graceful restart is off here' };
  if (facts.gracefulRestart === undefined) {
    return { hitless: false, text: 'not hitless: the peer has no graceful restart' };
  }
  const keeps = toSeconds(intent.gracefulRestart.restartTime);
  const needed = startSeconds === undefined ? '' : `, we need ${startSeconds.toFixed(1)} s`;
  if (startSeconds !== undefined && startSeconds > keeps) {
    return { hitless: false, text: `not hitless: the peer keeps routes ${keeps} s${needed}` };
  }
  return { hitless: true, text: `hitless (peer keeps routes ${keeps} s${needed})` };
}
