/**
 * Connection tracking entries over NETLINK_NETFILTER (uapi/linux/netfilter/nfnetlink_conntrack.h): read all of a family,
 * delete some. Only what is needed to recognise an entry by its addresses is decoded; its original tuple is kept as bytes.
 */
import type { MessageBatch } from './batch.ts';
import { AF, NLM_F } from './constants.ts';
import { eachAttribute, type MessageHeader, type WireReader } from './reader.ts';

/** nfnetlink message types: subsystem in the upper byte. */
const NFNL_SUBSYS_CTNETLINK = 1 << 8;
const IPCTNL_MSG_CT_NEW = NFNL_SUBSYS_CTNETLINK | 0;
const IPCTNL_MSG_CT_GET = NFNL_SUBSYS_CTNETLINK | 1;
const IPCTNL_MSG_CT_DELETE = NFNL_SUBSYS_CTNETLINK | 2;
const NLA_F_NESTED = 0x8000;

const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, ID: 12, ZONE: 18 } as const;
const CTA_TUPLE_IP = 1;
/** CTA_IP_V4_SRC, V4_DST, V6_SRC, V6_DST. */
const LAST_CTA_IP = 4;

export interface ConntrackEntry {
  readonly family: number;
  /** Source and destination of both directions, four or sixteen bytes each, as hex. */
  readonly addresses: readonly string[];
  readonly original: Uint8Array;
  /** As bytes, in the kernel's own order. */
  readonly id: Uint8Array | undefined;
  readonly zone: Uint8Array | undefined;
}

function appendHeader(batch: MessageBatch, family: number): void {
  // struct nfgenmsg: family, version 0, resource id 0.
  batch.u8(family).u8(0).u16(0);
}

export function appendDumpConntrack(batch: MessageBatch, family: 'ipv4' | 'ipv6'): void {
  batch.begin(IPCTNL_MSG_CT_GET, NLM_F.DUMP);
  appendHeader(batch, family === 'ipv4' ? AF.INET : AF.INET6);
  batch.end();
}

/** Deletes exactly this entry: its id keeps a new one with the same tuple alive. ENOENT: it is gone. */
export function appendDelConntrack(batch: MessageBatch, entry: ConntrackEntry): number {
  const index = batch.begin(IPCTNL_MSG_CT_DELETE, 0);
  appendHeader(batch, entry.family);
  batch.attributeBytes(CTA.TUPLE_ORIG | NLA_F_NESTED, entry.original);
  if (entry.zone !== undefined) batch.attributeBytes(CTA.ZONE, entry.zone);
  if (entry.id !== undefined) batch.attributeBytes(CTA.ID, entry.id);
  batch.end();
  return index;
}

/** `undefined` when the message is no entry, is cut, or `isWanted` knows none of its addresses. */
export function decodeConntrack(
  reader: WireReader,
  message: MessageHeader,
  isWanted: (address: string) => boolean,
): ConntrackEntry | undefined {
  if (message.type !== IPCTNL_MSG_CT_NEW || message.end - message.payload < 4) return undefined;
  const addresses: string[] = [];
  let originalAt = 0;
  let originalLength = 0;
  let idAt = 0;
  let zoneAt = 0;
  const whole = eachAttribute(reader, message.payload + 4, message.end, (type, at, length) => {
    if (type === CTA.ID && length === 4) idAt = at;
    else if (type === CTA.ZONE && length === 2) zoneAt = at;
    if (type !== CTA.TUPLE_ORIG && type !== CTA.TUPLE_REPLY) return;
    if (type === CTA.TUPLE_ORIG) {
      originalAt = at;
      originalLength = length;
    }
    eachAttribute(reader, at, at + length, (part, partAt, partLength) => {
      if (part !== CTA_TUPLE_IP) return;
      eachAttribute(reader, partAt, partAt + partLength, (inner, innerAt, innerLength) => {
        if (inner >= 1 && inner <= LAST_CTA_IP)
          addresses.push(
            Buffer.from(reader.bytes.buffer, reader.bytes.byteOffset + innerAt, innerLength).toString('hex'),
          );
      });
    });
  });
  if (!whole || originalLength === 0 || !addresses.some(isWanted)) return undefined;
  return {
    family: reader.u8(message.payload),
    addresses,
    original: reader.slice(originalAt, originalLength),
    id: idAt === 0 ? undefined : reader.slice(idAt, 4),
    zone: zoneAt === 0 ? undefined : reader.slice(zoneAt, 2),
  };
}
