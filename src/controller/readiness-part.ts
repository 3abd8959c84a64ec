/**
 * Readiness as a part of the leader's work: what nodes, their agents and BGPConfigurations say goes into readiness.ts, and what
 * comes out is written: a taint at once, a condition that has only other words when these have stood for a while, a few in a second.
 */
import type { ApiObject } from '#kubernetes/store.ts';
import { settingsFor, type Readiness } from '#intent/settings.ts';
import { after, earliest, type Instant, seconds } from '#lib/time.ts';
import { firstFew } from '#lib/text.ts';
import { bgpConfiguration, type BGPConfiguration } from '#resources/bgp-configuration.ts';
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { readObject } from '#sources/kubernetes/read-object.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { fieldOf } from './conditions.ts';
import { type Versioned, WithOwnWrites } from './own-writes.ts';
import type { Part } from './part.ts';
import {
  decideReadiness,
  isFitNow,
  type NodeDecision,
  type ReadinessDecision,
  type SeenNode,
  type SeenReport,
  type Since,
} from './readiness.ts';
import {
  agentPods,
  nodesAway,
  nodeType,
  podType,
  ROUTING_TAINT,
  sameNetwork,
  seenNode,
  type SeenPod,
  seenPod,
  writeNode,
} from './readiness-node.ts';
import type { Task } from './tasks.ts';

const types = { states: typeOf(bgpNodeState), configurations: typeOf(bgpConfiguration) } as const;

/** New words alone wait so long: a router that reloads is back by then. */
const WORDS_STAND = seconds(30);
/** Conditions with new words at a time, and how long to the next ones. */
const WORDS_AT_ONCE = 20;
const WORDS_EVERY = seconds(1);
/** How long there must have been too many for the Event: agents report one after the other. */
const BEYOND_STANDS = seconds(10);

interface WatchedNode extends SeenNode, Versioned {}

const watchedNode = (object: ApiObject): WatchedNode => ({
  ...seenNode(object),
  resourceVersion: object.metadata.resourceVersion,
});

/** An agent says the kernel's, and its network namespace behind it. */
const bootOf = (bootID: unknown): string => (typeof bootID === 'string' ? (bootID.split(' ', 1)[0] ?? '') : '');

/** `undefined`: its agent does not report its routing; an older one does not. */
export function seenReport({ status }: ApiObject): SeenReport | undefined {
  const routing = fieldOf(status, 'routing');
  const count = (name: string): number => Number(fieldOf(routing, name));
  const [peers, established, unannounced] = [count('peers'), count('established'), count('unannounced')];
  if (![peers, established, unannounced].every(Number.isInteger)) return undefined;
  const bootID = fieldOf(status, 'bootID');
  return { peers, established, unannounced, bootID: bootOf(bootID) };
}

