// The real Multus (the thin plugin, pinned in tools/go.mod, built by scripts/build-go.mjs) with flatroute as its default
// network and as a further one, beside the real macvlan and ptp. What it asks of Kubernetes is answered by a fake.
import assert from 'node:assert/strict';
import { dirname, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Conflist, HostConflistRunner, PluginConfiguration } from '#lab/conflist.ts';
import { Pod } from '#lab/pod.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import { BINARIES, ChainLab, node, REFERENCE, vm, WITNESS_PORT } from '../support/chain-lab.ts';
import { documentedList, documentedNetwork } from '../support/documented.ts';
import type { Objects } from './kube-fake.ts';

const multus = process.env['FLATROUTE_MULTUS'] ?? '';
const skip = multus === '' ? 'npm run test:multus builds Multus and runs this' : false;

const OBJECTS = '/run/kube/objects.json';
const KUBECONFIG = '/run/kube/kubeconfig';
const PORT = 8001;
const kubeconfig = `apiVersion: v1
kind: Config
clusters: [{ name: fake, cluster: { server: "http://127.0.0.1:${PORT}" } }]
contexts: [{ name: fake, context: { cluster: fake, user: nobody } }]
users: [{ name: nobody }]
current-context: fake
`;

const gateways = ['169.254.1.1', 'fe80::ecee:eeff:feee:eeee'];
const families = ['ipv4', 'ipv6'] as const;
/** What docs/multus.md shows, as one object. */
const asConfiguration = ({ plugins, ...list }: Conflist): Readonly<Record<string, unknown>> => ({
  ...list,
  ...plugins[0],
});
const second = asConfiguration(documentedNetwork('multus', 'second'));
const flat = {
  cniVersion: '1.0.0',
  name: 'flat',
  type: 'macvlan',
  master: 'uplink',
  ipam: { type: 'static', addresses: [{ address: '203.0.113.60/24' }, { address: '2001:db8:cc::60/64' }] },
};
const networks: Objects['networks'] = {
  second,
  flat,
  'no-such-pool': { ...second, name: 'no-such-pool', ipam: { pools: ['nowhere'] } },
};

interface Status {
  readonly name: string;
  readonly interface: string;
  readonly ips: readonly string[];
  readonly mac: string;
  readonly default?: boolean;
  readonly gateway?: readonly string[];
}

/** A network selection annotation (Kubernetes Network Custom Resource Definition De-facto Standard, section 4.1.2). */
const selecting = (...selections: readonly object[]): Readonly<Record<string, string>> => ({
  'k8s.v1.cni.cncf.io/networks': JSON.stringify(selections),
});

