/** flatroute is taken off the cluster as docs/kubernetes.md says, and nothing of it is left anywhere. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { seconds } from '#lib/time.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { found, notYet } from '#lab/wait.ts';
import { AGENT, print, SYSTEM } from './world.ts';

/** What a node still has of flatroute, in lines; everything of docs/kernel.md. */
const LEFT = `
ip -br link | grep -E '^fr[0-9a-f]{12}'
ip route show table all proto 179; ip -6 route show table all proto 179
ip nexthop show | grep -E 'id 1845[0-9]{5}'
nft list tables | grep flatroute
ls -d /run/flatroute /var/lib/flatroute /opt/cni/bin/flatroute /etc/cni/net.d/*flatroute* 2>/dev/null
true
`;

export async function uninstall(cluster: Cluster): Promise<void> {
  const { plane } = cluster;
  await plane.run(['delete', 'services', '--all', '-n', 'default', '--timeout=100s']);
  await cluster.until('the addresses of Services to be gone', async () => {
    const left = (await plane.run(['get', 'serviceaddresses', '-o', 'name'])).trim();
    return left === '' ? found(undefined) : notYet(left);
  });
  await plane.run(['delete', 'deployment,daemonset', '--all', '-n', 'default', '--wait=false']);
  await cluster.until('the pods to be gone', async () => {
    const left = await cluster.pods('default');
    return left.length === 0 ? found(undefined) : notYet(`${left.length} are there`);
  });
  await plane.run(['delete', 'daemonset', '-n', SYSTEM, AGENT, 'flatroute-bfd', '--timeout=100s']);
  await plane.run(['apply', '-k', resolve('deploy/uninstall')]);
  await cluster.until(
    'every node to be clean',
    async () => {
      const status = await plane.kubectl([
        'rollout',
        'status',
        '-n',
        SYSTEM,
        'daemonset/flatroute-uninstall',
        '--timeout=5s',
      ]);
      return status.code === 0 ? found(undefined) : notYet(status.stdout + status.stderr);
    },
    seconds(240),
  );
  await plane.run(['delete', 'ipblocks', '--all', '--timeout=100s']);
  await plane.run(['delete', 'ippools', '--all', '--timeout=100s']);
  await plane.run(['delete', '-k', resolve('deploy/uninstall'), '--timeout=100s']);
  await plane.run(['delete', '-k', resolve('deploy/kustomize'), '--ignore-not-found', '--timeout=100s']);
  await plane.run(['delete', '-f', resolve('deploy/crds'), '--timeout=100s']);
  const objects = await plane.run([
    'get',
    'crd,clusterrole,clusterrolebinding,validatingadmissionpolicy,validatingadmissionpolicybinding,namespace',
    '-o',
    'name',
  ]);
  assert.deepEqual(
    objects.split('\n').filter((name) => name.includes('flatroute')),
    [],
  );
  for (const { host, name } of cluster.nodes)
    assert.equal((await host.run(['sh', '-c', LEFT])).trim(), '', `${name} has something of flatroute left`);
  print('no object, link, route, nexthop, table or file of flatroute is left');
}
