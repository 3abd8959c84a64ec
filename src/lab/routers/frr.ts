/**
 * FRR 8.4 as a router of a lab: zebra for the kernel, bgpd for the sessions, each in the foreground, talked to over
 * vtysh. The host's own /run/frr keeps several instances apart. `no bgp ebgp-requires-policy` because RFC 8212 is on
 * by default and a lab has no policy; `bestpath as-path multipath-relax` because equal paths lead through different ASes.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import { addressBits, families, familyOf, parsePrefix } from '#lib/ip.ts';
import type { LabProcess } from '../process.ts';
import { DaemonRouter, realTime } from './daemon.ts';
import type {
  PathRow,
  PeeringRole,
  RouteAttributes,
  RouterDescription,
  RouterPeer,
  SessionRow,
  TableRow,
} from './router.ts';
import { bfdTimes, byPrefix, comparePaths, communityText } from './router.ts';

const DIRECTORY = '/run/frr';
const PROGRAMS = '/usr/lib/frr';
const BFD_PROFILE = 'fast';
const USER = ['-u', 'frr', '-g', 'frr'];

const vtysh = (daemon: string, ...commands: readonly string[]): readonly string[] => [
  'vtysh',
  '--vty_socket',
  DIRECTORY,
  '-d',
  daemon,
  ...commands.flatMap((command) => ['-c', command]),
];

const unicast = (family: Family): string => `${family} unicast`;

const roleWords: Readonly<Record<PeeringRole, string>> = {
  Provider: 'provider',
  Customer: 'customer',
  Peer: 'peer',
  RouteServer: 'rs-server',
  RouteServerClient: 'rs-client',
};

/**
 * FRR names an unnumbered neighbour by its interface, and sends it router advertisements without being asked to. Without
 * `v6only` it takes the other address of the link's IPv4 /30 or /31 for the neighbour's, where there is one.
 */
const peerName = (peer: RouterPeer): string => peer.interface ?? peer.address;

/** Words after `neighbor ADDRESS`. */
function neighbourWords(peer: RouterPeer, holdTimeSeconds: number): string[] {
  const keepalive = holdTimeSeconds === 0 ? 0 : Math.max(1, Math.floor(holdTimeSeconds / 3));
  const { role } = peer;
  return [
    `${peer.interface === undefined ? '' : 'interface v6only '}remote-as ${peer.asn}`,
    `description ${peer.name}`,
    `timers ${keepalive} ${holdTimeSeconds}`,
    'timers connect 1',
    ...(peer.passive === true ? ['passive'] : []),
    ...(peer.password === undefined ? [] : [`password ${peer.password}`]),
    // It has no word for AS numbers alone: without any capability it is as old as can be.
    ...(peer.fourOctetAs === false ? ['dont-capability-negotiate'] : []),
    ...(peer.extendedNextHop === true ? ['capability extended-nexthop'] : []),
    ...(peer.gracefulRestart === undefined ? [] : ['graceful-restart']),
    ...(role === undefined ? [] : [`local-role ${roleWords[role.ours]}${role.required ? ' strict-mode' : ''}`]),
    ...(peer.multihop === undefined
      ? []
      : [`ebgp-multihop ${peer.multihop.hops}`, `update-source ${peer.multihop.from}`]),
    ...(peer.ttlSecurity === undefined ? [] : [`ttl-security hops ${peer.ttlSecurity}`]),
    ...(peer.extendedParameters === true ? ['extended-optional-parameters'] : []),
    ...(peer.bfd === undefined ? [] : [`bfd profile ${BFD_PROFILE}`]),
  ];
}

/** The same inside a family. */
function familyWords(peer: RouterPeer): string[] {
  return [
    'activate',
    ...(peer.allowedOwnAsns === undefined ? [] : [`allowas-in ${peer.allowedOwnAsns}`]),
    ...(peer.maxPrefixes === undefined ? [] : [`maximum-prefix ${peer.maxPrefixes}`]),
    ...(peer.maxAnnounced === undefined ? [] : [`maximum-prefix-out ${peer.maxAnnounced}`]),
    // All paths or one.
    ...(peer.addPath !== undefined && peer.addPath.send > 1 ? ['addpath-tx-all-paths'] : []),
    ...(peer.client === true ? ['route-reflector-client'] : []),
    ...(peer.accept === undefined ? [] : [`prefix-list ${listName(peer)} in`]),
  ];
}

