// Addresses of Services from the API server to a router: node 1 has Services and endpoints from the fake API server in its own
// namespace and a stand-in for kube-proxy's health check; node 2 is a BIRD. The real cluster's tests have the real ones.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Asn, IpAddress } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Lab } from '#lab/lab.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { LabProcess } from '#lab/process.ts';
import { flatroute } from '#lab/program.ts';
import { BirdRouter } from '#lab/routers/bird.ts';
import type { ConditionAnswer, ServiceAnswer } from '#status/answers.ts';
import {
  agentWords,
  ask,
  established,
  fetchMetrics,
  json,
  makeNodes,
  manifests,
  peerManifest,
  type TestNode,
  untilStatus,
} from '../support/agent-lab.ts';
import { eventually } from '../support/netns.ts';
import { fakeApiIn, KUBECONFIG, type RemoteFake } from '../support/kubernetes/remote-fake.ts';

const range = '198.51.100.0/24';
const web = '198.51.100.7/32';

/** Answers /healthz of port 10256 with what the file says; ends when it is killed. */
const PROXY = `require('http').createServer((q, r) => {
  r.statusCode = Number(require('fs').readFileSync('/run/proxy-health', 'utf8'));
  r.end(JSON.stringify({ nodeEligible: true, healthy: r.statusCode === 200 }));
}).listen(10256);`;

const configuration = (more = ''): string =>
  `${manifests(1)['bgp.yaml'] ?? ''}  serviceLoadBalancerIPs: [{ cidr: ${range} }]\n  serviceAnnounceDelay: 2s\n${more}`;

const service = (policy: string): string => `apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.7
  externalTrafficPolicy: ${policy}
  ports: [{ port: 80, protocol: TCP, name: http }]
status: { loadBalancer: { ingress: [{ ip: 198.51.100.7 }] } }
`;

/** `here` and `there`: ready, draining or gone. */
function endpoints(here: string, there: string): string {
  const conditions: Readonly<Record<string, string>> = {
    ready: '{ ready: true, serving: true, terminating: false }',
    draining: '{ ready: false, serving: true, terminating: true }',
  };
  const rows = [here, there].flatMap((state, i) =>
    conditions[state] === undefined
      ? []
      : [`{ addresses: [10.60.${i + 1}.9], nodeName: node-${i + 1}, conditions: ${conditions[state]} }`],
  );
  return `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-1, namespace: shop, labels: { kubernetes.io/service-name: web } }
addressType: IPv4
ports: [{ name: http, port: 8080, protocol: TCP }]
endpoints: [${rows.join(', ')}]
`;
}

