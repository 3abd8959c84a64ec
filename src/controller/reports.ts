/** What follows from the BGPNodeStates of all nodes: which Nodes may have pods. */
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import type { Part } from './part.ts';
import { isRouted, nodeType, type SeenNode, tainted, taintTasks } from './taints.ts';

export const reportPart: Part = (modules) => {
  let nodes: ReadonlyMap<string, SeenNode | undefined> = new Map();
  let routed: ReadonlyMap<string, boolean> = new Map();
  modules.watch(nodeType, tainted, (all) => {
    nodes = all;
  });
  modules.watch(typeOf(bgpNodeState), isRouted, (all) => {
    routed = all;
  });
  return () => taintTasks(nodes, (name) => routed.get(name) === true, modules);
};
