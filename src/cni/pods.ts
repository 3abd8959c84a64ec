/**
 * The pods of this node: which there are (the registry, rebuilt from the kernel's links), which addresses they have (the
 * allocator), and what becomes of them. In: intent, gate, kernel changes, the reaper's reports. Out: requests to the
 * reaper, events, rows and facts. One thread, and no step that changes anything waits in the middle.
 */
import { contains, type IpAddress } from '#lib/ip.ts';
import { type Result, ok } from '#lib/result.ts';
import { bootMilliseconds } from '#linux/boot-clock.ts';
import type { PodLinks } from '#dataplane/pod/io/pod-links.ts';
import { type KernelRefusal } from '#dataplane/pod/io/pod-links.ts';
import { linkIsAdministrativelyUp } from '#dataplane/pod/pod-side.ts';
import type { ReaperReport, ReaperRequest } from '#dataplane/pod/reaping.ts';
import type { MtuTarget } from '#dataplane/pod/io/pod-mtu.ts';
import { podMtu, uplinkMtu } from '#dataplane/pod/mtu.ts';
import { type ForeignLink, rebuild } from '#dataplane/pod/rebuild.ts';
import { dyingLink, type PodRecord, Registry } from '#dataplane/pod/registry.ts';
import type { AttachmentKey } from '#dataplane/pod/attachment.ts';
import type { NodeAddresses } from '#dataplane/pod/wiring.ts';
import type { Books } from '#dataplane/pod/audit.ts';
import { type AddressFailure, Allocator } from '#ipam/allocator.ts';
import type { PodFacts, PodRow, PodsGate, PodsIntent, Refusals } from '#ipam/intent.ts';
import { Demands, type Want } from './demand.ts';
import { PodMtu } from './pod-mtu.ts';
import { PodRules } from './pod-rules.ts';
import type { PodEvent } from './port.ts';
import { isStill, type PodRepair, repairLive, RepairCounts, repairText } from './repairs.ts';

export interface PodsModules {
  readonly links: PodLinks;
  readonly reap: (request: ReaperRequest) => void;
  readonly event: (event: PodEvent) => void;
  /** Rows or facts may have changed; `now` when somebody waits for what others make of them. */
  readonly changed: (now: boolean) => void;
}

const noGate: PodsGate = { anySession: false, announcedBlocks: [] };

export class Pods {
  readonly registry = new Registry();
  readonly allocator = new Allocator(Math.random);
  readonly links: PodLinks;
  readonly #modules: PodsModules;
  readonly #networkNames = new Map<string, string>();
  readonly #gateWaiting = new Set<() => void>();
  readonly #demands = new Demands();
  #intent: PodsIntent | undefined;
  #generation = 0;
  #gate = noGate;
  #node: NodeAddresses = { ipv4: undefined, ipv6: undefined };
  #uplinkMtu = 0;
  /** Of the hosts' ends, by index, as last seen. */
  #seenMtus: ReadonlyMap<number, number> = new Map();
  readonly #mtu: PodMtu;
  /** By interface index. */
  readonly #foreign = new Map<number, ForeignLink>();
  /** Addresses that more than one link was found to claim: free when the last of them is gone. */
  readonly #contested = new Set<IpAddress>();
  /** ADDs that found their pools full, by pool and family. */
  readonly #refusals = new Map<string, Refusals>();
  #complained = new Set<string>();
  readonly #repairs = new RepairCounts();
  /** Who changed rules of this node last. */
  #rulesChangedBy = '?';
  readonly #rules: PodRules;

