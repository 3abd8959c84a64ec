/**
 * PURE: the messages that join a pod to its node, and those that part them. One function fills one batch, which goes out
 * by one sendmsg: create, the host's record, the pod's side, live. What follows the create goes by the index that the
 * kernel answered it with, so that a create that failed can never configure somebody else's interface.
 */
import { addressBits, type Family, familyOf, hostPrefix, type IpAddress, type Prefix } from '#lib/ip.ts';
import type { MessageBatch } from '#netlink/wire/batch.ts';
import { IFA_F, IN6_ADDR_GEN_MODE, IPV4_DEVCONF, NLM_F, RT_TABLE, RTN } from '#netlink/wire/constants.ts';
import { appendNewAddress } from '#netlink/wire/address.ts';
import { appendGetLink, appendNewVeth, appendSetLink, hardwareAddressBytes } from '#netlink/wire/link.ts';
import { appendNewNeighbour } from '#netlink/wire/neighbour.ts';
import { appendDelRoute, appendNewRoute } from '#netlink/wire/route.ts';
import { appendNewSourceRule, type SourceRule } from '#netlink/wire/rule.ts';
import {
  GATEWAY_IPV4,
  GATEWAY_IPV6,
  HOST_MAC,
  LINK_GROUP,
  POD_FURTHER_METRIC,
  POD_FURTHER_TABLE,
  POD_RULE_PRIORITY,
  ROUTE_PROTOCOL,
} from '../kernel-names.ts';

/** The node's routed addresses that are on one of its interfaces: the kernel refuses any other as preferred source. */
export interface NodeAddresses {
  readonly ipv4: IpAddress | undefined;
  readonly ipv6: IpAddress | undefined;
}

export interface Wiring {
  readonly hostInterface: string;
  readonly interfaceName: string;
  readonly mac: string;
  readonly mtu: number;
  readonly addresses: readonly IpAddress[];
  /** Destinations inside the pod; those of a family that the pod has no address of are left out. */
  readonly routes: readonly Prefix[];
  /** Not the pod's first interface: its routes must not stand in the way of the first one's. */
  readonly further: boolean;
}

/** What the kernel called the two ends. */
export interface Pair {
  readonly hostIndex: number;
  /** In the pod's namespace. */
  readonly podIndex: number;
  /** Number that the node's namespace knows the pod's by; `undefined` where the kernel gave none. */
  readonly podNamespace: number | undefined;
}

const hostMac = hardwareAddressBytes(HOST_MAC);
const gateways: Readonly<Record<Family, IpAddress>> = {
  ipv4: GATEWAY_IPV4 as IpAddress,
  ipv6: GATEWAY_IPV6 as IpAddress,
};
/** One queue each: a veth would get one per possible CPU, and making them is what takes long. */
const queues = { transmit: 1, receive: 1 };

export const gatewayOf = (value: IpAddress | Prefix): IpAddress => gateways[familyOf(value)];

export function appendCreate(batch: MessageBatch, wiring: Wiring, namespaceFd: number): void {
  appendNewVeth(
    batch,
    { name: wiring.hostInterface, address: hostMac, mtu: wiring.mtu, group: LINK_GROUP.building, queues },
    {
      name: wiring.interfaceName,
      address: hardwareAddressBytes(wiring.mac),
      mtu: wiring.mtu,
      namespaceFd,
      queues,
    },
    NLM_F.ECHO,
  );
}

/** Links, addresses, neighbours and routes inside the pod. */
export function appendPodSide(batch: MessageBatch, wiring: Wiring, podIndex: number, loopbackIndex: number): void {
  appendSetLink(batch, { index: loopbackIndex }, { up: true });
  appendSetLink(batch, { index: podIndex }, { up: true });
  for (const address of wiring.addresses) {
    appendNewAddress(batch, {
      interfaceIndex: podIndex,
      address,
      prefixLength: addressBits(familyOf(address)),
      // Without NODAD an IPv6 address would be tentative for more than a second; a prefix of one address needs no route.
      ...(familyOf(address) === 'ipv6' ? { flags: IFA_F.NODAD | IFA_F.NOPREFIXROUTE } : {}),
    });
    if (familyOf(address) === 'ipv6') appendLocalRoute(batch, podIndex, address);
  }
  for (const family of new Set(wiring.addresses.map(familyOf))) {
    const gateway = gateways[family];
    appendGatewayNeighbour(batch, podIndex, gateway);
    const routes = wiring.routes.filter((destination) => familyOf(destination) === family);
    if (wiring.further) appendFurtherRoutes(batch, wiring, podIndex, gateway, routes);
    else appendFirstRoutes(batch, podIndex, gateway, routes);
  }
}

/**
 * The kernel makes the local route of an IPv6 address in a work item that waits for RTNL, hence for everybody else's work,
 * and until then what is sent to the address is lost. With one of ours, behind its own, the pod answers at once.
 */
function appendLocalRoute(batch: MessageBatch, interfaceIndex: number, address: IpAddress): void {
  appendNewRoute(batch, NLM_F.CREATE | NLM_F.EXCL, {
    prefix: hostPrefix(address),
    table: RT_TABLE.LOCAL,
    type: RTN.LOCAL,
    protocol: ROUTE_PROTOCOL,
    interfaceIndex,
  });
}

/** Inside the pod: what it knows its node by. */
export function appendGatewayNeighbour(batch: MessageBatch, podIndex: number, gateway: IpAddress): void {
  appendNewNeighbour(batch, { interfaceIndex: podIndex, address: gateway, hardwareAddress: hostMac });
}