describe('Multus', { skip, timeout: 240_000 }, () => {
  let lab: ChainLab;
  let pods: Objects['pods'] = {};

  before(async () => {
    lab = await ChainLab.create('multus');
    await lab.witness(lab.vm);
    await lab.vm.ip(['address add 203.0.113.50/24 dev eth0', 'address add 2001:db8:cc::50/64 dev eth0 nodad']);
    await lab.node.writeFile(KUBECONFIG, kubeconfig);
    const words = [resolve('test/multus/kube-fake.ts'), String(PORT), OBJECTS];
    const kube = await lab.node.spawn([process.execPath, ...words], { log: 'kube.log' });
    await waitFor(
      'the fake of Kubernetes',
      async () => ((await kube.log()).includes('listening') ? found(undefined) : notYet(await kube.log())),
      { deadline: seconds(60) },
    );
  });
  after(async () => {
    await lab[Symbol.asyncDispose]();
  });

  const list = (options: Readonly<Record<string, unknown>>, cniVersion = '1.0.0'): Conflist => ({
    cniVersion,
    name: 'multus-cni-network',
    plugins: [
      {
        type: 'multus',
        capabilities: { portMappings: true },
        kubeconfig: KUBECONFIG,
        logToStderr: false,
        ...options,
      },
    ],
  });
  const folders = [dirname(multus), BINARIES, REFERENCE];
  const runner = (options: Readonly<Record<string, unknown>>, cniVersion?: string): HostConflistRunner =>
    lab.runFrom(folders, list(options, cniVersion));
  const onFlatroute = (): HostConflistRunner => lab.runFrom(folders, documentedList('multus', 'multus-cni-network'));

  async function attach(
    by: HostConflistRunner,
    name: string,
    annotations: Readonly<Record<string, string>>,
    runtimeConfig: Readonly<Record<string, unknown>> = {},
  ): Promise<Pod> {
    pods = { ...pods, [name]: annotations };
    await lab.node.writeFile(OBJECTS, JSON.stringify({ pods, networks } satisfies Objects));
    const pod = await Pod.attach(by, name, runtimeConfig);
    await lab.witness(pod);
    return pod;
  }

  /** What Multus wrote into the pod's annotation. */
  async function statusOf(pod: Pod): Promise<readonly Status[]> {
    const all = JSON.parse(await lab.node.readFile(`${OBJECTS}.status`)) as Record<string, string>;
    return JSON.parse(all[pod.name] ?? '[]') as Status[];
  }

  const mac = async (pod: Pod, name: string): Promise<string | undefined> =>
    (JSON.parse(await pod.run(['ip', '-j', 'link', 'show', 'dev', name])) as { address: string }[])[0]?.address;

  async function gone(pod: Pod, by: HostConflistRunner): Promise<void> {
    await pod.detach();
    await by.del({ ...pod.attachment, networkNamespace: '' }, undefined);
    await lab.nothingLeft();
  }

  test('with flatroute as its default network: result and status are those of eth0, and portmap works behind it', async () => {
    const by = onFlatroute();
    const mapping = { hostPort: 18080, containerPort: WITNESS_PORT, protocol: 'tcp' };
    const pod = await attach(by, 'alone', {}, { portMappings: [mapping] });
    assert.deepEqual(
      pod.result.ips?.map((ip) => ip.interface),
      [1, 1],
    );
    assert.equal(pod.result.interfaces?.[1]?.sandbox, '/run/netns/alone');
    const [status, ...others] = await statusOf(pod);
    assert.deepEqual(others, []);
    assert.deepEqual(
      { ...status, dns: undefined },
      {
        name: 'flatroute',
        interface: 'eth0',
        ips: [...pod.addresses],
        mac: pod.result.interfaces?.[1]?.mac,
        default: true,
        gateway: gateways,
        dns: undefined,
      },
    );
    assert.deepEqual(await lab.ask(lab.vm, 18080, node.routed.ipv4, node.routed.ipv6), {
      [node.routed.ipv4]: `alone ${vm.link.ipv4}`,
      [node.routed.ipv6]: `alone ${vm.link.ipv6}`,
    });
    await gone(pod, by);
  });

  test('a second flatroute interface and macvlan: own addresses and routes, answers by the interface that was asked', async () => {
    const by = onFlatroute();
    const wish = { name: 'second', ips: ['10.62.0.40/32', 'fd62::28/128'], mac: '02:aa:bb:cc:dd:02' };
    const pod = await attach(by, 'multi', selecting(wish, { name: 'flat', interface: 'flat0' }));
    const statuses = await statusOf(pod);
    assert.deepEqual(
      statuses.map(({ name, interface: inside, ips, default: isDefault }) => [name, inside, ips, isDefault ?? false]),
      [
        ['flatroute', 'eth0', [...pod.addresses], true],
        ['default/second', 'net1', ['10.62.0.40', 'fd62::28'], false],
        ['default/flat', 'flat0', ['203.0.113.60', '2001:db8:cc::60'], false],
      ],
    );
    assert.equal(statuses[1]?.mac, wish.mac);
    const targets = [...pod.addresses, ...(statuses[1]?.ips ?? []), ...(statuses[2]?.ips ?? [])];
    const answers = Object.values(await lab.ask(lab.vm, WITNESS_PORT, ...targets));
    assert.deepEqual(answers, [
      `multi ${vm.link.ipv4}`,
      `multi ${vm.link.ipv6}`,
      `multi ${vm.link.ipv4}`,
      `multi ${vm.link.ipv6}`,
      'multi 203.0.113.50',
      'multi 2001:db8:cc::50',
    ]);
    assert.deepEqual(await lab.ask(pod, WITNESS_PORT, ...families.flatMap((f) => [vm.link[f], vm.further[f]])), {
      [vm.link.ipv4]: `vm ${node.routed.ipv4}`,
      [vm.further.ipv4]: 'vm 10.62.0.40',
      [vm.link.ipv6]: `vm ${node.routed.ipv6}`,
      [vm.further.ipv6]: 'vm fd62::28',
    });
    // From the cache: the object is gone.
    pods = {};
    await lab.node.writeFile(OBJECTS, JSON.stringify({ pods, networks: {} } satisfies Objects));
    await gone(pod, by);
  });

  test('a network selection with default-route does no harm to a pod', async () => {
    // Multus 4.3.0 looks for default routes without a destination, which its netlink library does not tell of any more: it
    // moves none, whatever the plugins are. test/cni/delegates.test.ts has what is meant.
    const by = onFlatroute();
    const pod = await attach(by, 'default', selecting({ name: 'second', 'default-route': gateways }));
    const [, net1] = await statusOf(pod);
    for (const answer of Object.values(await lab.ask(pod, WITNESS_PORT, vm.link.ipv4, vm.link.ipv6)))
      assert.match(answer, /^vm /);
    for (const answer of Object.values(await lab.ask(lab.vm, WITNESS_PORT, ...pod.addresses, ...(net1?.ips ?? []))))
      assert.match(answer, /^default /);
    await gone(pod, by);
  });

  test('flatroute as second interface beside another default network', async () => {
    const ipam = { type: 'host-local', ranges: [[{ subnet: '10.63.0.0/24' }]], routes: [{ dst: '0.0.0.0/0' }] };
    const ptp = { cniVersion: '1.0.0', name: 'other', type: 'ptp', ipam };
    const by = runner({ delegates: [ptp] });
    const pod = await attach(by, 'beside', selecting({ name: 'second', interface: 'routed0' }));
    const [, routed] = await statusOf(pod);
    assert.equal(routed?.interface, 'routed0');
    assert.equal(routed?.mac, await mac(pod, 'routed0'));
    const asked = await lab.ask(lab.vm, WITNESS_PORT, pod.address('ipv4'), ...(routed?.ips ?? []));
    for (const answer of Object.values(asked)) assert.match(answer, /^beside (192\.0\.2\.50|2001:db8::50)$/);
    await pod.check();
    await gone(pod, by);
  });

  test('a further interface that cannot be had fails the ADD in the words of flatroute, and nothing is left', async () => {
    const by = onFlatroute();
    const annotations = selecting({ name: 'second' }, { name: 'no-such-pool' });
    await assert.rejects(
      attach(by, 'refused', annotations),
      /multus ADD of .*there is no pool nowhere with a block on this node/s,
    );
    await lab.nothingLeft();
  });

  test('CHECK, STATUS and GC reach flatroute', async () => {
    const delegate: PluginConfiguration = { type: 'flatroute', cniVersion: '1.1.0', name: 'flatroute' };
    const options = { delegates: [delegate] };
    const by = runner(options, '1.1.0');
    const pod = await attach(by, 'kept', selecting({ name: 'second' }));
    await pod.check();
    const [plugin] = list(options, '1.1.0').plugins;
    const input = { ...plugin, cniVersion: '1.1.0', name: 'multus-cni-network', 'cni.dev/valid-attachments': [] };
    const ask = async (verb: string): Promise<void> => {
      const environment = { CNI_COMMAND: verb, CNI_PATH: folders.join(':') };
      await lab.node.run([multus], { input: JSON.stringify(input), environment });
    };
    await ask('STATUS');
    await ask('GC');
    const live = async (): Promise<number> =>
      (await lab.agent.questions.pods()).filter((row) => row.state === 'live').length;
    assert.equal(await live(), 2, 'what Multus keeps results of stays');
    await pod.run(['ip', 'route', 'del', 'default']);
    await assert.rejects(pod.check(), /the route to 0\.0\.0\.0\/0 by 169\.254\.1\.1 is missing/);
    // A result that is gone: nobody needs that interface any more.
    await lab.node.run(['sh', '-c', 'rm /var/lib/cni/multus/results/flatroute-*-eth0']);
    await ask('GC');
    assert.equal(await live(), 1);
    await gone(pod, by);
  });
});
