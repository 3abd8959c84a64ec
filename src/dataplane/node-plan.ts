/**
 * What a node must have so that pods are reachable: PURE. In: what was observed; out: settings to make, in order, and
 * what is wrong and cannot be set by us, a sentence each.
 */
import type { ForwardChain } from './forward-policy.ts';
import { INTERFACE_PREFIX, LINK_GROUP } from './kernel-names.ts';

export interface UplinkState {
  readonly name: string;
  /** Not a pod's and not loopback; false where it is down or has no address, and only what is lost later counts. */
  readonly inUse: boolean;
  /** Of IPv4; `undefined`: it has none. */
  readonly forwarding: boolean | undefined;
  /** Own value; the kernel uses the larger of it and that of `all`. `undefined`: no IPv4. */
  readonly rpFilter: number | undefined;
  /** `undefined`: no IPv6. */
  readonly acceptRa: number | undefined;
  /** Its IPv6 default route came by router advertisement. */
  readonly defaultByAdvertisement: boolean;
}

export interface NodeState {
  /** As uname says it: `6.1.0-18-amd64`. */
  readonly kernelRelease: string;
  readonly nexthopObjects: boolean;
  readonly ipv4Forwarding: boolean;
  /** What an interface that comes gets: pods' are such. */
  readonly ipv4ForwardingOfNew: boolean;
  /** `undefined`: the kernel has no IPv6. */
  readonly ipv6Forwarding: boolean | undefined;
  readonly rpFilterAll: number;
  readonly uplinks: readonly UplinkState[];
  /** Chains at the forward hook that drop by default and have no rule that lets pods pass. */
  readonly droppingForwardChains: readonly ForwardChain[];
  /** systemd-networkd runs and would delete routes and nexthops that it did not make. */
  readonly networkdManagesForeign: boolean;
}

export interface Setting {
  /** Path below /proc/sys. */
  readonly name: string;
  readonly value: string;
  /** What does not work while it is not set. */
  readonly consequence: string;
}

export interface Problem {
  readonly code: string;
  readonly text: string;
}

export interface NodePlan {
  readonly settings: readonly Setting[];
  readonly problems: readonly Problem[];
}

const minimumKernel = { major: 5, minor: 15 };
const strict = 1;
const loose = '2';
/** Router advertisements count although the node forwards. */
const acceptRaWhileForwarding = '2';
const acceptRaUnlessForwarding = 1;

/** What every node needs, whatever its interfaces are. */
export const FORWARDING = {
  ipv4: {
    name: 'net/ipv4/ip_forward',
    value: '1',
    consequence: 'the node forwards no IPv4 packet to or from its pods',
  },
  ipv4OfNew: {
    name: 'net/ipv4/conf/default/forwarding',
    value: '1',
    consequence: 'the node forwards no IPv4 packet of new pods',
  },
  ipv6: {
    name: 'net/ipv6/conf/all/forwarding',
    value: '1',
    consequence: 'the node forwards no IPv6 packet to or from its pods',
  },
} as const satisfies Readonly<Record<string, Setting>>;

export function planNode(state: NodeState): NodePlan {
  const settings: Setting[] = [];
  if (!state.ipv4Forwarding) settings.push(FORWARDING.ipv4);
  // The one above sets it too.
  else if (!state.ipv4ForwardingOfNew) settings.push(FORWARDING.ipv4OfNew);
  for (const uplink of state.uplinks) {
    // In this order: switching forwarding on throws away every default that was learned while accept_ra is below 2. One that
    // is not learned yet, as at boot, must come as it would have come without us. 0 is left alone: then the kernel is not who
    // reads advertisements (systemd-networkd and NetworkManager do it themselves).
    if (
      uplink.acceptRa === acceptRaUnlessForwarding &&
      (uplink.defaultByAdvertisement || state.ipv6Forwarding === false)
    ) {
      settings.push({
        name: `net/ipv6/conf/${uplink.name}/accept_ra`,
        value: acceptRaWhileForwarding,
        consequence: `the node loses the IPv6 default route that it learns on ${uplink.name}`,
      });
    }
    if (!uplink.inUse) continue;
    if (uplink.forwarding === false && state.ipv4Forwarding) {
      settings.push({
        name: `net/ipv4/conf/${uplink.name}/forwarding`,
        value: '1',
        consequence: `nothing that arrives on ${uplink.name} reaches a pod over IPv4`,
      });
    }
    if (uplink.rpFilter !== undefined && Math.max(uplink.rpFilter, state.rpFilterAll) === strict) {
      settings.push({
        name: `net/ipv4/conf/${uplink.name}/rp_filter`,
        value: loose,
        consequence: `packets that arrive on ${uplink.name} while their way back leads over another uplink are dropped`,
      });
    }
  }
  if (state.ipv6Forwarding === false) settings.push(FORWARDING.ipv6);
  return { settings, problems: problemsOf(state) };
}

function problemsOf(state: NodeState): readonly Problem[] {
  const problems: Problem[] = [];
  if (isOlder(state.kernelRelease)) {
    problems.push({
      code: 'KernelTooOld',
      text: `Linux ${state.kernelRelease} is older than ${minimumKernel.major}.${minimumKernel.minor}, the oldest that flatroute is made for; upgrade the kernel`,
    });
  }
  if (!state.nexthopObjects) {
    problems.push({
      code: 'NexthopObjectsMissing',
      text: 'The kernel has no nexthop objects, so learned routes cannot be installed; upgrade the kernel',
    });
  }
  for (const chain of state.droppingForwardChains) {
    problems.push({
      code: 'ForwardPolicyDrop',
      text: `The chain ${chain.family} ${chain.table} ${chain.name} drops forwarded packets by default, and no rule of it lets pods pass; run ${letPass(chain)}, and have whoever makes this chain do the same, or set its policy to accept`,
    });
  }
  if (state.networkdManagesForeign) {
    problems.push({
      code: 'NetworkdManagesForeignRoutes',
      text: 'systemd-networkd deletes routes that it did not make; set ManageForeignRoutes=no and ManageForeignNextHops=no in /etc/systemd/networkd.conf.d/flatroute.conf and restart it',
    });
  }
  return problems;
}

/** A rule on link groups would make a table of iptables unreadable for iptables. */
function letPass({ family, table, name }: ForwardChain): string {
  const isIptables = table === 'filter' && name === 'FORWARD' && family !== 'inet';
  const commands = isIptables
    ? ['-i', '-o'].map((side) => `${family}tables -I FORWARD ${side} ${INTERFACE_PREFIX}+ -j ACCEPT`)
    : ['iifgroup', 'oifgroup'].map(
        (side) => `nft insert rule ${family} ${table} ${name} ${side} ${LINK_GROUP.live} accept`,
      );
  return commands.map((command) => `\`${command}\``).join(' and ');
}

/** The problem of a setting that could not be made. */
export function settingProblem(setting: Setting): Problem {
  return {
    code: 'SettingRefused',
    text: `${setting.name.replaceAll('/', '.')} could not be set to ${setting.value}: ${setting.consequence}`,
  };
}

function isOlder(release: string): boolean {
  const match = /^(\d+)\.(\d+)/.exec(release);
  if (match === null) return false;
  const major = Number(match[1]);
  const minor = Number(match[2]);
  return major < minimumKernel.major || (major === minimumKernel.major && minor < minimumKernel.minor);
}
