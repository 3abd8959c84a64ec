/** A pod that a container runtime has made on a host of a lab. Its addresses are what the runtime reports: none in the node's own network. */
import type { Host } from '../host.ts';
import { PodEndpoint } from '../pod-endpoint.ts';
import type { SandboxStatus } from './cri.ts';

export class Sandbox extends PodEndpoint {
  readonly id: string;

  constructor(host: Host, status: SandboxStatus) {
    super(host, status.name, status.networkNamespace?.split('/').at(-1), status.addresses);
    this.id = status.id;
  }
}
