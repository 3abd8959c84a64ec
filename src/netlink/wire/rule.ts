/** RTM_NEWRULE: which table a packet is looked up in, by its source address (uapi/linux/fib_rules.h). */
import { addressBytes, type IpAddress } from '#lib/ip.ts';
import type { MessageBatch } from './batch.ts';
import { AF, NLM_F } from './constants.ts';

const RTM_NEWRULE = 32;
const FRA = { SRC: 2, PRIORITY: 6, TABLE: 15, PROTOCOL: 21 } as const;
const FR_ACT_TO_TBL = 1;

export interface SourceRule {
  readonly source: IpAddress;
  readonly table: number;
  readonly priority: number;
  readonly protocol: number;
}

/** EEXIST: there is one like it. */
export function appendNewSourceRule(batch: MessageBatch, rule: SourceRule): number {
  const bytes = addressBytes(rule.source);
  const index = batch.begin(RTM_NEWRULE, NLM_F.CREATE | NLM_F.EXCL);
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
