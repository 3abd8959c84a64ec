/**
 * RTM_*ROUTE. Two forms of each direction: values for people and few routes, and a packed one without objects for tables
 * of hundreds of thousands.
 */
import { addressBytes, type IpAddress, type Prefix, prefixFromBytes, prefixParts } from '#lib/ip.ts';
import { readAddress } from './address.ts';
import type { MessageBatch } from './batch.ts';
import { AF, NLM_F, RT_SCOPE, RT_TABLE, RTA, RTM, RTN, RTNH_F } from './constants.ts';
import { eachAttribute, type MessageHeader, NLA_TYPE_MASK, type WireReader } from './reader.ts';

export interface RouteHop {
  readonly gateway: IpAddress | undefined;
  readonly interfaceIndex: number;
  readonly weight: number;
  /** RTNH_F_* bits. */
  readonly flags: number;
}

export interface Route {
  readonly prefix: Prefix;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  /** RTN_*. */
  readonly type: number;
  /** DSCP selector; routes that differ in it are different routes. */
  readonly tos: number;
  /** 0 when the kernel names none. */
  readonly metric: number;
  readonly preferredSource: IpAddress | undefined;
  readonly nexthopId: number | undefined;
  /** Gateway of either family. */
  readonly gateway: IpAddress | undefined;
  readonly interfaceIndex: number | undefined;
  readonly multipath: readonly RouteHop[];
  /** RTM_F_* and RTNH_F_* bits. */
  readonly flags: number;
}

export interface RouteRequest {
  readonly prefix: Prefix;
  readonly protocol: number;
  /** RT_TABLE_*; main by default. */
  readonly table?: number;
  /** RTN_*; unicast by default. */
  readonly type?: number;
  /** By default link where there is only an interface, otherwise universe; a delete matches any. */
  readonly scope?: number;
  readonly metric?: number;
  readonly gateway?: IpAddress;
  readonly interfaceIndex?: number;
  readonly preferredSource?: IpAddress;
  readonly nexthopId?: number;
  readonly multipath?: readonly { readonly gateway: IpAddress; readonly interfaceIndex: number }[];
  /** The gateway is reachable on the interface whatever the routes say. */
  readonly onlink?: boolean;
}

/** `flags`: NLM_F_CREATE with EXCL, REPLACE or APPEND. */
export function appendNewRoute(batch: MessageBatch, flags: number, request: RouteRequest): number {
  return appendRoute(batch, RTM.NEWROUTE, flags, request);
}

/** Deletes a route that agrees with everything the request names, its protocol included. ESRCH: there is none. */
export function appendDelRoute(batch: MessageBatch, request: RouteRequest): number {
  return appendRoute(batch, RTM.DELROUTE, 0, request);
}

function defaultScope(type: number, request: RouteRequest): number {
  if (type === RTM.DELROUTE) return RT_SCOPE.NOWHERE;
  const direct = request.gateway === undefined && request.nexthopId === undefined && request.multipath === undefined;
  return direct && request.interfaceIndex !== undefined ? RT_SCOPE.LINK : RT_SCOPE.UNIVERSE;
}

function appendRoute(batch: MessageBatch, type: number, flags: number, request: RouteRequest): number {
  const { family, bytes, length } = prefixParts(request.prefix);
  const table = request.table ?? RT_TABLE.MAIN;
  const index = batch.begin(type, flags);
  batch
    .u8(family === 'ipv4' ? AF.INET : AF.INET6)
    .u8(length)
    .u8(0)
    .u8(0)
    .u8(table < 256 ? table : 0)
    .u8(request.protocol)
    .u8(request.scope ?? defaultScope(type, request))
    .u8(request.type ?? RTN.UNICAST)
    .u32(request.onlink === true ? RTNH_F.ONLINK : 0);
  if (length > 0) batch.attributeBytes(RTA.DST, bytes);
  batch.attributeU32(RTA.TABLE, table);
  if (request.metric !== undefined) batch.attributeU32(RTA.PRIORITY, request.metric);
  if (request.gateway !== undefined) appendGateway(batch, bytes.length, request.gateway);
  if (request.interfaceIndex !== undefined) batch.attributeU32(RTA.OIF, request.interfaceIndex);
  if (request.preferredSource !== undefined) batch.attributeBytes(RTA.PREFSRC, addressBytes(request.preferredSource));
  if (request.nexthopId !== undefined) batch.attributeU32(RTA.NH_ID, request.nexthopId);
  if (request.multipath !== undefined) {
    const paths = batch.nestBegin(RTA.MULTIPATH, false);
    for (const hop of request.multipath) {
      const at = batch.byteLength;
      // struct rtnexthop begins with its own length, as an attribute does; flags and hops share the next two bytes.
      batch.u16(0).u8(0).u8(0).u32(hop.interfaceIndex);
      appendGateway(batch, bytes.length, hop.gateway);
      batch.nestEnd(at);
    }
    batch.nestEnd(paths);
  }
  batch.end();
  return index;
}

