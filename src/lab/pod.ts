/**
 * A pod of a lab: a network namespace that is made on a host as a container runtime makes it, joined to the network by
 * a conflist. Commands run in it like on a host.
 */
import { createHash } from 'node:crypto';
import { parseAddress } from '#lib/ip.ts';
import type { Attachment, CniResult, HostConflistRunner } from './conflist.ts';
import { PodEndpoint } from './pod-endpoint.ts';

export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp';
  readonly hostIP?: string;
}

export class Pod extends PodEndpoint {
  readonly attachment: Attachment;
  readonly result: CniResult;
  /** How long the whole ADD took, from the first plugin's start to the last one's end. */
  readonly attachMilliseconds: number;
  readonly #runner: HostConflistRunner;
  /** In the order in which they came. */
  #further: { readonly runner: HostConflistRunner; readonly attachment: Attachment; readonly result: CniResult }[] = [];

  private constructor(
    name: string,
    runner: HostConflistRunner,
    attachment: Attachment,
    result: CniResult,
    took: number,
  ) {
    const addresses = (result.ips ?? [])
      .map((ip) => parseAddress(ip.address.split('/')[0] ?? ''))
      .filter((address) => address !== undefined);
    super(runner.host, name, name, addresses);
    this.#runner = runner;
    this.attachment = attachment;
    this.result = result;
    this.attachMilliseconds = took;
  }

  /**
   * Makes the namespace and runs ADD, with what the runtime says of the pod by capability (`portMappings`, `bandwidth`,
   * ...). Throws CNI_LAB_ADD; the namespace is taken away again then.
   */
  static async attach(
    runner: HostConflistRunner,
    name: string,
    runtimeConfig: Attachment['runtimeConfig'] = {},
  ): Promise<Pod> {
    const { host } = runner;
    const containerId = createHash('sha256').update(`${host.name}/${name}`).digest('hex');
    await host.run(['ip', 'netns', 'add', name]);
    const attachment: Attachment = {
      containerId,
      networkNamespace: `/run/netns/${name}`,
      interface: 'eth0',
      arguments: {
        IgnoreUnknown: '1',
        K8S_POD_NAMESPACE: 'default',
        K8S_POD_NAME: name,
        K8S_POD_INFRA_CONTAINER_ID: containerId,
      },
      runtimeConfig,
    };
    const started = performance.now();
    try {
      const result = await runner.add(attachment);
      return new Pod(name, runner, attachment, result, performance.now() - started);
    } catch (error) {
      await host.run(['ip', 'netns', 'delete', name]);
      throw error;
    }
  }

  async check(): Promise<void> {
    await this.#runner.check(this.attachment, this.result);
    for (const { runner, attachment, result } of this.#further) await runner.check(attachment, result);
  }

  /**
   * Another interface by a list of its own, as a meta-plugin such as Multus delegates it: the same container, no previous
   * result. Throws CNI_LAB_ADD; what was there stays.
   */
  async attachFurther(
    runner: HostConflistRunner,
    interfaceName: string,
    runtimeConfig: Attachment['runtimeConfig'] = {},
  ): Promise<CniResult> {
    const attachment = { ...this.attachment, interface: interfaceName, runtimeConfig };
    const result = await runner.add(attachment);
    this.#further.push({ runner, attachment, result });
    return result;
  }

  /** DEL of one further interface alone. */
  async detachFurther(interfaceName: string): Promise<void> {
    for (const one of this.#further.filter(({ attachment }) => attachment.interface === interfaceName))
      await one.runner.del(one.attachment, one.result);
    this.#further = this.#further.filter(({ attachment }) => attachment.interface !== interfaceName);
  }

  /** Ends what runs in it, runs DEL, of the last interface first, takes the namespace away: a runtime's order. */
  async detach(): Promise<void> {
    const pids = (await this.host.run(['ip', 'netns', 'pids', this.name])).split('\n').filter((pid) => pid !== '');
    // One that ended meanwhile is no failure.
    if (pids.length > 0) await this.host.exec(['kill', '-9', ...pids]);
    for (const { attachment } of this.#further.toReversed()) await this.detachFurther(attachment.interface);
    await this.#runner.del(this.attachment, this.result);
    await this.host.run(['ip', 'netns', 'delete', this.name]);
  }
}
