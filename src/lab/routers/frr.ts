/**
 * FRR 8.4 as a router of a lab: zebra for the kernel, bgpd for the sessions, each in the foreground, talked to over
 * vtysh. The host's own /run/frr keeps several instances apart. `no bgp ebgp-requires-policy` because RFC 8212 is on
 * by default and a lab has no policy; `bestpath as-path multipath-relax` because equal paths lead through different ASes.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import { addressBits, families, familyOf, parsePrefix } from '#lib/ip.ts';
import type { LabProcess } from '../process.ts';
import { DaemonRouter } from './daemon.ts';
import type { RouterDescription, RouterPeer, SessionRow, TableRow } from './router.ts';
import { byPrefix } from './router.ts';

const DIRECTORY = '/run/frr';
const PROGRAMS = '/usr/lib/frr';
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

function neighbourLines(peer: RouterPeer, holdTimeSeconds: number): string[] {
  const keepalive = Math.max(1, Math.floor(holdTimeSeconds / 3));
  return [
    ` neighbor ${peer.address} remote-as ${peer.asn}`,
    ` neighbor ${peer.address} description ${peer.name}`,
    ` neighbor ${peer.address} timers ${keepalive} ${holdTimeSeconds}`,
    ` neighbor ${peer.address} timers connect 1`,
    ...(peer.passive === true ? [` neighbor ${peer.address} passive`] : []),
    ...(peer.multihop === undefined
      ? []
      : [
          ` neighbor ${peer.address} ebgp-multihop ${peer.multihop.hops}`,
          ` neighbor ${peer.address} update-source ${peer.multihop.from}`,
        ]),
    ...(peer.ttlSecurity === undefined ? [] : [` neighbor ${peer.address} ttl-security hops ${peer.ttlSecurity}`]),
    ...(peer.password === undefined ? [] : [` neighbor ${peer.address} password ${peer.password}`]),
  ];
}

function familyBlock(router: RouterDescription, family: Family): string[] {
  const paths = router.multipath ? 16 : 1;
  return [
    ` address-family ${unicast(family)}`,
    ...router.announce.filter((prefix) => familyOf(prefix) === family).map((prefix) => `  network ${prefix}`),
    ...router.peers
      .filter((peer) => peer.families.includes(family))
      .flatMap((peer) => [
        `  neighbor ${peer.address} activate`,
        ...(peer.client === true ? [`  neighbor ${peer.address} route-reflector-client`] : []),
        ...(peer.allowedOwnAsns === undefined ? [] : [`  neighbor ${peer.address} allowas-in ${peer.allowedOwnAsns}`]),
        ...(peer.maxPrefixes === undefined ? [] : [`  neighbor ${peer.address} maximum-prefix ${peer.maxPrefixes}`]),
        ...(peer.accept === undefined ? [] : [`  neighbor ${peer.address} prefix-list ${listName(peer)} in`]),
      ]),
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

/** bgpd.conf of one router. */
export function frrConfiguration(router: RouterDescription): string {
  return `${[
    ...router.peers.flatMap(prefixLists),
    `router bgp ${router.asn}`,
    ` bgp router-id ${router.routerId}`,
    ...(router.clusterId === undefined ? [] : [` bgp cluster-id ${router.clusterId}`]),
    ' bgp log-neighbor-changes',
    ' no bgp ebgp-requires-policy',
    ' no bgp default ipv4-unicast',
    ' no bgp network import-check',
    ...(router.multipath ? [' bgp bestpath as-path multipath-relax'] : []),
    ' coalesce-time 0',
    ...router.peers.flatMap((peer) => neighbourLines(peer, router.holdTimeSeconds)),
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

export class FrrRouter extends DaemonRouter {
  readonly kind = 'frr';
  #zebra: LabProcess | undefined;

  configuration(): Readonly<Record<string, string>> {
    return { 'bgpd.conf': frrConfiguration(this.description) };
  }

  async start(): Promise<void> {
    const { host } = this;
    await host.writeFile(`${DIRECTORY}/zebra.conf`, `hostname ${host.name}\n`);
    await host.writeFile(`${DIRECTORY}/bgpd.conf`, frrConfiguration(this.description));
    await host.run(['chown', '-R', 'frr:frr', DIRECTORY]);
    const daemon = (program: string, ...options: readonly string[]): string[] => {
      const files = ['-f', `${DIRECTORY}/${program}.conf`, '-i', `${DIRECTORY}/${program}.pid`];
      const sockets = ['-z', `${DIRECTORY}/zserv.api`, '--vty_socket', DIRECTORY, '-P', '0'];
      return [`${PROGRAMS}/${program}`, ...USER, ...files, ...sockets, '--log', 'stdout', ...options];
    };
    this.#zebra = await this.startAnswering(daemon('zebra'), 'zebra.log', vtysh('zebra', 'show version'));
    const kernel = this.description.kernelRoutes === false ? ['--no_kernel'] : [];
    await this.speak(daemon('bgpd', ...kernel), 'bgpd.log', vtysh('bgpd', 'show bgp summary'));
  }

  /** Writes the difference into the running bgpd: peers and networks that are gone, then the whole of the new ones. */
  async reconfigure(description: RouterDescription): Promise<void> {
    const gone = this.description.peers.filter((p) => !description.peers.some((q) => q.address === p.address));
    const unsigned = this.description.peers.filter(
      (p) => p.password !== undefined && description.peers.some((q) => q.address === p.address && !q.password),
    );
    const lines = [
      `router bgp ${description.asn}`,
      ...gone.map((peer) => `no neighbor ${peer.address}`),
      ...unsigned.map((peer) => `no neighbor ${peer.address} password`),
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

  override async stop(signal: NodeJS.Signals): Promise<void> {
    await super.stop(signal);
    this.#zebra?.kill(signal);
    await this.#zebra?.exited;
  }

  async resetSession(peer: IpAddress): Promise<void> {
    await this.#ask(`clear bgp ${peer}`);
  }

  async #ask(...commands: readonly string[]): Promise<string> {
    return await this.host.run(vtysh('bgpd', ...commands));
  }

  async sessions(): Promise<readonly SessionRow[]> {
    const answer = JSON.parse(await this.#ask('show bgp neighbors json')) as Record<string, { bgpState?: string }>;
    return this.description.peers.map((peer) => {
      const state = answer[peer.address]?.bgpState ?? 'unknown';
      return { peer: peer.address, asn: peer.asn, established: state === 'Established', state };
    });
  }

  async table(family: Family): Promise<readonly TableRow[]> {
    const answer = JSON.parse(await this.#ask(`show bgp ${unicast(family)} json`)) as {
      routes?: Record<string, readonly FrrPath[]>;
    };
    const rows = new Map<string, Set<string>>();
    for (const [text, paths] of Object.entries(answer.routes ?? {})) {
      const prefix = parsePrefix(text);
      if (prefix === undefined) continue;
      const used = paths.filter((path) => path.bestpath === true || path.multipath === true);
      const hops = used.flatMap((path) => {
        const list = path.nexthops ?? [];
        const hop = list.find((h) => h.used === true && h.scope !== 'link-local') ?? list[0];
        return [hop?.ip === undefined || hop.ip === '0.0.0.0' || hop.ip === '::' ? 'local' : hop.ip];
      });
      if (hops.length > 0) rows.set(prefix, new Set(hops));
    }
    return byPrefix(rows);
  }
}
