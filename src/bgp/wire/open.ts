/**
 * OPEN (RFC 4271 §4.2) with capabilities (RFC 5492), four-octet AS numbers (RFC 6793), extended optional parameters
 * (RFC 9072), identifiers of RFC 6286. In: the octets after the header. Out: an `OpenMessage` or the NOTIFICATION to send.
 * What an OPEN means for the session is in `negotiate.ts`.
 *
 *   version (1) | My Autonomous System (2) | Hold Time (2) | BGP Identifier (4) | Opt Parm Len (1) | parameters
 */
import { ByteReader, ByteWriter } from '#lib/bytes.ts';
import type { Result } from '#lib/result.ts';
import { fail, ok } from '#lib/result.ts';
import { decodeCapability, encodeCapability, findCapability } from './capabilities.ts';
import { AS_TRANS, BGP_VERSION, MAXIMUM_MESSAGE_BYTES, NOTIFICATION_CODE, OPEN_ERROR, resetWith } from './codes.ts';
import { beginMessage, endMessage } from './header.ts';
import { MESSAGE_TYPE } from './messages.ts';
import type { Capability, OpenMessage, Reset } from './messages.ts';

const PARAMETER_CAPABILITIES = 2;
/** RFC 9072 §2: an optional parameter type of 255 says that lengths have two octets from here on. */
const PARAMETER_EXTENDED = 255;

const openReset = (subcode: number, text: string, data?: Uint8Array): Result<never, Reset> =>
  fail(resetWith(NOTIFICATION_CODE.open, subcode, text, data));

const malformed = (what: string): Result<never, Reset> =>
  // RFC 4271 §6.2: a recognized but malformed optional parameter is Unspecific.
  openReset(OPEN_ERROR.unspecific, `OPEN is malformed: ${what} (RFC 4271 §6.2)`);

export function decodeOpen(body: Uint8Array): Result<OpenMessage, Reset> {
  const reader = new ByteReader(body);
  const version = reader.u8();
  const myAs = reader.u16();
  const holdTimeSeconds = reader.u16();
  const identifier = reader.u32();
  const parametersLength = reader.u8();
  if (
    version === undefined ||
    myAs === undefined ||
    holdTimeSeconds === undefined ||
    identifier === undefined ||
    parametersLength === undefined
  )
    return malformed('shorter than its fixed part');
  if (version !== BGP_VERSION)
    return openReset(
      OPEN_ERROR.unsupportedVersion,
      `BGP version ${version} is not supported, only ${BGP_VERSION} (RFC 4271 §6.2)`,
      Uint8Array.of(0, BGP_VERSION),
    );
  // RFC 4271 §6.2: one or two seconds must be refused.
  if (holdTimeSeconds === 1 || holdTimeSeconds === 2)
    return openReset(
      OPEN_ERROR.unacceptableHoldTime,
      `hold time of ${holdTimeSeconds} s is not acceptable: 0 or at least 3 (RFC 4271 §6.2)`,
    );
  // RFC 6286 §2.2: any number but zero.
  if (identifier === 0)
    return openReset(OPEN_ERROR.badBgpIdentifier, 'BGP identifier 0.0.0.0 is not valid (RFC 6286 §2.2)');
  if (myAs === 0) return openReset(OPEN_ERROR.badPeerAs, 'AS 0 is not valid (RFC 7607 §2)');
  const capabilities = decodeParameters(reader, parametersLength);
  if (!capabilities.ok) return capabilities;
  const open: OpenMessage = {
    kind: 'open',
    version,
    myAs,
    holdTimeSeconds,
    identifier,
    capabilities: capabilities.value,
  };
  const wrong = inconsistentAs(open);
  return wrong === undefined ? ok(open) : openReset(OPEN_ERROR.badPeerAs, wrong);
}

