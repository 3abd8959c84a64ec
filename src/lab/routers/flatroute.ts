/**
 * flatroute itself as a router of a lab: an agent whose peers are all `transit`, so that what one peer says is told to
 * the others, and that owns no pod blocks. Its table is what `flatroute routes -o json` prints.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import { familyOf, parsePrefix } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { seconds } from '#lib/time.ts';
import { GobgpSidecar } from '../gobgp-sidecar.ts';
import type { Host } from '../host.ts';
import { bfdProfile, bgpConfiguration, bgpFilter, bgpPeer, changingFilter, node, passwords } from '../manifests.ts';
import type { Asking } from '../node-agent.ts';
import { NodeAgent } from '../node-agent.ts';
import { found, notYet, waitFor } from '../wait.ts';
import type {
  LabRouter,
  PathRow,
  RouteAttributes,
  RouterDescription,
  RouterPeer,
  SessionRow,
  TableRow,
} from './router.ts';
import { bfdTimes, byPrefix, communityText, comparePaths } from './router.ts';

const ORIGINATED = 'originated';
const BFD_PROFILE = 'fast';

/** Fields of a BGPPeer's `spec`, one a line. */
function optionLines(peer: RouterPeer): readonly string[] {
  const { addPath, gracefulRestart, longLivedGracefulRestart, role } = peer;
  const restart = [
    ...(gracefulRestart === undefined ? [] : [`restartTime: ${gracefulRestart.restartTimeSeconds}s`]),
    ...(peer.notificationRestart === true ? ['notification: true'] : []),
  ];
  return [
    ...(peer.passive === true ? ['passive: true'] : []),
    ...(peer.allowedOwnAsns === undefined ? [] : [`numAllowedLocalASNumbers: ${peer.allowedOwnAsns}`]),
    ...(role === undefined ? [] : [`role: ${role.ours}`, ...(role.required ? ['roleRequired: true'] : [])]),
    ...(peer.client === true ? ['routeReflectorClient: true'] : []),
    ...(peer.maxPrefixes === undefined ? [] : [`maxPrefixes: { limit: ${peer.maxPrefixes} }`]),
    ...(peer.ttlSecurity === undefined ? [] : [`ttlSecurity: ${peer.ttlSecurity}`]),
    ...(restart.length === 0 ? [] : [`gracefulRestart: { ${restart.join(', ')} }`]),
    ...(longLivedGracefulRestart === undefined
      ? []
      : [`longLivedGracefulRestart: { staleTime: ${longLivedGracefulRestart.staleTimeSeconds}s }`]),
    ...(addPath === undefined ? [] : [`addPath: { receive: ${addPath.receive}, send: ${addPath.send} }`]),
    ...(peer.bfd === undefined
      ? []
      : [`bfd: { profile: ${BFD_PROFILE}${peer.bfd.multihop === true ? ', multihop: true' : ''} }`]),
  ];
}

/** Operations of a BGPFilter; extended communities and the origin are nothing that it sets. */
const operations = ({ med, localPref, communities = [], path = [] }: RouteAttributes): readonly string[] => [
  ...communities.map((community) => `addCommunity: { value: "${community}" }`),
  ...(path.length === 0 ? [] : [`prependASPath: { prefix: [${path.join(', ')}] }`]),
  ...(med === undefined ? [] : [`setMED: { value: ${med} }`]),
  ...(localPref === undefined ? [] : [`setLocalPref: { value: ${localPref} }`]),
];

/** Peers that are held down, and what they are told. */
type Down = ReadonlyMap<IpAddress, string>;

const downLines = (text: string | undefined): readonly string[] =>
  text === undefined ? [] : ['adminState: Down', `adminStateMessage: ${JSON.stringify(text)}`];

