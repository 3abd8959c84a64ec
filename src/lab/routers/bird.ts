/**
 * BIRD 2.0 as a router of a lab. Both families in one session; `merge paths` gives the kernel all equal paths,
 * whatever AS they lead through; no policy is demanded, so import and export are said in full.
 */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { familyOf, parseAddress, parsePrefix } from '#lib/ip.ts';
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

const CONFIGURATION = '/run/bird/bird.conf';
const CONTROL = '/run/bird/bird.ctl';

/** A protocol's name: letters, digits and underscores. */
const symbol = (peer: RouterPeer): string => peer.name.replaceAll('-', '_');

function accepted(peer: RouterPeer, family: Family): string {
  if (peer.accept === undefined) return 'all';
  const prefixes = peer.accept.filter((prefix) => familyOf(prefix) === family);
  // `+`: the prefix itself and everything inside it.
  return prefixes.length === 0 ? 'none' : `where net ~ [ ${prefixes.map((prefix) => `${prefix}+`).join(', ')} ]`;
}

/** Routes of one family with this peer. */
function channel(peer: RouterPeer, family: Family): string {
  const limit = peer.maxPrefixes === undefined ? '' : ` import limit ${peer.maxPrefixes} action disable;`;
  const most = peer.maxAnnounced === undefined ? '' : ` export limit ${peer.maxAnnounced} action block;`;
  const addPath = peer.addPath === undefined ? '' : ` add paths ${addPathWord(peer.addPath)};`;
  const extended = peer.extendedNextHop === true || peer.interface !== undefined;
  const nextHop = extended && family === 'ipv4' ? ' extended next hop on;' : '';
  return `  ${family} { import ${accepted(peer, family)}; export filter announce;${limit}${most}${addPath}${nextHop} };`;
}

/** It sends all paths or one. */
const addPathWord = ({ receive, send }: NonNullable<RouterPeer['addPath']>): string =>
  send <= 1 ? (receive ? 'rx' : 'off') : receive ? 'on' : 'tx';

const roleWords: Readonly<Record<PeeringRole, string>> = {
  Provider: 'provider',
  Customer: 'customer',
  Peer: 'peer',
  RouteServer: 'rs_server',
  RouteServerClient: 'rs_client',
};

function optionLines(router: RouterDescription, peer: RouterPeer): string[] {
  const { gracefulRestart, longLivedGracefulRestart, role, ttlSecurity } = peer;
  return [
    ...(peer.fourOctetAs === false ? ['enable as4 off;'] : []),
    ...(peer.extendedMessages === true ? ['enable extended messages on;'] : []),
    ...(gracefulRestart === undefined
      ? []
      : ['graceful restart on;', `graceful restart time ${gracefulRestart.restartTimeSeconds};`]),
    ...(longLivedGracefulRestart === undefined
      ? []
      : ['long lived graceful restart on;', `long lived stale time ${longLivedGracefulRestart.staleTimeSeconds};`]),
    ...(role === undefined ? [] : [`local role ${roleWords[role.ours]};`]),
    ...(role?.required === true ? ['require roles on;'] : []),
    ...(peer.client === true ? ['rr client;', `rr cluster id ${router.clusterId ?? router.routerId};`] : []),
    ...(peer.multihop === undefined
      ? []
      : [`multihop ${peer.multihop.hops};`, `source address ${peer.multihop.from};`]),
    // A peer of another AS is directly connected unless `multihop` says otherwise.
    ...(ttlSecurity === undefined
      ? []
      : ['ttl security on;', ...(ttlSecurity === 1 ? [] : [`multihop ${ttlSecurity};`])]),
    ...(peer.bfd === undefined ? [] : [`bfd ${peer.bfd.graceful === true ? 'graceful' : 'on'};`]),
    // An internal session counts as one of several hops unless it is said to be direct.
    ...(peer.bfd !== undefined && peer.bfd.multihop !== true ? ['direct;'] : []),
  ].map((line) => `  ${line}`);
}

