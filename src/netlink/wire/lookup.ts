/** RTM_GETROUTE for one address: the route of the tables that covers it, as it was made (RTM_F_FIB_MATCH), not the resolved path. */
import { addressBytes, type IpAddress } from '#lib/ip.ts';
import type { MessageBatch } from './batch.ts';
import { AF, RTA, RTM } from './constants.ts';

const RTM_F_FIB_MATCH = 0x2000;

/** The answer is read by decodeRoute. ENETUNREACH or EHOSTUNREACH: no route covers the address. */
export function appendLookUpRoute(batch: MessageBatch, address: IpAddress): number {
  const bytes = addressBytes(address);
  const index = batch.begin(RTM.GETROUTE, 0);
  batch
    .u8(bytes.length === 4 ? AF.INET : AF.INET6)
    .u8(8 * bytes.length)
    .u8(0)
    .u8(0)
    .u8(0)
    .u8(0)
    .u8(0)
    .u8(0)
    .u32(RTM_F_FIB_MATCH)
    .attributeBytes(RTA.DST, bytes);
  batch.end();
  return index;
}
