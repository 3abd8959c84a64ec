/** RTM_*NSID: the number by which this network namespace knows another one (uapi/linux/net_namespace.h). */
import type { MessageBatch } from './batch.ts';
import { AF, NETNSA, RTM } from './constants.ts';
import { eachAttribute, type MessageHeader, type WireReader } from './reader.ts';

/** Asks for the number of the namespace of an open descriptor. */
export function appendGetNamespaceId(batch: MessageBatch, fd: number): number {
  const index = batch.begin(RTM.GETNSID, 0);
  // struct rtgenmsg, padded.
  batch.u8(AF.UNSPEC).u8(0).u16(0);
  batch.attributeU32(NETNSA.FD, fd);
  batch.end();
  return index;
}

/** `undefined` when it has no number, which is so as long as no interface here has its other end there. */
export function decodeNamespaceId(reader: WireReader, message: MessageHeader): number | undefined {
  if (message.type !== RTM.NEWNSID || message.end - message.payload < 4) return undefined;
  let id = -1;
  const whole = eachAttribute(reader, message.payload + 4, message.end, (type, at, length) => {
    if (type === NETNSA.NSID && length >= 4) id = reader.i32(at);
  });
  return whole && id >= 0 ? id : undefined;
}
