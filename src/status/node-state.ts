/**
 * What an agent writes about its node: BGPNodeState's status from a snapshot, whether it says something else than what was
 * written last, and when it may be written. PURE. Lists are cut to the schema's bounds, worst first, and what a text says
 * anew about the same failure is no news: the API server is not for counters.
 */
import { sameJson } from '#lib/json.ts';
import type { Condition } from '#intent/node-intent.ts';
import { isFit, routingVerdict } from '#intent/readiness.ts';
import { severityOf } from '#intent/severity.ts';
import { addressBits, familyOf, parsePrefix, prefixLength } from '#lib/ip.ts';
import { type Duration, type Instant, after, milliseconds, seconds } from '#lib/time.ts';
import type { BGPNodeStatus } from '#resources/bgp-node-state.ts';
import { longestMessage, mostBlocks, mostConditions, mostDrift, mostSessions } from '#resources/bgp-node-state.ts';
import type { PeerAnswer } from './answers.ts';
import { blockAnswers, driftAnswer, statusAnswer } from './node.ts';
import { isoTime, peerAnswers } from './peers.ts';
import { routingReport } from './routing.ts';
import type { Snapshot } from './snapshot.ts';

type Sessions = NonNullable<BGPNodeStatus['sessions']>;
type Conditions = NonNullable<BGPNodeStatus['conditions']>;
type StateCondition = Conditions[number];

export interface NodeStateOptions {
  readonly bootID: string;
  /** metadata.generation of an object as it was read; `undefined` where there is none. */
  readonly generationOf: (kind: string, name: string) => number | undefined;
}

/** `before`: what was written last, which knows since when something has been so. */
export function nodeState(
  snapshot: Snapshot,
  { bootID, generationOf }: NodeStateOptions,
  before: BGPNodeStatus | undefined,
): BGPNodeStatus {
  const { bgp } = statusAnswer(snapshot);
  const drift = driftAnswer(snapshot);
  return {
    version: snapshot.version,
    bootID,
    asNumber: bgp.asn,
    routerID: bgp.routerId,
    peers: bgp.peers,
    established: bgp.established,
    routing: routingReport(snapshot),
    sessions: sessionsOf(peerAnswers(snapshot), before?.sessions),
    blocks: blockAnswers(snapshot)
      .slice(0, mostBlocks)
      .map(({ cidr, pool, announcedTo, used }) => ({ cidr, pool, announced: announcedTo.length > 0, used })),
    drift: {
      routeConflicts: drift.routeConflicts.slice(0, mostDrift).map(({ prefix }) => prefix),
      foreignLinks: drift.foreignLinks.slice(0, mostDrift),
      problems: drift.problems.slice(0, mostDrift).map(({ code, text }) => ({ code, message: cut(text) })),
    },
    conditions: conditionsOf(snapshot, generationOf, before?.conditions),
  };
}

function cut(text: string): string {
  return text.length <= longestMessage ? text : `${text.slice(0, longestMessage - 1)}…`;
}

const isDown = ({ state }: { readonly state: string }): boolean => state !== 'Established' && state !== 'Listening';

function sessionsOf(answers: readonly PeerAnswer[], before: Sessions = []): Sessions {
  const known = new Map(before.map((it) => [it.peer, it]));
  const sessions = answers.map((it): Sessions[number] => ({
    peer: it.name,
    address: it.address,
    asNumber: typeof it.asn === 'number' ? it.asn : undefined,
    state: it.state as Sessions[number]['state'],
    since: it.since,
    families: it.families as Sessions[number]['families'],
    capabilities: it.capabilities.slice(0, 32).map((text) => text.slice(0, 128)),
    lastError: errorOf(it.lastError, known.get(it.name)?.lastError),
  }));
  // The sort is stable: by name among those that are down, and among the others.
  return sessions.sort((a, b) => Number(isDown(b)) - Number(isDown(a))).slice(0, mostSessions);
}

/** A session that does not come up fails anew each minute; that it failed so first is what counts. */
function errorOf(error: PeerAnswer['lastError'], before: Sessions[number]['lastError']): Sessions[number]['lastError'] {
  if (error === undefined) return undefined;
  const message = cut(error.text);
  const same = before !== undefined && before.code === error.code && before.message === message;
  return { code: error.code, message, at: same ? before.at : error.at };
}

const ownFirst = { error: 0, warning: 1, info: 2 } as const;

function conditionsOf(
  { node, objectConditions, state, waitingFor, now }: Snapshot,
  generationOf: NodeStateOptions['generationOf'],
  before: Conditions = [],
): Conditions {
  const known = new Map(before.map((it) => [`${it.object} ${it.type}`, it]));
  const at = isoTime(now);
  const entry = (it: StateCondition): StateCondition => {
    const last = known.get(`${it.object} ${it.type}`);
    return last?.status === it.status ? { ...it, lastTransitionTime: last.lastTransitionTime } : it;
  };
  const ready: StateCondition =
    state === 'running'
      ? { ...base(at, node, 'Ready'), status: 'True', reason: 'Ready', message: 'The agent is ready.' }
      : {
          ...base(at, node, 'Ready'),
          status: 'False',
          reason: 'NotReady',
          message:
            state === 'stopping' ? 'The agent is stopping.' : `The agent waits for ${[...waitingFor].join(', ')}.`,
        };
  const told = objectConditions
    .filter((it) => (it.kind === 'Node' && it.name === node) || it.status !== 'True')
    .filter((it) => it.reason !== 'Pending')
    .sort((a, b) => rank(a, node) - rank(b, node))
    .slice(0, mostConditions - 1)
    .map((it): StateCondition => {
      const generation = generationOf(it.kind, it.name);
      return {
        object: `${it.kind}/${it.name}`,
        type: it.type,
        status: it.status,
        reason: it.reason,
        message: cut(it.message),
        observedGeneration: generation,
        lastTransitionTime: at,
      };
    });
  return [ready, ...told].map(entry);
}

