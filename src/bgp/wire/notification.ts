/**
 * NOTIFICATION (RFC 4271 §4.5): bytes, the shutdown text inside (RFC 9003), and the names that people read.
 * In: code, subcode, data. Out: one sentence. The names are the registry's (RFC 4271 §4.5, RFC 4486 §3, RFC 5492 §5,
 * RFC 6608 §3, RFC 7313 §5, RFC 8538 §3, RFC 9384 §3, RFC 9687 §4).
 */
import { ByteWriter } from '#lib/bytes.ts';
import type { Family } from '#lib/ip.ts';
import {
  AFI,
  CEASE,
  MAXIMUM_MESSAGE_BYTES,
  HEADER_BYTES,
  NOTIFICATION_CODE,
  SAFI_UNICAST,
  noData,
  resetWith,
} from './codes.ts';
import { beginMessage, endMessage } from './header.ts';
import { MESSAGE_TYPE } from './messages.ts';
import type { NotificationMessage, Reset } from './messages.ts';

interface CodeRow {
  readonly name: string;
  readonly subcodes: readonly (string | undefined)[];
}

const names: ReadonlyMap<number, CodeRow> = new Map([
  [
    NOTIFICATION_CODE.header,
    {
      name: 'Message Header Error',
      subcodes: [undefined, 'Connection Not Synchronized', 'Bad Message Length', 'Bad Message Type'],
    },
  ],
  [
    NOTIFICATION_CODE.open,
    {
      name: 'OPEN Message Error',
      subcodes: [
        undefined,
        'Unsupported Version Number',
        'Bad Peer AS',
        'Bad BGP Identifier',
        'Unsupported Optional Parameter',
        'Authentication Failure',
        'Unacceptable Hold Time',
        'Unsupported Capability',
        undefined,
        undefined,
        undefined,
        'Role Mismatch',
      ],
    },
  ],
  [
    NOTIFICATION_CODE.update,
    {
      name: 'UPDATE Message Error',
      subcodes: [
        undefined,
        'Malformed Attribute List',
        'Unrecognized Well-known Attribute',
        'Missing Well-known Attribute',
        'Attribute Flags Error',
        'Attribute Length Error',
        'Invalid ORIGIN Attribute',
        'AS Routing Loop',
        'Invalid NEXT_HOP Attribute',
        'Optional Attribute Error',
        'Invalid Network Field',
        'Malformed AS_PATH',
      ],
    },
  ],
  [NOTIFICATION_CODE.holdTimerExpired, { name: 'Hold Timer Expired', subcodes: [] }],
  [
    NOTIFICATION_CODE.fsm,
    {
      name: 'Finite State Machine Error',
      subcodes: [
        undefined,
        'Unexpected Message in OpenSent',
        'Unexpected Message in OpenConfirm',
        'Unexpected Message in Established',
      ],
    },
  ],
  [
    NOTIFICATION_CODE.cease,
    {
      name: 'Cease',
      subcodes: [
        undefined,
        'Maximum Number of Prefixes Reached',
        'Administrative Shutdown',
        'Peer De-configured',
        'Administrative Reset',
        'Connection Rejected',
        'Other Configuration Change',
        'Connection Collision Resolution',
        'Out of Resources',
        'Hard Reset',
        'BFD Down',
      ],
    },
  ],
  [
    NOTIFICATION_CODE.routeRefresh,
    { name: 'ROUTE-REFRESH Message Error', subcodes: [undefined, 'Invalid Message Length'] },
  ],
  [NOTIFICATION_CODE.sendHoldTimerExpired, { name: 'Send Hold Timer Expired', subcodes: [] }],
]);

/** RFC 9003 §2: at most 255 octets of UTF-8. */
const SHUTDOWN_TEXT_BYTES = 255;

/** `Cease / Administrative Shutdown: "back at noon"`; numbers where the registry has no name. */
export function describeNotification(code: number, subcode: number, data: Uint8Array): string {
  const row = names.get(code);
  if (row === undefined) return `NOTIFICATION ${code}/${subcode}`;
  const name = row.subcodes[subcode];
  const head = subcode === 0 ? row.name : `${row.name} / ${name ?? `subcode ${subcode}`}`;
  const detail = describeData(code, subcode, data);
  return detail === undefined ? head : `${head}: ${detail}`;
}