function appendGateway(batch: MessageBatch, size: number, gateway: IpAddress): void {
  const bytes = addressBytes(gateway);
  if (bytes.length === size) batch.attributeBytes(RTA.GATEWAY, bytes);
  else {
    // RFC 8950: an IPv4 route by an IPv6 gateway. RTA_VIA is the family and the address.
    const via = new Uint8Array(2 + bytes.length);
    new Uint16Array(via.buffer, 0, 1)[0] = bytes.length === 4 ? AF.INET : AF.INET6;
    via.set(bytes, 2);
    batch.attributeBytes(RTA.VIA, via);
  }
}

/** A route by nexthop id from packed bytes: what tables of learned routes are written with. */
export interface PackedRoutes {
  readonly table: number;
  readonly protocol: number;
  readonly metric: number;
}

/** `size` is 4 or 16: that many address bytes from `offset`. `nexthopId` 0 in a delete matches any. */
export function appendPackedRoute(
  batch: MessageBatch,
  type: number,
  flags: number,
  common: PackedRoutes,
  size: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  nexthopId: number,
  preferredSource: Uint8Array | undefined,
): number {
  const index = batch.begin(type, flags);
  batch
    .u8(size === 4 ? AF.INET : AF.INET6)
    .u8(length)
    .u8(0)
    .u8(0)
    .u8(common.table < 256 ? common.table : 0)
    .u8(common.protocol)
    .u8(type === RTM.DELROUTE ? RT_SCOPE.NOWHERE : RT_SCOPE.UNIVERSE)
    .u8(RTN.UNICAST)
    .u32(0);
  if (length > 0) batch.attributeBytes(RTA.DST, bytes, offset, size);
  if (common.table >= 256) batch.attributeU32(RTA.TABLE, common.table);
  batch.attributeU32(RTA.PRIORITY, common.metric);
  if (preferredSource !== undefined) batch.attributeBytes(RTA.PREFSRC, preferredSource);
  if (nexthopId !== 0) batch.attributeU32(RTA.NH_ID, nexthopId);
  batch.end();
  return index;
}

/** What a dump of routes may be limited to by the kernel itself. */
export interface RouteDumpFilter {
  readonly family: 'ipv4' | 'ipv6';
  readonly table?: number;
  readonly protocol?: number;
  /** RTN_*. */
  readonly type?: number;
}

/** A table that does not exist is answered with ENOENT. */
export function appendDumpRoutes(batch: MessageBatch, filter: RouteDumpFilter): void {
  batch.begin(RTM.GETROUTE, NLM_F.DUMP);
  const table = filter.table ?? 0;
  batch
    .u8(filter.family === 'ipv4' ? AF.INET : AF.INET6)
    .u8(0)
    .u8(0)
    .u8(0)
    .u8(table < 256 ? table : 0)
    .u8(filter.protocol ?? 0)
    .u8(0)
    .u8(filter.type ?? 0)
    .u32(0);
  if (table !== 0) batch.attributeU32(RTA.TABLE, table);
  batch.end();
}