function peerBlock(router: RouterDescription, peer: RouterPeer): string {
  return [
    `protocol bgp ${symbol(peer)} {`,
    `  local as ${router.asn};`,
    ...neighbourLines(peer),
    `  hold time ${router.holdTimeSeconds};`,
    '  connect retry time 1;',
    '  connect delay time 1;',
    '  error wait time 1, 3;',
    ...(peer.passive === true ? ['  passive yes;'] : []),
    ...(peer.password === undefined ? [] : [`  password "${peer.password}";`]),
    ...(peer.allowedOwnAsns === undefined ? [] : [`  allow local as ${peer.allowedOwnAsns};`]),
    ...optionLines(router, peer),
    ...peer.families.map((family) => channel(peer, family)),
    '}',
  ].join('\n');
}

const bfdInterval = `interval ${bfdTimes.intervalMilliseconds} ms; multiplier ${bfdTimes.multiplier};`;
const bfdBlock = `protocol bfd { interface "*" { ${bfdInterval} }; multihop { ${bfdInterval} }; }`;

/** What the export filter does to an originated route. */
function attributeWords({ origin, med, localPref, communities = [], path = [] }: RouteAttributes): string {
  const words = [
    ...(origin === undefined ? [] : [`bgp_origin = ORIGIN_${origin};`]),
    ...(med === undefined ? [] : [`bgp_med = ${med};`]),
    ...(localPref === undefined ? [] : [`bgp_local_pref = ${localPref};`]),
    ...[...path].reverse().map((asn) => `bgp_path.prepend(${asn});`),
    ...communities.map((community) => {
      const parts = community.split(':');
      const list = parts[0] === 'rt' ? 'ext_community' : parts.length === 3 ? 'large_community' : 'community';
      return `bgp_${list}.add((${parts.join(',')}));`;
    }),
  ];
  return words.join(' ');
}

/** An old speaker cannot name an AS of four octets. */
const isUnspeakable = (peer: RouterPeer): boolean => peer.fourOctetAs === false && peer.asn > 0xffff;

/** BIRD has no neighbour by interface: whoever connects there from a link-local address is one, and is waited for. */
const neighbourLines = (peer: RouterPeer): string[] =>
  peer.interface === undefined
    ? [`  neighbor ${peer.address} ${isUnspeakable(peer) ? 'external' : `as ${peer.asn}`};`]
    : [
        `  neighbor range fe80::/10 as ${peer.asn};`,
        `  interface "${peer.interface}";`,
        `  dynamic name "${symbol(peer)}_";`,
      ];

const radv = (peers: readonly RouterPeer[]): string[] =>
  peers.length === 0
    ? []
    : [
        'protocol radv {',
        ...peers.map((peer) => `  interface "${peer.interface}" { max ra interval 10; default lifetime 0; };`),
        '}',
      ];