/** What FRR has for all peers at once. */
function restartLines(peers: readonly RouterPeer[]): string[] {
  const restart = peers.find((peer) => peer.gracefulRestart !== undefined)?.gracefulRestart;
  const longLived = peers.find((peer) => peer.longLivedGracefulRestart !== undefined)?.longLivedGracefulRestart;
  return [
    ...(restart === undefined
      ? []
      : [
          ` bgp graceful-restart restart-time ${restart.restartTimeSeconds}`,
          ' bgp graceful-restart preserve-fw-state',
        ]),
    ...(longLived === undefined ? [] : [` bgp long-lived-graceful-restart stale-time ${longLived.staleTimeSeconds}`]),
    ...(peers.some((peer) => peer.notificationRestart === true) ? [' bgp graceful-restart notification'] : []),
  ];
}

const ORIGIN = 'ORIGIN';

/** The route map of all that is originated. */
function originMap({ origin, med, localPref, communities = [], path = [] }: RouteAttributes): string[] {
  const kind = (test: (community: string) => boolean): string => communities.filter(test).join(' ');
  const target = kind((it) => it.startsWith('rt:')).replaceAll('rt:', '');
  const large = kind((it) => !it.startsWith('rt:') && it.split(':').length === 3);
  const standard = kind((it) => it.split(':').length === 2);
  return [
    `route-map ${ORIGIN} permit 10`,
    ...(origin === undefined ? [] : [` set origin ${origin.toLowerCase()}`]),
    ...(med === undefined ? [] : [` set metric ${med}`]),
    ...(localPref === undefined ? [] : [` set local-preference ${localPref}`]),
    ...(path.length === 0 ? [] : [` set as-path prepend ${path.join(' ')}`]),
    ...(standard === '' ? [] : [` set community ${standard}`]),
    ...(large === '' ? [] : [` set large-community ${large}`]),
    ...(target === '' ? [] : [` set extcommunity rt ${target}`]),
    'exit',
  ];
}

function familyBlock(router: RouterDescription, family: Family): string[] {
  const paths = router.multipath ? 16 : 1;
  const by = router.attributes === undefined ? '' : ` route-map ${ORIGIN}`;
  return [
    ` address-family ${unicast(family)}`,
    ...router.announce.filter((prefix) => familyOf(prefix) === family).map((prefix) => `  network ${prefix}${by}`),
    ...router.peers
      .filter((peer) => peer.families.includes(family))
      .flatMap((peer) => familyWords(peer).map((words) => `  neighbor ${peerName(peer)} ${words}`)),
    `  maximum-paths ${paths}`,
    `  maximum-paths ibgp ${paths}`,
    ' exit-address-family',
  ];
}

const listName = (peer: RouterPeer): string => `from-${peer.name}`;

/** The prefixes and everything inside them; a list that permits nothing of a family refuses all of it. */
function prefixLists(peer: RouterPeer): string[] {
  const { accept } = peer;
  if (accept === undefined) return [];
  return families.flatMap((family) => {
    const word = family === 'ipv4' ? 'ip' : 'ipv6';
    const prefixes = accept.filter((prefix) => familyOf(prefix) === family);
    return prefixes.length === 0
      ? [`${word} prefix-list ${listName(peer)} deny any`]
      : prefixes.map((prefix) => `${word} prefix-list ${listName(peer)} permit ${prefix} le ${addressBits(family)}`);
  });
}

/** bfdd.conf of one router. */
const bfdConfiguration = [
  'bfd',
  ` profile ${BFD_PROFILE}`,
  `  detect-multiplier ${bfdTimes.multiplier}`,
  `  receive-interval ${bfdTimes.intervalMilliseconds}`,
  `  transmit-interval ${bfdTimes.intervalMilliseconds}`,
  ' exit',
  'exit',
  '',
].join('\n');

/** bgpd.conf of one router. */
export function frrConfiguration(router: RouterDescription): string {
  return `${[
    ...router.peers.flatMap(prefixLists),
    ...(router.attributes === undefined ? [] : originMap(router.attributes)),
    `router bgp ${router.asn}`,
    ` bgp router-id ${router.routerId}`,
    ...(router.clusterId === undefined ? [] : [` bgp cluster-id ${router.clusterId}`]),
    ' bgp log-neighbor-changes',
    ' no bgp ebgp-requires-policy',
    ' no bgp default ipv4-unicast',
    ' no bgp network import-check',
    ...(router.multipath ? [' bgp bestpath as-path multipath-relax'] : []),
    ' coalesce-time 0',
    ...restartLines(router.peers),
    ...router.peers.flatMap((peer) =>
      neighbourWords(peer, router.holdTimeSeconds).map((words) => ` neighbor ${peerName(peer)} ${words}`),
    ),
    ...families.flatMap((family) => familyBlock(router, family)),
    'exit',
  ].join('\n')}\n`;
}

