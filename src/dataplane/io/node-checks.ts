/**
 * Makes the settings that a node needs and says what else is wrong with it. Observes, plans (node-plan.ts), sets, and reads
 * back: what is reported is what the kernel says, never what was written.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { basename, join } from 'node:path';
import type { Prefix } from '#lib/ip.ts';
import { NETLINK_NETFILTER } from '#linux/socket.ts';
import { hostRoot } from '#linux/host-root.ts';
import { openSysctlTree, type SysctlTree } from '#linux/sysctl.ts';
import type { NamespaceTarget } from '#netlink/io/datagram-port.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { appendDumpNexthops, decodeNexthop } from '#netlink/wire/nexthop.ts';
import { RTPROT } from '#netlink/wire/constants.ts';
import { appendDumpChains, decodeChain, HOOK_FORWARD, NF_DROP, NFPROTO } from '#netlink/wire/ruleset.ts';
import { droppedBlocks, type ForwardChain, forwards } from '../forward-policy.ts';
import type { KernelInterface, KernelView } from '../kernel-view.ts';
import { networkdManagesForeign } from '../networkd.ts';
import {
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
  /** Where /etc, /run and /usr are looked for; for tests. */
  readonly root?: string;
}

export interface NodeChecksModules {
  readonly socket: NetlinkSocket;
  readonly sysctl?: SysctlTree;
  /** Answers `nft -j list table FAMILY TABLE`; `undefined` where there is no nft. */
  readonly listTable?: (family: string, table: string) => Promise<string | undefined>;
}

export interface NodeReport {
  /** What was set now, for the log. */
  readonly made: readonly Setting[];
  readonly problems: readonly Problem[];
}

const nftTimeoutMs = 5000;
/** systemd-networkd has this directory while it runs. */
const networkdRuns = 'run/systemd/netif';
/** Where its configuration may be, the strongest last (systemd.syntax, "drop-ins"). */
const networkdFolders = ['usr/lib/systemd', 'usr/local/lib/systemd', 'run/systemd', 'etc/systemd'];
const nftFamilies = new Map<number, string>([
  [NFPROTO.INET, 'inet'],
  [NFPROTO.IPV4, 'ip'],
  [NFPROTO.IPV6, 'ip6'],
]);

export class NodeChecks {
  readonly #sysctl: SysctlTree;
  readonly #socket: NetlinkSocket;
  readonly #listTable: (family: string, table: string) => Promise<string | undefined>;
  readonly #namespace: NamespaceTarget | undefined;
  readonly #root: string;
  /** A kernel that has them keeps them, and reading thousands again and again is for nothing. */
  #nexthopObjects = false;

  constructor(options: NodeChecksOptions, modules: NodeChecksModules) {
    this.#sysctl = modules.sysctl ?? openSysctlTree(options.namespace);
    this.#socket = modules.socket;
    this.#listTable = modules.listTable ?? listTable;
    this.#namespace = options.namespace;
    this.#root = options.root ?? hostRoot;
  }

  /** `blocks`: pods that must be let pass by packet filters of others. Errors: AppError `OS_*`. */
  async check(view: KernelView, blocks: readonly Prefix[]): Promise<NodeReport> {
    const chains = await this.#droppingForwardChains(blocks);
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

  async #droppingForwardChains(blocks: readonly Prefix[]): Promise<readonly ForwardChain[]> {
    const found: ForwardChain[] = [];
    for (const chain of this.#forwardChains()) {
      if (!blocks.some((block) => forwards(chain, block))) continue;
      const rules = await this.#listTable(chain.family, chain.table);
      if (rules === undefined || droppedBlocks(rules, chain, blocks).length > 0) found.push(chain);
    }
    return found;
  }

  /** Those whose policy is drop. */
  #forwardChains(): readonly ForwardChain[] {
    const socket = NetlinkSocket.open({
      protocol: NETLINK_NETFILTER,
      ...(this.#namespace === undefined ? {} : { namespace: this.#namespace }),
    });
    try {
      const chains = socket.dumpList(appendDumpChains, decodeChain);
      // A kernel without nftables refuses.
      return (chains.ok ? chains.value : []).flatMap(({ family, table, name, hook, policy }) => {
        const word = nftFamilies.get(family);
        return word !== undefined && hook?.number === HOOK_FORWARD && policy === NF_DROP
          ? [{ family: word, table, name }]
          : [];
      });
    } finally {
      socket.close();
    }
  }

  #observe(view: KernelView, chains: readonly ForwardChain[]): NodeState {
    const ipv6 = this.#number('net/ipv6/conf/all/forwarding');
    return {
      kernelRelease: release(),
      nexthopObjects: (this.#nexthopObjects ||= this.#socket.dumpList(appendDumpNexthops, decodeNexthop).ok),
      ipv4Forwarding: this.#number('net/ipv4/ip_forward') === 1,
      ipv4ForwardingOfNew: this.#number('net/ipv4/conf/default/forwarding') !== 0,
      ipv6Forwarding: ipv6 === undefined ? undefined : ipv6 === 1,
      rpFilterAll: this.#number('net/ipv4/conf/all/rp_filter') ?? 0,
      uplinks: view.interfaces.filter((one) => !one.pod && one.name !== 'lo').map((one) => this.#uplink(one, view)),
      droppingForwardChains: chains,
      networkdManagesForeign: this.#networkd(),
    };
  }

  #uplink(one: KernelInterface, view: KernelView): UplinkState {
    return {
      name: one.name,
      inUse: one.up && one.addresses.length > 0,
      forwarding: this.#flag(`net/ipv4/conf/${one.name}/forwarding`),
      rpFilter: this.#number(`net/ipv4/conf/${one.name}/rp_filter`),
      acceptRa: this.#number(`net/ipv6/conf/${one.name}/accept_ra`),
      defaultByAdvertisement: view.routes.some(
        (route) => route.prefix === '::/0' && route.protocol === RTPROT.RA && route.interfaceIndex === one.index,
      ),
    };
  }

  #flag(name: string): boolean | undefined {
    const value = this.#number(name);
    return value === undefined ? undefined : value !== 0;
  }

  #number(name: string): number | undefined {
    const text = this.#sysctl.read(name);
    return text === undefined ? undefined : Number(text);
  }

  #networkd(): boolean {
    try {
      readdirSync(join(this.#root, networkdRuns));
    } catch {
      return false;
    }
    const main = networkdFolders.map((folder) => join(this.#root, folder, 'networkd.conf'));
    // A drop-in of the same name in a stronger folder stands for the weaker one; names decide the order.
    const dropIns = new Map(
      networkdFolders.flatMap((folder) =>
        filesOf(join(this.#root, folder, 'networkd.conf.d')).map((path) => [basename(path), path] as const),
      ),
    );
    const inOrder = [...dropIns].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
    const texts = [...main.flatMap((path) => textOf(path)).slice(-1), ...inOrder.flatMap((path) => textOf(path))];
    return networkdManagesForeign(texts);
  }
}

function textOf(path: string): readonly string[] {
  try {
    return [readFileSync(path, 'utf8')];
  } catch {
    return [];
  }
}

function filesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.conf'))
      .map((name) => join(directory, name));
  } catch {
    return [];
  }
}

function listTable(family: string, table: string): Promise<string | undefined> {
  const options = { timeout: nftTimeoutMs, maxBuffer: 64 * 1024 * 1024 };
  return new Promise((resolve) => {
    execFile('nft', ['-j', 'list', 'table', family, table], options, (error, stdout) =>
      resolve(error === null ? stdout : undefined),
    );
  });
}
