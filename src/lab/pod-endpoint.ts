/** A pod on a host of a lab, whoever made it. Commands run in its network, with the host's files and programs. */
import type { Family, IpAddress } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { Endpoint, ExecOptions, SpawnOptions } from './endpoint.ts';
import type { Host } from './host.ts';
import { execute, succeeded } from './process.ts';
import type { CommandResult, LabProcess } from './process.ts';

export class PodEndpoint implements Endpoint {
  readonly host: Host;
  readonly name: string;
  /** Name below /run/netns; `undefined`: the node's own. */
  readonly networkNamespace: string | undefined;
  readonly addresses: readonly IpAddress[];

  constructor(host: Host, name: string, networkNamespace: string | undefined, addresses: readonly IpAddress[]) {
    this.host = host;
    this.name = name;
    this.networkNamespace = networkNamespace;
    this.addresses = addresses;
  }

  /** The address of one family. */
  address(family: Family): IpAddress {
    const address = this.addresses.find((candidate) => familyOf(candidate) === family);
    if (address === undefined) throw new AppError('OS_LAB_POD', `pod ${this.name} has no ${family} address`, {});
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
