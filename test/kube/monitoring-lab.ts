/**
 * A real agent and a real controller with a Prometheus beside them in one network namespace, and a router at the other end of a
 * link: what the test of alerts and dashboard asks, and what the pictures of docs/monitoring.md are taken of.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { flatroute } from '#lab/program.ts';
import {
  agentWords,
  established,
  makeNodes,
  manifests,
  startAgent,
  type TestNode,
  untilStatus,
} from '../support/agent-lab.ts';
import { fakeApiIn, KUBECONFIG } from '../support/kubernetes/remote-fake.ts';
import { eventually } from '../support/netns.ts';

export const PROMETHEUS = 'http://127.0.0.1:9090';
/** Files of the node's host that Prometheus serves below /user. */
export const PAGES = '/run/prometheus/pages';
const rules = join(import.meta.dirname, '../../deploy/monitoring/rules.yaml');
const pool = `apiVersion: flatroute.io/v1alpha1
kind: IPPool
metadata: { name: pods }
spec: { cidr: 10.60.0.0/16 }
`;
const services = '  serviceClusterIPs: [{ cidr: 10.96.0.0/16 }]\n';
/** Says of itself that it works, as kube-proxy does. */
const PROXY = "require('node:http').createServer((_, answer) => answer.end()).listen(10256)";

export interface MonitoringLab {
  readonly lab: Lab;
  readonly node: TestNode;
  readonly router: LabProcess;
  readonly proxy: LabProcess;
  /** The values of an instant query. Rejects when Prometheus finds it wrong. */
  readonly query: (expr: string) => Promise<readonly { readonly metric: Readonly<Record<string, string>> }[]>;
}

/** Resolves when the session is up and both have been scraped. The caller disposes of the lab. */
export async function monitoringLab(): Promise<MonitoringLab> {
  const made = await makeNodes('monitoring');
  try {
    return await started(made.lab, made.nodes);
  } catch (error) {
    await made.lab.dispose();
    throw error;
  }
}

async function started(lab: Lab, [node, other]: readonly [TestNode, TestNode]): Promise<MonitoringLab> {
  const { host } = node;
  const query: MonitoringLab['query'] = async (expr) =>
    JSON.parse(await host.run(['promtool', 'query', 'instant', '-o', 'json', PROMETHEUS, expr])) as readonly {
      readonly metric: Record<string, string>;
    }[];
  const proxy = await host.spawn([process.execPath, '-e', PROXY], { log: 'proxy.log' });
  const api = await fakeApiIn(host);
  const files = manifests(1);
  for (const text of [...Object.values({ ...files, 'bgp.yaml': `${files['bgp.yaml'] ?? ''}${services}` }), pool])
    await api.apply(text);
  const router = await startAgent(other);
  const words = ['--kubernetes', '--kubeconfig', KUBECONFIG];
  await host.spawn(flatroute(...agentWords(node, words)), { log: 'agent.log' });
  const controller = ['controller', '--kubeconfig', KUBECONFIG, '--metrics', '127.0.0.1:9180'];
  await host.spawn(flatroute(...controller), { log: 'controller.log' });
  const scrape = (job: string, port: number) => ({
    job_name: job,
    static_configs: [{ targets: [`127.0.0.1:${port}`], labels: { instance: 'node-1' } }],
  });
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    scrape_configs: [scrape('flatroute-agent', 9179), scrape('flatroute-controller', 9180)],
    rule_files: ['/run/prometheus/rules.yaml'],
  };
  await host.run(['mkdir', '-p', '/run/prometheus/data']);
  await host.writeFile('/run/prometheus/prometheus.json', JSON.stringify(config));
  await host.writeFile('/run/prometheus/rules.yaml', readFileSync(rules, 'utf8'));
  await host.spawn(
    [
      ...['prometheus', '--config.file=/run/prometheus/prometheus.json', '--web.listen-address=127.0.0.1:9090'],
      ...['--storage.tsdb.path=/run/prometheus/data', '--log.level=warn', `--web.user-assets=${PAGES}`],
    ],
    { log: 'prometheus.log' },
  );
  await untilStatus(node, 'the session', established, 120_000);
  await eventually(
    'both to be scraped',
    async () => {
      const up = await query(
        'up == 1 and on (job) count by (job) (count_over_time(process_cpu_seconds_total[1m]) > 3)',
      ).catch(() => []);
      const led = await query('flatroute_controller_nodes{state="reporting"} == 1').catch(() => []);
      return up.length === 2 && led.length === 1;
    },
    120_000,
  );
  return { lab, node, router, proxy, query };
}
