/**
 * Takes the pictures of docs/monitoring.md anew, four minutes: `npm run pictures`. A real Prometheus watches a router and then the
 * proxy of Services go away; its own pages (Debian's, without the newer React ones) are shown to Chromium in the same namespace.
 */
import { copyFileSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '#lab/host.ts';
import { seconds } from '#lib/time.ts';
import { eventually } from '../support/netns.ts';
import { monitoringLab, PAGES, PROMETHEUS } from './monitoring-lab.ts';

const folder = join(import.meta.dirname, '../../docs/images');
const say = (line: string): boolean => process.stderr.write(`${line}\n`);

/** A page of Prometheus with these graphs over the last minutes. */
function graphs(range: string, ...exprs: readonly string[]): string {
  const words = exprs.flatMap((expr, n) => [
    [`g${n}.expr`, expr],
    [`g${n}.tab`, '0'],
    [`g${n}.range_input`, range],
    [`g${n}.step_input`, '1'],
  ]);
  return `/classic/graph?${words.map((pair) => pair.map(encodeURIComponent).join('=')).join('&')}`;
}

/** The page of alerts, switched to hide those that are quiet. */
const ALERTS = `<body style="margin:0"><script>localStorage.hideInactiveAlerts = 'true'</script>
<iframe src="/classic/alerts" style="border:0;width:100vw;height:100vh"></iframe>`;

async function take(host: Host, name: string, page: string, height: number): Promise<void> {
  const inside = `/run/${name}.png`;
  await host.run(
    [
      ...['chromium', '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars'],
      ...[`--user-data-dir=/run/chromium-${name}`, `--window-size=1100,${height}`, '--virtual-time-budget=15000'],
      ...[`--screenshot=${inside}`, `${PROMETHEUS}${page}`],
    ],
    { timeout: seconds(90) },
  );
  const file = join(folder, `${name}.png`);
  copyFileSync(host.path(inside), file);
  say(`${file}: ${statSync(file).size} bytes`);
}

mkdirSync(folder, { recursive: true });
const { lab, node, router, proxy, query } = await monitoringLab();
try {
  const waitUntil = (what: string, expr: string): Promise<unknown> => {
    say(`waiting for ${what}`);
    return eventually(what, async () => (await query(expr)).length > 0, 240_000);
  };
  await waitUntil('a minute of peace', 'count_over_time(flatroute_bgp_session_up[2m]) >= 60');
  router.kill('SIGKILL');
  await waitUntil('half a minute without the router', 'sum_over_time((1 - flatroute_bgp_session_up)[2m:1s]) >= 30');
  proxy.kill('SIGKILL');
  await waitUntil('the alert', 'ALERTS{alertname="FlatrouteNodeIsolated", alertstate="firing"}');
  await node.host.writeFile(`${PAGES}/alerts.html`, ALERTS);
  await take(node.host, 'monitoring-alerts', '/user/alerts.html', 650);
  await take(
    node.host,
    'monitoring-session',
    graphs('4m', 'flatroute_bgp_session_up', 'sum by (peer, stage) (flatroute_bgp_routes)'),
    1640,
  );
  await take(
    node.host,
    'monitoring-services',
    graphs('4m', 'sum by (outcome) (flatroute_service_addresses)', 'flatroute_service_withdrawals_total'),
    1640,
  );
} finally {
  await lab.dispose();
}
