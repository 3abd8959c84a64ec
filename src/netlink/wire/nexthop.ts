/** RTM_*NEXTHOP: nexthop objects, each a gateway on an interface, and groups of them that routes point at by id. */
import { addressBytes, type IpAddress } from '#lib/ip.ts';
import { readAddress } from './address.ts';
import type { MessageBatch } from './batch.ts';
import { AF, NHA, NLM_F, RTM } from './constants.ts';
import { eachAttribute, type MessageHeader, type WireReader } from './reader.ts';

export interface Nexthop {
  readonly id: number;
  readonly protocol: number;
  /** RTNH_F_* bits. */
  readonly flags: number;
  readonly gateway: IpAddress | undefined;
  readonly interfaceIndex: number | undefined;
  readonly blackhole: boolean;
  /** `undefined`: no group. */
  readonly members: readonly { readonly id: number; readonly weight: number }[] | undefined;
}

export interface NexthopRequest {
  readonly id: number;
  readonly protocol: number;
  readonly gateway: IpAddress;
  readonly interfaceIndex: number;
  /** The gateway is reachable there whatever the routes say. */
  readonly onlink?: boolean;
}

export interface NexthopGroupRequest {
  readonly id: number;
  readonly protocol: number;
  /** Ids of single nexthops, each of weight 1. */
  readonly members: readonly number[];
}

const RTNH_F_ONLINK = 4;

/** `flags`: NLM_F_CREATE with EXCL or REPLACE. A group never replaces a single one, nor the other way round. */
export function appendNewNexthop(batch: MessageBatch, flags: number, request: NexthopRequest): number {
  const bytes = addressBytes(request.gateway);
  const index = batch.begin(RTM.NEWNEXTHOP, flags);
  batch
    .u8(bytes.length === 4 ? AF.INET : AF.INET6)
    .u8(0)
    .u8(request.protocol)
    .u8(0)
    .u32(request.onlink === true ? RTNH_F_ONLINK : 0)
    .attributeU32(NHA.ID, request.id)
    .attributeU32(NHA.OIF, request.interfaceIndex)
    .attributeBytes(NHA.GATEWAY, bytes);
  batch.end();
  return index;
}

export function appendNewNexthopGroup(batch: MessageBatch, flags: number, request: NexthopGroupRequest): number {
  const index = batch.begin(RTM.NEWNEXTHOP, flags);
  batch.u8(AF.UNSPEC).u8(0).u8(request.protocol).u8(0).u32(0).attributeU32(NHA.ID, request.id);
  const group = batch.nestBegin(NHA.GROUP, false);
  // struct nexthop_grp: id, weight - 1, weight_high, reserved.
  for (const id of request.members) batch.u32(id).u32(0);
  batch.nestEnd(group);
  batch.end();
  return index;
}

/** Deletes a nexthop or a group, with every route that points at it; a member leaves its groups. ENOENT: there is none. */
export function appendDelNexthop(batch: MessageBatch, id: number): number {
  const index = batch.begin(RTM.DELNEXTHOP, 0);
  batch.u8(AF.UNSPEC).u8(0).u8(0).u8(0).u32(0).attributeU32(NHA.ID, id);
  batch.end();
  return index;
}

export function appendDumpNexthops(batch: MessageBatch): void {
  batch.begin(RTM.GETNEXTHOP, NLM_F.DUMP);
  batch.u8(AF.UNSPEC).u8(0).u8(0).u8(0).u32(0);
  batch.end();
}

/** Reads RTM_NEWNEXTHOP and RTM_DELNEXTHOP; `undefined` when the message is cut. */
export function decodeNexthop(reader: WireReader, message: MessageHeader): Nexthop | undefined {
  const { payload, end } = message;
  if (end - payload < 8) return undefined;
  let id: number | undefined;
  let gateway: IpAddress | undefined;
  let interfaceIndex: number | undefined;
  let blackhole = false;
  let members: { readonly id: number; readonly weight: number }[] | undefined;
  const whole = eachAttribute(reader, payload + 8, end, (type, at, length) => {
    if (type === NHA.ID && length >= 4) id = reader.u32(at);
    else if (type === NHA.GATEWAY) gateway = readAddress(reader, at, length);
    else if (type === NHA.OIF && length >= 4) interfaceIndex = reader.u32(at);
    else if (type === NHA.BLACKHOLE) blackhole = true;
    else if (type === NHA.GROUP) {
      members = [];
      for (let i = at; i + 8 <= at + length; i += 8) members.push({ id: reader.u32(i), weight: reader.u8(i + 4) + 1 });
    }
  });
  if (!whole || id === undefined) return undefined;
  return {
    id,
    protocol: reader.u8(payload + 2),
    flags: reader.u32(payload + 4),
    gateway,
    interfaceIndex,
    blackhole,
    members,
  };
}
