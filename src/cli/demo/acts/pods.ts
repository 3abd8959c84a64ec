/** Second act: pods come through the real conflist, and a witness runs in each. */
import { seconds } from '#lib/time.ts';
import { referencePlugins } from '#lab/program.ts';
import { Pod, type PortMapping } from '#lab/pod.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { Unexpected } from '../checks.ts';
import { CONFLIST_FOLDER } from '../network.ts';
import type { DemoNetwork } from '../network.ts';
import type { NodePlan } from '../topology.ts';
import { HOST_PORT, HOST_PORT_POD, nodes, WITNESS_PORT } from '../topology.ts';
import type { Stage } from './play.ts';

export async function attachPods({ network, checks, screen }: Stage): Promise<void> {
  const install = async (): Promise<string> => {
    const conflist = await network.installCni();
    const chain = conflist.plugins.map((plugin) => plugin.type).join(' + ');
    return `${CONFLIST_FOLDER}: ${conflist.name}, version ${conflist.cniVersion}, ${chain}`;
  };
  await checks.check('CNI plugin installed', install, { needed: true });

  const attach = async (): Promise<string> => {
    await Promise.all(nodes.map(async (plan) => await attachTo(network, plan)));
    const took = network.pods.map((pod) => pod.attachMilliseconds).sort((a, b) => a - b);
    const middle = took[Math.floor(took.length / 2)] ?? 0;
    const most = took.at(-1) ?? 0;
    return `${network.pods.length} pods · ADD of the whole chain: median ${middle.toFixed(0)} ms, longest ${most.toFixed(0)} ms`;
  };
  const count = nodes.flatMap((plan) => plan.pods).length;
  await checks.check(`${count} pods attached`, attach, { needed: true });
  await checks.check('addresses inside the blocks', () => Promise.resolve(insideBlocks(network)));
  for (const plan of nodes.slice(0, 1)) {
    screen.output(plan.name, 'flatroute pods', await network.agent(plan.name).text(['pods'], screen.outputWidth));
  }
  await checks.check('a witness runs in every pod', async () => await startWitnesses(network), { needed: true });
}

/** One after the other, as the runtime of one node would; nodes work at the same time. */
async function attachTo(network: DemoNetwork, plan: NodePlan): Promise<void> {
  for (const name of plan.pods) {
    const mapped = name === HOST_PORT_POD && referencePlugins() !== undefined;
    const mapping: PortMapping = { hostPort: HOST_PORT, containerPort: WITNESS_PORT, protocol: 'tcp' };
    network.pods.push(await Pod.attach(network.runner(plan.name), name, mapped ? { portMappings: [mapping] } : {}));
  }
}

function insideBlocks(network: DemoNetwork): string {
  const seen = new Set<string>();
  for (const plan of nodes) {
    for (const pod of network.podsOf(plan.name)) {
      for (const family of ['ipv4', 'ipv6'] as const) {
        const address = pod.address(family);
        if (seen.has(address)) throw new Unexpected({ expected: 'every address once', seen: `${address} twice` });
        seen.add(address);
        const start = plan.block[family].split(family === 'ipv4' ? /\d+\// : '/')[0] ?? '';
        if (!address.startsWith(start)) {
          throw new Unexpected({
            expected: `${pod.name} inside ${plan.block[family]}`,
            seen: address,
            command: `flatroute pods (on ${plan.name})`,
          });
        }
      }
    }
  }
  return `${seen.size} addresses, none twice`;
}

/** On the VM, too. Resolves when every one of them listens. */
async function startWitnesses(network: DemoNetwork): Promise<string> {
  const places = [network.vm, ...network.pods];
  await Promise.all(places.map(async (place) => await network.startWitness(place, WITNESS_PORT)));
  await Promise.all(
    places.map(
      async (place) =>
        await waitFor(
          `the witness of ${place.name}`,
          async () => {
            const sockets = await place.run(['ss', '-Hltn', `sport = :${WITNESS_PORT}`]);
            return sockets.includes(`:${WITNESS_PORT}`) ? found(undefined) : notYet('no socket listens');
          },
          { deadline: seconds(15) },
        ),
    ),
  );
  return `it says who speaks to it: TCP and UDP port ${WITNESS_PORT}, on the VM too`;
}