/** The resource files of one router. */
export function flatrouteConfiguration(
  name: string,
  router: RouterDescription,
  down: Down = new Map(),
): Readonly<Record<string, string>> {
  const files: Record<string, string> = {
    'bgp.yaml': bgpConfiguration({
      asn: router.asn,
      importPolicy: 'All',
      prefixes: router.announce,
      ...(router.kernelRoutes === undefined ? {} : { installRoutes: router.kernelRoutes }),
      ...(router.clusterId === undefined ? {} : { clusterId: router.clusterId }),
      ...(router.engine === 'gobgp' ? { gobgp: GobgpSidecar.address } : {}),
    }),
    // Its IPv4 address is the BGP identifier.
    'node.yaml': node({ name, addresses: [router.routerId], podCIDRs: [] }),
  };
  if (router.peers.some((peer) => peer.bfd !== undefined))
    files['bfd.yaml'] = bfdProfile(BFD_PROFILE, { ...bfdTimes, minimumTtl: 60 });
  const keys: Record<string, string> = {};
  for (const peer of router.peers) {
    if (peer.password !== undefined) keys[peer.name] = peer.password;
    const filters = [
      ...(peer.accept === undefined ? [] : [`from-${peer.name}`]),
      ...(router.attributes === undefined ? [] : [ORIGINATED]),
    ];
    files[`peer-${peer.name}.yaml`] = bgpPeer({
      name: peer.name,
      address: peer.address,
      ...(peer.interface === undefined ? {} : { interface: peer.interface }),
      ...(peer.listenRange === undefined
        ? {}
        : { listenRange: { cidr: peer.listenRange, limit: 4, insecure: peer.password === undefined } }),
      asn: peer.asn,
      families: peer.families,
      holdTimeSeconds: router.holdTimeSeconds,
      transit: true,
      options: [...optionLines(peer), ...downLines(down.get(peer.address))],
      ...(peer.password === undefined ? {} : { passwordKey: peer.name }),
      ...(peer.multihop === undefined ? {} : { ebgpMultihop: peer.multihop.hops }),
      ...(filters.length === 0 ? {} : { filters }),
    });
    if (peer.accept !== undefined) files[`filter-${peer.name}.yaml`] = bgpFilter(`from-${peer.name}`, peer.accept);
  }
  if (router.attributes !== undefined)
    files[`filter-${ORIGINATED}.yaml`] = changingFilter(ORIGINATED, router.announce, operations(router.attributes));
  if (Object.keys(keys).length > 0) files['passwords.yaml'] = passwords(keys);
  return files;
}

export class FlatrouteRouter implements LabRouter {
  readonly kind = 'flatroute';
  readonly host: Host;
  readonly agent: NodeAgent;
  /** Speaks BGP in place of the agent. */
  readonly sidecar: GobgpSidecar | undefined;
  #description: RouterDescription;
  #down: Down = new Map();

  constructor(host: Host, description: RouterDescription, asking?: Asking) {
    this.host = host;
    this.agent = new NodeAgent(host, asking, description.program);
    this.sidecar = description.engine === 'gobgp' ? new GobgpSidecar(host) : undefined;
    this.#description = description;
  }

  get description(): RouterDescription {
    return this.#description;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    this.agent.process.kill(signal);
    this.sidecar?.process.kill(signal);
    await this.agent.signalBfd(signal);
  }

