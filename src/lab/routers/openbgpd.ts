/**
 * OpenBGPD 7.7 (portable) as a router of a lab. It puts nothing into the kernel here (`fib-update no`). It changes to its
 * own user in an empty directory, /run/openbgpd, and takes its configuration only from a file that nobody else may read.
 */
import { readFile } from 'node:fs/promises';
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { familyOf, parsePrefix } from '#lib/ip.ts';
import { readLinkAddress } from '../kernel.ts';
import { DaemonRouter } from './daemon.ts';
import type {
  PathRow,
  PeeringRole,
  RouteAttributes,
  RouterDescription,
  RouterPeer,
  SessionRow,
  TableRow,
} from './router.ts';
import { byPrefix, comparePaths, communityText } from './router.ts';

const DIRECTORY = '/run/openbgpd';
const CONFIGURATION = '/run/bgpd.conf';
const CONTROL = `${DIRECTORY}/lab.sock`;

const bgpctl = (...words: readonly string[]): readonly string[] => ['bgpctl', '-j', '-s', CONTROL, ...words];
/** bgpctl's words for a family and bgpd.conf's. */
const inet = (family: Family): string => (family === 'ipv4' ? 'inet' : 'inet6');

function neighbour(router: RouterDescription, peer: RouterPeer): string[] {
  const { holdTimeSeconds } = router;
  const families: readonly (readonly [Family, string])[] = [
    ['ipv4', 'IPv4'],
    ['ipv6', 'IPv6'],
  ];
  return [
    `neighbor ${peer.address} {`,
    `  descr "${peer.name}"`,
    `  remote-as ${peer.asn}`,
    `  holdtime ${holdTimeSeconds}`,
    ...families.map(([family, name]) => `  announce ${name} ${peer.families.includes(family) ? 'unicast' : 'none'}`),
    ...(peer.families.includes('ipv6') && familyOf(peer.address) === 'ipv4' ? ['  multihop 2'] : []),
    ...(peer.passive === true ? ['  passive'] : []),
    ...(peer.password === undefined ? [] : [`  tcp md5sig password "${peer.password}"`]),
    // Any number of times: it has no count.
    ...(peer.allowedOwnAsns === undefined ? [] : ['  enforce local-as no']),
    ...(peer.maxPrefixes === undefined ? [] : [`  max-prefix ${peer.maxPrefixes}`]),
    ...optionLines(router, peer),
    '}',
  ];
}

const roleWords: Readonly<Record<PeeringRole, string>> = {
  Provider: 'provider',
  Customer: 'customer',
  Peer: 'peer',
  RouteServer: 'rs',
  RouteServerClient: 'rs-client',
};

function optionLines(router: RouterDescription, peer: RouterPeer): string[] {
  const { addPath, role } = peer;
  return [
    ...(peer.fourOctetAs === false ? ['announce as-4byte no'] : []),
    ...(peer.enhancedRefresh === true ? ['announce enhanced refresh yes'] : []),
    ...(addPath?.receive === true ? ['announce add-path recv yes'] : []),
    ...(addPath !== undefined && addPath.send > 1 ? [`announce add-path send best plus ${addPath.send - 1}`] : []),
    ...(role === undefined ? [] : [`announce policy ${roleWords[role.ours]}${role.required ? ' enforce' : ''}`]),
    ...(peer.client === true ? [`route-reflector ${router.clusterId ?? router.routerId}`] : []),
    ...(peer.ttlSecurity === undefined ? [] : ['ttl-security yes']),
  ].map((line) => `  ${line}`);
}

/** What stands behind an originated prefix. */
function attributeSet({ origin, med, localPref, communities = [], path = [] }: RouteAttributes = {}): string {
  const words = [
    ...(origin === undefined ? [] : [`origin ${origin.toLowerCase()}`]),
    ...(med === undefined ? [] : [`metric ${med}`]),
    ...(localPref === undefined ? [] : [`localpref ${localPref}`]),
    ...communities.map((it) => {
      if (it.startsWith('rt:')) return `ext-community rt ${it.slice('rt:'.length)}`;
      return `${it.split(':').length === 3 ? 'large-community' : 'community'} ${it}`;
    }),
    // Its own AS number so many times: it has no word for another's.
    ...(path.length === 0 ? [] : [`prepend-self ${path.length}`]),
  ];
  return words.length === 0 ? '' : ` set { ${words.join(' ')} }`;
}

/**
 * The last rule that matches decides. Of itself it takes the first IPv6 address of the machine, ::1, as next hop for IPv6 over
 * an IPv4 session; a rule's next hop counts only together with `no-modify`, and only on a `multihop` session.
 */
function rules(peer: RouterPeer, ownIpv6: IpAddress | undefined): string[] {
  const { accept } = peer;
  const allowed = (prefix: Prefix): string =>
    `allow from ${peer.address} prefix ${prefix} prefixlen >= ${prefix.slice(prefix.indexOf('/') + 1)}`;
  return [
    ...(accept === undefined ? [] : [`deny from ${peer.address}`, ...accept.map(allowed)]),
    ...(ownIpv6 === undefined
      ? []
      : [ownIpv6, 'no-modify'].map((hop) => `match to ${peer.address} ${inet('ipv6')} set nexthop ${hop}`)),
  ];
}

/** `ownIpv6`: the router's address on the link to a peer with an IPv4 session, where it has one. */
export function openbgpdConfiguration(
  router: RouterDescription,
  ownIpv6: ReadonlyMap<IpAddress, IpAddress> = new Map(),
): string {
  return `${[
    `AS ${router.asn}`,
    `router-id ${router.routerId}`,
    'fib-update no',
    'connect-retry 1',
    `socket "${CONTROL}"`,
    ...router.announce.map((prefix) => `network ${prefix}${attributeSet(router.attributes)}`),
    ...router.peers.flatMap((peer) => neighbour(router, peer)),
    'allow from any',
    'allow to any',
    ...router.peers.flatMap((peer) => rules(peer, ownIpv6.get(peer.address))),
  ].join('\n')}\n`;
}