function inconsistentAs(open: OpenMessage): string | undefined {
  const asn = findCapability(open.capabilities, 'fourOctetAs')?.asn;
  if (asn === undefined) return undefined;
  if (asn === 0) return 'AS 0 in the four-octet AS capability is not valid (RFC 7607 §2)';
  if (asn === AS_TRANS) return `AS ${AS_TRANS} is reserved (RFC 6793 §9)`;
  if (open.myAs !== asn && open.myAs !== AS_TRANS)
    return `My Autonomous System says ${open.myAs}, the four-octet AS capability ${asn} (RFC 6793 §4.1)`;
  return undefined;
}

function decodeParameters(fixed: ByteReader, length: number): Result<Capability[], Reset> {
  let reader = new ByteReader(fixed.bytes, fixed.at);
  const extended = length > 0 && fixed.bytes[fixed.at] === PARAMETER_EXTENDED;
  let declared = length;
  if (extended) {
    // RFC 9072 §2: the octet 255 in place of the first parameter's type, then the length of all parameters.
    reader.u8();
    const wide = reader.u16();
    if (wide === undefined) return malformed('extended optional parameters length is cut short');
    declared = wide;
  }
  if (declared !== reader.remaining)
    return malformed(`optional parameters length ${declared} where ${reader.remaining} octets follow`);
  const capabilities: Capability[] = [];
  reader = new ByteReader(reader.bytes, reader.at);
  while (reader.remaining > 0) {
    const type = reader.u8();
    const size = extended ? reader.u16() : reader.u8();
    const value = size === undefined ? undefined : reader.take(size);
    if (type === undefined || value === undefined) return malformed('an optional parameter is cut short');
    if (type !== PARAMETER_CAPABILITIES)
      return openReset(
        OPEN_ERROR.unsupportedOptionalParameter,
        `optional parameter ${type} is not supported (RFC 4271 §6.2)`,
      );
    const problem = decodeCapabilities(value, capabilities);
    if (problem !== undefined) return malformed(problem);
  }
  return ok(capabilities);
}

/** RFC 5492 §4: one parameter holds one or more capabilities. */
function decodeCapabilities(value: Uint8Array, into: Capability[]): string | undefined {
  const reader = new ByteReader(value);
  while (reader.remaining > 0) {
    const code = reader.u8();
    const size = reader.u8();
    const inside = size === undefined ? undefined : reader.take(size);
    if (code === undefined || inside === undefined) return 'a capability is cut short';
    const capability = decodeCapability(code, inside);
    if (!capability.ok) return capability.error;
    into.push(capability.value);
  }
  return undefined;
}

/** The whole message. All capabilities stand in one parameter; above 255 octets in the form of RFC 9072. */
export function encodeOpen(open: OpenMessage): Uint8Array {
  const list = new ByteWriter(128);
  for (const capability of open.capabilities) encodeCapability(capability, list);
  const writer = new ByteWriter(64);
  beginMessage(writer, MESSAGE_TYPE.OPEN);
  writer.u8(open.version);
  writer.u16(open.myAs);
  writer.u16(open.holdTimeSeconds);
  writer.u32(open.identifier);
  if (list.length === 0) writer.u8(0);
  else if (list.length <= 253) {
    writer.u8(list.length + 2);
    writer.u8(PARAMETER_CAPABILITIES);
    writer.u8(list.length);
  } else {
    writer.u8(255);
    writer.u8(PARAMETER_EXTENDED);
    writer.u16(list.length + 3);
    writer.u8(PARAMETER_CAPABILITIES);
    writer.u16(list.length);
  }
  writer.bytes(list.view());
  endMessage(writer, 0);
  if (writer.length > MAXIMUM_MESSAGE_BYTES) throw new RangeError(`OPEN of ${writer.length} octets`);
  return writer.take();
}

/** The sender's AS number: of the capability where there is one (RFC 6793 §4.1). */
export const asnOfOpen = (open: OpenMessage): number =>
  findCapability(open.capabilities, 'fourOctetAs')?.asn ?? open.myAs;

/** What goes into My Autonomous System (RFC 6793 §4.2.2). */
export const twoOctetAs = (asn: number): number => (asn > 65535 ? AS_TRANS : asn);
