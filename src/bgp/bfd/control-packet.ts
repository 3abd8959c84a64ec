/**
 * The BFD control packet (RFC 5880 §4.1) as a value and as 24 octets. In: the payload of a UDP datagram. Out: the packet or
 * the reason of RFC 5880 §6.8.6 why it is discarded, in the order that section asks in.
 *
 *   version (3 bits) diagnostic (5) | state (2) P F C A D M | detect mult | length
 *   my discriminator | your discriminator | desired min TX | required min RX | required min echo RX
 *
 * Intervals are microseconds. Authentication (RFC 5880 §4.2) is not spoken: a packet that carries it is read, so that the
 * session can refuse it at its place in the order, and none is ever written.
 */
import { ByteWriter, readU32 } from '#lib/bytes.ts';
import { fail, ok, type Result } from '#lib/result.ts';

export const CONTROL_PACKET_BYTES = 24;
/** With the two octets that every authentication section begins with. */
const AUTHENTICATED_BYTES = 26;
const VERSION = 1;

/** In the order of their numbers (RFC 5880 §4.1). */
export const bfdStates = ['AdminDown', 'Down', 'Init', 'Up'] as const;
export type BfdState = (typeof bfdStates)[number];

/** bfd.LocalDiag and its numbers (RFC 5880 §4.1), those that this system gives or explains. */
export const DIAGNOSTIC = {
  none: 0,
  controlDetectionTimeExpired: 1,
  echoFailed: 2,
  neighborSignaledSessionDown: 3,
  forwardingPlaneReset: 4,
  pathDown: 5,
  concatenatedPathDown: 6,
  administrativelyDown: 7,
  reverseConcatenatedPathDown: 8,
} as const;

export interface ControlPacket {
  /** 0 to 31; a number that RFC 5880 does not name is passed on as it is. */
  readonly diagnostic: number;
  readonly state: BfdState;
  readonly poll: boolean;
  readonly final: boolean;
  readonly controlPlaneIndependent: boolean;
  readonly authenticationPresent: boolean;
  readonly demand: boolean;
  /** 1 to 255. */
  readonly detectMultiplier: number;
  /** Not 0. */
  readonly myDiscriminator: number;
  /** 0: the sender does not know ours. */
  readonly yourDiscriminator: number;
  readonly desiredMinTxMicroseconds: number;
  /** 0: the sender wants no periodic packets. */
  readonly requiredMinRxMicroseconds: number;
  readonly requiredMinEchoRxMicroseconds: number;
}

/** Why bytes are no packet; the reasons that need a session are the runner's. */
export type MalformedReason =
  | 'version'
  | 'lengthTooSmall'
  | 'lengthBeyondPayload'
  | 'detectMultiplierZero'
  | 'multipoint'
  | 'myDiscriminatorZero'
  | 'yourDiscriminatorZero';

const POLL = 0x20;
const FINAL = 0x10;
const CONTROL_PLANE_INDEPENDENT = 0x08;
const AUTHENTICATION = 0x04;
const DEMAND = 0x02;
const MULTIPOINT = 0x01;

export function decodeControlPacket(payload: Uint8Array): Result<ControlPacket, MalformedReason> {
  const [first = 0, flags = 0, detectMultiplier = 0, length = 0] = payload;
  // RFC 5880 §6.8.6: the checks in its order. Octets that are not there at all fail the one of the length.
  if (payload.length > 0 && first >>> 5 !== VERSION) return fail('version');
  const authenticationPresent = (flags & AUTHENTICATION) !== 0;
  if (payload.length < 4) return fail('lengthBeyondPayload');
  if (length < (authenticationPresent ? AUTHENTICATED_BYTES : CONTROL_PACKET_BYTES)) return fail('lengthTooSmall');
  if (length > payload.length) return fail('lengthBeyondPayload');
  if (detectMultiplier === 0) return fail('detectMultiplierZero');
  if ((flags & MULTIPOINT) !== 0) return fail('multipoint');
  const myDiscriminator = readU32(payload, 4);
  if (myDiscriminator === 0) return fail('myDiscriminatorZero');
  const yourDiscriminator = readU32(payload, 8);
  const state = bfdStates[flags >>> 6] ?? 'AdminDown';
  if (yourDiscriminator === 0 && state !== 'Down' && state !== 'AdminDown') return fail('yourDiscriminatorZero');
  return ok({
    diagnostic: first & 0x1f,
    state,
    poll: (flags & POLL) !== 0,
    final: (flags & FINAL) !== 0,
    controlPlaneIndependent: (flags & CONTROL_PLANE_INDEPENDENT) !== 0,
    authenticationPresent,
    demand: (flags & DEMAND) !== 0,
    detectMultiplier,
    myDiscriminator,
    yourDiscriminator,
    desiredMinTxMicroseconds: readU32(payload, 12),
    requiredMinRxMicroseconds: readU32(payload, 16),
    requiredMinEchoRxMicroseconds: readU32(payload, 20),
  });
}

/** The packet without an authentication section. */
export type SentPacket = ControlPacket & { readonly authenticationPresent: false };

export function encodeControlPacket(packet: SentPacket): Uint8Array {
  const writer = new ByteWriter(CONTROL_PACKET_BYTES);
  writer.u8((VERSION << 5) | (packet.diagnostic & 0x1f));
  writer.u8(
    (bfdStates.indexOf(packet.state) << 6) |
      (packet.poll ? POLL : 0) |
      (packet.final ? FINAL : 0) |
      (packet.controlPlaneIndependent ? CONTROL_PLANE_INDEPENDENT : 0) |
      (packet.demand ? DEMAND : 0),
  );
  writer.u8(packet.detectMultiplier);
  writer.u8(CONTROL_PACKET_BYTES);
  writer.u32(packet.myDiscriminator);
  writer.u32(packet.yourDiscriminator);
  writer.u32(packet.desiredMinTxMicroseconds);
  writer.u32(packet.requiredMinRxMicroseconds);
  writer.u32(packet.requiredMinEchoRxMicroseconds);
  return writer.take();
}