interface FrrPath {
  readonly valid?: boolean;
  readonly bestpath?: boolean;
  readonly multipath?: boolean;
  readonly weight?: number;
  readonly nexthops?: readonly { readonly ip?: string; readonly used?: boolean; readonly scope?: string }[];
}

interface FrrDetail {
  readonly prefix?: string;
  readonly paths?: readonly {
    readonly aspath?: { readonly string?: string };
    readonly origin?: string;
    readonly metric?: number;
    readonly locPrf?: number;
    readonly sourced?: boolean;
    readonly bestpath?: { readonly overall?: boolean };
    readonly community?: { readonly string?: string };
    readonly extendedCommunity?: { readonly string?: string };
    readonly largeCommunity?: { readonly string?: string };
    readonly nexthops?: FrrPath['nexthops'];
  }[];
}

const hopOf = (list: FrrPath['nexthops'] = []): string => {
  const hop = list.find((h) => h.used === true && h.scope !== 'link-local') ?? list[0];
  return hop?.ip === undefined || hop.ip === '0.0.0.0' || hop.ip === '::' ? 'local' : hop.ip;
};

export class FrrRouter extends DaemonRouter {
  readonly kind = 'frr';
  #zebra: LabProcess | undefined;
  #bfdd: LabProcess | undefined;

  configuration(): Readonly<Record<string, string>> {
    return { 'bgpd.conf': frrConfiguration(this.description) };
  }

  async start(): Promise<void> {
    const { host } = this;
    await host.writeFile(`${DIRECTORY}/zebra.conf`, `hostname ${host.name}\n`);
    await host.writeFile(`${DIRECTORY}/bgpd.conf`, frrConfiguration(this.description));
    await host.writeFile(`${DIRECTORY}/bfdd.conf`, bfdConfiguration);
    await host.run(['chown', '-R', 'frr:frr', DIRECTORY]);
    const daemon = (program: string, ...options: readonly string[]): string[] => {
      const files = ['-f', `${DIRECTORY}/${program}.conf`, '-i', `${DIRECTORY}/${program}.pid`];
      const sockets = ['-z', `${DIRECTORY}/zserv.api`, '--vty_socket', DIRECTORY, '-P', '0'];
      return [`${PROGRAMS}/${program}`, ...USER, ...files, ...sockets, '--log', 'stdout', ...options];
    };
    // Without it zebra deletes an IPv6 route before it adds the one in its place: a packet in between has no route.
    const zebra = daemon('zebra', '--v6-rr-semantics');
    this.#zebra = await this.startAnswering(zebra, 'zebra.log', vtysh('zebra', 'show version'));
    if (this.description.peers.some((peer) => peer.bfd !== undefined)) {
      const control = ['--bfdctl', `${DIRECTORY}/bfdd.sock`];
      const argv = realTime(daemon('bfdd', ...control));
      this.#bfdd = await this.startAnswering(argv, 'bfdd.log', vtysh('bfdd', 'show bfd peers'));
    }
    const kernel = this.description.kernelRoutes === false ? ['--no_kernel'] : [];
    await this.speak(daemon('bgpd', ...kernel), 'bgpd.log', vtysh('bgpd', 'show bgp summary'));
  }

  /** Writes the difference into the running bgpd: peers and networks that are gone, then the whole of the new ones. */
  async reconfigure(description: RouterDescription): Promise<void> {
    const same = (p: RouterPeer, q: RouterPeer): boolean => peerName(p) === peerName(q);
    const gone = this.description.peers.filter((p) => !description.peers.some((q) => same(p, q)));
    const unsigned = this.description.peers.filter(
      (p) => p.password !== undefined && description.peers.some((q) => same(p, q) && !q.password),
    );
    const lines = [
      `router bgp ${description.asn}`,
      ...gone.map((peer) => `no neighbor ${peerName(peer)}`),
      ...unsigned.map((peer) => `no neighbor ${peerName(peer)} password`),
      ...families.flatMap((family) => [
        `address-family ${unicast(family)}`,
        ...this.description.announce
          .filter((prefix) => familyOf(prefix) === family && !description.announce.includes(prefix))
          .map((prefix) => `no network ${prefix}`),
        'exit-address-family',
      ]),
      'exit',
      ...frrConfiguration(description).split('\n'),
    ].filter((line) => line !== '');
    this.describedBy(description);
    await this.#ask('configure terminal', ...lines);
  }