/** The configuration file of one router. */
export function birdConfiguration(router: RouterDescription): string {
  const merge = router.multipath ? ' merge paths on;' : '';
  // Next hops of internal peers are resolved by BIRD's own tables, so the kernel's routes must be in them.
  const internal = router.peers.some((peer) => peer.asn === router.asn);
  const [learn, imported] = internal ? [' learn;', 'all'] : ['', 'none'];
  // Routes of an earlier life stay in the kernel until the peers have said which of them they still have.
  const kept = router.peers.some((peer) => peer.gracefulRestart !== undefined) ? ' graceful restart on;' : '';
  const exported = router.kernelRoutes === false ? 'none' : 'where source = RTS_BGP';
  const own = (family: Family): string =>
    router.announce
      .filter((prefix) => familyOf(prefix) === family)
      .map((prefix) => `  route ${prefix} blackhole;\n`)
      .join('');
  return `${[
    `router id ${router.routerId};`,
    'protocol device { scan time 1; }',
    // What is originated here is announced, the kernel's own route to it does the forwarding.
    `protocol static own4 {\n  ipv4;\n${own('ipv4')}}`,
    `protocol static own6 {\n  ipv6;\n${own('ipv6')}}`,
    ...(router.attributes === undefined ? [] : [`function originated() { ${attributeWords(router.attributes)} }`]),
    `filter announce {${router.attributes === undefined ? '' : ' if source = RTS_STATIC then originated();'} if source ~ [RTS_BGP, RTS_STATIC] then accept; reject; }`,
    `protocol kernel kernel4 {${learn} ipv4 { import ${imported}; export ${exported}; };${merge}${kept} }`,
    `protocol kernel kernel6 {${learn} ipv6 { import ${imported}; export ${exported}; };${merge}${kept} }`,
    ...(internal ? ['protocol direct { ipv4; ipv6; }'] : []),
    ...(router.peers.some((peer) => peer.bfd !== undefined) ? [bfdBlock] : []),
    ...radv(router.peers.filter((peer) => peer.interface !== undefined)),
    ...router.peers.map((peer) => peerBlock(router, peer)),
  ].join('\n')}\n`;
}

/** The session of an unnumbered peer is a protocol of its own, with a number behind its name. */
const isOf = (peer: RouterPeer, text: string): boolean =>
  peer.interface === undefined ? text.startsWith(`${symbol(peer)} `) : new RegExp(`^${symbol(peer)}_\\d+ `).test(text);

export class BirdRouter extends DaemonRouter {
  readonly kind = 'bird';

  configuration(): Readonly<Record<string, string>> {
    return { 'bird.conf': birdConfiguration(this.description) };
  }

  async start(recovering?: 'recovering'): Promise<void> {
    await this.#write();
    const question = ['birdc', '-r', '-s', CONTROL, 'show', 'status'];
    const program = this.description.program ?? 'bird';
    const words = ['-f', '-c', CONFIGURATION, '-s', CONTROL, ...(recovering === undefined ? [] : ['-R'])];
    const hasBfd = this.description.peers.some((peer) => peer.bfd !== undefined);
    await this.speak(hasBfd ? realTime([program, ...words]) : [program, ...words], 'bird.log', question);
  }

  async reconfigure(description: RouterDescription): Promise<void> {
    this.describedBy(description);
    await this.#write();
    const answer = await this.#ask('configure');
    if (!/Reconfigured|Reconfiguration in progress/.test(answer)) throw this.refused(answer);
  }

