/** Third act: everyone asks everyone, and each answer names the address that was seen. */
import type { Family, IpAddress } from '#lib/ip.ts';
import { families, familyOf } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import { labScript, referencePlugins } from '#lab/program.ts';
import { Unexpected } from '../checks.ts';
import type { DemoNetwork } from '../network.ts';
import { HOST_PORT, HOST_PORT_POD, linkAddresses, nodes, routers, vm, WITNESS_PORT } from '../topology.ts';
import type { Stage } from './play.ts';

interface Target {
  readonly name: string;
  readonly address: IpAddress;
}

const targetsOf = (network: DemoNetwork, names: readonly string[]): readonly Target[] =>
  names.flatMap((name) => network.pod(name).addresses.map((address) => ({ name, address })));

const vmTargets: readonly Target[] = families.map((family) => ({ name: vm.name, address: vm.address[family] }));

/** Connects from one place to each target; throws Unexpected unless each saw the address that `source` says. */
async function ask(
  from: Endpoint,
  targets: readonly Target[],
  source: (family: Family) => IpAddress,
  port: number = WITNESS_PORT,
): Promise<number> {
  const words = [String(port), ...targets.map((target) => target.address)];
  const output = await from.run(labScript('witness.ts', 'ask', ...words), { timeout: seconds(30) });
  const answers = new Map(
    output
      .trim()
      .split('\n')
      .map((line): [string, string] => {
        const [address = '', answer = ''] = line.split('\t');
        return [address, answer];
      }),
  );
  for (const { name, address } of targets) {
    const expected = `${name} ${source(familyOf(address))}`;
    const seen = answers.get(address) ?? 'no answer';
    if (seen === expected) continue;
    throw new Unexpected({
      expected: `${name} at ${address} to see ${source(familyOf(address))}`,
      seen,
      command: `nc ${address} ${port} (on ${from.name})`,
    });
  }
  return targets.length;
}

export async function reachEachOther({ network, checks }: Stage): Promise<void> {
  const [first, second] = nodes;
  if (first === undefined || second === undefined) return;
  const all = targetsOf(network, [...first.pods, ...second.pods]);

  await checks.check('vm-legacy → every pod', async () => {
    await ask(network.vm, all, (family) => vm.address[family]);
    return `${all.length} connections · ${await roundTrip(network.vm, network.pod(HOST_PORT_POD).address('ipv4'))} · the pods saw ${vm.address.ipv4}, the VM's own address`;
  });
  await checks.check('every pod → vm-legacy', async () => {
    await Promise.all(network.pods.map(async (pod) => await ask(pod, vmTargets, (family) => pod.address(family))));
    const pod = network.pod(HOST_PORT_POD);
    return `the VM saw the pods' own addresses: ${pod.name} as ${pod.address('ipv4')} and ${pod.address('ipv6')}`;
  });
  await checks.check('pod → pod, other rack', async () => {
    const [a, b] = [network.pod(first.pods[0] ?? ''), network.pod(second.pods[0] ?? '')];
    await ask(a, targetsOf(network, second.pods), (family) => a.address(family));
    await ask(b, targetsOf(network, first.pods), (family) => b.address(family));
    return `${a.name} ↔ ${second.pods.join(', ')} · ${await roundTrip(a, b.address('ipv4'))} · own addresses both ways`;
  });
  await checks.check('pod → pod, same node', async () => {
    const [one = '', ...others] = first.pods;
    const pod = network.pod(one);
    await ask(pod, targetsOf(network, others), (family) => pod.address(family));
    return `${one} → ${others.join(', ')} · ${await roundTrip(pod, network.pod(others[0] ?? '').address('ipv4'))}`;
  });
  await checks.check('node → pod', async () => {
    const [one = ''] = first.pods;
    await ask(network.host(second.name), targetsOf(network, [one]), (family) => second.address[family]);
    await ask(network.host(first.name), targetsOf(network, [one]), (family) => first.address[family]);
    return `${second.name} and ${first.name} → ${one} · it saw ${second.address.ipv4} and ${first.address.ipv4}, the nodes' routed addresses`;
  });
  if (referencePlugins() === undefined) return;
  await checks.check('hostPort by portmap', async () => {
    const target = { name: HOST_PORT_POD, address: first.address.ipv4 };
    await ask(network.vm, [target], (family) => vm.address[family], HOST_PORT);
    return `vm-legacy → ${first.address.ipv4}:${HOST_PORT} is answered by ${HOST_PORT_POD}, which saw ${vm.address.ipv4}`;
  });
}

/** Average of ten echoes, as ping says it. */
async function roundTrip(from: Endpoint, to: IpAddress): Promise<string> {
  const output = await from.run(['ping', '-q', '-c', '10', '-i', '0.01', to]);
  const average = /= [\d.]+\/([\d.]+)\//.exec(output)?.[1] ?? '?';
  return `${average} ms`;
}

/** The hops between the VM and a pod: one of the routers, the pod's node, the pod. */
export async function tracePath({ network, checks, screen }: Stage): Promise<void> {
  const [first] = nodes;
  if (first === undefined) return;
  const pod = network.pod(first.pods[0] ?? '');
  const command = ['traceroute', '-n', '-q', '1', '-w', '1', pod.address('ipv4')];
  let output = '';
  await checks.check('the path vm-legacy → pod', async () => {
    output = await network.vm.run(command);
    const hops = [...output.matchAll(/^ *\d+ +(\S+)/gm)].map((match) => match[1] ?? '');
    const routerHops = routers.map((router) => `${linkAddresses(router.name, vm.name).ipv4}1`);
    const router = routers[routerHops.indexOf(hops[0] ?? '')];
    const nodeAddresses = await network.host(first.name).addresses();
    const right =
      hops.length === 3 &&
      router !== undefined &&
      nodeAddresses.some((address) => address === hops[1]) &&
      hops[2] === pod.address('ipv4');
    if (!right) {
      throw new Unexpected({
        expected: `${routerHops.join(' or ')}, then ${first.name}, then ${pod.address('ipv4')}`,
        seen: hops.join(', '),
        command: `${command.join(' ')} (on ${vm.name})`,
      });
    }
    return `${router.name} → ${first.name} → ${pod.name}, no tunnel between`;
  });
  if (output !== '') screen.output(vm.name, command.join(' '), output);
}
