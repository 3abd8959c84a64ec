// A real Prometheus scrapes a real agent and a real controller, loads the rules of deploy/monitoring, and is asked everything that
// alerts and dashboard ask.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import type { Lab } from '#lab/lab.ts';
import { fetchMetrics, type TestNode } from '../support/agent-lab.ts';
import { eventually } from '../support/netns.ts';
import { type MonitoringLab, monitoringLab } from './monitoring-lab.ts';

const folder = join(import.meta.dirname, '../../deploy/monitoring');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
/** No pod is attached in this little cluster. */
const nothingHere = new Set(['Time to attach a pod']);

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
  let query: MonitoringLab['query'];

  before(async () => {
    ({ lab, node, query } = await monitoringLab());
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
    // What has to stand for minutes before it fires may be so for a moment while things start.
    for (const { alert, expr } of groups.flatMap((group) => group.rules))
      await eventually(`no ${alert}`, async () => (await query(expr)).length === 0);
    assert.deepEqual(await query('ALERTS{alertstate="firing"}'), []);
  });

  test('every panel of the dashboard has data', async () => {
    const { panels } = JSON.parse(read('dashboard.json')) as { readonly panels: readonly Panel[] };
    for (const { title, targets = [] } of panels)
      for (const { expr } of targets) {
        const asked = expr.replaceAll('$__rate_interval', '30s').replaceAll('$instance', '.*');
        await eventually(`${title}: ${asked}`, async () => (await query(asked)).length > 0 || nothingHere.has(title));
      }
  });
});