  configuration(): Readonly<Record<string, string>> {
    return flatrouteConfiguration(this.host.name, this.#description, this.#down);
  }

  /** `options` of the agent's command line. */
  async start(...options: readonly string[]): Promise<void> {
    await this.agent.write(this.configuration());
    await this.sidecar?.start();
    await this.agent.start(undefined, options);
  }

  /** Resolves when its sessions run with it. */
  async reconfigure(description: RouterDescription): Promise<void> {
    await this.#apply(description, this.#down);
  }

  async #apply(description: RouterDescription, down: Down): Promise<void> {
    const before = this.configuration();
    this.#description = description;
    this.#down = down;
    const after = this.configuration();
    const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])]
      .filter((name) => before[name] !== after[name])
      // Secret and filters first: a peer whose key or filter is missing is held down, and that is not what is tried.
      .sort((a, b) => rank(a) - rank(b));
    if (changed.length === 0) return;
    const write = async (): Promise<void> =>
      await this.agent.write(Object.fromEntries(changed.map((name) => [name, after[name]])));
    if (this.agent.process.ended) return await write();
    const { given } = await this.agent.questions.generation();
    await write();
    await waitFor(
      `${this.host.name} to run with its new resources`,
      async () => {
        const now = await this.agent.questions.generation();
        return now.given > given && now.applied === now.given ? found(undefined) : notYet(JSON.stringify(now));
      },
      { deadline: seconds(60) },
    );
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    await this.agent.stop(signal);
    await this.sidecar?.stop(signal);
  }

  async shutDown(peer: IpAddress, text: string): Promise<void> {
    await this.#apply(this.#description, new Map([...this.#down, [peer, text]]));
  }

  /** Takes a shutdown back. */
  async bringUp(peer: IpAddress): Promise<void> {
    await this.#apply(this.#description, new Map([...this.#down].filter(([it]) => it !== peer)));
  }

  async refresh(peer: IpAddress): Promise<void> {
    await this.agent.questions.reset(this.#peerAt(peer).name, 'soft');
  }

  async about(peer: IpAddress): Promise<string> {
    const { name } = this.#peerAt(peer);
    return JSON.stringify((await this.agent.questions.peers()).find((it) => it.name === name));
  }

  #peerAt(address: IpAddress): RouterPeer {
    const known = this.#description.peers.find((peer) => peer.address === address);
    if (known === undefined) throw new AppError('BUG_LAB_ROUTER', `${address} is no peer of ${this.host.name}`, {});
    return known;
  }

  async resetSession(peer: IpAddress): Promise<void> {
    await this.agent.questions.reset(this.#peerAt(peer).name, 'hard');
  }

  async sessions(): Promise<readonly SessionRow[]> {
    const peers = await this.agent.questions.peers();
    return this.#description.peers.map((peer) => {
      const row = peers.find((p) => p.name === peer.name);
      const error = row?.lastError === undefined ? '' : ` (${row.lastError.code}: ${row.lastError.text})`;
      return {
        peer: peer.address,
        asn: peer.asn,
        established: row?.state === 'Established',
        state: `${row?.state ?? 'unknown'}${error}`,
      };
    });
  }

  async table(family: Family): Promise<readonly TableRow[]> {
    const rows = new Map<string, Set<string>>();
    for (const route of await this.agent.questions.routes()) {
      const prefix = parsePrefix(route.prefix);
      if (prefix === undefined || familyOf(prefix) !== family || !(route.best || route.multipath)) continue;
      const hops = rows.get(prefix) ?? new Set();
      rows.set(prefix, hops.add(route.nextHop ?? 'local'));
    }
    for (const prefix of this.#description.announce)
      if (familyOf(prefix) === family) rows.set(prefix, new Set(['local']));
    return byPrefix(rows);
  }

  async paths(family: Family): Promise<readonly PathRow[]> {
    const rows: PathRow[] = [];
    for (const route of await this.agent.questions.routes('accepted')) {
      const prefix = parsePrefix(route.prefix);
      if (prefix === undefined || familyOf(prefix) !== family) continue;
      rows.push({
        prefix,
        nextHop: route.nextHop ?? 'local',
        path: route.asPath,
        origin: route.origin === 'EGP' ? 'EGP' : route.origin === 'IGP' ? 'IGP' : 'INCOMPLETE',
        med: route.med,
        localPref: route.localPref,
        communities: route.communities.map(communityText).sort(),
        best: route.best,
      });
    }
    return rows.sort(comparePaths);
  }

  async log(): Promise<string> {
    return await this.agent.log();
  }

  /** All that whoever speaks BGP has logged: the agent, or gobgpd. */
  async speakerLog(): Promise<string> {
    return await (this.sidecar ?? this.agent).process.log();
  }

  /** Asks gobgpd by its own command line. */
  async askGobgp(...words: readonly string[]): Promise<string> {
    if (this.sidecar === undefined) throw new AppError('BUG_LAB_ROUTER', `${this.host.name} has no gobgpd`, {});
    return await this.sidecar.ask(...words);
  }
}

const rank = (file: string): number => (file === 'passwords.yaml' || file.startsWith('filter-') ? 0 : 1);
