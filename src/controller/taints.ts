/**
 * Takes the taint off a Node with which its kubelet registered it (`registerWithTaints`), once its agent reports a session that is up
 * and every block announced: no pod is placed on a node before the network knows the way there. It is never put back.
 * Done here, so that no agent may change Nodes.
 */
import type { ApiObject, ResourceType } from '#kubernetes/store.ts';
import { fieldOf, listOf } from './conditions.ts';
import type { PartModules } from './part.ts';
import type { Task } from './tasks.ts';

export const ROUTING_TAINT = 'flatroute.io/routing-not-ready';

export const nodeType: ResourceType = { group: '', version: 'v1', plural: 'nodes', kind: 'Node', namespaced: false };

export interface SeenNode {
  readonly resourceVersion: string | undefined;
  /** As they are, the one in question among them. */
  readonly taints: readonly unknown[];
}

const isRouting = (taint: unknown): boolean => fieldOf(taint, 'key') === ROUTING_TAINT;

/** `undefined`: it has not the taint. */
export function tainted({ metadata, spec }: ApiObject): SeenNode | undefined {
  const taints = listOf(fieldOf(spec, 'taints'));
  return taints.some(isRouting) ? { resourceVersion: metadata.resourceVersion, taints } : undefined;
}

/** By its BGPNodeState: whether others know the way to the node's pods. */
export function isRouted({ status }: ApiObject): boolean {
  const established = listOf(fieldOf(status, 'sessions')).some((one) => fieldOf(one, 'state') === 'Established');
  return established && listOf(fieldOf(status, 'blocks')).every((one) => fieldOf(one, 'announced') === true);
}

export const taintTasks = (
  nodes: ReadonlyMap<string, SeenNode | undefined>,
  isRoutedNode: (name: string) => boolean,
  { store, log, wrote }: PartModules,
): readonly Task[] =>
  [...nodes].flatMap(([name, node]) => {
    if (node === undefined || !isRoutedNode(name)) return [];
    const run = async (): Promise<void> => {
      const left = node.taints.filter((taint) => !isRouting(taint));
      const spec = { taints: left.length === 0 ? null : left };
      await store.patch(nodeType, name, { metadata: { resourceVersion: node.resourceVersion }, spec });
      wrote('done');
      log('info', 'controller.node-routed', { node: name });
    };
    return [{ key: `Node/${name} taint`, seldom: false, run }];
  });
