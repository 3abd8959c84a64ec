/**
 * Fields of a protobuf message without its definition: version 3 of the interface carries NLRI, attributes and capabilities in
 * google.protobuf.Any, whose type is a name. Bounded by the bytes; what does not parse ends the reading.
 */
import type { AnyMessage } from './messages.ts';

export interface Fields {
  /** The first varint of a field; 0 where there is none. */
  number(field: number): number;
  /** All length-delimited values of a field. */
  all(field: number): readonly Uint8Array[];
  text(field: number): string;
}

const decoder = new TextDecoder();
const none: readonly Uint8Array[] = [];

export function fieldsOf(message: Uint8Array): Fields {
  const numbers = new Map<number, number>();
  const values = new Map<number, Uint8Array[]>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < message.length; scale *= 128) {
      const byte = message[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < message.length) {
    const key = varint();
    const field = Math.floor(key / 8);
    const kind = key % 8;
    if (kind === 0) {
      const value = varint();
      if (!numbers.has(field)) numbers.set(field, value);
    } else if (kind === 2) {
      const length = varint();
      const value = message.subarray(at, at + length);
      at += length;
      const present = values.get(field);
      if (present === undefined) values.set(field, [value]);
      else present.push(value);
    } else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else break;
  }
  return {
    number: (field) => numbers.get(field) ?? 0,
    all: (field) => values.get(field) ?? none,
    text: (field) => decoder.decode(values.get(field)?.[0]),
  };
}

export const isAny = (message: object): message is AnyMessage => 'type_url' in message;
/** `MpReachNLRIAttribute` of `type.googleapis.com/apipb.MpReachNLRIAttribute`. */
export const typeOfAny = ({ type_url: url }: AnyMessage): string => url.slice(url.lastIndexOf('.') + 1);
