/** RTM_*RULE: which table a packet is looked up in, by its source address (uapi/linux/fib_rules.h). */
import { addressBytes, type IpAddress } from '#lib/ip.ts';
import { readAddress } from './address.ts';
import type { MessageBatch } from './batch.ts';
import { AF, NLM_F } from './constants.ts';
import { eachAttribute, type MessageHeader, type WireReader } from './reader.ts';

const RTM_RULE = { NEW: 32, DEL: 33, GET: 34 } as const;
const FRA = { SRC: 2, PRIORITY: 6, TABLE: 15, PROTOCOL: 21 } as const;
const FR_ACT_TO_TBL = 1;

export interface SourceRule {
  readonly source: IpAddress;
  readonly table: number;
  readonly priority: number;
  readonly protocol: number;
}

/** EEXIST: there is one like it. */
export const appendNewSourceRule = (batch: MessageBatch, rule: SourceRule): number =>
  appendRule(batch, RTM_RULE.NEW, NLM_F.CREATE | NLM_F.EXCL, rule);

/** Deletes the rule that agrees with all of it. ENOENT: there is none. */
export const appendDelSourceRule = (batch: MessageBatch, rule: SourceRule): number =>
  appendRule(batch, RTM_RULE.DEL, 0, rule);

function appendRule(batch: MessageBatch, type: number, flags: number, rule: SourceRule): number {
  const bytes = addressBytes(rule.source);
  const index = batch.begin(type, flags);
  batch
    .u8(bytes.length === 4 ? AF.INET : AF.INET6)
    .u8(0)
    .u8(8 * bytes.length)
    .u8(0)
    .u8(rule.table < 256 ? rule.table : 0)
    .u8(0)
    .u8(0)
    .u8(FR_ACT_TO_TBL)
    .u32(0)
    .attributeBytes(FRA.SRC, bytes)
    .attributeU32(FRA.PRIORITY, rule.priority)
    .attributeU32(FRA.TABLE, rule.table)
    .attributeU8(FRA.PROTOCOL, rule.protocol);
  batch.end();
  return index;
}

/** Rules of all families. */
export function appendDumpRules(batch: MessageBatch): void {
  batch.begin(RTM_RULE.GET, NLM_F.DUMP);
  batch.u8(AF.UNSPEC).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u8(0).u32(0);
  batch.end();
}

/** Reads RTM_NEWRULE; `undefined` when the message is cut or the rule is not one about a single source address. */
export function decodeSourceRule(reader: WireReader, message: MessageHeader): SourceRule | undefined {
  const { payload, end } = message;
  if (end - payload < 12) return undefined;
  const sourceLength = reader.u8(payload + 2);
  let table = reader.u8(payload + 4);
  let source: IpAddress | undefined;
  let priority = 0;
  let protocol = 0;
  const whole = eachAttribute(reader, payload + 12, end, (type, at, length) => {
    if (type === FRA.SRC && 8 * length === sourceLength) source = readAddress(reader, at, length);
    else if (type === FRA.PROTOCOL && length >= 1) protocol = reader.u8(at);
    else if (length >= 4) {
      if (type === FRA.PRIORITY) priority = reader.u32(at);
      else if (type === FRA.TABLE) table = reader.u32(at);
    }
  });
  return whole && source !== undefined ? { source, table, priority, protocol } : undefined;
}
