/**
 * GoBGP 3.10 as a router of a lab. It puts nothing into the kernel, and its file has no place for originated prefixes:
 * they are added by its command line. For IPv6 over an IPv4 session it knows no next hop of its own, so a policy says it.
 */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { addressBits, families, familyOf, parsePrefix, prefixLength } from '#lib/ip.ts';
import { readLinkAddress } from '../kernel.ts';
import { DaemonRouter } from './daemon.ts';
import type { PathRow, RouteAttributes, RouterDescription, RouterPeer, SessionRow, TableRow } from './router.ts';
import { byPrefix, comparePaths, communityText } from './router.ts';

const CONFIGURATION = '/run/gobgp/gobgpd.toml';
const API = 'unix:///run/gobgp/api.sock';

const gobgp = (...words: readonly string[]): readonly string[] => ['gobgp', '--target', API, '-j', ...words];
const list = (values: readonly string[]): string => `[${values.map((value) => JSON.stringify(value)).join(', ')}]`;

function neighbour(router: RouterDescription, peer: RouterPeer): string[] {
  const { holdTimeSeconds } = router;
  const { gracefulRestart } = peer;
  return [
    '[[neighbors]]',
    '[neighbors.config]',
    `neighbor-address = "${peer.address}"`,
    `peer-as = ${peer.asn}`,
    `description = "${peer.name}"`,
    ...(peer.password === undefined ? [] : [`auth-password = ${JSON.stringify(peer.password)}`]),
    '[neighbors.timers.config]',
    'connect-retry = 1',
    `hold-time = ${holdTimeSeconds}`,
    `keepalive-interval = ${Math.max(1, Math.floor(holdTimeSeconds / 3))}`,
    '[neighbors.transport.config]',
    `passive-mode = ${peer.passive === true}`,
    ...(peer.allowedOwnAsns === undefined
      ? []
      : ['[neighbors.as-path-options.config]', `allow-own-as = ${peer.allowedOwnAsns}`]),
    ...(gracefulRestart === undefined
      ? []
      : [
          '[neighbors.graceful-restart.config]',
          'enabled = true',
          `restart-time = ${gracefulRestart.restartTimeSeconds}`,
          `notification-enabled = ${peer.notificationRestart === true}`,
          `long-lived-enabled = ${peer.longLivedGracefulRestart !== undefined}`,
        ]),
    ...(peer.client === true
      ? [
          '[neighbors.route-reflector.config]',
          'route-reflector-client = true',
          `route-reflector-cluster-id = "${router.clusterId ?? router.routerId}"`,
        ]
      : []),
    ...(peer.ttlSecurity === undefined
      ? []
      : ['[neighbors.ttl-security.config]', 'enabled = true', `ttl-min = ${256 - peer.ttlSecurity}`]),
    ...peer.families.flatMap((family) => familyTables(peer, family)),
  ];
}

function familyTables(peer: RouterPeer, family: Family): string[] {
  const { addPath, longLivedGracefulRestart } = peer;
  return [
    '[[neighbors.afi-safis]]',
    '[neighbors.afi-safis.config]',
    `afi-safi-name = "${family}-unicast"`,
    ...(peer.maxPrefixes === undefined
      ? []
      : ['[neighbors.afi-safis.prefix-limit.config]', `max-prefixes = ${peer.maxPrefixes}`]),
    ...(peer.gracefulRestart === undefined
      ? []
      : ['[neighbors.afi-safis.mp-graceful-restart.config]', 'enabled = true']),
    ...(longLivedGracefulRestart === undefined
      ? []
      : [
          '[neighbors.afi-safis.long-lived-graceful-restart.config]',
          'enabled = true',
          `restart-time = ${longLivedGracefulRestart.staleTimeSeconds}`,
        ]),
    ...(addPath === undefined
      ? []
      : ['[neighbors.afi-safis.add-paths.config]', `receive = ${addPath.receive}`, `send-max = ${addPath.send}`]),
  ];
}

