/** `flatroute controller`: what is done once for the cluster, by the one of its replicas that holds the Lease. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { LogLevel } from '#agent/messages.ts';
import { type Duration, seconds } from '#lib/time.ts';
import { secretNamespace } from '#resources/kind.ts';
import { collectorDefaults, type CollectorOptions } from '#controller/block-collection.ts';
import { parseDuration } from '#resources/formats.ts';
import { parseEndpoint } from './agent.ts';
import { type Command, EXIT_USAGE } from './command.ts';

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export const controllerSpec: Command = {
  name: 'controller',
  summary: 'Runs the controller of a cluster, in the foreground: blocks of vanished nodes, status of pools and peers.',
  arguments: [],
  options: [
    { name: 'kubeconfig', value: 'FILE', help: 'how to reach the API (default: as the ServiceAccount of this pod)' },
    { name: 'namespace', value: 'NAME', help: `where its Lease is (default ${secretNamespace})` },
    { name: 'identity', value: 'NAME', help: 'name in the Lease (default: host name and a random part)' },
    { name: 'metrics', value: 'ADDRESS:PORT', help: 'serve /metrics, /healthz and /readyz there (default: nowhere)' },
    {
      name: 'collect-after',
      value: 'DURATION',
      help: 'collect the blocks of a Node that has been gone for so long (default 15m)',
    },
    {
      name: 'collect-veto',
      value: 'DURATION',
      help: 'and how long an agent has then to object (default 2m)',
    },
    {
      name: 'default-load-balancer-class',
      help: 'give addresses to Services of type LoadBalancer without a loadBalancerClass too',
    },
    {
      name: 'lease-duration',
      value: 'DURATION',
      help: 'how long another replica waits for one that is silent, 3s or longer (default 15s)',
    },
    { name: 'log-level', value: 'LEVEL', choices: levels, help: 'least level that is logged (default info)' },
  ],
  examples: ['flatroute controller --metrics 127.0.0.1:9180', 'flatroute controller --kubeconfig ~/.kube/config'],
  run: async ({ values, switches }, io) => {
    const metricsText = values.get('metrics');
    const metrics = metricsText === undefined ? undefined : parseEndpoint(metricsText);
    if (metricsText !== undefined && metrics === undefined) {
      io.err(`flatroute: --metrics ${metricsText} is not ADDRESS:PORT, such as 127.0.0.1:9180 or [::1]:9180\n`);
      return EXIT_USAGE;
    }
    const collection = collectionOf(values);
    if (collection === undefined) {
      io.err('flatroute: --collect-after and --collect-veto are durations, such as 15m or 90s\n');
      return EXIT_USAGE;
    }
    const leaseText = values.get('lease-duration');
    const lease = leaseText === undefined ? undefined : parseDuration(leaseText);
    if (leaseText !== undefined && (lease === undefined || lease < seconds(3) || lease % seconds(1) !== 0)) {
      io.err(`flatroute: --lease-duration ${leaseText} is not a duration of whole seconds, 3s or longer\n`);
      return EXIT_USAGE;
    }
    const { runController } = await import('#agent/controller-process.ts');
    return await runController(
      {
        kubeconfig: values.get('kubeconfig'),
        namespace: values.get('namespace') ?? secretNamespace,
        // Two processes of one pod are two: one that was killed must not be taken for the one that follows.
        identity: `${values.get('identity') ?? hostname()}_${randomUUID().slice(0, 8)}`,
        collection,
        lease,
        ownsDefaultClass: switches.has('default-load-balancer-class'),
        metrics,
        logLevel: levels.find((known) => known === values.get('log-level')) ?? 'info',
      },
      { stop: io.signal },
    );
  },
};

/** `undefined`: one of them is no duration. */
function collectionOf(values: ReadonlyMap<string, string>): CollectorOptions | undefined {
  const given = (name: string, otherwise: Duration): Duration | undefined => {
    const text = values.get(name);
    return text === undefined ? otherwise : parseDuration(text);
  };
  const absence = given('collect-after', collectorDefaults.absence);
  const veto = given('collect-veto', collectorDefaults.veto);
  return absence === undefined || veto === undefined ? undefined : { absence, veto };
}