  constructor(modules: PodsModules) {
    this.#modules = modules;
    this.#mtu = new PodMtu({
      strays: () => this.#mtuStrays(),
      event: (...event) => this.event(...event),
      changed: () => this.changed(),
    });
    this.#rules = new PodRules({
      restored: () => {
        const by = this.#rulesChangedBy;
        this.event(
          'warn',
          'pod_rules_restored',
          `the rules against forged sources were gone and are back (changed by ${by})`,
          { by },
        );
        this.repaired('podRules');
      },
      failed: (error) => {
        this.event('error', 'pod_rules_failed', error.message, { code: error.code });
        this.changed();
      },
    });
    this.links = modules.links;
  }

  get hasIntent(): boolean {
    return this.#intent !== undefined;
  }
  get gate(): PodsGate {
    return this.#gate;
  }
  /** The node's addresses that a route may prefer as source. */
  get node(): NodeAddresses {
    return this.#node;
  }
  get mtu(): number {
    return this.#intent?.mtu ?? this.#uplinkMtu;
  }

  event(level: PodEvent['level'], name: string, text: string, data: PodEvent['data'] = {}): void {
    this.#modules.event({ level, name, text, data });
  }
  changed(): void {
    this.#modules.changed(false);
  }

  /** A fixed address is announced because a pod has it: its ADD waits for that. */
  addressesTaken(addresses: readonly IpAddress[]): void {
    this.#modules.changed(addresses.some((address) => this.allocator.isFixed(address)));
  }

  /** For a pod that was never made. */
  giveBack(addresses: readonly IpAddress[]): void {
    for (const address of addresses) this.allocator.free(address);
    this.changed();
  }

  refusedAsFull({ pools, family }: Extract<AddressFailure, { readonly kind: 'full' }>): void {
    for (const pool of pools) {
      const key = `${pool} ${family}`;
      this.#refusals.set(key, { pool, family, count: (this.#refusals.get(key)?.count ?? 0) + 1 });
    }
    this.changed();
  }

  nameNetwork(hash: string, name: string): void {
    this.#networkNames.set(hash, name);
  }

  /** Reads the node's links, takes over what lives, undoes what was never answered, hands on what was being deleted. */
  start(): void {
    const links = this.links.links();
    const found = rebuild(links);
    for (const record of found.live) this.#adopt(record, 'used');
    for (const record of found.dying) this.#adopt(record, 'fenced');
    for (const record of found.building) this.#adopt(record, 'used');
    for (const record of found.building) this.detach(record);
    if (found.dying.length > 0) this.#modules.reap({ kind: 'reap', urgent: false, links: found.dying.map(dyingLink) });
    if (found.foreign.length > 0) this.#leaveAlone(found.foreign);
    this.event(
      'info',
      'pods_rebuilt',
      `${found.live.length} pods found, ${found.building.length} half made, ${found.dying.length} half deleted`,
      {
        live: found.live.length,
        building: found.building.length,
        dying: found.dying.length,
      },
    );
    if (this.#intent !== undefined) this.lookAgain();
  }

  #adopt(record: PodRecord, state: 'used' | 'fenced'): void {
    for (const address of record.attachment.addresses) this.#hold(address, state, record.hostInterface);
    this.registry.add(record);
  }

  #hold(address: IpAddress, state: 'used' | 'fenced', hostInterface: string): void {
    const contested = this.allocator.isTaken(address);
    this.allocator.adopt(address, contested ? 'used' : state);
    if (!contested) return;
    this.#contested.add(address);
    this.event('error', 'address_contested', `${hostInterface} is not the only link that claims ${address}`, {
      address,
      link: hostInterface,
    });
  }

  /**
   * An agent of another version may have made them for pods that still live: what they have, nobody else may get. The
   * neighbour entries say what an alias does not.
   */
  #leaveAlone(foreign: readonly ForeignLink[]): void {
    const neighbours = this.links.neighbours();
    for (const link of foreign) {
      const seen = neighbours.filter((one) => one.interfaceIndex === link.index).map((one) => one.address);
      const addresses = [...new Set([...link.addresses, ...seen])];
      for (const address of addresses) this.#hold(address, 'used', link.name);
      this.#foreign.set(link.index, { ...link, addresses });
      this.event(
        'warn',
        'pod_link_unreadable',
        `${link.name} looks like ours but its record cannot be read; it is left alone`,
        { link: link.name, addresses: addresses.join(' ') },
      );
    }
  }

  /** For a link that is gone and forgotten. */
  #release(address: IpAddress): void {
    const holds = ({ addresses }: { readonly addresses: readonly IpAddress[] }): boolean => addresses.includes(address);
    if (this.#contested.has(address)) {
      if ([...this.#foreign.values()].some(holds) || this.registry.all().some((one) => holds(one.attachment))) return;
      this.#contested.delete(address);
    }
    this.allocator.free(address);
  }

  apply(intent: PodsIntent, generation: number, started: boolean): void {
    this.#intent = intent;
    this.#generation = generation;
    this.allocator.apply(intent.ipam);
    for (const wake of this.#gateWaiting) wake();
    if (started) this.lookAgain();
    this.changed();
  }

  setGate(gate: PodsGate): void {
    this.#gate = gate;
    for (const wake of this.#gateWaiting) wake();
  }

  /** Whether every address lies in a block that was written to an established session. */
  announced(addresses: readonly IpAddress[]): boolean {
    return addresses.every((address) => this.#gate.announcedBlocks.some((block) => contains(block, address)));
  }

  /** Resolves when `condition` holds after a change of the gate, or when `signal` is aborted. */
  async untilGate(condition: () => boolean, signal: AbortSignal): Promise<void> {
    while (!condition() && !signal.aborted) await this.#nextWord(signal);
  }

  /** Resolves when the intent or the gate has changed, or when `signal` is aborted. */
  #nextWord(signal: AbortSignal): Promise<void> {
    return new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#gateWaiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#gateWaiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  /** Waits until there may be more addresses than there were: a veth is gone, or a block came. `false`: not before `signal`. */
  async supply(signal: AbortSignal): Promise<boolean> {
    const settled = new AbortController();
    const either = AbortSignal.any([signal, settled.signal]);
    await Promise.race([this.registry.removal(either), this.#nextWord(either)]);
    settled.abort();
    return !signal.aborted;
  }

  /** An ADD waits for what only a claim can give. */
  asked(key: AttachmentKey, want: Want): void {
    this.#demands.asked(key, want, performance.now());
    this.#modules.changed(true);
  }

  served(key: AttachmentKey): void {
    this.#demands.served(key);
  }

  /** Fences a pod and hands its veth to the reaper; its addresses come back when the veth is gone. */
  detach(record: PodRecord, urgent = false): Result<undefined, KernelRefusal> {
    if (record.state !== 'dying' && record.state !== 'reaping') {
      const parted = this.links.part(record.hostIndex, record.attachment.addresses);
      if (!parted.ok) return parted;
      this.#fence(record);
    }
    this.#modules.reap({ kind: 'reap', urgent, links: [dyingLink(record)] });
    this.changed();
    return ok(undefined);
  }

  #fence(record: PodRecord): void {
    record.state = 'dying';
    // One that another link claims too is in use until that link is gone.
    for (const address of record.attachment.addresses) if (!this.#contested.has(address)) this.allocator.fence(address);
  }

  /** Asks for everything that is fenced at once: somebody waits for an address. */
  hurryReaper(): void {
    const links = this.registry
      .all()
      .filter((record) => record.state === 'dying')
      .map(dyingLink);
    if (links.length > 0) this.#modules.reap({ kind: 'reap', urgent: true, links });
  }

  reaped(report: ReaperReport): void {
    for (const link of report.links) {
      const record = this.registry.byIndex(link.index);
      if (record === undefined || record.state === 'live' || record.state === 'building') continue;
      if (report.kind === 'reaped') {
        this.registry.remove(record);
        for (const address of record.attachment.addresses) this.#release(address);
      } else {
        this.event('warn', 'pod_link_kept', `${link.name} is not deleted: ${report.reason}`, {
          link: link.name,
          reason: report.reason,
        });
      }
    }
    this.changed();
  }

  /** Host ends that went without a DEL: their pods' namespaces are gone. */
  linksGone(indexes: readonly number[]): void {
    for (const index of indexes) {
      const foreign = this.#foreign.get(index);
      this.#foreign.delete(index);
      for (const address of foreign?.addresses ?? []) this.#release(address);
      const record = this.registry.byIndex(index);
      // One that is being built notices by itself.
      if (record === undefined || record.state === 'building') continue;
      if (record.state === 'live') {
        this.#fence(record);
        this.event('info', 'pod_vanished', `${record.hostInterface} is gone with its pod's namespace`, rowData(record));
      }
      this.#modules.reap({ kind: 'reap', urgent: false, links: [dyingLink(record)] });
    }
    this.changed();
  }

  #mtuStrays(): MtuTarget[] {
    return this.registry.all().flatMap(({ state, attachment, hostIndex, hostInterface }) => {
      const mtu = podMtu(this.mtu, attachment.addresses);
      const seen = this.#seenMtus.get(hostIndex);
      const follows = attachment.mtu === undefined && (state === 'live' || state === 'building');
      return follows && seen !== undefined && seen !== mtu ? [{ hostIndex, hostInterface, mtu }] : [];
    });
  }

  /** After a look: running pods get the MTU of the uplinks. Errors: AppError `OS_*`. */
  followMtu(): Promise<void> {
    return this.#mtu.follow();
  }

  /** Looks at everything of ours in the kernel and puts back what is missing. Errors: AppError `OS_*`. */
  lookAgain(): void {
    const links = this.links.links();
    this.#takeOver(links);
    const byIndex = new Map(links.map((link) => [link.index, link]));
    this.#uplinkMtu = uplinkMtu(links, linkIsAdministrativelyUp);
    this.#seenMtus = new Map(links.map((link) => [link.index, link.mtu]));
    this.#observeNodeAddresses();
    const records = this.registry.all();
    const { there = [], gone = [] } = Object.groupBy(records, (record) =>
      isStill(record, byIndex.get(record.hostIndex)) ? 'there' : 'gone',
    );
    this.linksGone([
      ...gone.map((record) => record.hostIndex),
      ...[...this.#foreign.keys()].filter((index) => !byIndex.has(index)),
    ]);
    const dying = there.filter((record) => record.state === 'dying');
    if (dying.length > 0) this.#modules.reap({ kind: 'reap', urgent: false, links: dying.map(dyingLink) });
    const live = there.filter((record) => record.state === 'live');
    repairLive(this.links, live, byIndex, this.#node, (record, what, refused) => this.#report(record, what, refused));
  }

  /** Of an interface that no book has: what a start would do with it. Of an address that is not held: the same. */
  #takeOver(links: Parameters<typeof rebuild>[0]): void {
    const unknown = links.filter(
      ({ index }) => this.registry.byIndex(index) === undefined && !this.#foreign.has(index),
    );
    const found = rebuild(unknown);
    for (const record of [...found.live, ...found.building, ...found.dying]) {
      if (this.registry.get(record.hostInterface) !== undefined) continue;
      this.#adopt(record, record.state === 'dying' ? 'fenced' : 'used');
      this.#report(record, ['podBook'], undefined);
      if (record.state !== 'live') this.detach(record);
    }
    if (found.foreign.length > 0) this.#leaveAlone(found.foreign);
    for (const { attachment, hostInterface, state } of this.registry.all())
      for (const address of attachment.addresses)
        if (!this.allocator.isTaken(address)) this.#hold(address, state === 'dying' ? 'fenced' : 'used', hostInterface);
  }

  /** One more thing of pods was put right; shown as drift. */
  repaired(what: PodRepair): void {
    this.#repairs.add(what);
    this.changed();
  }

  #report(record: PodRecord, repairs: readonly PodRepair[], refused: KernelRefusal | undefined): void {
    const what = repairText(repairs);
    if (refused === undefined) {
      for (const one of repairs) this.repaired(one);
      this.event('info', 'pod_repaired', `${record.hostInterface}: ${what} put back`, { ...rowData(record), what });
    } else
      this.event('error', 'pod_repair_failed', `${record.hostInterface}: ${refused.step}: ${refused.text}`, {
        ...rowData(record),
        what,
      });
  }

  /** The kernel refuses a preferred source that is on none of its interfaces. */
  #observeNodeAddresses(): void {
    const wanted = this.#intent?.nodeAddresses ?? { ipv4: undefined, ipv6: undefined };
    const present = new Set(this.links.addresses().map((one) => one.address));
    const usable = (address: IpAddress | undefined): IpAddress | undefined => {
      if (address === undefined || present.has(address)) return address;
      if (!this.#complained.has(address)) {
        this.#complained.add(address);
        this.event(
          'warn',
          'node_address_missing',
          `the node's address ${address} is on no interface; pod routes go without preferred source`,
          { address },
        );
      }
      return undefined;
    };
    this.#node = { ipv4: usable(wanted.ipv4), ipv6: usable(wanted.ipv6) };
  }

  /** Why the rules against spoofing are not in force, as a sentence: no pod may be joined to the node meanwhile. */
  get rulesProblem(): string | undefined {
    return this.#rules.problems[0]?.text;
  }

  /** The rules against spoofing are there as they were written. */
  get rulesStand(): boolean {
    return this.#rules.stand;
  }

  /** The rules against spoofing, as they must be; `changedBy`: a program that changed any rules. Errors: AppError `OS_*`. */
  async putRules(changedBy?: string): Promise<void> {
    this.#rulesChangedBy = changedBy ?? '?';
    await this.#rules.put();
  }

  stop(): void {
    this.#rules.stop();
    this.links.close();
  }

  rows(): PodRow[] {
    const bootedAt = Date.now() - bootMilliseconds();
    return this.registry.all().map((record) => ({
      namespace: record.attachment.namespace,
      pod: record.attachment.pod,
      container: record.attachment.containerId,
      network: this.#networkNames.get(record.attachment.networkHash) ?? record.attachment.networkHash,
      interface: record.attachment.interfaceName,
      hostInterface: record.hostInterface,
      addresses: record.attachment.addresses,
      since: Math.round(bootedAt + record.attachment.bootMilliseconds),
      state: record.state,
    }));
  }

  /** What the comparison with the kernel and the runtime goes by. */
  books(): Books {
    const foreign = [...this.#foreign.values()];
    return { records: this.registry.all(), foreign, taken: this.allocator.taken(), node: this.#node };
  }

  facts(): PodFacts {
    return {
      generation: this.#generation,
      pods: this.registry.all().filter((record) => record.state === 'live').length,
      blocks: this.allocator.facts(),
      foreignLinks: [...this.#foreign.values()].map((link) => link.name),
      outsideBlocks: this.allocator.outsideBlocks(),
      fencedOutsideBlocks: this.allocator.fencedOutsideBlocks(),
      demand: this.#demands.now(performance.now()),
      repairs: this.#repairs.facts(),
      fixedAddresses: this.allocator.fixedAddresses(),
      refusals: [...this.#refusals.values()],
      problems: [...this.#rules.problems, ...this.#mtu.problems],
      mtu: this.mtu,
    };
  }
}

export const rowData = (record: PodRecord): PodEvent['data'] => ({
  container: record.attachment.containerId,
  interface: record.attachment.interfaceName,
  hostInterface: record.hostInterface,
  namespace: record.attachment.namespace,
  pod: record.attachment.pod,
  addresses: record.attachment.addresses.join(' '),
});