function describeData(code: number, subcode: number, data: Uint8Array): string | undefined {
  if (code === NOTIFICATION_CODE.cease) {
    if (subcode === CEASE.administrativeShutdown || subcode === CEASE.administrativeReset) {
      const text = shutdownText(data);
      return text === undefined ? undefined : JSON.stringify(text);
    }
    // RFC 8538 §3.1: a Hard Reset wraps the NOTIFICATION that it replaces.
    if (subcode === CEASE.hardReset && data.length >= 2) {
      const inner = data.subarray(2);
      const [innerCode, innerSubcode] = [data[0] ?? 0, data[1] ?? 0];
      // One level only: what is wrapped in a wrapped Hard Reset is of no use to anyone.
      return describeNotification(
        innerCode,
        innerSubcode,
        innerCode === code && innerSubcode === subcode ? noData : inner,
      );
    }
  }
  if (data.length === 0) return undefined;
  const shown = Array.from(data.subarray(0, 32), (octet) => octet.toString(16).padStart(2, '0')).join('');
  return `data ${shown}${data.length > 32 ? `... (${data.length} octets)` : ''}`;
}

/** The shutdown communication, or `undefined` where there is none or it is not what RFC 9003 §2 says. */
export function shutdownText(data: Uint8Array): string | undefined {
  const length = data[0];
  if (length === undefined || length === 0 || data.length < 1 + length) return undefined;
  try {
    // RFC 9003 §4: not UTF-8 is not text; control characters must not reach a terminal.
    return new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(1, 1 + length)).replaceAll(/\p{C}/gu, '?');
  } catch {
    return undefined;
  }
}

/** Data of Cease/2 and Cease/4: length octet and as many whole characters as fit (RFC 9003 §2). */
export function shutdownData(text: string): Uint8Array {
  const bytes = new Uint8Array(1 + SHUTDOWN_TEXT_BYTES);
  const { written } = new TextEncoder().encodeInto(text, bytes.subarray(1));
  bytes[0] = written;
  return bytes.slice(0, 1 + written);
}

/** A Cease with its subcode; `text` travels to the peer with an administrative shutdown or reset. */
export const cease = (subcode: number, text: string): Reset =>
  resetWith(
    NOTIFICATION_CODE.cease,
    subcode,
    text,
    subcode === CEASE.administrativeShutdown || subcode === CEASE.administrativeReset ? shutdownData(text) : noData,
  );

/** RFC 4486 §4: AFI, SAFI and the limit go along. */
export function tooManyPrefixes(family: Family, received: number, limit: number): Reset {
  const data = new ByteWriter(7);
  data.u16(AFI[family]);
  data.u8(SAFI_UNICAST);
  data.u32(limit);
  const text = `${received} ${family} prefixes received, ${limit} allowed`;
  return resetWith(NOTIFICATION_CODE.cease, CEASE.maximumPrefixes, text, data.take());
}

/**
 * After it the sender wants nothing kept: RFC 8538 §5.1 names the subcodes of Cease that stand for an end. A failed path is one
 * too (RFC 9384 §3), whichever end saw it. A reset by the operator or by a changed configuration is none: the session comes back.
 */
export const isFinal = (reset: { readonly code: number; readonly subcode: number }): boolean =>
  reset.code === NOTIFICATION_CODE.cease && finalCeases.has(reset.subcode);

const finalCeases: ReadonlySet<number> = new Set([
  CEASE.maximumPrefixes,
  CEASE.administrativeShutdown,
  CEASE.peerDeconfigured,
  CEASE.hardReset,
  CEASE.bfdDown,
]);

/** RFC 8538 §3.1: the same reset, but the peer's graceful restart does not keep the routes. */
export function hardReset(inner: Reset): Reset {
  const data = new Uint8Array(2 + inner.data.length);
  data[0] = inner.code;
  data[1] = inner.subcode;
  data.set(inner.data, 2);
  return resetWith(NOTIFICATION_CODE.cease, CEASE.hardReset, inner.text, data);
}

/** `body`: the message after its header; framing has seen to the two octets that it needs. Keeps a copy of the data. */
export const decodeNotification = (body: Uint8Array): NotificationMessage => ({
  kind: 'notification',
  code: body[0] ?? 0,
  subcode: body[1] ?? 0,
  data: body.slice(2),
});

/** The whole message; data that does not fit into 4096 octets is cut. */
export function encodeNotification(notification: {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}): Uint8Array {
  const data = notification.data.subarray(0, MAXIMUM_MESSAGE_BYTES - HEADER_BYTES - 2);
  const writer = new ByteWriter(HEADER_BYTES + 2 + data.length);
  beginMessage(writer, MESSAGE_TYPE.NOTIFICATION);
  writer.u8(notification.code);
  writer.u8(notification.subcode);
  writer.bytes(data);
  endMessage(writer, 0);
  return writer.take();
}