interface OpenbgpdPath {
  readonly prefix: string;
  readonly exit_nexthop: string;
  readonly best?: boolean;
  readonly ecmp?: boolean;
  readonly aspath?: string;
  readonly origin?: string;
  readonly metric?: number;
  readonly localpref?: number;
  readonly communities?: readonly string[];
  readonly extended_communities?: readonly string[];
  readonly large_communities?: readonly string[];
}

const hopOf = ({ exit_nexthop }: OpenbgpdPath): string =>
  exit_nexthop === '0.0.0.0' || exit_nexthop === '::' ? 'local' : exit_nexthop;

export class OpenbgpdRouter extends DaemonRouter {
  readonly kind = 'openbgpd';

  configuration(): Readonly<Record<string, string>> {
    return { 'bgpd.conf': openbgpdConfiguration(this.description) };
  }

  async #write(): Promise<void> {
    const own = new Map<IpAddress, IpAddress>();
    for (const { address } of this.description.peers) {
      const ipv6 = familyOf(address) === 'ipv6' ? undefined : await readLinkAddress(this.host, address, 'ipv6');
      if (ipv6 !== undefined) own.set(address, ipv6);
    }
    await this.host.writeFile(CONFIGURATION, openbgpdConfiguration(this.description, own), 0o600);
    const checked = await this.host.exec(['bgpd', '-n', '-f', CONFIGURATION]);
    if (checked.code !== 0) throw this.refused(checked.stderr);
  }

  async start(): Promise<void> {
    await this.host.run(['mkdir', '-p', DIRECTORY]);
    await this.#write();
    await this.speak(['bgpd', '-d', '-f', CONFIGURATION], 'bgpd.log', bgpctl('show', 'summary'));
  }

  /** Sessions and RIB are processes of their own, children of the one that was started. */
  override async signal(signal: NodeJS.Signals): Promise<void> {
    const { pid } = this.speaker;
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    await super.signal(signal);
    for (const child of children
      .split(' ')
      .map(Number)
      .filter((number) => number > 0)) {
      try {
        process.kill(child, signal);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  }

  async reconfigure(description: RouterDescription): Promise<void> {
    this.describedBy(description);
    await this.#write();
    await this.#ask('reload');
  }

  async resetSession(peer: IpAddress): Promise<void> {
    await this.#ask('neighbor', this.peerAt(peer).address, 'clear');
  }

  async shutDown(peer: IpAddress, text: string): Promise<void> {
    await this.#ask('neighbor', peer, 'down', text);
  }

  async refresh(peer: IpAddress): Promise<void> {
    await this.#ask('neighbor', peer, 'refresh');
  }

  async about(peer: IpAddress): Promise<string> {
    return await this.#ask('show', 'neighbor', peer);
  }

  async refusal(line: string): Promise<string | undefined> {
    const file = '/run/tried.conf';
    const text = openbgpdConfiguration(this.description).replace(/^(neighbor .*)$/m, `$1\n  ${line}`);
    await this.host.writeFile(file, text, 0o600);
    const checked = await this.host.exec(['bgpd', '-n', '-f', file]);
    return checked.code === 0 ? undefined : checked.stderr;
  }

  async #ask(...words: readonly string[]): Promise<string> {
    return await this.host.run(bgpctl(...words));
  }

  async sessions(): Promise<readonly SessionRow[]> {
    const { neighbors } = JSON.parse(await this.#ask('show', 'neighbor')) as {
      readonly neighbors: readonly { readonly remote_addr: string; readonly state: string }[];
    };
    return this.description.peers.map(({ address, asn }) => {
      const state = neighbors.find((known) => known.remote_addr === address)?.state ?? 'unknown';
      return { peer: address, asn, established: state === 'Established', state };
    });
  }

  async #rib(family: Family, ...words: readonly string[]): Promise<readonly OpenbgpdPath[]> {
    const answer = JSON.parse(await this.#ask('show', 'rib', ...words, inet(family))) as {
      readonly rib?: readonly OpenbgpdPath[];
    };
    return answer.rib ?? [];
  }

  async table(family: Family): Promise<readonly TableRow[]> {
    const rows = new Map<string, Set<string>>();
    for (const path of await this.#rib(family)) {
      const prefix = parsePrefix(path.prefix);
      if (prefix === undefined || !(path.best === true || path.ecmp === true)) continue;
      const hops = rows.get(prefix) ?? new Set();
      rows.set(prefix, hops.add(hopOf(path)));
    }
    return byPrefix(rows);
  }

  async paths(family: Family): Promise<readonly PathRow[]> {
    const rows: PathRow[] = [];
    for (const path of await this.#rib(family, 'detail')) {
      const prefix = parsePrefix(path.prefix);
      if (prefix === undefined) continue;
      const { communities = [], extended_communities = [], large_communities = [] } = path;
      rows.push({
        prefix,
        nextHop: hopOf(path),
        path: path.aspath ?? '',
        origin: path.origin === 'EGP' ? 'EGP' : path.origin === 'IGP' ? 'IGP' : 'INCOMPLETE',
        med: path.metric,
        localPref: path.localpref,
        communities: [...communities, ...extended_communities, ...large_communities].map(communityText).sort(),
        best: path.best === true,
      });
    }
    return rows.sort(comparePaths);
  }
}
