/** NetworkPolicies are not enforced: each of them says so itself, by an Event, to whoever made it. */
import type { ResourceType } from '#kubernetes/store.ts';
import type { Part } from './part.ts';

export const networkPolicyType: ResourceType = {
  group: 'networking.k8s.io',
  version: 'v1',
  plural: 'networkpolicies',
  kind: 'NetworkPolicy',
  namespaced: true,
};

/** Of those that are there when a leader begins so many are told; the others are in the text. */
const MOST = 20;

export const networkPolicyPart: Part = ({ watch, tell, measured }) => {
  /** By key; `undefined`: none was listed yet. */
  let told: ReadonlySet<string> | undefined;
  watch(
    networkPolicyType,
    ({ metadata: { name, namespace = '', uid } }) => ({ name, namespace, uid }),
    (all) => {
      const keys = [...all].map(([key, { uid }]) => `${key} ${uid}`);
      const fresh = [...all.values()].filter((_, i) => told?.has(keys[i] ?? '') !== true);
      const rest = all.size === 1 ? 'It is the only one' : `There are ${all.size} of them`;
      for (const { name, namespace, uid } of fresh.slice(0, MOST))
        tell({
          regarding: { apiVersion: 'networking.k8s.io/v1', kind: networkPolicyType.kind, name, namespace, uid },
          type: 'Warning',
          reason: 'NetworkPolicyNotEnforced',
          action: 'NetworkPolicies',
          text: `flatroute enforces no NetworkPolicy: pods reach each other whatever this one says. ${rest} in the cluster. Delete it, or run an enforcer beside flatroute.`,
        });
      told = new Set(keys);
      measured('unenforced_network_policies', [{ labels: {}, value: all.size }]);
    },
    { metadataOnly: true },
  );
  return () => [];
};
