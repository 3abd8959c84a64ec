/** A pod that a container runtime has made on a host of a lab. Commands run in its network, with the host's files and programs. */
import type { Family, IpAddress } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { Endpoint, ExecOptions, SpawnOptions } from '../endpoint.ts';
import type { Host } from '../host.ts';
import { execute, succeeded } from '../process.ts';
import type { CommandResult, LabProcess } from '../process.ts';
import type { SandboxStatus } from './cri.ts';

export class Sandbox implements Endpoint {
  readonly host: Host;
  readonly id: string;
  readonly name: string;
  /** As the runtime reports them; none in the node's own network. */
  readonly addresses: readonly IpAddress[];
  /** Name below /run/netns; `undefined`: the node's own. */
  readonly networkNamespace: string | undefined;

  constructor(host: Host, status: SandboxStatus) {
    this.host = host;
    this.id = status.id;
    this.name = status.name;
    this.addresses = status.addresses;
    this.networkNamespace = status.networkNamespace?.split('/').at(-1);
  }

  address(family: Family): IpAddress {
    const address = this.addresses.find((candidate) => familyOf(candidate) === family);
    if (address === undefined) throw new AppError('OS_LAB_POD', `sandbox ${this.name} has no ${family} address`, {});
    return address;
  }

  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<CommandResult> {
    this.host.expectAlive();
    return await execute([...this.host.entryCommand(this.networkNamespace), ...argv], options);
  }

  async run(argv: readonly string[], options: ExecOptions = {}): Promise<string> {
    return succeeded(this.name, argv, await this.exec(argv, options));
  }

  async spawn(argv: readonly string[], options: SpawnOptions = {}): Promise<LabProcess> {
    return await this.host.spawnIn(this.networkNamespace, argv, {
      ...options,
      log: options.log ?? `pod-${this.name}.log`,
    });
  }
}
