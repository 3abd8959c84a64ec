/** Prometheus metrics of the controller; docs/metrics.md lists them. */
import { Counter, Gauge, Registry } from 'prom-client';
import { collectProcessMetrics } from './process-metrics.ts';

export interface ControllerMetrics {
  readonly contentType: string;
  readonly text: () => Promise<string>;
  /** One request was answered, or was not (`none`). */
  readonly requested: (verb: string, code: string) => void;
}

export interface ControllerFigures {
  readonly leads: boolean;
  readonly writes: { readonly done: number; readonly failed: number };
  readonly events: { readonly sent: number; readonly dropped: number };
  readonly measures: ReadonlyMap<
    string,
    readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]
  >;
}

/** What parts of the leader measure; replicas that wait have no series. */
const measured = [
  {
    measure: 'nodes',
    name: 'flatroute_controller_nodes',
    help: 'Nodes of the cluster: known, reporting (with a BGPNodeState), silent (nothing is heard of their kubelet).',
    labelNames: ['state'],
  },
  {
    measure: 'node_readiness',
    name: 'flatroute_controller_node_readiness',
    help: 'Nodes by whether they may be given pods.',
    labelNames: ['readiness'],
  },
  {
    measure: 'refused_objects',
    name: 'flatroute_controller_refused_objects',
    help: 'Objects whose condition Accepted is not True.',
    labelNames: ['kind'],
  },
  {
    measure: 'pool_addresses',
    name: 'flatroute_controller_pool_addresses',
    help: 'Addresses of an IPPool over all nodes: used by pods, claimed in blocks of nodes, and all.',
    labelNames: ['pool', 'state'],
  },
  {
    measure: 'unenforced_network_policies',
    name: 'flatroute_controller_unenforced_network_policies',
    help: 'NetworkPolicies of the cluster, none of which is enforced.',
    labelNames: [],
  },
] as const;

export function createControllerMetrics(version: string, figures: () => ControllerFigures): ControllerMetrics {
  const registry = new Registry();
  collectProcessMetrics(registry);
  const registers = [registry];
  new Gauge({
    name: 'flatroute_build_info',
    help: 'Version of the program and of Node; always 1.',
    labelNames: ['version', 'node_version'],
    registers,
  }).set({ version, node_version: process.version }, 1);
  const leader: Gauge = new Gauge({
    name: 'flatroute_controller_leader',
    help: '1 while this replica leads.',
    registers,
    collect: () => leader.set(figures().leads ? 1 : 0),
  });
  const writes: Counter<'outcome'> = new Counter({
    name: 'flatroute_controller_writes_total',
    help: 'Writes of status and finalizers that were tried.',
    labelNames: ['outcome'],
    registers,
    collect: () => {
      writes.reset();
      const { done, failed } = figures().writes;
      writes.inc({ outcome: 'done' }, done);
      writes.inc({ outcome: 'failed' }, failed);
    },
  });
  const events: Counter<'outcome'> = new Counter({
    name: 'flatroute_controller_events_total',
    help: 'Events: sent, or dropped because the API did not take them in time.',
    labelNames: ['outcome'],
    registers,
    collect: () => {
      events.reset();
      const { sent, dropped } = figures().events;
      events.inc({ outcome: 'sent' }, sent);
      events.inc({ outcome: 'dropped' }, dropped);
    },
  });
  for (const { measure, name, help, labelNames } of measured) {
    const made: Gauge = new Gauge({
      name,
      help,
      labelNames: [...labelNames],
      registers,
      collect: () => {
        made.reset();
        // A reset leaves a value of 0 where there are no labels.
        if (labelNames.length === 0) made.remove();
        for (const { labels, value } of figures().measures.get(measure) ?? []) made.set(labels, value);
      },
    });
  }
  const requests = new Counter({
    name: 'flatroute_controller_api_requests_total',
    help: 'Requests to the Kubernetes API by verb and HTTP status.',
    labelNames: ['verb', 'code'],
    registers,
  });
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    requested: (verb, code) => requests.inc({ verb, code }),
  };
}
