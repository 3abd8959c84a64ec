/** Where the benches of this folder play: an API server in namespaces, and this process in its network namespace. */
import { apiStore } from '#kubernetes/io/client.ts';
import type { ApiStore } from '#kubernetes/io/client.ts';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import type { ApiObject, ResourceType } from '#kubernetes/store.ts';
import { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { kubernetesTools } from '#lab/kubernetes/tools.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import type { IpAddress } from '#lib/ip.ts';
import { moveToNamespace } from '#linux/namespace.ts';
import { sum, threadSeconds } from '../pods/agent.ts';

/** Of the API server, on its host's loopback interface, so that hosts beside it can be linked as a bench likes. */
export const API_ADDRESS = '198.51.100.1' as IpAddress;

export interface Scene extends AsyncDisposable {
  readonly lab: Lab;
  readonly host: Host;
  readonly plane: ControlPlane;
  /** As the administrator. */
  readonly store: ApiStore;
  readonly admin: string;
}

export const progress = (line: string): void => console.error(`  ${line}`);

/** With our custom resource definitions, and with further arguments of the API server, for which `prepare` puts files on its host. */
export async function openScene(
  title: string,
  apiServer: readonly string[] = [],
  prepare: (host: Host) => Promise<void> = () => Promise.resolve(),
): Promise<Scene> {
  const lab = await Lab.create(title);
  try {
    const host = await lab.addHost('api', { loopback: [API_ADDRESS], forwarding: true });
    await prepare(host);
    const plane = await ControlPlane.start({ host, address: API_ADDRESS, tools: kubernetesTools(), apiServer });
    moveToNamespace(`/proc/${host.pid}/ns/net`);
    await plane.define('deploy/crds');
    const admin = await plane.kubeconfig('bench', ['system:masters']);
    const store = apiStore({ access: await kubernetesAccess(admin), userAgent: 'flatroute-bench' });
    const dispose = async (): Promise<void> => {
      await store.close();
      await lab.dispose();
    };
    progress('API server ready, definitions established');
    return { lab, host, plane, store, admin, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

/** What the action answers for 0, 1, 2 ... `count - 1`, so many of them at a time. */
export async function several<T>(count: number, atATime: number, action: (index: number) => Promise<T>): Promise<T[]> {
  const answers: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) answers[index] = await action(index);
  };
  await Promise.all(Array.from({ length: atATime }, worker));
  return answers;
}

/** Objects, which take half a minute. */
const SAY_EVERY = 5000;

export async function createAll(
  store: ApiStore,
  type: ResourceType,
  count: number,
  object: (index: number) => ApiObject,
): Promise<void> {
  await several(count, 16, async (index) => {
    if (index > 0 && index % SAY_EVERY === 0) progress(`${index} of ${count} ${type.plural} made`);
    await store.create(type, object(index));
  });
}

/** Seconds of processor that the API server has used. */
export const apiServerSeconds = (plane: ControlPlane): number =>
  sum([...threadSeconds(plane.pidOf('kube-apiserver')).values()]);
