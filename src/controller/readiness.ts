/**
 * Which Nodes may be given pods: the taint `flatroute.io/routing-not-ready:NoSchedule` and the condition NetworkUnavailable, for all
 * nodes at once. PURE. In: what stands on the Nodes, what their agents report, settings, and since when this controller has seen
 * each of them as it is. Out: what should stand on each Node, and who is unready beyond the limit.
 *
 * Three kinds of nodes are not ready. One that never was: it keeps the taint with which its kubelet registered it, and gets none.
 * One that has booted: its kubelet says so before its agent can, and it has the taint until its blocks are announced. And one that
 * lost its sessions, as many do when a router reloads: of those no more than `maxUnready` have the taint, so that the network
 * never takes the cluster away from the scheduler; the rest go on, and their condition says so. What a node was before stands in its condition,
 * so that another controller goes on where this one ended. A node of which no agent reports is left as it is.
 */
import type { RoutingReport, RoutingVerdict } from '#intent/readiness.ts';
import { isFit, routingVerdict } from '#intent/readiness.ts';
import type { Readiness } from '#intent/settings.ts';
import { after, type Duration, earliest, type Instant, seconds, toSeconds } from '#lib/time.ts';
import type { CountOrPercent } from '#resources/formats.ts';

/** Reasons of NetworkUnavailable, which is False where pods may go. */
export type NetworkReason =
  | 'RoutingReady'
  | 'NoPeers'
  | 'RoutingNotYetReady'
  | 'NodeRebooted'
  | 'RoutingLost'
  | 'MaxUnreadyReached';

export interface NetworkCondition {
  readonly unavailable: boolean;
  readonly reason: NetworkReason;
  readonly message: string;
}

/** A Node as it stands in the API. */
export interface SeenNode {
  readonly tainted: boolean;
  /** As its kubelet reports it; '' where it does not. */
  readonly bootID: string;
  /** Nothing is heard of its kubelet: Kubernetes taints it, and what is said of its pods is not theirs. */
  readonly silent: boolean;
  /** `undefined`: there is none, or it is somebody else's. */
  readonly network: NetworkCondition | undefined;
}

/** A BGPNodeState, of an agent that reports its routing. */
export interface SeenReport extends RoutingReport {
  /** Of the kernel alone; '' where it does not say. */
  readonly bootID: string;
}

/** Since when a node is fit, or is not, as far as this controller has seen. */
export interface Since {
  readonly fit: boolean;
  readonly at: Instant;
  /** Since when its agent is away; `undefined`: it is not. */
  readonly away: Instant | undefined;
}

/** An agent that is away for longer is not being upgraded, and routers forget its routes (RFC 4724, 120 s by default). */
export const agentPatience = seconds(150);

export interface ReadinessInput {
  readonly nodes: ReadonlyMap<string, SeenNode>;
  readonly reports: ReadonlyMap<string, SeenReport | undefined>;
  /** Nodes whose agent has a pod that is not Ready: what it reported last may be over. */
  readonly away: ReadonlySet<string>;
  readonly settings: (node: string) => Pick<Readiness, 'minSessions' | 'delay'>;
  readonly maxUnready: CountOrPercent;
  readonly since: ReadonlyMap<string, Since>;
  readonly now: Instant;
}

export interface NodeDecision {
  readonly tainted: boolean;
  /** `undefined`: as it is. */
  readonly network: NetworkCondition | undefined;
}

export interface ReadinessDecision {
  /** Of every Node whose agent reports. */
  readonly nodes: ReadonlyMap<string, NodeDecision>;
  readonly since: ReadonlyMap<string, Since>;
  /** How many nodes may have the taint because they lost their sessions. */
  readonly limit: number;
  /** Whose agent is away for too long. */
  readonly gone: ReadonlySet<string>;
  /** Lost, and not to be tainted. */
  readonly beyond: readonly string[];
  readonly counts: Readonly<Record<NodeReadiness, number>>;
  /** When a delay ends. */
  readonly next: Instant | undefined;
}