function appendFirstRoutes(
  batch: MessageBatch,
  interfaceIndex: number,
  gateway: IpAddress,
  routes: readonly Prefix[],
): void {
  const common = { protocol: ROUTE_PROTOCOL, interfaceIndex };
  const flags = NLM_F.CREATE | NLM_F.EXCL;
  // A link-local gateway with an interface needs no route of its own.
  if (familyOf(gateway) === 'ipv4') appendNewRoute(batch, flags, { ...common, prefix: hostPrefix(gateway) });
  for (const prefix of routes) appendNewRoute(batch, flags, { ...common, prefix, gateway });
}

/** Answers to what comes in here leave here: by a rule on the source and a table of the interface's own. */
function appendFurtherRoutes(
  batch: MessageBatch,
  wiring: Wiring,
  interfaceIndex: number,
  gateway: IpAddress,
  routes: readonly Prefix[],
): void {
  const family = familyOf(gateway);
  const metric = POD_FURTHER_METRIC + interfaceIndex;
  const table = POD_FURTHER_TABLE + interfaceIndex;
  const common = { protocol: ROUTE_PROTOCOL, interfaceIndex };
  const flags = NLM_F.CREATE | NLM_F.EXCL;
  const everything = (family === 'ipv4' ? '0.0.0.0/0' : '::/0') as Prefix;
  if (family === 'ipv4') {
    appendNewRoute(batch, flags, { ...common, prefix: hostPrefix(gateway), metric });
    appendNewRoute(batch, flags, { ...common, prefix: hostPrefix(gateway), table });
  }
  for (const prefix of routes) appendNewRoute(batch, flags, { ...common, prefix, gateway, metric });
  appendNewRoute(batch, flags, { ...common, prefix: everything, gateway, table });
  for (const source of wiring.addresses) {
    if (familyOf(source) === family) appendNewSourceRule(batch, sourceRule(source, interfaceIndex));
  }
}

/** What sends an address's packets out by the further interface that has it. */
export const sourceRule = (source: IpAddress, interfaceIndex: number): SourceRule => ({
  source,
  table: POD_FURTHER_TABLE + interfaceIndex,
  priority: POD_RULE_PRIORITY,
  protocol: ROUTE_PROTOCOL,
});

/** The index of the interface that a rule of ours is for; `undefined` for others' rules. */
export const interfaceOfRule = (rule: SourceRule): number | undefined =>
  rule.protocol === ROUTE_PROTOCOL && rule.priority === POD_RULE_PRIORITY && rule.table > POD_FURTHER_TABLE
    ? rule.table - POD_FURTHER_TABLE
    : undefined;

/** Answers the index of the message that asks for no link-local address, which a node without IPv6 refuses. */
export function appendHostRecord(batch: MessageBatch, hostIndex: number, alias: string): number {
  appendSetLink(batch, { index: hostIndex }, { alias, ipv4Settings: { [IPV4_DEVCONF.RP_FILTER]: 1 } });
  return appendSetLink(batch, { index: hostIndex }, { addressGeneration: IN6_ADDR_GEN_MODE.NONE });
}

/**
 * The group before the link comes up, in a message of its own: the kernel goes through its whole IPv6 table for every
 * setting of a link that is up. The pod's end came up first, and such a one sends nothing before the kernel's link watch has
 * run, which waits for RTNL; asking for the link makes it run at once (Linux 6.8 and later). Answers the index of that message.
 */
export function appendHostLive(
  batch: MessageBatch,
  wiring: Wiring,
  pair: Pair,
  node: NodeAddresses,
): number | undefined {
  const { hostIndex, podIndex, podNamespace } = pair;
  appendGroup(batch, hostIndex, LINK_GROUP.live);
  appendSetLink(batch, { index: hostIndex }, { up: true });
  for (const address of wiring.addresses) {
    appendHostNeighbour(batch, hostIndex, address, wiring.mac);
    appendHostRoute(batch, hostIndex, address, node);
  }
  return podNamespace === undefined ? undefined : appendGetLink(batch, { index: podIndex }, podNamespace);
}

export function appendHostNeighbour(batch: MessageBatch, hostIndex: number, address: IpAddress, mac: string): void {
  appendNewNeighbour(batch, { interfaceIndex: hostIndex, address, hardwareAddress: hardwareAddressBytes(mac) });
}

/** Replaces a route of an earlier life; the veth that it points at decides whose the address is. */
export function appendHostRoute(batch: MessageBatch, hostIndex: number, address: IpAddress, node: NodeAddresses): void {
  const preferredSource = node[familyOf(address)];
  appendNewRoute(batch, NLM_F.CREATE | NLM_F.REPLACE, {
    prefix: hostPrefix(address),
    protocol: ROUTE_PROTOCOL,
    interfaceIndex: hostIndex,
    ...(preferredSource === undefined ? {} : { preferredSource }),
  });
}

export function appendGroup(batch: MessageBatch, hostIndex: number, group: number): void {
  appendSetLink(batch, { index: hostIndex }, { group });
}

/** The fence first, then the routes: from here on nothing that the pod sends counts, and nothing reaches it. */
export function appendPart(batch: MessageBatch, hostIndex: number, addresses: readonly IpAddress[]): void {
  appendGroup(batch, hostIndex, LINK_GROUP.dying);
  for (const address of addresses)
    appendDelRoute(batch, { prefix: hostPrefix(address), protocol: ROUTE_PROTOCOL, interfaceIndex: hostIndex });
}
