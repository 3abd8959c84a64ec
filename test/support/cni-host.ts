/** The real agent on a host of a lab, and the real plugin called there as a runtime calls it. */
import { resolve } from 'node:path';
import { askByAdminApi } from '#cli/demo/ask.ts';
import { type AgentClient, connectAgent } from '#cli/client.ts';
import { ANNOTATIONS_CAPABILITY } from '#cni/config.ts';
import type { PluginAnswer, PluginCall } from '#lab/conflist.ts';
import type { Host } from '#lab/host.ts';
import { ADMIN_SOCKET, NodeAgent } from '#lab/node-agent.ts';
import { type Answer, call, type CallOptions, type PluginNode } from './pod-calls.ts';

const plugin = resolve('build/flatroute-cni');

export interface TestPod {
  readonly name: string;
  readonly path: string;
}

export class CniHost implements PluginNode {
  readonly host: Host;
  readonly agent: NodeAgent;

  constructor(host: Host) {
    this.host = host;
    this.agent = new NodeAgent(host, askByAdminApi);
  }

  async plugin({ environment, input }: PluginCall): Promise<PluginAnswer> {
    return await this.host.exec([plugin], { input, environment });
  }

  /** A network namespace on the host, as a runtime makes it. */
  async pod(name: string): Promise<TestPod> {
    await this.host.run(['ip', 'netns', 'add', name]);
    return { name, path: `/run/netns/${name}` };
  }

  /** ADD of a pod of this name; `annotations` come as containerd hands them over. */
  async add(
    pod: TestPod,
    namespace: string,
    annotations: Readonly<Record<string, string>> = {},
    more: CallOptions = {},
  ): Promise<Answer> {
    return await call(this, 'ADD', pod, {
      containerId: pod.name,
      args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${pod.name}`,
      config: { runtimeConfig: { [ANNOTATIONS_CAPABILITY]: annotations } },
      ...more,
    });
  }

  async del(pod: TestPod): Promise<Answer> {
    return await call(this, 'DEL', pod, { containerId: pod.name });
  }

  async ask<T>(question: (client: AgentClient) => Promise<T>): Promise<T> {
    const client = await connectAgent(this.host.path(ADMIN_SOCKET));
    try {
      return await question(client);
    } finally {
      client.close();
    }
  }
}