/** `namespace`: where the agents are. */
export const readinessPart =
  (options: { readonly namespace: string }): Part =>
  (modules) => {
    const { store, clock, log, wrote, tell } = modules;
    /** A limit is counted with what the watch has not told yet. */
    const nodes = new WithOwnWrites<WatchedNode>();
    let reports: ReadonlyMap<string, SeenReport | undefined> = new Map();
    const configurations = new Map<string, BGPConfiguration>();
    let forAll = settingsFor([], '').readiness;
    /** Some have settings of their own. */
    let someNodes = false;
    let pods: ReadonlyMap<string, SeenPod> = new Map();
    /** `undefined`: to be worked out anew. */
    let away: ReadonlySet<string> | undefined;
    let gone: ReadonlySet<string> = new Set();
    let since: ReadonlyMap<string, Since> = new Map();
    let words = new Map<string, { readonly said: string; readonly at: Instant }>();
    let nextWords: Instant | undefined;
    let beyondSince: Instant | undefined;
    let toldBeyond = false;

    modules.watch(nodeType, watchedNode, (all) => nodes.learn(all));
    modules.watch(types.states, seenReport, (all) => {
      reports = all;
    });
    modules.watch(
      podType,
      seenPod,
      (all) => {
        pods = all;
        away = undefined;
      },
      agentPods(options.namespace),
    );
    // One that cannot be read leaves in force what was read before.
    modules.watch(
      types.configurations,
      (object) => readObject(object).resource,
      (all) => {
        for (const name of configurations.keys()) if (!all.has(name)) configurations.delete(name);
        for (const [name, resource] of all)
          if (resource?.kind === bgpConfiguration.kind) configurations.set(name, resource as BGPConfiguration);
        forAll = settingsFor([...configurations.values()], '').readiness;
        someNodes = [...configurations.keys()].some((it) => it !== 'default');
      },
    );

    function decide(): ReadinessDecision {
      away ??= nodesAway(pods.values());
      const { maxUnready } = forAll;
      return decideReadiness({
        nodes: nodes.all(),
        reports,
        away,
        settings: settingsOf,
        maxUnready,
        since,
        now: clock.now(),
      });
    }

    const settingsOf = (name: string): Readiness =>
      someNodes && configurations.has(`node.${name}`)
        ? settingsFor([...configurations.values()], name).readiness
        : forAll;

    /** What is so may have changed while other nodes were written. */
    function stillSo(name: string, { tainted, network }: NodeDecision): boolean {
      const node = nodes.get(name);
      const report = reports.get(name);
      if (node === undefined || report === undefined) return false;
      const fit = !gone.has(name) && isFitNow(node, report, settingsOf(name).minSessions);
      if (!tainted) return fit || network?.reason === 'MaxUnreadyReached' || network?.reason === 'RoutingNotYetReady';
      return !fit || node.tainted;
    }

    function taskOf(name: string, decision: NodeDecision, now: string): Task {
      const run = async (): Promise<void> => {
        if (!stillSo(name, decision)) return;
        const before = nodes.get(name);
        const learned = nodes.asking(name);
        const node = await writeNode(store, name, decision, now, (changed) => {
          learned(watchedNode(changed));
          wrote('done');
        });
        if (node !== undefined && before !== undefined && before.tainted !== decision.tainted) said(node, decision);
      };
      return { key: `Node/${name} readiness`, seldom: false, run };
    }

    function said({ metadata: { name, uid } }: ApiObject, { tainted, network }: NodeDecision): void {
      const reason = network?.reason ?? 'RoutingReady';
      log('info', tainted ? 'controller.node-tainted' : 'controller.node-untainted', { node: name, reason });
      tell({
        regarding: { apiVersion: 'v1', kind: 'Node', name, uid },
        type: reason === 'RoutingReady' || reason === 'NoPeers' ? 'Normal' : 'Warning',
        reason,
        action: tainted ? 'Tainted' : 'Untainted',
        text: `${network?.message ?? ''} The taint ${ROUTING_TAINT} was ${tainted ? 'put on' : 'taken off'}.`.trim(),
      });
    }

    /** Whether the words may be written by now; otherwise when. */
    function wordsStand(name: string, said: string, now: Instant, fresh: typeof words): Instant | undefined {
      const before = words.get(name);
      const one = before?.said === said ? before : { said, at: now };
      fresh.set(name, one);
      const due = after(one.at, WORDS_STAND);
      return due <= now ? undefined : due;
    }

    function tellBeyond({ beyond, limit }: ReadinessDecision, now: Instant): Instant | undefined {
      if (beyond.length === 0) {
        beyondSince = undefined;
        toldBeyond = false;
        return undefined;
      }
      beyondSince ??= now;
      const due = after(beyondSince, BEYOND_STANDS);
      if (toldBeyond) return undefined;
      if (due > now) return due;
      toldBeyond = true;
      const configuration = configurations.get('default');
      tell({
        regarding: {
          apiVersion: bgpConfiguration.apiVersion,
          kind: bgpConfiguration.kind,
          name: 'default',
          uid: configuration?.metadata.uid,
        },
        type: 'Warning',
        reason: 'MaxUnreadyReached',
        action: 'Readiness',
        text: `${beyond.length} more nodes are not ready than readiness.maxUnready lets be tainted (${limit}), and go on taking pods: ${firstFew(beyond)}. Is a router away that all of them have sessions with?`,
      });
      log('warn', 'controller.max-unready-reached', { limit, beyond: beyond.length });
      return undefined;
    }

    return (nowText) => {
      const now = clock.now();
      const decision = decide();
      ({ since, gone } = decision);
      const taints: Task[] = [];
      const others: Task[] = [];
      const fresh: typeof words = new Map();
      let next = earliest(decision.next, tellBeyond(decision, now));
      for (const [name, wanted] of decision.nodes) {
        const seen = nodes.get(name);
        if (seen === undefined) continue;
        const { network } = wanted;
        if (seen.tainted !== wanted.tainted || (seen.network?.unavailable ?? false) !== (network?.unavailable ?? false))
          taints.push(taskOf(name, wanted, nowText));
        else if (network !== undefined && !sameNetwork(seen.network, network)) {
          const due = wordsStand(name, `${network.reason} ${network.message}`, now, fresh);
          if (due === undefined) others.push(taskOf(name, wanted, nowText));
          else next = earliest(next, due);
        }
      }
      words = fresh;
      if (others.length > 0 && (nextWords === undefined || nextWords <= now)) {
        nextWords = after(now, WORDS_EVERY);
        others.length = Math.min(others.length, WORDS_AT_ONCE);
        next = earliest(next, nextWords);
      } else if (others.length > 0) {
        next = earliest(next, nextWords);
        others.length = 0;
      }
      const rows = Object.entries(decision.counts).map(([readiness, value]) => ({ labels: { readiness }, value }));
      modules.measured('node_readiness', rows);
      if (next !== undefined) modules.wake(next);
      return [...taints, ...others];
    };
  };