describe('Services of an agent in a cluster', { timeout: 900_000 }, () => {
  let lab: Lab | undefined;
  let node: TestNode;
  let router: BirdRouter;
  let agent: LabProcess;
  let proxy: LabProcess;
  let api: RemoteFake;

  const start = async (): Promise<void> => {
    const words = agentWords(node, ['--kubernetes', '--kubeconfig', KUBECONFIG, '--bootstrap', '/etc/flatroute/none']);
    agent = await node.host.spawn(flatroute(...words), { log: 'agent.log' });
    await untilStatus(node, 'the session', established);
  };
  const healthy = (status: number): Promise<void> => node.host.writeFile('/run/proxy-health', String(status));
  const startProxy = async (): Promise<void> => {
    proxy = await node.host.spawn([process.execPath, '-e', PROXY], { log: 'proxy.log' });
  };
  /** What the router has learned in the range. */
  const learned = async (): Promise<string> =>
    (await router.table('ipv4'))
      .map((it) => it.prefix)
      .filter((it) => it.startsWith('198.51.100.'))
      .join(' ');
  const untilLearned = (expected: string): Promise<string> =>
    waitFor(
      `the router to have "${expected}"`,
      async () => {
        const now = await learned();
        if (now === expected) return found(now);
        return notYet(`${now}\n${(await ask(node, 'services')).stdout}\n${await condition()}`);
      },
      { deadline: seconds(90) },
    );
  const ours = async (prefix: string): Promise<ServiceAnswer | undefined> =>
    (await json<{ services: readonly ServiceAnswer[] }>(node, 'services')).services.find((it) => it.prefix === prefix);
  const condition = async (): Promise<string> => {
    const { conditions } = await json<{ conditions: readonly ConditionAnswer[] }>(node, 'conditions');
    const found = conditions.find((it) => it.type === 'ServicesAnnounced');
    return `${found?.status} ${found?.reason}`;
  };
  const untilCondition = (expected: string): Promise<boolean> =>
    eventually(expected, async () => (await condition()) === expected);

  before(async () => {
    const made = await makeNodes('agent-services');
    lab = made.lab;
    const [one, two] = made.nodes;
    node = one;
    router = new BirdRouter(two.host, {
      asn: 65002 as Asn,
      routerId: '192.0.2.2' as IpAddress,
      peers: [{ name: 'node-1', address: '192.0.2.1' as IpAddress, asn: 65001 as Asn, families: ['ipv4'] }],
      announce: [],
      holdTimeSeconds: 90,
      multipath: false,
    });
    await healthy(200);
    await Promise.all([startProxy(), router.start()]);
    api = await fakeApiIn(node.host);
    await api.apply(manifests(1)['node.yaml'] ?? '');
    await api.apply(peerManifest(2));
    await api.apply(manifests(1)['bgp.yaml'] ?? '');
  });
  after(async () => {
    await lab?.dispose();
  });

  test('without a range it asks for no Service', async () => {
    await api.apply(service('Local'));
    await api.apply(endpoints('ready', 'ready'));
    await start();
    const requests = await api.requests();
    assert.deepEqual(
      requests.filter((it) => /services|endpointslices/.test(it)),
      [],
    );
    assert.equal(await learned(), '');
  });

  test('with a range the router has it, and the address of a Service with policy Local that has an endpoint here', async () => {
    await api.apply(configuration());
    await untilLearned(`${range} ${web}`);
    await eventually('the row', async () => (await ours(web))?.outcome === 'Announced');
    await untilCondition('True ServicesAnnounced');
    await eventually('the metric', async () =>
      (await fetchMetrics(node, '/metrics')).includes('flatroute_service_addresses{outcome="Announced"} 2'),
    );
  });

  test('serving and terminating endpoints count while none is ready; the last one gone, the address is withdrawn, and comes back after the delay', async () => {
    await api.apply(endpoints('draining', 'ready'));
    await api.apply(endpoints('gone', 'ready'));
    await untilLearned(range);
    assert.match(
      (await ask(node, 'services', 'shop/web')).stdout,
      /no usable endpoint is on this node; before: announced since/,
    );
    await api.apply(endpoints('ready', 'ready'));
    await untilLearned(`${range} ${web}`);
    assert.match((await ours(web))?.before ?? '', /^waiting for the delay since/);
    await eventually('the line of the log', async () =>
      /service\.withdrawn.*NoEndpointsHere/.test(await node.host.readFile('/run/log/agent.log')),
    );
  });

  test('not aggregated, with policy Cluster, an endpoint anywhere is enough, and without one nothing is announced', async () => {
    await api.apply(configuration('  serviceLoadBalancerAggregation: Disabled\n'));
    await api.apply(service('Cluster'));
    await api.apply(endpoints('gone', 'draining'));
    await untilLearned(web);
    await api.apply(endpoints('gone', 'gone'));
    await untilLearned('');
    await api.apply(endpoints('gone', 'ready'));
    await untilLearned(web);
  });

  test("while the proxy says that it does not work, or is not there, nothing is announced; the node's label does the same", async () => {
    await healthy(503);
    await untilLearned('');
    await untilCondition('False ProxyNotHealthy');
    await healthy(200);
    await untilLearned(web);
    proxy.kill('SIGKILL');
    await proxy.exited;
    await untilLearned('');
    assert.match((await ours(web))?.why ?? '', /nobody answers on port 10256/);
    await startProxy();
    await untilLearned(web);
    const own = manifests(1)['node.yaml'] ?? '';
    const label = 'node.kubernetes.io/exclude-from-external-load-balancers: ""';
    await api.apply(own.replace('{ name: node-1 }', `{ name: node-1, labels: { ${label} } }`));
    await untilLearned('');
    await untilCondition('True NodeExcluded');
    await api.apply(own);
    await untilLearned(web);
  });

  test('killed and started while the API server is away it announces the same at once, and follows the API again when it is back', async () => {
    await eventually('what it remembers', async () =>
      (await node.host.exec(['cat', '/run/flatroute/services.json'])).stdout.includes('198.51.100.7'),
    );
    await api.stop();
    agent.kill('SIGKILL');
    await agent.exited;
    await start();
    await untilLearned(web);
    await eventually('the row', async () => (await ours(web))?.outcome === 'Announced');
    await api.start();
    await api.apply(endpoints('gone', 'gone'));
    await untilLearned('');
  });
});
