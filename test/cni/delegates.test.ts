// Several interfaces in one pod, each by a list of its own: what Multus does to the plugins that it delegates to (container
// and namespace the same, CNI_IFNAME net1 and so on, no previous result, DEL of the last one first), with the real
// flatroute, macvlan and ptp. test/multus has Multus itself.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { CniResult, Conflist, PluginConfiguration } from '#lab/conflist.ts';
import { Pod } from '#lab/pod.ts';
import { ChainLab, node, vm, WITNESS_PORT } from '../support/chain-lab.ts';
import { documentedNetwork } from '../support/documented.ts';

const families = ['ipv4', 'ipv6'] as const;
type ByFamily = Readonly<Record<(typeof families)[number], string>>;
const gateways: ByFamily = { ipv4: '169.254.1.1', ipv6: 'fe80::ecee:eeff:feee:eeee' };
/** A subnet of its own on the uplink, for macvlan. */
const flat = {
  vm: { ipv4: '203.0.113.50', ipv6: '2001:db8:cc::50' },
  pod: { ipv4: '203.0.113.60', ipv6: '2001:db8:cc::60' },
} as const;

const list = (name: string, plugin: PluginConfiguration, cniVersion = '1.1.0'): Conflist => ({
  cniVersion,
  name,
  plugins: [plugin],
});
/** Addresses of its own pools, a way to one network outside, and no default route. */
const second = documentedNetwork('multus', 'second');
const macvlan = list(
  'flat',
  {
    type: 'macvlan',
    master: 'uplink',
    mode: 'bridge',
    ipam: { type: 'static', addresses: [{ address: `${flat.pod.ipv4}/24` }, { address: `${flat.pod.ipv6}/64` }] },
  },
  '1.0.0',
);

const outside: ByFamily = { ipv4: '198.51.100.0/24', ipv6: '2001:db8:100::/48' };

const addressesOf = (result: CniResult): ByFamily => {
  const plain = (result.ips ?? []).map((ip) => ip.address.replace(/\/\d+$/, ''));
  const [ipv4 = '', ipv6 = ''] = [plain.find((it) => it.includes('.')), plain.find((it) => it.includes(':'))];
  return { ipv4, ipv6 };
};

let lab: ChainLab;
before(async () => {
  lab = await ChainLab.create('delegates');
  await lab.vm.ip([`address add ${flat.vm.ipv4}/24 dev eth0`, `address add ${flat.vm.ipv6}/64 dev eth0 nodad`]);
  await lab.witness(lab.vm);
});
after(async () => {
  await lab[Symbol.asyncDispose]();
});

/** Whose default route each family has, by the interface's name. */
const defaults = async (pod: Pod): Promise<readonly string[]> =>
  await Promise.all(
    (['-4', '-6'] as const).map(async (family) => {
      const routes = JSON.parse(await pod.run(['ip', '-j', family, 'route', 'show', 'default'])) as { dev: string }[];
      return routes.map((route) => route.dev).join(' ');
    }),
  );

/** Rules of ours in the pod, as `ip rule` has them. */
const rules = async (pod: Pod): Promise<readonly string[]> => {
  const all = await Promise.all(
    ['-4', '-6'].map((family) => pod.run(['ip', family, 'rule', 'show', 'priority', '2816'])),
  );
  return all
    .join('')
    .split('\n')
    .filter((line) => line !== '');
};