  /** With a log of its own: a lab's hosts have no syslog. */
  async #write(): Promise<void> {
    await this.host.writeFile(CONFIGURATION, `log stderr all;\n${birdConfiguration(this.description)}`, 0o600);
  }

  async resetSession(peer: IpAddress): Promise<void> {
    await this.#ask('restart', symbol(this.peerAt(peer)));
  }

  async shutDown(peer: IpAddress, text: string): Promise<void> {
    await this.#ask('disable', symbol(this.peerAt(peer)), JSON.stringify(text));
  }

  async refresh(peer: IpAddress): Promise<void> {
    await this.#ask('reload', 'in', symbol(this.peerAt(peer)));
  }

  async about(peer: IpAddress): Promise<string> {
    return await this.#ask('show', 'protocols', 'all', symbol(this.peerAt(peer)));
  }

  async refusal(line: string): Promise<string | undefined> {
    const file = '/run/bird/tried.conf';
    const text = birdConfiguration(this.description).replace(/^(protocol bgp .*)$/m, `$1\n  ${line}`);
    await this.host.writeFile(file, text, 0o600);
    const checked = await this.host.exec(['bird', '-p', '-c', file]);
    return checked.code === 0 ? undefined : checked.stderr;
  }

  async #ask(...words: readonly string[]): Promise<string> {
    return await this.host.run(['birdc', '-s', CONTROL, ...words]);
  }

  async sessions(): Promise<readonly SessionRow[]> {
    const rows: SessionRow[] = [];
    const answer = await this.#ask('show', 'protocols', 'all');
    for (const peer of this.description.peers) {
      const block = answer.split(/\n(?=\S)/).find((text) => isOf(peer, text)) ?? '';
      const state = /BGP state:\s+(\S+)/.exec(block)?.[1] ?? 'unknown';
      const error = /Last error:\s+(.+)/.exec(block)?.[1];
      rows.push({
        peer: peer.address,
        asn: peer.asn,
        established: state === 'Established',
        state: error === undefined || state === 'Established' ? state : `${state} (${error.trim()})`,
      });
    }
    return rows;
  }

  /**
   * As merged for the kernel. A prefix is on the first line of its block only:
   *   10.60.1.0/26         unicast [node_1 00:00:01.000 from 10.0.1.1] * (100) [AS64601i]
   *   	via 10.0.1.1 on node-1
   */
  async table(family: Family): Promise<readonly TableRow[]> {
    const name = family === 'ipv4' ? '4' : '6';
    const rows = new Map<string, Set<string>>();
    const answers = [
      await this.#ask('show', 'route', 'export', `kernel${name}`),
      await this.#ask('show', 'route', 'protocol', `own${name}`),
    ];
    for (const line of answers.join('\n').split('\n')) {
      const head = parsePrefix(/^(\S+\/\d+)\s/.exec(line)?.[1] ?? '');
      if (head !== undefined) rows.set(head, new Set(line.includes('blackhole') ? ['local'] : []));
      const via = parseAddress(/^\s+via (\S+) on /.exec(line)?.[1] ?? '');
      const last = [...rows.values()].at(-1);
      if (via !== undefined && last !== undefined) last.add(via);
    }
    return byPrefix(rows);
  }

  /**
   * A path is a line with its source in brackets, followed by indented lines of attributes:
   *   10.60.1.0/26         unicast [node_1 00:00:01.000 from 10.0.1.1] * (100) [AS64601i]
   *   	via 10.0.1.1 on node-1
   *   	BGP.as_path: 64601
   */
  async paths(family: Family): Promise<readonly PathRow[]> {
    const answer = await this.#ask('show', 'route', 'table', family === 'ipv4' ? 'master4' : 'master6', 'all');
    const rows: PathRow[] = [];
    let prefix: Prefix | undefined;
    for (const block of answer.split(/\n(?=\S|\s+(?:unicast|blackhole|unreachable) \[)/)) {
      prefix = parsePrefix(/^(\S+\/\d+)\s/.exec(block)?.[1] ?? '') ?? prefix;
      if (prefix === undefined || !/^\S*\s+\w+ \[/.test(block)) continue;
      const field = (name: string): string | undefined => new RegExp(`BGP\\.${name}: (.*)`).exec(block)?.[1]?.trim();
      const number = (name: string): number | undefined => {
        const value = field(name);
        return value === undefined ? undefined : Number(value);
      };
      const own = block.includes(' blackhole [') || block.split('\n')[0]?.includes('blackhole [') === true;
      rows.push({
        prefix,
        nextHop: own ? 'local' : (field('next_hop')?.split(' ')[0] ?? ''),
        path: field('as_path') ?? '',
        origin: originOf(field('origin')),
        med: number('med'),
        localPref: number('local_pref'),
        communities: ['community', 'ext_community', 'large_community']
          .flatMap((name) => [...(field(name) ?? '').matchAll(/\(([^)]*)\)/g)].map(([, words = '']) => words))
          .map((words) => communityText(words.replaceAll(/,\s*/g, ':')))
          .sort(),
        best: /\] \* \(/.test(block),
      });
    }
    return rows.sort(comparePaths);
  }
}

const originOf = (word: string | undefined): PathRow['origin'] =>
  word === 'EGP' ? 'EGP' : word === 'Incomplete' ? 'INCOMPLETE' : 'IGP';
