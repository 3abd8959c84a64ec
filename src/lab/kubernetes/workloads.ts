/** What runs in a lab's cluster: witnesses, which say whom they see, as Deployments and DaemonSets. */
import { WITNESS_IMAGE } from '../runtime/images.ts';
import { WITNESS_PORT } from './network.ts';

export interface Workload {
  readonly name: string;
  /** `default` if not given. */
  readonly namespace?: string;
  /** Of a Deployment; a DaemonSet has one on each node. */
  readonly replicas?: number;
  readonly hostPort?: number;
  /** `kubernetes.io/hostname` of its pods. */
  readonly node?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Of its pods, beside `app`, which is its name. */
  readonly labels?: Readonly<Record<string, string>>;
}

const podTemplate = (it: Workload): object => ({
  metadata: {
    labels: { ...it.labels, app: it.name },
    ...(it.annotations === undefined ? {} : { annotations: it.annotations }),
  },
  spec: {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    ...(it.node === undefined ? {} : { nodeSelector: { 'kubernetes.io/hostname': it.node } }),
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'DoNotSchedule',
        labelSelector: { matchLabels: { app: it.name } },
      },
    ],
    containers: [
      {
        name: 'witness',
        image: WITNESS_IMAGE,
        imagePullPolicy: 'Never',
        args: [String(WITNESS_PORT)],
        ports: [{ containerPort: WITNESS_PORT, ...(it.hostPort === undefined ? {} : { hostPort: it.hostPort }) }],
        readinessProbe: { httpGet: { path: '/', port: WITNESS_PORT }, periodSeconds: 1 },
      },
    ],
  },
});

const workload = (kind: 'Deployment' | 'DaemonSet', it: Workload, more: object): object => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name: it.name, namespace: it.namespace ?? 'default' },
  spec: { ...more, selector: { matchLabels: { app: it.name } }, template: podTemplate(it) },
});

/** Its pods are spread over the nodes. */
export const deployment = (it: Workload): object => workload('Deployment', it, { replicas: it.replicas ?? 1 });

export const daemonSet = (it: Workload): object => workload('DaemonSet', it, {});

/** In both families, of the workload with this name. */
export const service = (app: string, name: string, more: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'default' },
  spec: {
    ipFamilyPolicy: 'RequireDualStack',
    ipFamilies: ['IPv4', 'IPv6'],
    selector: { app },
    ports: [{ port: 80, targetPort: WITNESS_PORT }],
    ...more,
  },
});
