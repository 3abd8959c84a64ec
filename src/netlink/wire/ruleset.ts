/**
 * What is known of nftables rulesets over NETLINK_NETFILTER (uapi/linux/netfilter/nf_tables.h) without reading rules: the
 * generation of a namespace, which every transaction of anybody makes one greater, and is told; chains with
 * hook and policy; and the handles of rules. A rule is never changed in place: another one has another handle.
 */
import type { MessageBatch } from './batch.ts';
import { NLM_F } from './constants.ts';
import { eachAttribute, type MessageHeader, type WireReader } from './reader.ts';

/** Multicast group of NETLINK_NETFILTER: every change of rulesets; the generation is told last. */
export const NFNLGRP_NFTABLES = 7;
/** nfnetlink message types: subsystem in the upper byte. */
const NFNL_SUBSYS_NFTABLES = 10 << 8;
const NFT_MSG = {
  NEWTABLE: NFNL_SUBSYS_NFTABLES | 0,
  GETTABLE: NFNL_SUBSYS_NFTABLES | 1,
  NEWCHAIN: NFNL_SUBSYS_NFTABLES | 3,
  GETCHAIN: NFNL_SUBSYS_NFTABLES | 4,
  NEWRULE: NFNL_SUBSYS_NFTABLES | 6,
  GETRULE: NFNL_SUBSYS_NFTABLES | 7,
  NEWGEN: NFNL_SUBSYS_NFTABLES | 15,
} as const;
/** The one message that is told at the end of every transaction. */
export const RULESET_CHANGED = NFT_MSG.NEWGEN;
export const NFPROTO = { UNSPEC: 0, INET: 1, IPV4: 2, ARP: 3, IPV6: 10 } as const;
/** NF_INET_FORWARD, of INET, IPV4 and IPV6. */
export const HOOK_FORWARD = 2;
export const NF_DROP = 0;

const NFTA_TABLE = { NAME: 1, FLAGS: 2, HANDLE: 4 } as const;
const NFTA_CHAIN = { TABLE: 1, HANDLE: 2, NAME: 3, HOOK: 4, POLICY: 5 } as const;
const NFTA_HOOK = { HOOKNUM: 1, PRIORITY: 2 } as const;
const NFTA_RULE = { TABLE: 1, CHAIN: 2, HANDLE: 3 } as const;
const NFTA_GEN = { ID: 1, PROC_NAME: 3 } as const;

export interface RulesetTable {
  readonly name: string;
  /** NFT_TABLE_F_DORMANT is 1: its chains hook nothing. */
  readonly flags: number;
  readonly handle: bigint;
}

export interface RulesetChain {
  /** NFPROTO_*. */
  readonly family: number;
  readonly table: string;
  readonly name: string;
  readonly handle: bigint;
  /** `undefined`: a chain that only others jump to. */
  readonly hook: { readonly number: number; readonly priority: number } | undefined;
  /** NF_DROP or NF_ACCEPT; `undefined` without hook. */
  readonly policy: number | undefined;
}

/** struct nfgenmsg: family, version 0, resource id 0. */
const appendHeader = (batch: MessageBatch, family: number): MessageBatch => batch.u8(family).u8(0).u16(0);

/** One table; ENOENT when there is none. */
export function appendGetTable(batch: MessageBatch, family: number, table: string): number {
  const index = batch.begin(NFT_MSG.GETTABLE, 0);
  appendHeader(batch, family).attributeString(NFTA_TABLE.NAME, table);
  batch.end();
  return index;
}

/** One chain; ENOENT when there is none. */
export function appendGetChain(batch: MessageBatch, family: number, table: string, chain: string): number {
  const index = batch.begin(NFT_MSG.GETCHAIN, 0);
  appendHeader(batch, family).attributeString(NFTA_CHAIN.TABLE, table).attributeString(NFTA_CHAIN.NAME, chain);
  batch.end();
  return index;
}

/** All chains of all families. */
export function appendDumpChains(batch: MessageBatch): void {
  batch.begin(NFT_MSG.GETCHAIN, NLM_F.DUMP);
  appendHeader(batch, NFPROTO.UNSPEC);
  batch.end();
}

