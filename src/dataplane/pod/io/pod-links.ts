/**
 * Pod veths in the kernel: attach in four requests (create, the host's record, the pod's side, live), detach in
 * one, observe and repair. It decides nothing: what it is told it does, and what the kernel says it answers. Every request is synchronous, so nothing can come between two of them.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { familyOf, hostPrefix, type IpAddress } from '#lib/ip.ts';
import { AppError, type Result, fail, ok } from '#lib/result.ts';
import { sysctlDirectory } from '#linux/host-root.ts';
import { inNamespace } from '#linux/namespace.ts';
import { EACCES, EEXIST, EINVAL, ENODEV, EPERM, ESRCH } from '#linux/errno.ts';
import { NetlinkSocket, type RequestFailure } from '#netlink/io/socket.ts';
import { appendDumpAddresses, decodeAddress, type InterfaceAddress } from '#netlink/wire/address.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { RTM } from '#netlink/wire/constants.ts';
import { appendDumpLinks, appendGetLink, appendSetLink, decodeLink, type Link } from '#netlink/wire/link.ts';
import { appendLookUpRoute } from '#netlink/wire/lookup.ts';
import { appendDelNeighbour, appendDumpNeighbours, decodeNeighbour, type Neighbour } from '#netlink/wire/neighbour.ts';
import { appendDelRoute, appendDumpRoutes, decodeRoute, type Route } from '#netlink/wire/route.ts';
import { appendDelSourceRule, appendDumpRules, decodeSourceRule } from '#netlink/wire/rule.ts';
import { LINK_GROUP, ROUTE_PROTOCOL } from '../../kernel-names.ts';
import type { PodSide } from '../pod-side.ts';
import { KeptGateways } from './kept-gateways.ts';
import {
  appendCreate,
  appendGroup,
  appendHostLive,
  appendHostNeighbour,
  appendHostRecord,
  appendHostRoute,
  appendPart,
  appendPodSide,
  interfaceOfRule,
  type NodeAddresses,
  type Pair,
  type Wiring,
} from '../wiring.ts';

export interface KernelRefusal {
  /** What was being done, in words. */
  readonly step: string;
  readonly errno: number;
  /** `EEXIST` and the like, with the kernel's own words when it has any. */
  readonly text: string;
}

/** Where requests inside one pod's namespace go during an ADD. */
export type PodSocket = NetlinkSocket;

/** Of a setting that the kernel refused. */
const LONGEST_VALUE_SHOWN = 100;
/** The loopback interface is the first of every namespace. */
const LOOPBACK_INDEX = 1;
/** Route look-ups are answered one by one; so many answers fit the receive buffer easily. */
const LOOK_UPS_PER_REQUEST = 256;

const describe = (failure: RequestFailure): string =>
  failure.text === undefined ? failure.name : `${failure.name}: ${failure.text}`;
const refusal = (step: string, failure: RequestFailure): { readonly ok: false; readonly error: KernelRefusal } =>
  fail({ step, errno: failure.errno, text: describe(failure) });

export class PodLinks {
  readonly gateways = new KeptGateways();
  readonly #host: NetlinkSocket;
  readonly #batch = new MessageBatch(8192);

  /** Opens a netlink socket in the calling thread's namespace. Errors: AppError `OS_*`. */
  constructor() {
    this.#host = NetlinkSocket.open();
  }

  /** Notifications of what this object changed in the node's namespace carry this port. */
  get portId(): number {
    return this.#host.portId;
  }

  close(): void {
    this.gateways.close();
    this.#host.close();
  }

