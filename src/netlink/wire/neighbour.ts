/** RTM_*NEIGH: which hardware address a neighbour has. */
import { addressBytes, type IpAddress } from '#lib/ip.ts';
import { readAddress } from './address.ts';
import type { MessageBatch } from './batch.ts';
import { AF, NDA, NLM_F, NUD, RTM } from './constants.ts';
import { hardwareAddressText } from './link.ts';
import { eachAttribute, type MessageHeader, type WireReader } from './reader.ts';

export interface Neighbour {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  /** `02:00:00:00:00:01`; empty while it is not known. */
  readonly hardwareAddress: string;
  /** NUD_* bits. */
  readonly state: number;
  /** NTF_* bits; NTF_ROUTER says that it forwards. */
  readonly flags: number;
}

export interface NeighbourRequest {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  /** Six bytes. */
  readonly hardwareAddress: Uint8Array;
  /** NUD_*; permanent by default. */
  readonly state?: number;
}

function appendHeader(batch: MessageBatch, bytes: Uint8Array, interfaceIndex: number, state: number): void {
  batch
    .u8(bytes.length === 4 ? AF.INET : AF.INET6)
    .u8(0)
    .u16(0)
    .u32(interfaceIndex)
    .u16(state)
    .u8(0)
    .u8(0)
    .attributeBytes(NDA.DST, bytes);
}

/** Makes the entry or sets the one that is there. */
export function appendNewNeighbour(batch: MessageBatch, request: NeighbourRequest): number {
  const index = batch.begin(RTM.NEWNEIGH, NLM_F.CREATE | NLM_F.REPLACE);
  appendHeader(batch, addressBytes(request.address), request.interfaceIndex, request.state ?? NUD.PERMANENT);
  batch.attributeBytes(NDA.LLADDR, request.hardwareAddress);
  batch.end();
  return index;
}

/** ENOENT: there is none. */
export function appendDelNeighbour(batch: MessageBatch, interfaceIndex: number, address: IpAddress): number {
  const index = batch.begin(RTM.DELNEIGH, 0);
  appendHeader(batch, addressBytes(address), interfaceIndex, 0);
  batch.end();
  return index;
}

export function appendDumpNeighbours(batch: MessageBatch): void {
  batch.begin(RTM.GETNEIGH, NLM_F.DUMP);
  batch.u8(AF.UNSPEC).u8(0).u16(0).u32(0).u16(0).u8(0).u8(0);
  batch.end();
}

/** Reads RTM_NEWNEIGH and RTM_DELNEIGH; `undefined` when the message is cut or of another family. */
export function decodeNeighbour(reader: WireReader, message: MessageHeader): Neighbour | undefined {
  const { payload, end } = message;
  if (end - payload < 12) return undefined;
  let address: IpAddress | undefined;
  let hardwareAddress = '';
  const whole = eachAttribute(reader, payload + 12, end, (type, at, length) => {
    if (type === NDA.DST) address = readAddress(reader, at, length);
    else if (type === NDA.LLADDR) hardwareAddress = hardwareAddressText(reader, at, length);
  });
  if (!whole || address === undefined) return undefined;
  return {
    interfaceIndex: reader.u32(payload + 4),
    address,
    hardwareAddress,
    state: reader.u16(payload + 8),
    flags: reader.u8(payload + 10),
  };
}
