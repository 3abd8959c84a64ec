/**
 * The generation of a namespace's nftables rulesets over NETLINK_NETFILTER (uapi/linux/netfilter/nf_tables.h): one number
 * for all tables, which every transaction of anybody makes one greater.
 */
import type { MessageBatch } from './batch.ts';
import { eachAttribute, type MessageHeader, type WireReader } from './reader.ts';

/** nfnetlink message types: subsystem in the upper byte. */
const NFNL_SUBSYS_NFTABLES = 10 << 8;
const NFT_MSG_NEWGEN = NFNL_SUBSYS_NFTABLES | 15;
const NFT_MSG_GETGEN = NFNL_SUBSYS_NFTABLES | 16;
const NFTA_GEN_ID = 1;

export function appendGetRulesetGeneration(batch: MessageBatch): number {
  const index = batch.begin(NFT_MSG_GETGEN, 0);
  // struct nfgenmsg: family, version 0, resource id 0.
  batch.u8(0).u8(0).u16(0);
  batch.end();
  return index;
}

/** `undefined` when the message is none of a generation or is cut. */
export function decodeRulesetGeneration(reader: WireReader, message: MessageHeader): number | undefined {
  if (message.type !== NFT_MSG_NEWGEN || message.end - message.payload < 4) return undefined;
  let generation: number | undefined;
  const whole = eachAttribute(reader, message.payload + 4, message.end, (type, at, length) => {
    // nf_tables writes its numbers in network order.
    if (type === NFTA_GEN_ID && length === 4)
      generation = new DataView(reader.bytes.buffer, reader.bytes.byteOffset + at, 4).getUint32(0, false);
  });
  return whole ? generation : undefined;
}