/** Names of the policies that are in force, for `[global.apply-policy]`. */
const importName = (peer: RouterPeer): string => `from-${peer.name}`;
const exportName = (peer: RouterPeer): string => `to-${peer.name}`;

const fromPeer = (peer: RouterPeer): string[] => [
  '[policy-definitions.statements.conditions.match-neighbor-set]',
  `neighbor-set = "${peer.name}"`,
];

/** The prefixes and what lies inside them; a set holds one family. */
function importPolicy(peer: RouterPeer): string[] {
  const { accept } = peer;
  if (accept === undefined) return [];
  const used = families.filter((family) => accept.some((prefix) => familyOf(prefix) === family));
  return [
    ...used.flatMap((family) => [
      '[[defined-sets.prefix-sets]]',
      `prefix-set-name = "${importName(peer)}-${family}"`,
      ...accept
        .filter((prefix) => familyOf(prefix) === family)
        .flatMap((prefix) => [
          '[[defined-sets.prefix-sets.prefix-list]]',
          `ip-prefix = "${prefix}"`,
          `masklength-range = "${prefixLength(prefix)}..${addressBits(family)}"`,
        ]),
    ]),
    '[[policy-definitions]]',
    `name = "${importName(peer)}"`,
    ...used.flatMap((family) => [
      '[[policy-definitions.statements]]',
      '[policy-definitions.statements.conditions.match-prefix-set]',
      `prefix-set = "${importName(peer)}-${family}"`,
      ...fromPeer(peer),
      '[policy-definitions.statements.actions]',
      'route-disposition = "accept-route"',
    ]),
    '[[policy-definitions.statements]]',
    ...fromPeer(peer),
    '[policy-definitions.statements.actions]',
    'route-disposition = "reject-route"',
  ];
}

function exportPolicy(peer: RouterPeer, nextHop: IpAddress): string[] {
  return [
    '[[policy-definitions]]',
    `name = "${exportName(peer)}"`,
    '[[policy-definitions.statements]]',
    ...fromPeer(peer),
    '[policy-definitions.statements.conditions.bgp-conditions]',
    'afi-safi-in-list = ["ipv6-unicast"]',
    '[policy-definitions.statements.actions]',
    'route-disposition = "accept-route"',
    '[policy-definitions.statements.actions.bgp-actions]',
    `set-next-hop = "${nextHop}"`,
  ];
}

/** `ownIpv6`: the router's address on the link to a peer with an IPv4 session, where it has one. */
export function gobgpConfiguration(
  router: RouterDescription,
  ownIpv6: ReadonlyMap<IpAddress, IpAddress> = new Map(),
): string {
  const { peers } = router;
  const limited = peers.filter((peer) => peer.accept !== undefined);
  const told = peers.filter((peer) => ownIpv6.has(peer.address));
  return `${[
    '[global.config]',
    `as = ${router.asn}`,
    `router-id = "${router.routerId}"`,
    'local-address-list = ["0.0.0.0", "::"]',
    '[global.use-multiple-paths.config]',
    `enabled = ${router.multipath}`,
    '[global.apply-policy.config]',
    `import-policy-list = ${list(limited.map(importName))}`,
    `export-policy-list = ${list(told.map(exportName))}`,
    'default-import-policy = "accept-route"',
    'default-export-policy = "accept-route"',
    ...peers.flatMap((peer) => neighbour(router, peer)),
    ...peers.flatMap((peer) => [
      '[[defined-sets.neighbor-sets]]',
      `neighbor-set-name = "${peer.name}"`,
      `neighbor-info-list = ["${peer.address}"]`,
    ]),
    ...peers.flatMap(importPolicy),
    ...peers.flatMap((peer) => {
      const own = ownIpv6.get(peer.address);
      return own === undefined ? [] : exportPolicy(peer, own);
    }),
  ].join('\n')}\n`;
}