/** Reads RTM_NEWROUTE and RTM_DELROUTE of IPv4 and IPv6; `undefined` when the message is cut or of another family. */
export function decodeRoute(reader: WireReader, message: MessageHeader): Route | undefined {
  const { payload, end } = message;
  if (end - payload < 12) return undefined;
  const family = reader.u8(payload);
  if (family !== AF.INET && family !== AF.INET6) return undefined;
  const size = family === AF.INET ? 4 : 16;
  const length = reader.u8(payload + 1);
  let bytes: Uint8Array | undefined;
  let table = reader.u8(payload + 4);
  let metric = 0;
  let preferredSource: IpAddress | undefined;
  let nexthopId: number | undefined;
  let gateway: IpAddress | undefined;
  let interfaceIndex: number | undefined;
  let multipath: readonly RouteHop[] | undefined = [];
  const whole = eachAttribute(reader, payload + 12, end, (type, at, attributeLength) => {
    if (type === RTA.DST && attributeLength === size) bytes = reader.bytes.subarray(at, at + size);
    else if (type === RTA.GATEWAY) gateway = readAddress(reader, at, attributeLength);
    else if (type === RTA.VIA && attributeLength > 2) gateway = readAddress(reader, at + 2, attributeLength - 2);
    else if (type === RTA.PREFSRC) preferredSource = readAddress(reader, at, attributeLength);
    else if (type === RTA.MULTIPATH) multipath = decodeHops(reader, at, at + attributeLength);
    else if (attributeLength >= 4) {
      if (type === RTA.OIF) interfaceIndex = reader.u32(at);
      else if (type === RTA.PRIORITY) metric = reader.u32(at);
      else if (type === RTA.TABLE) table = reader.u32(at);
      else if (type === RTA.NH_ID) nexthopId = reader.u32(at);
    }
  });
  if (!whole || multipath === undefined || length > 8 * size) return undefined;
  return {
    prefix: prefixFromBytes(bytes ?? new Uint8Array(size), length),
    table,
    protocol: reader.u8(payload + 5),
    scope: reader.u8(payload + 6),
    type: reader.u8(payload + 7),
    tos: reader.u8(payload + 3),
    metric,
    preferredSource,
    nexthopId,
    gateway,
    interfaceIndex,
    multipath,
    flags: reader.u32(payload + 8),
  };
}

function decodeHops(reader: WireReader, from: number, end: number): readonly RouteHop[] | undefined {
  const hops: RouteHop[] = [];
  let at = from;
  while (end - at >= 8) {
    const size = reader.u16(at);
    if (size < 8 || at + size > end) return undefined;
    let gateway: IpAddress | undefined;
    const whole = eachAttribute(reader, at + 8, at + size, (type, valueAt, length) => {
      if (type === RTA.GATEWAY) gateway = readAddress(reader, valueAt, length);
      else if (type === RTA.VIA && length > 2) gateway = readAddress(reader, valueAt + 2, length - 2);
    });
    if (!whole) return undefined;
    hops.push({ gateway, interfaceIndex: reader.u32(at + 4), weight: reader.u8(at + 3) + 1, flags: reader.u8(at + 2) });
    at += (size + 3) & ~3;
  }
  return hops;
}

/** One row of a table as positions in the datagram; filled anew for each route by decodePackedRoute. */
export interface PackedRoute {
  size: number;
  length: number;
  /** Where the address bytes are in the reader, or -1 for the all-zero address. */
  addressAt: number;
  table: number;
  protocol: number;
  type: number;
  tos: number;
  metric: number;
  nexthopId: number;
  /** Where the preferred source is, or -1. */
  preferredSourceAt: number;
}

export const emptyPackedRoute = (): PackedRoute => ({
  size: 4,
  length: 0,
  addressAt: -1,
  table: 0,
  protocol: 0,
  type: 0,
  tos: 0,
  metric: 0,
  nexthopId: 0,
  preferredSourceAt: -1,
});

/** Reads a route without making anything; false when it is cut or of another family. */
export function decodePackedRoute(reader: WireReader, message: MessageHeader, out: PackedRoute): boolean {
  const { payload, end } = message;
  if (end - payload < 12) return false;
  const family = reader.u8(payload);
  if (family !== AF.INET && family !== AF.INET6) return false;
  out.size = family === AF.INET ? 4 : 16;
  out.length = reader.u8(payload + 1);
  out.tos = reader.u8(payload + 3);
  out.table = reader.u8(payload + 4);
  out.protocol = reader.u8(payload + 5);
  out.type = reader.u8(payload + 7);
  out.addressAt = -1;
  out.metric = 0;
  out.nexthopId = 0;
  out.preferredSourceAt = -1;
  let at = payload + 12;
  while (end - at >= 4) {
    const size = reader.u16(at);
    if (size < 4 || at + size > end) return false;
    const type = reader.u16(at + 2) & NLA_TYPE_MASK;
    if (type === RTA.DST && size === 4 + out.size) out.addressAt = at + 4;
    else if (type === RTA.PREFSRC && size === 4 + out.size) out.preferredSourceAt = at + 4;
    else if (size >= 8) {
      if (type === RTA.PRIORITY) out.metric = reader.u32(at + 4);
      else if (type === RTA.TABLE) out.table = reader.u32(at + 4);
      else if (type === RTA.NH_ID) out.nexthopId = reader.u32(at + 4);
    }
    at += (size + 3) & ~3;
  }
  return at >= end && out.length <= 8 * out.size;
}