/** The rules of one chain, in their order. */
export function appendDumpRules(batch: MessageBatch, family: number, table: string, chain: string): void {
  batch.begin(NFT_MSG.GETRULE, NLM_F.DUMP);
  appendHeader(batch, family).attributeString(NFTA_RULE.TABLE, table).attributeString(NFTA_RULE.CHAIN, chain);
  batch.end();
}

/** nf_tables writes its numbers in network order. */
const view = (reader: WireReader, at: number, length: number): DataView =>
  new DataView(reader.bytes.buffer, reader.bytes.byteOffset + at, length);
const u32 = (reader: WireReader, at: number, length: number): number =>
  length === 4 ? view(reader, at, 4).getUint32(0, false) : 0;
const u64 = (reader: WireReader, at: number, length: number): bigint =>
  length === 8 ? view(reader, at, 8).getBigUint64(0, false) : 0n;

/** Attributes of a message of this type; false when it is another or is cut. */
function attributes(
  reader: WireReader,
  message: MessageHeader,
  type: number,
  visit: (type: number, at: number, length: number) => void,
): boolean {
  if (message.type !== type || message.end - message.payload < 4) return false;
  return eachAttribute(reader, message.payload + 4, message.end, visit);
}

/** What is told at the end of a transaction; `undefined` when the message is another or is cut. */
export function decodeRulesetChange(
  reader: WireReader,
  message: MessageHeader,
): { readonly generation: number; readonly program: string } | undefined {
  let generation = 0;
  let program = '';
  const whole = attributes(reader, message, NFT_MSG.NEWGEN, (type, at, length) => {
    if (type === NFTA_GEN.ID) generation = u32(reader, at, length);
    else if (type === NFTA_GEN.PROC_NAME) program = reader.text(at, length);
  });
  return whole ? { generation, program } : undefined;
}

/** `undefined` when the message is no table or is cut. */
export function decodeTable(reader: WireReader, message: MessageHeader): RulesetTable | undefined {
  let name = '';
  let flags = 0;
  let handle = 0n;
  const whole = attributes(reader, message, NFT_MSG.NEWTABLE, (type, at, length) => {
    if (type === NFTA_TABLE.NAME) name = reader.text(at, length);
    else if (type === NFTA_TABLE.FLAGS) flags = u32(reader, at, length);
    else if (type === NFTA_TABLE.HANDLE) handle = u64(reader, at, length);
  });
  return whole ? { name, flags, handle } : undefined;
}

/** `undefined` when the message is no chain or is cut. */
export function decodeChain(reader: WireReader, message: MessageHeader): RulesetChain | undefined {
  let table = '';
  let name = '';
  let handle = 0n;
  let hook: RulesetChain['hook'];
  let policy: number | undefined;
  const whole = attributes(reader, message, NFT_MSG.NEWCHAIN, (type, at, length) => {
    if (type === NFTA_CHAIN.TABLE) table = reader.text(at, length);
    else if (type === NFTA_CHAIN.NAME) name = reader.text(at, length);
    else if (type === NFTA_CHAIN.HANDLE) handle = u64(reader, at, length);
    else if (type === NFTA_CHAIN.POLICY) policy = u32(reader, at, length);
    else if (type === NFTA_CHAIN.HOOK) hook = decodeHook(reader, at, length);
  });
  if (!whole) return undefined;
  return { family: reader.u8(message.payload), table, name, handle, hook, policy };
}

function decodeHook(reader: WireReader, start: number, size: number): RulesetChain['hook'] {
  let number = 0;
  let priority = 0;
  eachAttribute(reader, start, start + size, (type, at, length) => {
    if (type === NFTA_HOOK.HOOKNUM) number = u32(reader, at, length);
    else if (type === NFTA_HOOK.PRIORITY && length === 4) priority = view(reader, at, 4).getInt32(0, false);
  });
  return { number, priority };
}

/** The handle of a rule; `undefined` when the message is no rule or is cut. */
export function decodeRuleHandle(reader: WireReader, message: MessageHeader): bigint | undefined {
  let handle: bigint | undefined;
  const whole = attributes(reader, message, NFT_MSG.NEWRULE, (type, at, length) => {
    if (type === NFTA_RULE.HANDLE) handle = u64(reader, at, length);
  });
  return whole ? handle : undefined;
}