interface GobgpPeer {
  readonly conf: { readonly neighbor_address: string };
  readonly state: { readonly session_state?: number };
}
interface GobgpPath {
  readonly best?: boolean;
  readonly attrs: readonly GobgpAttribute[];
}
interface GobgpAttribute {
  /** Of the attribute, as on the wire. */
  readonly type: number;
  readonly nexthop?: string;
  readonly as_paths?: readonly { readonly segment_type: number; readonly asns: readonly number[] }[];
  readonly metric?: number;
  readonly communities?: readonly number[];
  /** A number, or a list of a shape of its own for each type. */
  readonly value?: unknown;
}

const hopOf = (path: GobgpPath): string => {
  const hop = path.attrs.find((attribute) => attribute.nexthop !== undefined)?.nexthop;
  return hop === undefined || hop === '0.0.0.0' || hop === '::' ? 'local' : hop;
};

/** Words of its command line behind the prefix. */
function attributeWords({ origin, med, localPref, communities = [], path = [] }: RouteAttributes = {}): string[] {
  const kind = (test: (community: string) => boolean): string => communities.filter(test).join(',');
  const target = communities.filter((it) => it.startsWith('rt:')).flatMap((it) => ['rt', it.slice('rt:'.length)]);
  const large = kind((it) => !it.startsWith('rt:') && it.split(':').length === 3);
  const standard = kind((it) => it.split(':').length === 2);
  return [
    ...(origin === undefined ? [] : ['origin', origin.toLowerCase()]),
    ...(path.length === 0 ? [] : ['aspath', path.join(',')]),
    ...(med === undefined ? [] : ['med', String(med)]),
    ...(localPref === undefined ? [] : ['local-pref', String(localPref)]),
    ...(standard === '' ? [] : ['community', standard]),
    ...(large === '' ? [] : ['large-community', large]),
    ...target,
  ];
}

const STATES = ['unknown', 'Idle', 'Connect', 'Active', 'OpenSent', 'OpenConfirm', 'Established'] as const;

export class GobgpRouter extends DaemonRouter {
  readonly kind = 'gobgp';

  configuration(): Readonly<Record<string, string>> {
    return { 'gobgpd.toml': gobgpConfiguration(this.description) };
  }

