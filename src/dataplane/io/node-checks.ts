/**
 * Makes the settings that a node needs and says what else is wrong with it. Observes, plans (node-plan.ts), sets, and reads
 * back: what is reported is what the kernel says, never what was written.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { openSysctlTree, type SysctlTree } from '#linux/sysctl.ts';
import type { NamespaceTarget } from '#netlink/io/datagram-port.ts';
import type { NetlinkSocket } from '#netlink/io/socket.ts';
import { appendDumpNexthops, decodeNexthop } from '#netlink/wire/nexthop.ts';
import { RTPROT } from '#netlink/wire/constants.ts';
import type { KernelInterface, KernelView } from '../kernel-view.ts';
import {
  droppingForwardChains,
  networkdManagesForeign,
  type NodeState,
  planNode,
  type Problem,
  type Setting,
  settingProblem,
  type UplinkState,
} from '../node-plan.ts';

export interface NodeChecksOptions {
  /** Whose settings; the agent's own namespace by default. */
  readonly namespace?: NamespaceTarget;
  /** Directory that systemd-networkd has while it runs; for tests. */
  readonly networkdDirectory?: string;
}

export interface NodeChecksModules {
  readonly socket: NetlinkSocket;
  readonly sysctl?: SysctlTree;
  /** Answers `nft -j list chains`; `undefined` where there is no nft. */
  readonly listChains?: () => Promise<string | undefined>;
}

export interface NodeReport {
  /** What was set now, for the log. */
  readonly made: readonly Setting[];
  readonly problems: readonly Problem[];
}

const nftTimeoutMs = 5000;
/** Later ones stand over earlier ones. */
const networkdConfigurations = [
  '/usr/lib/systemd/networkd.conf.d',
  '/run/systemd/networkd.conf.d',
  '/etc/systemd/networkd.conf.d',
];

export class NodeChecks {
  readonly #sysctl: SysctlTree;
  readonly #socket: NetlinkSocket;
  readonly #listChains: () => Promise<string | undefined>;
  readonly #networkdDirectory: string;

  constructor(options: NodeChecksOptions, modules: NodeChecksModules) {
    this.#sysctl = modules.sysctl ?? openSysctlTree(options.namespace);
    this.#socket = modules.socket;
    this.#listChains = modules.listChains ?? listChains;
    this.#networkdDirectory = options.networkdDirectory ?? '/run/systemd/netif';
  }

  /** Worth a call at the start, when interfaces change, and now and then: others write sysctls too. Errors: AppError `OS_*`. */
  async check(view: KernelView): Promise<NodeReport> {
    const chains = await this.#listChains();
    const plan = planNode(this.#observe(view, chains));
    const made: Setting[] = [];
    const problems = [...plan.problems];
    for (const setting of plan.settings) {
      this.#sysctl.write(setting.name, setting.value);
      if (this.#sysctl.read(setting.name) === setting.value) made.push(setting);
      else problems.push(settingProblem(setting));
    }
    return { made, problems };
  }

  #observe(view: KernelView, chains: string | undefined): NodeState {
    const ipv6 = this.#number('net/ipv6/conf/all/forwarding');
    return {
      kernelRelease: release(),
      nexthopObjects: this.#socket.dumpList(appendDumpNexthops, decodeNexthop).ok,
      ipv4Forwarding: this.#number('net/ipv4/ip_forward') === 1,
      ipv6Forwarding: ipv6 === undefined ? undefined : ipv6 === 1,
      rpFilterAll: this.#number('net/ipv4/conf/all/rp_filter') ?? 0,
      uplinks: view.interfaces.filter(isUplink).map((one) => this.#uplink(one, view)),
      droppingForwardChains: chains === undefined ? undefined : droppingForwardChains(chains),
      networkdManagesForeign: this.#networkd(),
    };
  }

  #uplink(one: KernelInterface, view: KernelView): UplinkState {
    return {
      name: one.name,
      rpFilter: this.#number(`net/ipv4/conf/${one.name}/rp_filter`),
      acceptRa: this.#number(`net/ipv6/conf/${one.name}/accept_ra`),
      defaultByAdvertisement: view.routes.some(
        (route) => route.prefix === '::/0' && route.protocol === RTPROT.RA && route.interfaceIndex === one.index,
      ),
    };
  }

  #number(name: string): number | undefined {
    const text = this.#sysctl.read(name);
    return text === undefined ? undefined : Number(text);
  }

  #networkd(): boolean {
    try {
      readdirSync(this.#networkdDirectory);
    } catch {
      return false;
    }
    const texts: string[] = [];
    for (const directory of networkdConfigurations) {
      for (const file of filesOf(directory)) texts.push(readFileSync(join(directory, file), 'utf8'));
    }
    return networkdManagesForeign(texts);
  }
}

function filesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.conf'))
      .sort();
  } catch {
    return [];
  }
}

/** Where packets come from and go to other machines: no pod, not loopback, with an address to talk by. */
const isUplink = (one: KernelInterface): boolean => !one.pod && one.name !== 'lo' && one.up && one.addresses.length > 0;

function listChains(): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile('nft', ['-j', 'list', 'chains'], { timeout: nftTimeoutMs, maxBuffer: 16 * 1024 * 1024 }, (error, stdout) =>
      resolve(error === null ? stdout : undefined),
    );
  });
}
