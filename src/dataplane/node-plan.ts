/**
 * What a node must have so that pods are reachable: PURE. In: what was observed; out: settings to make, in order, and
 * what is wrong and cannot be set by us, a sentence each.
 */
export interface UplinkState {
  readonly name: string;
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
  /** `undefined`: the kernel has no IPv6. */
  readonly ipv6Forwarding: boolean | undefined;
  readonly rpFilterAll: number;
  readonly uplinks: readonly UplinkState[];
  /** Chains at the forward hook whose policy is drop, as `family table chain`; `undefined`: could not be read. */
  readonly droppingForwardChains: readonly string[] | undefined;
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
const acceptRaWhileForwarding = 2;

export function planNode(state: NodeState): NodePlan {
  const settings: Setting[] = [];
  if (!state.ipv4Forwarding) {
    settings.push({
      name: 'net/ipv4/ip_forward',
      value: '1',
      consequence: 'the node forwards no IPv4 packet to or from its pods',
    });
  }
  for (const uplink of state.uplinks) {
    // In this order: switching forwarding on throws away every default that was learned while accept_ra is below 2.
    if (uplink.defaultByAdvertisement && uplink.acceptRa !== undefined && uplink.acceptRa < acceptRaWhileForwarding) {
      settings.push({
        name: `net/ipv6/conf/${uplink.name}/accept_ra`,
        value: String(acceptRaWhileForwarding),
        consequence: `the node loses the IPv6 default route that it learned on ${uplink.name}`,
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
  if (state.ipv6Forwarding === false) {
    settings.push({
      name: 'net/ipv6/conf/all/forwarding',
      value: '1',
      consequence: 'the node forwards no IPv6 packet to or from its pods',
    });
  }
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
  for (const chain of state.droppingForwardChains ?? []) {
    problems.push({
      code: 'ForwardPolicyDrop',
      text: `The nftables chain ${chain} drops forwarded packets by default; allow the pod blocks there or set its policy to accept`,
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

/** Chains at the forward hook with policy drop, from `nft -j list chains`; `undefined` when that is not what it is. */
export function droppingForwardChains(json: string): readonly string[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return undefined;
  }
  const list = field(parsed, 'nftables');
  if (!Array.isArray(list)) return undefined;
  return list.flatMap((item: unknown) => {
    const chain = field(item, 'chain');
    if (field(chain, 'hook') !== 'forward' || field(chain, 'policy') !== 'drop') return [];
    return [`${String(field(chain, 'family'))} ${String(field(chain, 'table'))} ${String(field(chain, 'name'))}`];
  });
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

/** Whether systemd-networkd with these configuration texts, the strongest last, deletes what it did not make. */
export function networkdManagesForeign(configurations: readonly string[]): boolean {
  const settings = new Map([
    ['ManageForeignRoutes', true],
    ['ManageForeignNextHops', true],
  ]);
  for (const text of configurations) {
    for (const line of text.split('\n')) {
      const match = /^\s*(ManageForeignRoutes|ManageForeignNextHops)\s*=\s*(\S+)/.exec(line);
      const [, name, value] = match ?? [];
      if (name !== undefined && value !== undefined)
        settings.set(name, !['no', 'false', '0', 'off', 'n', 'f'].includes(value.toLowerCase()));
    }
  }
  return [...settings.values()].some(Boolean);
}
