/**
 * The one reader of kernel notifications. It keeps a picture of links, addresses and foreign routes for the rest of the
 * agent (KernelView), tells of pod interfaces that change, and says when what is ours may have been changed by others.
 * Links and addresses follow the notifications; routes are dumped again, because a link that loses its carrier takes IPv4
 * routes with it without a word.
 */
import type { AppError } from '#lib/result.ts';
import { after, between, type Clock, type Duration, type Instant, milliseconds } from '#lib/time.ts';
import { NetlinkMonitor } from '#netlink/io/monitor.ts';
import type { NamespaceTarget } from '#netlink/io/datagram-port.ts';
import type { NetlinkSocket } from '#netlink/io/socket.ts';
import { appendDumpAddresses, decodeAddress, type InterfaceAddress } from '#netlink/wire/address.ts';
import { IFF, RT_TABLE, RTM, RTNLGRP } from '#netlink/wire/constants.ts';
import { appendDumpLinks, decodeLink, type Link } from '#netlink/wire/link.ts';
import {
  decodeNetconfInterface,
  NETCONF_ONE_BYTES,
  RTM_DELNETCONF,
  RTM_NEWNETCONF,
  RTNLGRP_NETCONF,
} from '#netlink/wire/netconf.ts';
import { decodeNexthop } from '#netlink/wire/nexthop.ts';
import type { MessageHeader, WireReader } from '#netlink/wire/reader.ts';
import { decodePackedRoute, emptyPackedRoute } from '#netlink/wire/route.ts';
import { BLACKHOLE_METRIC, LEARNED_ROUTE_METRIC, NEXTHOP_ID_FIRST, ROUTE_PROTOCOL } from '../kernel-names.ts';
import { uplinkMtu } from '../pod/mtu.ts';
import type { KernelRoute, KernelView } from '../kernel-view.ts';
import { addressKey, isPodLink, isUsable, kernelView, readForeignRoutes, sameLink } from './kernel-picture.ts';

export interface KernelObserverOptions {
  readonly namespace?: NamespaceTarget;
  /** Netlink ports of the writers of learned and block routes: what they do themselves needs no telling. */
  readonly ignorePorts: readonly number[];
  /** Netlink ports of those who make and remove pods: host routes that they delete themselves are not told. */
  readonly podPorts?: readonly number[];
  /** Changes of this span are told together; 20 ms by default. */
  readonly settle?: Duration;
}

export interface KernelObserverModules {
  /** For dumps; the observer does not close it. */
  readonly socket: NetlinkSocket;
  readonly clock: Clock;
}

export interface PodLinkChange {
  readonly kind: 'changed' | 'removed';
  readonly link: Link;
}

/** Whose routes may have been changed by others. */
export interface OwnRouteChange {
  readonly learned: boolean;
  readonly blocks: boolean;
  /** Host routes of pods. */
  readonly pods: boolean;
}

export interface KernelObserverCallbacks {
  /** The whole picture, each time something in it changed; pods that came and went by themselves at most once a second. */
  view(view: KernelView): void;
  /**
   * Pod interfaces that came, changed or went, in order. After lost notifications all that exist are told as changed. The
   * kernel does not say when the group or the alias of an interface changes that is down.
   */
  podLinks(changes: readonly PodLinkChange[]): void;
  ourRoutesChanged(change: OwnRouteChange): void;
  /** Somebody wrote a sysctl of forwarding or of the reverse path, of all interfaces or of one that is no pod's. */
  settingsChanged(): void;
  /** The monitor is broken and has stopped. */
  failed(error: AppError): void;
}

const defaultSettle = milliseconds(20);
/** Pods come and go in bursts, and nothing in the picture that waits for them is urgent. */
const podSettle = milliseconds(100);
/**
 * A view that differs by pods alone is not told sooner after the one before: it has a row for every pod, and with a burst
 * of pods each of them would be copied again and again for whoever reads views.
 */
const podViewRest = milliseconds(1000);
/** A dump of routes is followed by this many times its length without one. */
const dumpRest = 5;
const nothing: OwnRouteChange = { learned: false, blocks: false, pods: false };
const everything: OwnRouteChange = { learned: true, blocks: true, pods: true };

export class KernelObserver {
  readonly #modules: KernelObserverModules;
  readonly #callbacks: KernelObserverCallbacks;
  readonly #monitor: NetlinkMonitor;
  readonly #settle: Duration;
  #podPorts: ReadonlySet<number>;
  readonly #links = new Map<number, Link>();
  readonly #addresses = new Map<string, InterfaceAddress>();
  readonly #packed = emptyPackedRoute();
  #routes: readonly KernelRoute[] = [];
  #podChanges: PodLinkChange[] = [];
  #ownChange: OwnRouteChange = nothing;
  #settingsChanged = false;
  #viewChanged = false;
  #podsOfViewChanged = false;
  #podViewNotBefore: Instant;
  #routesStale = false;
  #allStale = false;
  #routesNotBefore: Instant;
  #dueAt: Instant | undefined;
  #cancelTimer: (() => void) | undefined;
  #closed = false;