  async #write(): Promise<void> {
    const own = new Map<IpAddress, IpAddress>();
    for (const { address } of this.description.peers) {
      const ipv6 = familyOf(address) === 'ipv6' ? undefined : await readLinkAddress(this.host, address, 'ipv6');
      if (ipv6 !== undefined) own.set(address, ipv6);
    }
    await this.host.writeFile(CONFIGURATION, gobgpConfiguration(this.description, own), 0o600);
  }

  async start(recovering?: 'recovering'): Promise<void> {
    await this.#write();
    // A killed gobgpd leaves its socket behind, and the next one does not listen on it.
    await this.host.run(['rm', '-f', API.slice('unix://'.length)]);
    const words = ['-t', 'toml', '-f', CONFIGURATION, '--pprof-disable', '--api-hosts', API];
    const flag = recovering === undefined ? [] : ['-r'];
    await this.speak(['gobgpd', ...words, ...flag], 'gobgpd.log', gobgp('global'));
    await this.#originate('add', this.description.announce);
  }

  async #originate(verb: 'add' | 'del', prefixes: RouterDescription['announce']): Promise<void> {
    const words = verb === 'add' ? attributeWords(this.description.attributes) : [];
    for (const prefix of prefixes) await this.#ask('global', 'rib', verb, prefix, ...words, '-a', familyOf(prefix));
  }

  async reconfigure(description: RouterDescription): Promise<void> {
    const before = this.description.announce;
    this.describedBy(description);
    await this.#write();
    this.speaker.kill('SIGHUP');
    const after = description.announce;
    await this.#originate(
      'del',
      before.filter((prefix) => !after.includes(prefix)),
    );
    await this.#originate(
      'add',
      after.filter((prefix) => !before.includes(prefix)),
    );
  }

  /** After a reset GoBGP is idle for 30 s, whatever is configured; disabled and enabled it comes at once. */
  async resetSession(peer: IpAddress): Promise<void> {
    const { address } = this.peerAt(peer);
    await this.#ask('neighbor', address, 'disable');
    await this.#ask('neighbor', address, 'enable');
  }

  async shutDown(peer: IpAddress, text: string): Promise<void> {
    // Only a reset takes the text along; without the second it would be back after 30 s.
    await this.#ask('neighbor', peer, 'reset', '--reason', text);
    await this.#ask('neighbor', peer, 'disable');
  }

  async refresh(peer: IpAddress): Promise<void> {
    await this.#ask('neighbor', peer, 'softresetin');
  }

  /** What it was told with a NOTIFICATION is in its log only. */
  async about(peer: IpAddress): Promise<string> {
    return `${await this.host.run(['gobgp', '--target', API, 'neighbor', peer])}\n${await this.log()}`;
  }

  async refusal(line: string): Promise<string | undefined> {
    const file = '/run/gobgp/tried.toml';
    await this.host.writeFile(file, gobgpConfiguration(this.description).replace('[neighbors.config]', `$&\n${line}`));
    const checked = await this.host.exec(['gobgpd', '--dry-run', '-t', 'toml', '-f', file]);
    return checked.code === 0 ? undefined : checked.stdout + checked.stderr;
  }

  async #ask(...words: readonly string[]): Promise<string> {
    return await this.host.run(gobgp(...words));
  }

  async sessions(): Promise<readonly SessionRow[]> {
    const peers = JSON.parse(await this.#ask('neighbor')) as readonly GobgpPeer[];
    return this.description.peers.map(({ address, asn }) => {
      const known = peers.find((peer) => peer.conf.neighbor_address === address);
      const state = STATES[known?.state.session_state ?? 0] ?? 'unknown';
      return { peer: address, asn, established: state === 'Established', state };
    });
  }

  async table(family: Family): Promise<readonly TableRow[]> {
    const answer = JSON.parse(await this.#ask('global', 'rib', '-a', family)) as Record<string, readonly GobgpPath[]>;
    const rows = new Map<string, Set<string>>();
    for (const [text, paths] of Object.entries(answer)) {
      const prefix = parsePrefix(text);
      const best = paths.find((path) => path.best === true);
      if (prefix === undefined || best === undefined) continue;
      rows.set(prefix, new Set([hopOf(best)]));
    }
    return byPrefix(rows);
  }

  async paths(family: Family): Promise<readonly PathRow[]> {
    const answer = JSON.parse(await this.#ask('global', 'rib', '-a', family)) as Record<string, readonly GobgpPath[]>;
    return Object.entries(answer)
      .flatMap(([text, paths]) => {
        const prefix = parsePrefix(text);
        return prefix === undefined ? [] : paths.map((path) => pathRow(prefix, path));
      })
      .sort(comparePaths);
  }
}

const ORIGINS = ['IGP', 'EGP', 'INCOMPLETE'] as const;

function pathRow(prefix: Prefix, path: GobgpPath): PathRow {
  const of = (type: number): GobgpAttribute | undefined => path.attrs.find((attribute) => attribute.type === type);
  const list = (type: number): readonly Readonly<Record<string, unknown>>[] => {
    const value = of(type)?.value;
    return Array.isArray(value) ? value : [];
  };
  const segment = ({ segment_type, asns }: NonNullable<GobgpAttribute['as_paths']>[number]): string =>
    segment_type === 1 ? `{${asns.join(',')}}` : asns.join(' ');
  const localPref = of(5)?.value;
  const origin = of(1)?.value;
  return {
    prefix,
    nextHop: hopOf(path),
    path: (of(2)?.as_paths ?? []).map(segment).join(' '),
    origin: ORIGINS[typeof origin === 'number' ? origin : 0] ?? 'IGP',
    med: of(4)?.metric,
    localPref: typeof localPref === 'number' ? localPref : undefined,
    communities: [
      ...(of(8)?.communities ?? []).map((value) => `${Math.floor(value / 65536)}:${value % 65536}`),
      ...list(16).map((it) => communityText(`rt:${String(it['value'])}`)),
      ...list(32).map((it) => `${String(it['ASN'])}:${String(it['LocalData1'])}:${String(it['LocalData2'])}`),
    ].sort(),
    best: path.best === true,
  };
}
