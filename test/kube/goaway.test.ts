// An API server that sends its clients elsewhere at random (--goaway-chance), as behind a load balancer: no call fails, no write
// happens twice, and a watch misses nothing.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { apiStore } from '#kubernetes/io/client.ts';
import { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { kubernetesTools } from '#lab/kubernetes/tools.ts';
import { Lab } from '#lab/lab.ts';
import { moveToNamespace } from '#linux/namespace.ts';
import { eventually } from '../support/netns.ts';
import { configMaps } from '../support/kubernetes/store-contract.ts';
import { keepLogsOnFailure, step } from './steps.ts';

const COUNT = 600;
const AT_A_TIME = 6;
const namespace = 'default';

let lab: Lab | undefined;
keepLogsOnFailure(() => lab?.hosts ?? []);
after(async () => await lab?.dispose());

test('every write happens once and is seen while connections come and go', { timeout: 600_000 }, async () => {
  lab = await Lab.create('goaway');
  const host = await lab.addHost('api');
  // The most that it takes.
  const options = { host, address: '127.0.0.1', tools: kubernetesTools(), apiServer: ['--goaway-chance=0.02'] };
  const plane = await step('API server', ControlPlane.start(options));
  moveToNamespace(`/proc/${host.pid}/ns/net`);
  const store = apiStore({
    access: await kubernetesAccess(await plane.kubeconfig('kubernetes-admin', ['system:masters'])),
    userAgent: 'flatroute-test/0',
  });
  const seen = new Map<string, string>();
  store.watch(configMaps, {
    selection: { namespace, labelSelector: 'test=goaway' },
    keep: (object) => String((object['data'] as { readonly n?: string } | undefined)?.n),
    changed: (objects, keys) => {
      for (const key of keys) seen.set(key, objects.get(key) ?? 'gone');
    },
  });
  const ports = new Set<string>();
  const look = async (): Promise<void> => {
    const listed = await host.run(['ss', '-Htn', 'state', 'established', '( dport = :6443 )']);
    for (const line of listed.split('\n')) ports.add(line.trim().split(/\s+/)[2] ?? '');
  };
  const left = Array.from({ length: COUNT }, (_, at) => `map-${at}`);
  const worker = async (): Promise<void> => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      const made = await store.create(configMaps, {
        metadata: { name, namespace, labels: { test: 'goaway' } },
        data: { n: '1' },
      });
      await store.replace(configMaps, { ...made, data: { n: '2' } });
      if (left.length % 50 === 0) await look();
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  await eventually('all changes', () => seen.size === COUNT && [...seen.values()].every((it) => it === '2'), 120_000);
  assert.equal((await store.list(configMaps, { namespace, labelSelector: 'test=goaway' })).length, COUNT);
  assert.ok(ports.size > 3, `${ports.size} local ports were seen: nobody was sent away`);
  await store.close();
});
