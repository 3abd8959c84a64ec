/**
 * flatroute itself as a router of a lab: an agent whose peers are all `transit`, so that what one peer says is told to
 * the others, and that owns no pod blocks. Its table is what `flatroute routes -o json` prints.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import { familyOf, parsePrefix } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { Host } from '../host.ts';
import { bgpConfiguration, bgpFilter, bgpPeer, node, passwords } from '../manifests.ts';
import type { Asking } from '../node-agent.ts';
import { NodeAgent } from '../node-agent.ts';
import type { LabRouter, RouterDescription, SessionRow, TableRow } from './router.ts';
import { byPrefix } from './router.ts';

/** The resource files of one router. */
export function flatrouteConfiguration(name: string, router: RouterDescription): Readonly<Record<string, string>> {
  const files: Record<string, string> = {
    'bgp.yaml': bgpConfiguration({
      asn: router.asn,
      importPolicy: 'All',
      prefixes: router.announce,
      ...(router.clusterId === undefined ? {} : { clusterId: router.clusterId }),
    }),
    // Its IPv4 address is the BGP identifier.
    'node.yaml': node({ name, addresses: [router.routerId], podCIDRs: [] }),
  };
  const keys: Record<string, string> = {};
  for (const peer of router.peers) {
    if (peer.password !== undefined) keys[peer.name] = peer.password;
    files[`peer-${peer.name}.yaml`] = bgpPeer({
      name: peer.name,
      address: peer.address,
      asn: peer.asn,
      families: peer.families,
      holdTimeSeconds: router.holdTimeSeconds,
      transit: true,
      ...(peer.password === undefined ? {} : { passwordKey: peer.name }),
      ...(peer.passive === undefined ? {} : { passive: peer.passive }),
      ...(peer.allowedOwnAsns === undefined ? {} : { allowedLocalAsns: peer.allowedOwnAsns }),
      ...(peer.client === undefined ? {} : { client: peer.client }),
      ...(peer.maxPrefixes === undefined ? {} : { maxPrefixes: peer.maxPrefixes }),
      ...(peer.multihop === undefined ? {} : { ebgpMultihop: peer.multihop.hops }),
      ...(peer.ttlSecurity === undefined ? {} : { ttlSecurity: peer.ttlSecurity }),
      ...(peer.accept === undefined ? {} : { filters: [`from-${peer.name}`] }),
    });
    if (peer.accept !== undefined) files[`filter-${peer.name}.yaml`] = bgpFilter(`from-${peer.name}`, peer.accept);
  }
  if (Object.keys(keys).length > 0) files['passwords.yaml'] = passwords(keys);
  return files;
}

export class FlatrouteRouter implements LabRouter {
  readonly kind = 'flatroute';
  readonly host: Host;
  readonly agent: NodeAgent;
  #description: RouterDescription;

  constructor(host: Host, description: RouterDescription, asking?: Asking) {
    this.host = host;
    this.agent = new NodeAgent(host, asking, description.program);
    this.#description = description;
  }

  get description(): RouterDescription {
    return this.#description;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    this.agent.process.kill(signal);
    await Promise.resolve();
  }

  configuration(): Readonly<Record<string, string>> {
    return flatrouteConfiguration(this.host.name, this.#description);
  }

  async start(): Promise<void> {
    await this.agent.write(this.configuration());
    await this.agent.start();
  }

  async reconfigure(description: RouterDescription): Promise<void> {
    const before = Object.keys(this.configuration());
    this.#description = description;
    const files: Record<string, string | undefined> = this.configuration();
    for (const name of before) files[name] ??= undefined;
    // Secret and filters first: a peer whose key or filter is missing is held down, and that is not what is tried.
    await this.agent.write(Object.fromEntries(Object.entries(files).sort(([a], [b]) => rank(a) - rank(b))));
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    await this.agent.stop(signal);
  }

  async resetSession(peer: IpAddress): Promise<void> {
    const known = this.#description.peers.find((p) => p.address === peer);
    if (known === undefined) throw new AppError('BUG_LAB_ROUTER', `${peer} is no peer of ${this.host.name}`, {});
    await this.agent.text(['reset', known.name]);
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

  async log(): Promise<string> {
    return await this.agent.log();
  }
}

const rank = (file: string): number => (file === 'passwords.yaml' || file.startsWith('filter-') ? 0 : 1);
