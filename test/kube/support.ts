/**
 * The tools of the tests against a real API server. The first call of `apiServer()` starts one for this test file in network
 * namespaces of its own and moves the test process's main thread there: 127.0.0.1:6443 is that server, for this process and
 * for those it starts from now on. It ends with the file.
 */
import { after } from 'node:test';
import { Lab } from '#lab/lab.ts';
import { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { kubernetesTools } from '#lab/kubernetes/tools.ts';
import { moveToNamespace } from '#linux/namespace.ts';
import { keepLogsOnFailure, step } from './steps.ts';

let lab: Lab | undefined;
let plane: Promise<ControlPlane> | undefined;

/** Ready, with our custom resource definitions established. */
export async function apiServer(): Promise<ControlPlane> {
  plane ??= start();
  return await plane;
}

async function start(): Promise<ControlPlane> {
  const tools = kubernetesTools();
  lab = await Lab.create('api');
  const host = await lab.addHost('api');
  const started = await step('API server', ControlPlane.start({ host, address: '127.0.0.1', tools }));
  moveToNamespace(`/proc/${host.pid}/ns/net`);
  await step('custom resource definitions', started.define('deploy/crds'));
  return started;
}

keepLogsOnFailure(() => lab?.hosts ?? []);
after(async () => await lab?.dispose());