const base = (at: string, node: string, type: string) =>
  ({ object: `Node/${node}`, type, observedGeneration: undefined, lastTransitionTime: at }) as const;

const rank = (it: Condition, node: string): number =>
  ownFirst[severityOf(it)] + (it.kind === 'Node' && it.name === node ? 0 : 3);

/** Mildest first. `words`: only texts differ, of what has been so before; `readiness`: whether the node is fit for pods. */
const differences = ['none', 'words', 'state', 'readiness'] as const;
export type Difference = (typeof differences)[number];

export const isMore = (one: Difference, other: Difference): boolean =>
  differences.indexOf(one) > differences.indexOf(other);

/** `minSessions`: how many of them make the node fit for pods. */
export function differenceOf(before: BGPNodeStatus | undefined, now: BGPNodeStatus, minSessions: number): Difference {
  if (before === undefined || before.bootID !== now.bootID) return 'readiness';
  if (fitness(before, minSessions) !== fitness(now, minSessions)) return 'readiness';
  const calm = withSteadyUse(before, now);
  if (sameJson(before, calm)) return 'none';
  return sameJson(withoutWords(before), withoutWords(calm)) ? 'words' : 'state';
}

/** `undefined`: an older agent did not say. */
const fitness = ({ routing }: BGPNodeStatus, minSessions: number): boolean | undefined =>
  routing && isFit(routingVerdict(routing, minSessions));

/** Pods come and go: the use of a block is news when it has moved by an eighth of it. */
const usePart = 8;

function withSteadyUse({ blocks = [] }: BGPNodeStatus, now: BGPNodeStatus): BGPNodeStatus {
  const known = new Map(blocks.map((it) => [it.cidr, it.used]));
  const steady = now.blocks?.map((block) => {
    const before = known.get(block.cidr);
    const moved = Math.abs((block.used ?? 0) - (before ?? 0));
    return before !== undefined && moved * usePart < sizeOf(block.cidr) ? { ...block, used: before } : block;
  });
  return { ...now, blocks: steady };
}

/** Addresses of a prefix as the schema has it. */
function sizeOf(cidr: string): number {
  const prefix = parsePrefix(cidr);
  return prefix === undefined ? 1 : 2 ** (addressBits(familyOf(prefix)) - prefixLength(prefix));
}

function withoutWords(status: BGPNodeStatus): unknown {
  return {
    ...status,
    sessions: status.sessions?.map(({ lastError, ...it }) => ({ ...it, lastError: lastError?.code })),
    conditions: status.conditions?.map((it) => ({ ...it, message: '' })),
    blocks: status.blocks?.map((it) => ({ ...it, used: undefined })),
    drift: status.drift && { ...status.drift, problems: status.drift.problems.map(({ code }) => code) },
  };
}

/** Writes of all agents together, per second, whatever happens to all of them at once. */
const writesPerSecond = 50;
/**
 * The same, of what decides about pods. As many as the kubelets of 5,000 nodes renew their Leases, for a few seconds: each agent
 * has `promptWrites` of them, and then one more in each interval.
 */
const promptPerSecond = 500;
export const promptWrites = 2;
const shortestInterval = seconds(10);
/** New words for what was said before wait this many intervals. */
const wordIntervals = 30;
/** What changes together is seen together. */
const settle = seconds(1);

/** Between two writes of one agent of so many. */
export const writeInterval = (nodes: number): Duration =>
  milliseconds(Math.max(shortestInterval, (nodes / writesPerSecond) * 1000));

/**
 * When a change may be written that was seen at `seen`. What happens to all nodes at once, such as a router that restarts, is
 * spread over the time that all writes need. `prompt`: the agent has a write left that waits for no interval; `random`: 0 to 1.
 */
export function writeTime(
  change: Exclude<Difference, 'none'>,
  seen: Instant,
  { last, nodes, prompt }: { readonly last: Instant | undefined; readonly nodes: number; readonly prompt: boolean },
  random: number,
): Instant {
  const calm = after(seen, settle);
  if (change === 'readiness' && prompt) return after(calm, milliseconds(random * (nodes / promptPerSecond) * 1000));
  const spread = milliseconds(random * (nodes / writesPerSecond) * 1000);
  const interval = writeInterval(nodes) * (change === 'words' ? wordIntervals : 1);
  const next = last === undefined ? calm : after(last, milliseconds(interval));
  return after(next > calm ? next : calm, spread);
}