describe('flatroute as first and as second interface, macvlan as third', () => {
  let pod: Pod;
  let net1: CniResult;
  let own: ByFamily;

  before(async () => {
    pod = await Pod.attach(lab.run(lab.installed), 'multi');
    net1 = await pod.attachFurther(lab.run(second), 'net1');
    await pod.attachFurther(lab.run(macvlan), 'net2');
    own = addressesOf(net1);
    await lab.witness(pod);
  });

  test('the second result names its own interface, addresses of its own pools, and no default route', async () => {
    const [host, inside] = net1.interfaces ?? [];
    assert.match(host?.name ?? '', /^fr[0-9a-f]{12}$/);
    assert.notEqual(host?.name, pod.result.interfaces?.[0]?.name);
    assert.deepEqual([inside?.name, inside?.sandbox], ['net1', '/run/netns/multi']);
    assert.deepEqual(
      net1.ips?.map((ip) => ip.interface),
      [1, 1],
    );
    assert.match(own.ipv4, /^10\.62\.0\./);
    assert.match(own.ipv6, /^fd62::/);
    assert.deepEqual(
      net1.routes,
      families.map((family) => ({
        dst: outside[family],
        gw: gateways[family],
      })),
    );
    assert.deepEqual(await defaults(pod), ['eth0', 'eth0']);
  });

  test('every interface answers at its own addresses, and the asker is seen as itself', async () => {
    const targets = [...pod.addresses, own.ipv4, own.ipv6, flat.pod.ipv4, flat.pod.ipv6];
    const asked = await lab.ask(lab.vm, WITNESS_PORT, ...targets);
    const as = (address: string): string => {
      const from = address === flat.pod.ipv4 || address === flat.pod.ipv6 ? flat.vm : vm.link;
      return `multi ${address.includes('.') ? from.ipv4 : from.ipv6}`;
    };
    assert.deepEqual(asked, Object.fromEntries(targets.map((address) => [address, as(address)])));
    assert.deepEqual(await lab.ask(lab.node, WITNESS_PORT, own.ipv4, own.ipv6), {
      [own.ipv4]: `multi ${node.routed.ipv4}`,
      [own.ipv6]: `multi ${node.routed.ipv6}`,
    });
  });

  test('what the pod sends leaves by the interface whose route it follows, with its address', async () => {
    const asked = await lab.ask(pod, WITNESS_PORT, ...families.flatMap((f) => [vm.link[f], vm.further[f], flat.vm[f]]));
    assert.deepEqual(
      asked,
      Object.fromEntries(
        families.flatMap((f) => [
          [vm.link[f], `vm ${node.routed[f]}`],
          [vm.further[f], `vm ${own[f]}`],
          [flat.vm[f], `vm ${flat.pod[f]}`],
        ]),
      ),
    );
  });

  const damages: readonly { readonly name: string; readonly does: readonly string[]; readonly says: RegExp }[] = [
    {
      name: 'a lost rule',
      does: ['-6', 'rule', 'del', 'priority', '2816'],
      says: /the rule that sends what comes from fd62::/,
    },
    { name: 'a lost table', does: ['route', 'flush', 'table', 'TABLE'], says: /table \d+ of net1 has lost its route/ },
    {
      name: 'a lost route',
      does: ['route', 'del', outside.ipv4],
      says: /the route to 198\.51\.100\.0\/24/,
    },
  ];
  test('CHECK passes for each of them, and names what the second one has lost', async () => {
    await pod.check();
    for (const { name, does, says } of damages) {
      const table = /lookup (\d+)/.exec((await rules(pod))[0] ?? '')?.[1] ?? assert.fail('no rule');
      await pod.run(['ip', ...does.map((word) => (word === 'TABLE' ? table : word))]);
      await assert.rejects(pod.check(), says, name);
      await pod.detachFurther('net1');
      net1 = await pod.attachFurther(lab.run(second), 'net1');
    }
    own = addressesOf(net1);
  });

  test('DEL of the second alone leaves the others whole, and another ADD leaves no rule behind', async () => {
    await pod.detachFurther('net1');
    const others = [...pod.addresses, flat.pod.ipv4, flat.pod.ipv6];
    for (const answer of Object.values(await lab.ask(lab.vm, WITNESS_PORT, ...others))) assert.match(answer, /^multi /);
    assert.deepEqual(
      (await lab.agent.questions.pods()).filter((row) => row.state === 'live').map((row) => row.addresses),
      [[...pod.addresses]],
    );
    net1 = await pod.attachFurther(lab.run(second), 'net1');
    own = addressesOf(net1);
    assert.deepEqual(
      (await rules(pod)).map((rule) => /from (\S+) lookup/.exec(rule)?.[1]),
      [own.ipv4, own.ipv6],
    );
    await pod.check();
  });

  test('the default route goes to the second when it is asked for, and CHECK knows of it by the result', async () => {
    // What Multus does for `default-route` of a network selection: in the namespace and in the results that it keeps.
    await pod.run(['ip', 'route', 'del', 'default', 'dev', 'eth0']);
    await pod.run(['ip', '-6', 'route', 'del', 'default', 'dev', 'eth0']);
    await pod.run(['ip', 'route', 'add', 'default', 'via', gateways.ipv4, 'dev', 'net1']);
    await pod.run(['ip', '-6', 'route', 'add', 'default', 'via', gateways.ipv6, 'dev', 'net1']);
    assert.deepEqual(await lab.ask(pod, WITNESS_PORT, vm.link.ipv4, vm.link.ipv6), {
      [vm.link.ipv4]: `vm ${own.ipv4}`,
      [vm.link.ipv6]: `vm ${own.ipv6}`,
    });
    const runner = lab.run({ ...lab.installed, plugins: lab.installed.plugins.slice(0, 1) });
    await assert.rejects(runner.check(pod.attachment, pod.result), /the route to 0\.0\.0\.0\/0/);
    await runner.check(pod.attachment, { ...pod.result, routes: [] });
  });

  test('GC of the second network removes what is not in its list, and nothing of the first', async () => {
    const input = {
      ...second.plugins[0],
      cniVersion: second.cniVersion,
      name: second.name,
      'cni.dev/valid-attachments': [{ containerID: pod.attachment.containerId, ifname: 'eth0' }],
    };
    const environment = { CNI_COMMAND: 'GC', CNI_PATH: '/run/cni/bin' };
    await lab.node.run(['/run/cni/bin/flatroute'], { input: JSON.stringify(input), environment });
    assert.deepEqual(
      (await lab.agent.questions.pods()).filter((row) => row.state === 'live').map((row) => row.addresses),
      [[...pod.addresses]],
    );
  });

  test('DEL of all in reverse order leaves nothing, also when they come again without a namespace', async () => {
    await pod.detach();
    const gone = { ...pod.attachment, networkNamespace: '' };
    await lab.run(second).del({ ...gone, interface: 'net1' }, undefined);
    await lab.run(lab.installed).del(gone, undefined);
    await lab.nothingLeft();
  });
});