  constructor(options: KernelObserverOptions, modules: KernelObserverModules, callbacks: KernelObserverCallbacks) {
    this.#modules = modules;
    this.#callbacks = callbacks;
    this.#settle = options.settle ?? defaultSettle;
    this.#podPorts = new Set(options.podPorts ?? []);
    this.#routesNotBefore = modules.clock.now();
    this.#podViewNotBefore = modules.clock.now();
    this.#monitor = NetlinkMonitor.open(
      {
        groups: [
          RTNLGRP.LINK,
          RTNLGRP.IPV4_IFADDR,
          RTNLGRP.IPV6_IFADDR,
          RTNLGRP.IPV4_ROUTE,
          RTNLGRP.IPV6_ROUTE,
          RTNLGRP.NEXTHOP,
          RTNLGRP_NETCONF.ipv4,
          RTNLGRP_NETCONF.ipv6,
        ],
        // What an interface comes with, or had when it goes, is no news.
        exactBytes: new Map([
          [RTM_NEWNETCONF, NETCONF_ONE_BYTES],
          [RTM_DELNETCONF, 0],
        ]),
        namespace: options.namespace,
        ignorePorts: options.ignorePorts,
      },
      {
        message: (reader, message) => this.#message(reader, message),
        observeAgain: () => {
          this.#allStale = true;
          this.#due(this.#settle);
        },
        failed: (error) => callbacks.failed(error),
      },
    );
  }

  /** Reads everything and tells the first view and all pod interfaces before it returns; then follows the notifications. */
  start(): void {
    this.#observeAll();
    this.#ownChange = nothing;
    this.#tell();
    this.#monitor.start();
  }

  /** Must be awaited before the thread ends: the parked read of the monitor would keep it. */
  close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer?.();
    return this.#monitor.close();
  }

  /** Netlink ports of those who make and remove pods from now on. */
  setPodPorts(ports: readonly number[]): void {
    this.#podPorts = new Set(ports);
  }

  interfaceName(index: number): string | undefined {
    return this.#links.get(index)?.name;
  }

  /** Interfaces whose link group says that they are pods, as last seen. */
  podLinks(): readonly Link[] {
    return [...this.#links.values()].filter(isPodLink);
  }

  /** What pods may send at once, as last seen. */
  uplinkMtu(): number {
    return uplinkMtu([...this.#links.values()], (link) => (link.flags & IFF.UP) !== 0);
  }

  #message(reader: WireReader, message: MessageHeader): void {
    switch (message.type) {
      case RTM.NEWLINK:
      case RTM.DELLINK: {
        const link = decodeLink(reader, message);
        if (link !== undefined) this.#link(link, message.type === RTM.DELLINK);
        break;
      }
      case RTM.NEWADDR:
      case RTM.DELADDR: {
        const address = decodeAddress(reader, message);
        if (address !== undefined) this.#address(address, message.type === RTM.DELADDR);
        break;
      }
      case RTM.NEWROUTE:
      case RTM.DELROUTE:
        this.#route(reader, message);
        break;
      case RTM.NEWNEXTHOP:
      case RTM.DELNEXTHOP: {
        const nexthop = decodeNexthop(reader, message);
        if (nexthop !== undefined && nexthop.id >= NEXTHOP_ID_FIRST && nexthop.id < NEXTHOP_ID_FIRST + 2 ** 24)
          this.#own({ learned: true, blocks: false, pods: false });
        break;
      }
      case RTM_NEWNETCONF: {
        const index = decodeNetconfInterface(reader, message);
        if (index === undefined) break;
        // Those of no interface are negative; one that is not known yet will be told as a whole.
        const link = this.#links.get(index);
        if (index < 0 || (link !== undefined && !isPodLink(link))) this.#settingsChanged = true;
        if (this.#settingsChanged) this.#due(this.#settle);
        break;
      }
      default:
        break;
    }
  }

  #link(link: Link, removed: boolean): void {
    const before = this.#links.get(link.index);
    if (removed) this.#links.delete(link.index);
    else this.#links.set(link.index, link);
    const pod = isPodLink(link) || (before !== undefined && isPodLink(before));
    if (pod) this.#podChanges.push({ kind: removed ? 'removed' : 'changed', link });
    if (removed) this.#forgetAddresses(link.index);
    if (pod) {
      // Readers of the view want to know which interfaces are pods, not how those are.
      if (removed || before === undefined || !isPodLink(before) || !isPodLink(link)) this.#podsOfViewChanged = true;
      this.#due(podSettle);
      return;
    }
    if (!removed && before !== undefined && sameLink(before, link)) return;
    this.#viewChanged = true;
    this.#routesStale = true;
    // A link that went down has taken nexthops and IPv4 routes with it in silence; one that is back brings none.
    this.#own({ learned: true, blocks: false, pods: false });
    this.#due(this.#settle);
  }

  #forgetAddresses(interfaceIndex: number): void {
    for (const [key, address] of this.#addresses)
      if (address.interfaceIndex === interfaceIndex) this.#addresses.delete(key);
  }

  #address(address: InterfaceAddress, removed: boolean): void {
    const key = addressKey(address);
    const before = this.#addresses.get(key);
    if (removed) this.#addresses.delete(key);
    else this.#addresses.set(key, address);
    const usable = (one: InterfaceAddress | undefined): boolean => one !== undefined && isUsable(one);
    if (!removed && usable(before) === usable(address) && before?.scope === address.scope) return;
    this.#viewChanged = true;
    this.#routesStale = true;
    // An address takes the routes with it that prefer it as source.
    this.#own({ learned: true, blocks: false, pods: true });
  }

  #route(reader: WireReader, message: MessageHeader): void {
    const route = this.#packed;
    if (!decodePackedRoute(reader, message, route) || route.table !== RT_TABLE.MAIN) return;
    const removed = message.type === RTM.DELROUTE;
    if (route.protocol !== ROUTE_PROTOCOL) {
      this.#routesStale = true;
      this.#due(this.#settle);
    }
    // Ours that went, a foreign one that made room, or one that took the place of ours.
    if (route.metric === LEARNED_ROUTE_METRIC[route.size === 4 ? 'ipv4' : 'ipv6'])
      this.#own({ learned: true, blocks: false, pods: false });
    else if (route.metric === BLACKHOLE_METRIC) this.#own({ learned: false, blocks: true, pods: false });
    else if (removed && route.protocol === ROUTE_PROTOCOL && !this.#podPorts.has(message.port))
      this.#own({ learned: false, blocks: false, pods: true });
  }

  #own(change: OwnRouteChange): void {
    this.#ownChange = {
      learned: this.#ownChange.learned || change.learned,
      blocks: this.#ownChange.blocks || change.blocks,
      pods: this.#ownChange.pods || change.pods,
    };
    this.#due(this.#settle);
  }

  /** Tells what has gathered after `wait`, or earlier when something else is due earlier. */
  #due(wait: Duration): void {
    if (this.#closed) return;
    const at = after(this.#modules.clock.now(), wait);
    if (this.#dueAt !== undefined && this.#dueAt <= at) return;
    this.#cancelTimer?.();
    this.#dueAt = at;
    this.#cancelTimer = this.#modules.clock.at(at, () => {
      this.#dueAt = undefined;
      if (this.#closed) return;
      if (this.#allStale) this.#observeAll();
      else if (this.#routesStale) this.#observeRoutesWhenRested();
      this.#tell();
    });
  }

  #tell(): void {
    const podChanges = this.#podChanges;
    const ownChange = this.#ownChange;
    this.#podChanges = [];
    this.#ownChange = nothing;
    if (podChanges.length > 0) this.#callbacks.podLinks(podChanges);
    if (ownChange.learned || ownChange.blocks || ownChange.pods) this.#callbacks.ourRoutesChanged(ownChange);
    if (this.#settingsChanged) this.#callbacks.settingsChanged();
    this.#settingsChanged = false;
    const now = this.#modules.clock.now();
    if (!this.#viewChanged) {
      if (!this.#podsOfViewChanged) return;
      if (now < this.#podViewNotBefore) {
        this.#due(between(now, this.#podViewNotBefore));
        return;
      }
    }
    this.#viewChanged = false;
    this.#podsOfViewChanged = false;
    this.#podViewNotBefore = after(now, podViewRest);
    this.#callbacks.view(kernelView(this.#links.values(), this.#addresses.values(), this.#routes));
  }

  #observeRoutesWhenRested(): void {
    const { clock } = this.#modules;
    const begun = clock.now();
    if (begun < this.#routesNotBefore) {
      this.#due(between(begun, this.#routesNotBefore));
      return;
    }
    this.#observeRoutes();
    this.#routesNotBefore = after(clock.now(), milliseconds(dumpRest * between(begun, clock.now())));
  }

  #observeAll(): void {
    const { socket } = this.#modules;
    const links = socket.dumpList(appendDumpLinks, decodeLink);
    const addresses = socket.dumpList(appendDumpAddresses, decodeAddress);
    this.#allStale = !links.ok || !addresses.ok;
    if (links.ok) {
      const gone = new Map(this.#links);
      this.#links.clear();
      for (const link of links.value) {
        this.#links.set(link.index, link);
        gone.delete(link.index);
        if (isPodLink(link)) this.#podChanges.push({ kind: 'changed', link });
      }
      for (const link of gone.values()) if (isPodLink(link)) this.#podChanges.push({ kind: 'removed', link });
    }
    if (addresses.ok) {
      this.#addresses.clear();
      for (const address of addresses.value) this.#addresses.set(addressKey(address), address);
    }
    this.#observeRoutes();
    this.#viewChanged = true;
    this.#settingsChanged = true;
    this.#own(everything);
  }

  #observeRoutes(): void {
    const found = readForeignRoutes(this.#modules.socket);
    this.#routesStale = found === undefined;
    if (found === undefined) {
      // Half a table would look like routes that went away; the next round reads it again.
      this.#due(podSettle);
      return;
    }
    if (JSON.stringify(found) === JSON.stringify(this.#routes)) return;
    this.#routes = found;
    this.#viewChanged = true;
  }
}
