/** RTM_*ADDR: addresses of interfaces. */
import { addressBytes, addressFromBytes, type IpAddress } from '#lib/ip.ts';
import type { MessageBatch } from './batch.ts';
import { AF, IFA, NLM_F, RTM } from './constants.ts';
import { eachAttribute, type MessageHeader, type WireReader } from './reader.ts';

export interface InterfaceAddress {
  readonly interfaceIndex: number;
  /** The address itself (IFA_LOCAL), on a point-to-point interface not the peer's. */
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** IFA_F_* bits. */
  readonly flags: number;
}

/** Four or sixteen bytes as an address; other lengths are none. */
export function readAddress(reader: WireReader, at: number, length: number): IpAddress | undefined {
  return length === 4 || length === 16 ? addressFromBytes(reader.bytes.subarray(at, at + length)) : undefined;
}

export interface AddressRequest {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** RT_SCOPE_*; universe by default. */
  readonly scope?: number;
  /** IFA_F_*: NODAD for an IPv6 address that must work at once. */
  readonly flags?: number;
}

function appendAddress(batch: MessageBatch, type: number, flags: number, request: AddressRequest): number {
  const bytes = addressBytes(request.address);
  const index = batch.begin(type, flags);
  const given = request.flags ?? 0;
  batch
    .u8(bytes.length === 4 ? AF.INET : AF.INET6)
    .u8(request.prefixLength)
    .u8(given & 0xff)
    .u8(request.scope ?? 0)
    .u32(request.interfaceIndex)
    .attributeBytes(IFA.LOCAL, bytes)
    .attributeBytes(IFA.ADDRESS, bytes);
  if (given !== 0) batch.attributeU32(IFA.FLAGS, given);
  batch.end();
  return index;
}

/** EEXIST: the interface has it already. */
export const appendNewAddress = (batch: MessageBatch, request: AddressRequest): number =>
  appendAddress(batch, RTM.NEWADDR, NLM_F.CREATE | NLM_F.EXCL, request);

/** EADDRNOTAVAIL: there is none. */
export const appendDelAddress = (batch: MessageBatch, request: AddressRequest): number =>
  appendAddress(batch, RTM.DELADDR, 0, request);

export function appendDumpAddresses(batch: MessageBatch): void {
  batch.begin(RTM.GETADDR, NLM_F.DUMP);
  batch.u8(AF.UNSPEC).u8(0).u8(0).u8(0).u32(0);
  batch.end();
}

/** Reads RTM_NEWADDR and RTM_DELADDR; `undefined` when the message is cut or of another family. */
export function decodeAddress(reader: WireReader, message: MessageHeader): InterfaceAddress | undefined {
  const { payload, end } = message;
  if (end - payload < 8) return undefined;
  let local: IpAddress | undefined;
  let address: IpAddress | undefined;
  let flags = reader.u8(payload + 2);
  const size = reader.u8(payload) === AF.INET ? 4 : 16;
  const whole = eachAttribute(reader, payload + 8, end, (type, at, length) => {
    if (type === IFA.LOCAL && length === size) local = readAddress(reader, at, length);
    else if (type === IFA.ADDRESS && length === size) address = readAddress(reader, at, length);
    else if (type === IFA.FLAGS && length >= 4) flags = reader.u32(at);
  });
  const own = local ?? address;
  if (!whole || own === undefined) return undefined;
  return {
    interfaceIndex: reader.u32(payload + 4),
    address: own,
    prefixLength: reader.u8(payload + 1),
    scope: reader.u8(payload + 3),
    flags,
  };
}
