/**
 * One frame to one message, and the messages that fit into a few lines: KEEPALIVE (RFC 4271 §4.4) and ROUTE-REFRESH
 * (RFC 2918 §3, RFC 7313 §3.2). In: a frame of `framing.ts`. Out: a value or the NOTIFICATION to send.
 */
import { ByteWriter, readU16 } from '#lib/bytes.ts';
import { type Result, assertNever, fail, ok } from '#lib/result.ts';
import {
  FSM_ERROR,
  HEADER_BYTES,
  HEADER_ERROR,
  MAXIMUM_MESSAGE_BYTES,
  NOTIFICATION_CODE,
  ROUTE_REFRESH_ERROR,
  resetWith,
} from './codes.ts';
import type { Frame } from './framing.ts';
import { beginMessage, endMessage } from './header.ts';
import { MESSAGE_TYPE } from './messages.ts';
import type { KeepaliveMessage, Message, Reset, RouteRefreshMessage, WireContext } from './messages.ts';
import { decodeNotification, encodeNotification } from './notification.ts';
import { decodeOpen, encodeOpen } from './open.ts';
import { splitUpdate } from './update.ts';

const keepalive: KeepaliveMessage = { kind: 'keepalive' };

/**
 * `context` is undefined until the OPENs are exchanged. The state machine refuses an UPDATE then by its own rule, with the
 * subcode of its state (RFC 6608); who decodes it all the same gets the unspecific answer.
 */
export function decodeMessage(frame: Frame, context: WireContext | undefined): Result<Message, Reset> {
  const body = frame.bytes.subarray(HEADER_BYTES);
  switch (frame.type) {
    case MESSAGE_TYPE.OPEN:
      return decodeOpen(body);
    case MESSAGE_TYPE.UPDATE:
      return context === undefined
        ? fail(resetWith(NOTIFICATION_CODE.fsm, FSM_ERROR.unspecified, 'UPDATE before the session is established'))
        : splitUpdate(body, context);
    case MESSAGE_TYPE.NOTIFICATION:
      return ok(decodeNotification(body));
    case MESSAGE_TYPE.KEEPALIVE:
      return ok(keepalive);
    case MESSAGE_TYPE.ROUTE_REFRESH:
      return decodeRouteRefresh(frame.bytes);
    default:
      throw new RangeError(`framing let message type ${frame.type} pass`);
  }
}

/** `message`: header included, because the answer to a wrong length carries all of it (RFC 7313 §5). */
export function decodeRouteRefresh(message: Uint8Array): Result<RouteRefreshMessage, Reset> {
  const body = message.subarray(HEADER_BYTES);
  const subtype = body[2];
  if (body.length !== 4) {
    if (subtype === 1 || subtype === 2)
      return fail(
        resetWith(
          NOTIFICATION_CODE.routeRefresh,
          ROUTE_REFRESH_ERROR.invalidMessageLength,
          `ROUTE-REFRESH with subtype ${subtype} has ${body.length} octets, not 4 (RFC 7313 §5)`,
          message.slice(0, MAXIMUM_MESSAGE_BYTES - HEADER_BYTES - 2),
        ),
      );
    return fail(
      resetWith(
        NOTIFICATION_CODE.header,
        HEADER_ERROR.badMessageLength,
        `ROUTE-REFRESH has ${body.length} octets, not 4 (RFC 2918 §3)`,
        Uint8Array.of(message.length >>> 8, message.length & 255),
      ),
    );
  }
  return ok({ kind: 'routeRefresh', afi: readU16(body, 0), safi: body[3] as number, subtype: body[2] as number });
}

/** Any message but an UPDATE, which `UpdateWriter` packs. */
export function encodeMessage(message: Exclude<Message, { kind: 'update' }>): Uint8Array {
  switch (message.kind) {
    case 'open':
      return encodeOpen(message);
    case 'keepalive':
      return encodeKeepalive();
    case 'notification':
      return encodeNotification(message);
    case 'routeRefresh':
      return encodeRouteRefresh(message);
  }
  return assertNever(message, 'message to encode');
}

export function encodeKeepalive(): Uint8Array {
  const writer = new ByteWriter(HEADER_BYTES);
  beginMessage(writer, MESSAGE_TYPE.KEEPALIVE);
  endMessage(writer, 0);
  return writer.take();
}

export function encodeRouteRefresh(message: {
  readonly afi: number;
  readonly safi: number;
  readonly subtype: number;
}): Uint8Array {
  const writer = new ByteWriter(HEADER_BYTES + 4);
  beginMessage(writer, MESSAGE_TYPE.ROUTE_REFRESH);
  writer.u16(message.afi);
  writer.u8(message.subtype);
  writer.u8(message.safi);
  endMessage(writer, 0);
  return writer.take();
}
