// A real Prometheus scrapes a real agent and a real controller, loads the rules of deploy/monitoring, and is asked everything that
// alerts and dashboard ask.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import type { Lab } from '#lab/lab.ts';
import { flatroute } from '#lab/program.ts';
import {
  agentWords,
  established,
  fetchMetrics,
  makeNodes,
  manifests,
  startAgent,
  type TestNode,
  untilStatus,
} from '../support/agent-lab.ts';
import { eventually } from '../support/netns.ts';
import { fakeApiIn, KUBECONFIG } from '../support/kubernetes/remote-fake.ts';

const folder = join(import.meta.dirname, '../../deploy/monitoring');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
const PROMETHEUS = 'http://127.0.0.1:9090';
/** No pod is attached in this little cluster. */
const nothingHere = new Set(['Time to attach a pod']);
const pool = `apiVersion: flatroute.io/v1alpha1
kind: IPPool
metadata: { name: pods }
spec: { cidr: 10.60.0.0/16 }
`;

interface Rule {
  readonly alert: string;
  readonly expr: string;
}
interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

test('promtool finds the rules right, and their tests pass', () => {
  execFileSync('promtool', ['check', 'rules', 'rules.yaml'], { cwd: folder });
  execFileSync('promtool', ['test', 'rules', 'rules-test.yaml'], { cwd: folder });
});

describe('a Prometheus beside an agent and a controller', { timeout: 300_000 }, () => {
  let lab: Lab | undefined;
  let node: TestNode;

  /** The values of an instant query. Rejects when Prometheus finds it wrong. */
  async function query(expr: string): Promise<readonly { readonly metric: Readonly<Record<string, string>> }[]> {
    const words = ['promtool', 'query', 'instant', '-o', 'json', PROMETHEUS, expr];
    return JSON.parse(await node.host.run(words)) as readonly { readonly metric: Record<string, string> }[];
  }

  before(async () => {
    const made = await makeNodes('monitoring');
    lab = made.lab;
    const [first, router] = made.nodes;
    node = first;
    const api = await fakeApiIn(node.host);
    for (const text of [...Object.values(manifests(1)), pool]) await api.apply(text);
    await startAgent(router);
    const words = ['--kubernetes', '--kubeconfig', KUBECONFIG];
    await node.host.spawn(flatroute(...agentWords(node, words)), { log: 'agent.log' });
    const controller = ['controller', '--kubeconfig', KUBECONFIG, '--metrics', '127.0.0.1:9180'];
    await node.host.spawn(flatroute(...controller), { log: 'controller.log' });
    const scrape = (job: string, port: number) => ({
      job_name: job,
      static_configs: [{ targets: [`127.0.0.1:${port}`], labels: { instance: 'node-1' } }],
    });
    const config = {
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      scrape_configs: [scrape('flatroute-agent', 9179), scrape('flatroute-controller', 9180)],
      rule_files: ['/run/prometheus/rules.yaml'],
    };
    await node.host.run(['mkdir', '-p', '/run/prometheus/data']);
    await node.host.writeFile('/run/prometheus/prometheus.json', JSON.stringify(config));
    await node.host.writeFile('/run/prometheus/rules.yaml', read('rules.yaml'));
    await node.host.spawn(
      [
        ...['prometheus', '--config.file=/run/prometheus/prometheus.json', '--web.listen-address=127.0.0.1:9090'],
        ...['--storage.tsdb.path=/run/prometheus/data', '--log.level=warn'],
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
  });
  after(async () => {
    await lab?.dispose();
  });

  test('promtool has nothing to say of the metrics of either', async () => {
    const agent = (await fetchMetrics(node, '/metrics')).replace(/^200 /, '');
    const script = `fetch('http://127.0.0.1:9180/metrics').then(async (r) => process.stdout.write(await r.text()))`;
    const controller = await node.host.run([process.execPath, '-e', script]);
    for (const input of [agent, controller])
      assert.equal(execFileSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' }), '');
  });

  test('every alert can be asked, and none fires where all is well', async () => {
    const { groups } = parse(read('rules.yaml')) as { readonly groups: readonly { readonly rules: readonly Rule[] }[] };
    for (const { alert, expr } of groups.flatMap((group) => group.rules)) {
      const found = await query(expr);
      assert.deepEqual(found, [], alert);
    }
    assert.deepEqual(await query('ALERTS{alertstate="firing"}'), []);
  });

  test('every panel of the dashboard has data', async () => {
    const { panels } = JSON.parse(read('dashboard.json')) as { readonly panels: readonly Panel[] };
    const empty: string[] = [];
    for (const { title, targets = [] } of panels)
      for (const { expr } of targets) {
        const asked = expr.replaceAll('$__rate_interval', '30s').replaceAll('$instance', '.*');
        if ((await query(asked)).length === 0 && !nothingHere.has(title)) empty.push(`${title}: ${asked}`);
      }
    assert.deepEqual(empty, []);
  });
});