/** Of so many nodes; a percentage is rounded down, and above 0% it is one node at least. */
export function unreadyLimit(wanted: CountOrPercent, nodes: number): number {
  if ('count' in wanted) return wanted.count;
  return wanted.percent === 0 ? 0 : Math.max(1, Math.floor((nodes * wanted.percent) / 100));
}

/** Whether the report is of an earlier boot than the one of which the kubelet speaks, or the other way round. */
export const hasRebooted = (node: SeenNode, report: SeenReport): boolean =>
  node.bootID !== '' && report.bootID !== '' && node.bootID !== report.bootID;

/** Whether this node was ever let go; what is lost is what was there. */
const wasReady = ({ network }: SeenNode): boolean =>
  network !== undefined && network.reason !== 'RoutingNotYetReady' && network.reason !== 'NoPeers';

const sessions = (count: number): string => `${count} session${count === 1 ? '' : 's'}`;

/** What is so, for people. */
function words(
  verdict: RoutingVerdict,
  report: RoutingReport,
  minSessions: number,
  { gone, rebooted }: { readonly gone: boolean; readonly rebooted: boolean },
): string {
  if (gone)
    return `The node's agent does not run: its pod has not been Ready for ${toSeconds(agentPatience)} s, and routers forget its routes.`;
  if (rebooted) return 'The node has booted anew, and its agent has not reported since.';
  switch (verdict) {
    case 'NoPeers':
      return 'No BGPPeer selects the node, so nobody is to hear of its blocks.';
    case 'NoSession':
      return `None of the node's ${sessions(report.peers)} is established.`;
    case 'TooFewSessions':
      return report.peers < minSessions
        ? `Of the ${sessions(minSessions)} that readiness.minSessions asks for, BGPPeers give the node ${report.peers}.`
        : `Of the node's ${sessions(report.peers)} ${report.established} ${report.established === 1 ? 'is' : 'are'} established; readiness.minSessions asks for ${minSessions}.`;
    case 'NotAnnounced':
      return `${report.unannounced} block${report.unannounced === 1 ? ' is' : 's are'} announced to no peer.`;
    default:
      return 'The node has its sessions, and its blocks are announced.';
  }
}

type Kind = 'fit' | 'waiting' | 'new' | 'booting' | 'lost';

/** `beyondLimit`: lost as well, and not tainted for it; `unreported`: no agent says anything of it. */
export const nodeReadiness = ['fit', 'waiting', 'new', 'booting', 'lost', 'beyondLimit', 'unreported'] as const;
export type NodeReadiness = (typeof nodeReadiness)[number];

interface Judged {
  readonly name: string;
  readonly node: SeenNode;
  readonly kind: Kind;
  readonly verdict: RoutingVerdict;
  readonly text: string;
  readonly since: Instant;
}

export function decideReadiness(input: ReadinessInput): ReadinessDecision {
  const { nodes, reports, settings, now } = input;
  const since = new Map<string, Since>();
  const judged: Judged[] = [];
  const gone = new Set<string>();
  let next: Instant | undefined;
  for (const [name, node] of nodes) {
    const report = reports.get(name);
    if (report === undefined) continue;
    const { minSessions, delay } = settings(name);
    const rebooted = hasRebooted(node, report);
    const verdict = routingVerdict(report, minSessions);
    const before = input.since.get(name);
    const away = input.away.has(name) && !node.silent ? (before?.away ?? now) : undefined;
    const isGone = away !== undefined && after(away, agentPatience) <= now;
    if (isGone) gone.add(name);
    else if (away !== undefined) next = earliest(next, after(away, agentPatience));
    const fit = !isGone && !rebooted && isFit(verdict);
    const current = { fit, at: before?.fit === fit ? before.at : now, away };
    since.set(name, current);
    const kind = kindOf(node, report, { fit, rebooted, verdict, waited: waited(current, delay, now) });
    if (kind === 'waiting') next = earliest(next, after(current.at, delay));
    judged.push({
      name,
      node,
      kind,
      verdict,
      text: words(verdict, report, minSessions, { gone: isGone, rebooted }),
      since: current.at,
    });
  }
  const limit = unreadyLimit(input.maxUnready, judged.length);
  const tainted = chosen(judged, limit);
  const beyond = judged.filter(({ name, kind }) => kind === 'lost' && !tainted.has(name)).map(({ name }) => name);
  const count = (kind: Kind): number => judged.filter((one) => one.kind === kind).length;
  return {
    nodes: new Map(judged.map((one) => [one.name, decisionOf(one, limit, tainted)])),
    since,
    limit,
    gone,
    beyond,
    counts: {
      fit: count('fit'),
      waiting: count('waiting'),
      new: count('new'),
      booting: count('booting'),
      lost: count('lost') - beyond.length,
      beyondLimit: beyond.length,
      unreported: nodes.size - judged.length,
    },
    next,
  };
}