test('two interfaces of one network, with the addresses and the MAC that were asked for', async () => {
  const wishes = { ips: ['10.62.0.40/32', 'fd62::28/128'], mac: '02:aa:bb:cc:dd:02' };
  const pod = await Pod.attach(lab.run(lab.installed), 'twice');
  const [one, two] = [
    await pod.attachFurther(lab.run(second), 'net1', wishes),
    await pod.attachFurther(
      lab.run({ ...second, plugins: [{ ...second.plugins[0], type: 'flatroute', routes: [] }] }),
      'net2',
    ),
  ];
  assert.deepEqual(addressesOf(one), { ipv4: '10.62.0.40', ipv6: 'fd62::28' });
  assert.equal(one.interfaces?.[1]?.mac, wishes.mac);
  await lab.witness(pod);
  const targets = [one, two].flatMap((result) => Object.values(addressesOf(result)));
  for (const answer of Object.values(await lab.ask(lab.vm, WITNESS_PORT, ...targets))) assert.match(answer, /^twice /);
  await pod.check();
  const taken = await Pod.attach(lab.run(lab.installed), 'taken');
  await assert.rejects(taken.attachFurther(lab.run(second), 'net1', wishes), /10\.62\.0\.40 is in use|taken|in use/);
  await taken.check();
  await taken.detach();
  await pod.detach();
  await lab.nothingLeft();
});

test('flatroute as second interface beside another default network', async () => {
  const ipam = { type: 'host-local', ranges: [[{ subnet: '10.63.0.0/24' }]], routes: [{ dst: '0.0.0.0/0' }] };
  const pod = await Pod.attach(lab.run(list('other', { type: 'ptp', ipam }, '1.0.0')), 'beside');
  const own = addressesOf(await pod.attachFurther(lab.run(second), 'net1'));
  assert.deepEqual(await defaults(pod), ['eth0', '']);
  await lab.witness(pod);
  assert.deepEqual(await lab.ask(lab.vm, WITNESS_PORT, pod.address('ipv4'), own.ipv4, own.ipv6), {
    [pod.address('ipv4')]: `beside ${vm.link.ipv4}`,
    [own.ipv4]: `beside ${vm.link.ipv4}`,
    [own.ipv6]: `beside ${vm.link.ipv6}`,
  });
  await pod.check();
  await pod.detach();
  await lab.nothingLeft();
});

test('a delegate of a plugin that sees the node below another root, as that of a thick Multus does', async () => {
  const script = `#!/bin/sh
exec unshare --mount sh -c 'mkdir -p /run/hostroot && mount --rbind / /run/hostroot && exec chroot /run/hostroot /run/cni/bin/flatroute'
`;
  await lab.node.writeFile('/run/cni/thick/flatroute', script, 0o755);
  const pod = await Pod.attach(lab.runFrom(['/run/cni/thick'], list('thick', { type: 'flatroute' })), 'thick');
  await lab.witness(pod);
  for (const answer of Object.values(await lab.ask(lab.vm, WITNESS_PORT, ...pod.addresses)))
    assert.match(answer, /^thick /);
  await pod.check();
  await pod.detach();
  await lab.nothingLeft();
});