  /** All links of the node; pods' are found by name, kind and group. Errors: AppError `OS_NETLINK_DUMP`. */
  links(): readonly Link[] {
    return dumped(this.#host.dumpList(appendDumpLinks, decodeLink), 'links');
  }

  addresses(): readonly InterfaceAddress[] {
    return dumped(this.#host.dumpList(appendDumpAddresses, decodeAddress), 'addresses');
  }

  neighbours(): readonly Neighbour[] {
    return dumped(this.#host.dumpList(appendDumpNeighbours, decodeNeighbour), 'neighbours');
  }

  link(index: number): Link | undefined {
    return getLink(this.#host, { index });
  }

  /**
   * Makes the pair; the host's end is in group *building* and down. The answer has the index of the host's end and that
   * of the pod's end in its own namespace. EEXIST: one of the two names is taken; see `linkByName`.
   */
  create(wiring: Wiring, namespaceFd: number): Result<Pair, KernelRefusal> {
    this.#batch.clear();
    appendCreate(this.#batch, wiring, namespaceFd);
    let made: Link | undefined;
    const { failures } = this.#host.execute(this.#batch, (_, reader, message) => {
      if (message.type === RTM.NEWLINK) made = decodeLink(reader, message) ?? made;
    });
    const failure = failures[0];
    if (failure !== undefined) return refusal(`make the veth pair ${wiring.hostInterface}`, failure);
    // The echo may have been lost in an overrun; the name is still ours alone.
    const link = made?.link === undefined ? getLink(this.#host, { name: wiring.hostInterface }) : made;
    if (link?.link === undefined)
      return fail({ step: `find ${wiring.hostInterface} after it was made`, errno: ENODEV, text: 'ENODEV' });
    const known = link.linkNamespace !== undefined && link.linkNamespace >= 0;
    return ok({ hostIndex: link.index, podIndex: link.link, podNamespace: known ? link.linkNamespace : undefined });
  }

  linkByName(name: string): Link | undefined {
    return getLink(this.#host, { name });
  }

  /** One socket serves all requests inside a pod; the caller closes it. Errors: AppError `OS_*`. */
  static openPod(namespaceFd: number): PodSocket {
    return NetlinkSocket.openBrief(namespaceFd);
  }

  /** Addresses, gateway, routes and sysctl settings inside the pod. */
  configurePod(
    pod: PodSocket,
    wiring: Wiring,
    podIndex: number,
    namespaceFd: number,
    sysctl: readonly { readonly path: string; readonly value: string }[],
  ): KernelRefusal | undefined {
    if (wiring.further) this.#dropRulesOfTheGone(namespaceFd);
    let failure = this.#podBatch(pod, wiring, podIndex);
    if (
      failure !== undefined &&
      (failure.errno === EACCES || failure.errno === EPERM) &&
      wiring.addresses.some(isIpv6)
    ) {
      // The runtime switched IPv6 off in new namespaces; our pod has an address of it.
      writeSysctl(namespaceFd, ipv6Switch(wiring.interfaceName), '0');
      failure = this.#podBatch(pod, wiring, podIndex);
    }
    if (failure !== undefined)
      return {
        step: `configure ${wiring.interfaceName} inside the pod`,
        errno: failure.errno,
        text: describe(failure),
      };
    for (const { path, value } of sysctl) {
      const problem = writeSysctl(namespaceFd, path, value);
      if (problem !== undefined)
        return {
          step: `write ${JSON.stringify(value.slice(0, LONGEST_VALUE_SHOWN))} to the sysctl ${path.replaceAll('/', '.')}`,
          errno: 0,
          text: problem,
        };
    }
    return undefined;
  }

  /** A link takes its routes with it when it goes, but not its rules, and DEL opens no namespace: the next ADD sweeps. */
  #dropRulesOfTheGone(namespaceFd: number): void {
    const pod = NetlinkSocket.open({ namespace: namespaceFd });
    try {
      this.#batch.clear();
      for (const rule of dumped(pod.dumpList(appendDumpRules, decodeSourceRule), 'rules')) {
        const index = interfaceOfRule(rule);
        if (index !== undefined && getLink(pod, { index }) === undefined) appendDelSourceRule(this.#batch, rule);
      }
      pod.execute(this.#batch);
    } finally {
      pod.close();
    }
  }

  /** A batch that is sent a second time finds what the first one did: EEXIST is no failure then. */
  #podBatch(pod: NetlinkSocket, wiring: Wiring, podIndex: number): RequestFailure | undefined {
    this.#batch.clear();
    appendPodSide(this.#batch, wiring, podIndex, LOOPBACK_INDEX);
    return pod.execute(this.#batch).failures.find((failure) => failure.errno !== EEXIST);
  }

  /** What the host's end is told while it is down; its alias is what a restarted agent knows of the pod. */
  recordHost(wiring: Wiring, hostIndex: number, alias: string): KernelRefusal | undefined {
    this.#batch.clear();
    const withoutIpv6 = appendHostRecord(this.#batch, hostIndex, alias);
    const needsIpv6 = wiring.addresses.some(isIpv6);
    const failure = this.#host.execute(this.#batch).failures.find((one) => needsIpv6 || one.index !== withoutIpv6);
    return failure === undefined
      ? undefined
      : { step: `record the pod in ${wiring.hostInterface}`, errno: failure.errno, text: describe(failure) };
  }

  /** The last change: the host's end comes up, live, with neighbours and routes; then the pod can talk and answers. */
  makeLive(wiring: Wiring, pair: Pair, node: NodeAddresses): KernelRefusal | undefined {
    const failure = withIpv6(wiring.hostInterface, wiring.addresses, () => this.#hostBatch(wiring, pair, node));
    return failure === undefined
      ? undefined
      : { step: 'let the pod talk', errno: failure.errno, text: describe(failure) };
  }

  /** Sent a second time it replaces what the first one made. */
  #hostBatch(wiring: Wiring, pair: Pair, node: NodeAddresses): RequestFailure | undefined {
    this.#batch.clear();
    const look = appendHostLive(this.#batch, wiring, pair, node);
    return this.#host.execute(this.#batch).failures.find((one) => one.index !== look);
  }

  /** Puts a live pod's host end back into its group. */
  regroup(hostIndex: number): KernelRefusal | undefined {
    this.#batch.clear();
    appendGroup(this.#batch, hostIndex, LINK_GROUP.live);
    return this.#executed('put the veth back into its group');
  }

  /** Puts back the record of a pod that somebody overwrote. */
  recordAgain(hostIndex: number, alias: string): KernelRefusal | undefined {
    this.#batch.clear();
    appendSetLink(this.#batch, { index: hostIndex }, { alias });
    return this.#executed('write the record of the pod again');
  }

  /** Takes away a host route or a neighbour entry that belongs to no pod. */
  removeStray(index: number, address: IpAddress, isRoute: boolean): KernelRefusal | undefined {
    this.#batch.clear();
    if (isRoute)
      appendDelRoute(this.#batch, {
        prefix: hostPrefix(address),
        protocol: ROUTE_PROTOCOL,
        interfaceIndex: index,
      });
    else appendDelNeighbour(this.#batch, index, address);
    return this.#executed('remove what belongs to no pod');
  }

  #executed(step: string): KernelRefusal | undefined {
    const failure = this.#host.execute(this.#batch).failures[0];
    return failure === undefined ? undefined : { step, errno: failure.errno, text: describe(failure) };
  }

  /** Fences the veth and removes its routes in one request; `gone`: there is no such link any more. */
  part(hostIndex: number, addresses: readonly IpAddress[]): Result<'fenced' | 'gone', KernelRefusal> {
    this.#batch.clear();
    appendPart(this.#batch, hostIndex, addresses);
    const { failures } = this.#host.execute(this.#batch);
    if (failures.some((failure) => failure.index === 0 && failure.errno === ENODEV)) return ok('gone');
    const failure = failures.find((one) => one.index === 0 || (one.errno !== ESRCH && one.errno !== ENODEV));
    return failure === undefined ? ok('fenced') : refusal('fence the veth and remove its routes', failure);
  }

  /** The tables' own routes for these addresses, in their order; `undefined` where nothing covers one. */
  routesTo(addresses: readonly IpAddress[]): (Route | undefined)[] {
    const found: (Route | undefined)[] = addresses.map(() => undefined);
    for (let from = 0; from < addresses.length; from += LOOK_UPS_PER_REQUEST) {
      this.#batch.clear();
      for (const address of addresses.slice(from, from + LOOK_UPS_PER_REQUEST)) appendLookUpRoute(this.#batch, address);
      this.#host.execute(this.#batch, (index, reader, message) => {
        if (message.type === RTM.NEWROUTE) found[from + index] = decodeRoute(reader, message);
      });
    }
    return found;
  }

  /** Whether a route is the one that a live pod's address must have. */
  static isHostRoute(route: Route | undefined, hostIndex: number, address: IpAddress, node: NodeAddresses): boolean {
    return (
      route !== undefined &&
      route.prefix === hostPrefix(address) &&
      route.protocol === ROUTE_PROTOCOL &&
      route.interfaceIndex === hostIndex &&
      route.preferredSource === node[familyOf(address)]
    );
  }

  /** Puts back what a live pod's host end lacks. */
  repair(
    { index, name }: Link,
    missing: {
      readonly down: boolean;
      readonly routes: readonly IpAddress[];
      readonly neighbours: readonly IpAddress[];
    },
    mac: string,
    node: NodeAddresses,
  ): KernelRefusal | undefined {
    return withIpv6(name, [...missing.neighbours, ...missing.routes], () => {
      this.#batch.clear();
      if (missing.down) appendSetLink(this.#batch, { index }, { up: true });
      for (const address of missing.neighbours) appendHostNeighbour(this.#batch, index, address, mac);
      for (const address of missing.routes) appendHostRoute(this.#batch, index, address, node);
      return this.#executed('repair routes and neighbours');
    });
  }

  /** What is inside the pod; a link that is not there leaves the rest empty. */
  observePod(namespaceFd: number, interfaceName: string): PodSide {
    const pod = NetlinkSocket.open({ namespace: namespaceFd });
    try {
      const link = getLink(pod, { name: interfaceName });
      if (link === undefined) return { link, addresses: [], routes: [], neighbours: [], rules: [] };
      const here = <T extends { readonly interfaceIndex: number | undefined }>(all: readonly T[]): T[] =>
        all.filter((one) => one.interfaceIndex === link.index);
      const routes = (['ipv4', 'ipv6'] as const).flatMap((family) => {
        const list = pod.dumpList((batch) => appendDumpRoutes(batch, { family }), decodeRoute);
        // A namespace without IPv6 has no such table.
        return list.ok ? list.value : [];
      });
      return {
        link,
        addresses: here(dumped(pod.dumpList(appendDumpAddresses, decodeAddress), 'addresses')),
        routes: here(routes),
        neighbours: here(dumped(pod.dumpList(appendDumpNeighbours, decodeNeighbour), 'neighbours')),
        rules: dumped(pod.dumpList(appendDumpRules, decodeSourceRule), 'rules'),
      };
    } finally {
      pod.close();
    }
  }
}

const isIpv6 = (address: IpAddress): boolean => familyOf(address) === 'ipv6';

function getLink(
  socket: NetlinkSocket,
  selector: { readonly index: number } | { readonly name: string },
): Link | undefined {
  const batch = new MessageBatch(256);
  appendGetLink(batch, selector);
  let found: Link | undefined;
  socket.execute(batch, (_, reader, message) => {
    if (message.type === RTM.NEWLINK) found = decodeLink(reader, message);
  });
  return found;
}

function dumped<T>(outcome: Result<readonly T[], { readonly kind: string }>, what: string): readonly T[] {
  if (outcome.ok) return outcome.value;
  throw new AppError('OS_NETLINK_DUMP', `the kernel's ${what} cannot be read: ${outcome.error.kind}`, {
    retry: 'backoff',
    data: { ...outcome.error },
  });
}

const ipv6Switch = (interfaceName: string): string => `net/ipv6/conf/${interfaceName}/disable_ipv6`;

/**
 * A request for addresses at an interface of the node, sent once more when IPv6 stood in its way: it is off for new interfaces,
 * or somebody switched it off, and this one has an address of it.
 */
function withIpv6<Refusal extends { readonly errno: number }>(
  interfaceName: string,
  addresses: readonly IpAddress[],
  attempt: () => Refusal | undefined,
): Refusal | undefined {
  const refused = attempt();
  if (refused?.errno !== EINVAL || !addresses.some(isIpv6)) return refused;
  writeSysctl(undefined, ipv6Switch(interfaceName), '0');
  return attempt();
}

/** Opened inside the namespace, which is the node's without one, and written outside. Answers what went wrong. */
function writeSysctl(namespaceFd: number | undefined, path: string, value: string): string | undefined {
  const open = (): number => openSync(`${sysctlDirectory}/${path}`, 'w');
  try {
    const fd = namespaceFd === undefined ? open() : inNamespace(namespaceFd, open);
    try {
      writeSync(fd, value);
    } finally {
      closeSync(fd);
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return error.message;
  }
}