/** Fit for pods, as it reports itself and as its kubelet confirms. */
export const isFitNow = (node: SeenNode, report: SeenReport, minSessions: number): boolean =>
  !hasRebooted(node, report) && isFit(routingVerdict(report, minSessions));

const waited = ({ at }: Since, delay: Duration, now: Instant): boolean => after(at, delay) <= now;

function kindOf(
  node: SeenNode,
  report: SeenReport,
  is: { readonly fit: boolean; readonly rebooted: boolean; readonly verdict: RoutingVerdict; readonly waited: boolean },
): Kind {
  if (is.fit) return node.tainted && is.verdict === 'Ready' && !is.waited ? 'waiting' : 'fit';
  if (!wasReady(node)) return 'new';
  if (is.rebooted) return 'booting';
  // Whatever else it lacks, its blocks must be announced once since it booted.
  const announced = report.established > 0 && report.unannounced === 0;
  return node.tainted && node.network?.reason === 'NodeRebooted' && !announced ? 'booting' : 'lost';
}

/** Put on for what was lost; its condition may not say so yet. */
const hasLimitedTaint = (node: SeenNode): boolean =>
  node.tainted && wasReady(node) && node.network?.reason !== 'NodeRebooted';

/**
 * Those that may have the taint because they lost their sessions: who has it keeps it, then who is unready longest. One that is fit
 * again is counted until its taint is gone.
 */
function chosen(judged: readonly Judged[], limit: number): ReadonlySet<string> {
  const leaving = judged.filter(({ kind, node }) => kind !== 'lost' && kind !== 'booting' && hasLimitedTaint(node));
  const lost = judged
    .filter(({ kind }) => kind === 'lost')
    .sort((a, b) => Number(b.node.tainted) - Number(a.node.tainted) || a.since - b.since || (a.name < b.name ? -1 : 1));
  return new Set(lost.slice(0, Math.max(0, limit - leaving.length)).map(({ name }) => name));
}

function decisionOf(
  { name, node, kind, verdict, text }: Judged,
  limit: number,
  chosenOnes: ReadonlySet<string>,
): NodeDecision {
  const because = (unavailable: boolean, reason: NetworkReason, message = text): NetworkCondition => ({
    unavailable,
    reason,
    message,
  });
  switch (kind) {
    case 'fit':
      return { tainted: false, network: because(false, verdict === 'NoPeers' ? 'NoPeers' : 'RoutingReady') };
    case 'waiting':
      return { tainted: true, network: node.network };
    case 'new':
      // One that was registered without the taint, or from which somebody took it, takes pods already; that is left so.
      return {
        tainted: node.tainted,
        network: node.tainted || node.network !== undefined ? because(node.tainted, 'RoutingNotYetReady') : undefined,
      };
    case 'booting':
      // With a limit of 0 the taint is never put on; where it stands, it stays.
      return limit === 0 && !node.tainted
        ? { tainted: false, network: because(false, 'MaxUnreadyReached', `${text} ${beyondText(0)}`) }
        : { tainted: true, network: because(true, 'NodeRebooted') };
    default:
      return chosenOnes.has(name)
        ? { tainted: true, network: because(true, 'RoutingLost') }
        : { tainted: false, network: because(false, 'MaxUnreadyReached', `${text} ${beyondText(limit)}`) };
  }
}

const beyondText = (limit: number): string =>
  limit === 0
    ? 'It goes on taking pods, because readiness.maxUnready is 0.'
    : `It goes on taking pods, because readiness.maxUnready lets ${limit} node${limit === 1 ? '' : 's'} be tainted at once.`;
