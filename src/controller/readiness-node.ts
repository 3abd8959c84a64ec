/** A Node as readiness sees it, and how what should stand there is written. Nobody else's taint or condition is changed. */
import type { ApiObject, ResourceStore, ResourceType, Selection } from '#kubernetes/store.ts';
import { isApiError } from '#kubernetes/store.ts';
import { fieldOf, listOf, textOf } from './conditions.ts';
import type { NetworkCondition, NetworkReason, NodeDecision, SeenNode } from './readiness.ts';

export const ROUTING_TAINT = 'flatroute.io/routing-not-ready';

export const nodeType: ResourceType = { group: '', version: 'v1', plural: 'nodes', kind: 'Node', namespaced: false };

const CONDITION = 'NetworkUnavailable';
/** Somebody wrote the Node between our read and our write. */
const ATTEMPTS = 4;

const ours: Readonly<Record<NetworkReason, true>> = {
  RoutingReady: true,
  NoPeers: true,
  RoutingNotYetReady: true,
  NodeRebooted: true,
  RoutingLost: true,
  MaxUnreadyReached: true,
};
const isOurs = (reason: unknown): reason is NetworkReason => typeof reason === 'string' && Object.hasOwn(ours, reason);

/** With whatever effect: the key is ours. */
const isRouting = (taint: unknown): boolean => fieldOf(taint, 'key') === ROUTING_TAINT;
const taintsOf = ({ spec }: ApiObject): readonly unknown[] => listOf(fieldOf(spec, 'taints'));

const conditionsOf = ({ status }: ApiObject): readonly unknown[] => listOf(fieldOf(status, 'conditions'));
const isNetwork = (condition: unknown): boolean => fieldOf(condition, 'type') === CONDITION;

/** Its kubelet has not been heard of, so that what its agent wrote last may be old. */
export function isSilent(object: ApiObject): boolean {
  const ready = conditionsOf(object).find((one) => fieldOf(one, 'type') === 'Ready');
  return fieldOf(ready, 'status') === 'Unknown';
}

export function seenNode(object: ApiObject): SeenNode {
  const condition = conditionsOf(object).find(isNetwork);
  const reason = fieldOf(condition, 'reason');
  return {
    tainted: taintsOf(object).some(isRouting),
    silent: isSilent(object),
    bootID: textOf(fieldOf(fieldOf(object['status'], 'nodeInfo'), 'bootID')) ?? '',
    network: isOurs(reason)
      ? {
          unavailable: fieldOf(condition, 'status') === 'True',
          reason,
          message: textOf(fieldOf(condition, 'message')) ?? '',
        }
      : undefined,
  };
}

export const podType: ResourceType = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true };
/** The agents' pods, as deploy/ labels them. */
export const agentPods = (namespace: string): Selection => ({
  namespace,
  labelSelector: 'app.kubernetes.io/name=flatroute,app.kubernetes.io/component=agent',
});

export interface SeenPod {
  /** '' before it is scheduled. */
  readonly node: string;
  readonly ready: boolean;
}

export const seenPod = (pod: ApiObject): SeenPod => ({
  node: textOf(fieldOf(pod['spec'], 'nodeName')) ?? '',
  ready: conditionsOf(pod).some((one) => fieldOf(one, 'type') === 'Ready' && fieldOf(one, 'status') === 'True'),
});

/** Nodes that have such a pod and none that is Ready. */
export function nodesAway(pods: Iterable<SeenPod>): ReadonlySet<string> {
  const away = new Set<string>();
  const there = new Set<string>();
  for (const { node, ready } of pods) (ready ? there : away).add(node);
  for (const node of there) away.delete(node);
  return away;
}

export const sameNetwork = (one: NetworkCondition | undefined, other: NetworkCondition | undefined): boolean =>
  one?.unavailable === other?.unavailable && one?.reason === other?.reason && one?.message === other?.message;

/**
 * Taint first, then condition, each under the version that was read, so that what others wrote meanwhile stays. `wrote` is told
 * of each write. Answers the Node as it stands then; `undefined`: there is none. Rejects with API_CONFLICT when others write it
 * all the time.
 */
export async function writeNode(
  store: ResourceStore,
  name: string,
  { tainted, network }: NodeDecision,
  now: string,
  wrote: (node: ApiObject) => void,
): Promise<ApiObject | undefined> {
  for (let attempt = 1; ; attempt++) {
    const live = await store.get(nodeType, name);
    if (live === undefined) return undefined;
    try {
      let node = live;
      const seen = seenNode(live);
      if (seen.tainted !== tainted) {
        node = await store.patch(nodeType, name, taintPatch(live, tainted, now));
        wrote(node);
      }
      if (network !== undefined && !sameNetwork(seen.network, network)) {
        node = await store.patch(nodeType, name, conditionPatch(node, network, now), { subresource: 'status' });
        wrote(node);
      }
      return node;
    } catch (error) {
      if (!isApiError(error, 'API_CONFLICT') || attempt === ATTEMPTS) throw error;
    }
  }
}

/** The list of taints is one value to the API. */
function taintPatch(node: ApiObject, tainted: boolean, timeAdded: string): object {
  const others = taintsOf(node).filter((taint) => !isRouting(taint));
  const taints = tainted ? [...others, { key: ROUTING_TAINT, effect: 'NoSchedule', timeAdded }] : others;
  return { ...at(node), spec: { taints: taints.length === 0 ? null : taints } };
}

/** And so is the list of conditions, in a merge patch. */
function conditionPatch(node: ApiObject, { unavailable, reason, message }: NetworkCondition, now: string): object {
  const status = unavailable ? 'True' : 'False';
  const before = conditionsOf(node).find(isNetwork);
  const since = fieldOf(before, 'status') === status ? textOf(fieldOf(before, 'lastTransitionTime')) : undefined;
  const condition = {
    type: CONDITION,
    status,
    reason,
    message,
    lastHeartbeatTime: now,
    lastTransitionTime: since ?? now,
  };
  const all = conditionsOf(node);
  const conditions = before === undefined ? [...all, condition] : all.map((one) => (isNetwork(one) ? condition : one));
  return { ...at(node), status: { conditions } };
}

const at = ({ metadata: { resourceVersion } }: ApiObject): object => ({ metadata: { resourceVersion } });