  override async signal(signal: NodeJS.Signals): Promise<void> {
    this.#bfdd?.kill(signal);
    await super.signal(signal);
  }

  override async stop(signal: NodeJS.Signals): Promise<void> {
    await super.stop(signal);
    this.#zebra?.kill(signal);
    await this.#zebra?.exited;
    await this.#bfdd?.exited;
  }

  async resetSession(peer: IpAddress): Promise<void> {
    await this.#ask(`clear bgp ${peer}`);
  }

  async shutDown(peer: IpAddress, text: string): Promise<void> {
    await this.#neighbour(`neighbor ${peer} shutdown message ${text}`);
  }

  async #neighbour(line: string): Promise<void> {
    await this.#ask('configure terminal', `router bgp ${this.description.asn}`, line);
  }

  async refresh(peer: IpAddress): Promise<void> {
    for (const family of this.peerAt(peer).families) await this.#ask(`clear bgp ${unicast(family)} ${peer} soft in`);
  }

  async about(peer: IpAddress): Promise<string> {
    return await this.#ask(`show bgp neighbors ${peer} json`);
  }

  /** It names the line in its log, and goes on; so it does with lines that it takes after all. */
  async refusal(line: string): Promise<string | undefined> {
    const file = `${DIRECTORY}/tried.conf`;
    const [peer] = this.description.peers;
    if (line === '' || peer === undefined) return undefined;
    const words = ` neighbor ${peer.address} ${line}`;
    const text = frrConfiguration(this.description).replace(/exit\n$/, `${words}\nexit\n`);
    await this.host.writeFile(file, text);
    const checked = await this.host.exec([`${PROGRAMS}/bgpd`, '-C', '-f', file, '--log', 'stdout']);
    const said = checked.stdout + checked.stderr;
    return said.includes(`: ${words}`) ? said : undefined;
  }

  async #ask(...commands: readonly string[]): Promise<string> {
    return await this.host.run(vtysh('bgpd', ...commands));
  }

  async sessions(): Promise<readonly SessionRow[]> {
    const answer = JSON.parse(await this.#ask('show bgp neighbors json')) as Record<string, { bgpState?: string }>;
    return this.description.peers.map((peer) => {
      const state = answer[peerName(peer)]?.bgpState ?? 'unknown';
      return { peer: peer.address, asn: peer.asn, established: state === 'Established', state };
    });
  }

  async #routes(family: Family): Promise<Readonly<Record<string, readonly FrrPath[]>>> {
    const answer = JSON.parse(await this.#ask(`show bgp ${unicast(family)} json`)) as {
      routes?: Record<string, readonly FrrPath[]>;
    };
    return answer.routes ?? {};
  }

  async table(family: Family): Promise<readonly TableRow[]> {
    const rows = new Map<string, Set<string>>();
    for (const [text, paths] of Object.entries(await this.#routes(family))) {
      const prefix = parsePrefix(text);
      if (prefix === undefined) continue;
      const used = paths.filter((path) => path.bestpath === true || path.multipath === true);
      if (used.length > 0) rows.set(prefix, new Set(used.map((path) => hopOf(path.nexthops))));
    }
    return byPrefix(rows);
  }

  /** Its table has no communities: each prefix is asked for, all in one call. */
  async paths(family: Family): Promise<readonly PathRow[]> {
    const prefixes = Object.keys(await this.#routes(family));
    if (prefixes.length === 0) return [];
    const answer = await this.#ask(...prefixes.map((prefix) => `show bgp ${unicast(family)} ${prefix} json`));
    const rows: PathRow[] = [];
    for (const text of answer.split(/\n(?=\{)/)) {
      const detail = JSON.parse(text) as FrrDetail;
      const prefix = parsePrefix(detail.prefix ?? '');
      if (prefix === undefined) continue;
      for (const path of detail.paths ?? []) {
        const { community, extendedCommunity, largeCommunity } = path;
        const words = [community, extendedCommunity, largeCommunity].flatMap((list) => list?.string?.split(' ') ?? []);
        rows.push({
          prefix,
          nextHop: hopOf(path.nexthops),
          path: path.aspath?.string === 'Local' ? '' : (path.aspath?.string ?? ''),
          origin: path.origin === 'EGP' ? 'EGP' : path.origin === 'IGP' ? 'IGP' : 'INCOMPLETE',
          med: path.metric,
          localPref: path.locPrf,
          communities: words.map(communityText).sort(),
          best: path.bestpath?.overall === true,
        });
      }
    }
    return rows.sort(comparePaths);
  }
}
