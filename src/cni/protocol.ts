/**
 * Bytes between the plugin (plugin/flatroute.c) and the agent, and in the spool. Numbers are big-endian.
 *
 *   request  "FRCN"  u16 version  u16 0     u32 length  environment  u32 length  stdin as it came
 *   answer   "FRCN"  u16 version  u16 code  u32 length  bytes for stdout
 *   record   "FRSP"  u16 version  u16 0     u64 CLOCK_BOOTTIME in nanoseconds    request
 *
 * The environment is the CNI_* variables alone, `NAME=VALUE` each ended by NUL. Neighbouring versions understand each
 * other: a newer one adds environment entries, never bytes, and an answer carries the lower of the two versions.
 * Incomplete is never taken for invalid: decoding answers one of three things.
 */
import { type Result, fail, ok } from '#lib/result.ts';

export const PROTOCOL_VERSION = 1;
export const MAX_ENVIRONMENT_BYTES = 64 * 1024;
export const MAX_STDIN_BYTES = 1024 * 1024;
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

const REQUEST_MAGIC = 0x4652434e;
const RECORD_MAGIC = 0x46525350;
const HEAD = 8;

export interface PluginRequest {
  readonly version: number;
  readonly environment: ReadonlyMap<string, string>;
  readonly stdin: Buffer;
}

export type Decoded<T> =
  | { readonly kind: 'complete'; readonly value: T; readonly length: number }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'invalid'; readonly reason: string };

const incomplete = { kind: 'incomplete' } as const;
const invalid = (reason: string): { readonly kind: 'invalid'; readonly reason: string } => ({
  kind: 'invalid',
  reason,
});

const understands = (version: number): boolean => version >= 1 && version <= PROTOCOL_VERSION + 1;

export function encodeRequest(request: PluginRequest): Buffer {
  const environment = Buffer.concat([...request.environment].map(([name, value]) => Buffer.from(`${name}=${value}\0`)));
  const out = Buffer.alloc(HEAD + 4 + environment.length + 4 + request.stdin.length);
  out.writeUInt32BE(REQUEST_MAGIC, 0);
  out.writeUInt16BE(request.version, 4);
  out.writeUInt32BE(environment.length, HEAD);
  environment.copy(out, HEAD + 4);
  out.writeUInt32BE(request.stdin.length, HEAD + 4 + environment.length);
  request.stdin.copy(out, HEAD + 8 + environment.length);
  return out;
}

/** A request at the start of `bytes`. Sizes are judged as soon as their length is there, before their bytes are. */
export function decodeRequest(bytes: Buffer): Decoded<PluginRequest> {
  if (bytes.length >= 4 && bytes.readUInt32BE(0) !== REQUEST_MAGIC)
    return invalid('not a request of the flatroute plugin');
  if (bytes.length < HEAD + 4) return incomplete;
  const version = bytes.readUInt16BE(4);
  if (!understands(version))
    return invalid(`plugin protocol version ${version}; this agent speaks ${PROTOCOL_VERSION}: install its plugin`);
  const environmentLength = bytes.readUInt32BE(HEAD);
  if (environmentLength > MAX_ENVIRONMENT_BYTES) return invalid(`environment of ${environmentLength} bytes`);
  const stdinAt = HEAD + 4 + environmentLength + 4;
  if (bytes.length < stdinAt) return incomplete;
  const stdinLength = bytes.readUInt32BE(stdinAt - 4);
  if (stdinLength > MAX_STDIN_BYTES) return invalid(`network configuration of ${stdinLength} bytes`);
  if (bytes.length < stdinAt + stdinLength) return incomplete;
  const environment = decodeEnvironment(bytes.subarray(HEAD + 4, HEAD + 4 + environmentLength));
  if (!environment.ok) return invalid(environment.error);
  return {
    kind: 'complete',
    value: { version, environment: environment.value, stdin: bytes.subarray(stdinAt, stdinAt + stdinLength) },
    length: stdinAt + stdinLength,
  };
}

function decodeEnvironment(bytes: Buffer): Result<Map<string, string>, string> {
  const environment = new Map<string, string>();
  let at = 0;
  while (at < bytes.length) {
    const end = bytes.indexOf(0, at);
    if (end < 0) return fail('an environment entry has no end');
    const entry = bytes.toString('utf8', at, end);
    const equals = entry.indexOf('=');
    if (equals <= 0) return fail('an environment entry is no NAME=VALUE');
    environment.set(entry.slice(0, equals), entry.slice(equals + 1));
    at = end + 1;
  }
  return ok(environment);
}

export interface PluginAnswer {
  readonly version: number;
  /** Exit code of the plugin. */
  readonly code: number;
  readonly stdout: Buffer;
}

export function encodeAnswer(answer: PluginAnswer): Buffer {
  const out = Buffer.alloc(HEAD + 4 + answer.stdout.length);
  out.writeUInt32BE(REQUEST_MAGIC, 0);
  out.writeUInt16BE(Math.min(answer.version, PROTOCOL_VERSION), 4);
  out.writeUInt16BE(answer.code, 6);
  out.writeUInt32BE(answer.stdout.length, HEAD);
  answer.stdout.copy(out, HEAD + 4);
  return out;
}

export function decodeAnswer(bytes: Buffer): Decoded<PluginAnswer> {
  if (bytes.length >= 4 && bytes.readUInt32BE(0) !== REQUEST_MAGIC)
    return invalid('not an answer of the flatroute agent');
  if (bytes.length < HEAD + 4) return incomplete;
  const length = bytes.readUInt32BE(HEAD);
  if (length > MAX_ANSWER_BYTES) return invalid(`answer of ${length} bytes`);
  if (bytes.length < HEAD + 4 + length) return incomplete;
  const stdout = bytes.subarray(HEAD + 4, HEAD + 4 + length);
  return {
    kind: 'complete',
    value: { version: bytes.readUInt16BE(4), code: bytes.readUInt16BE(6), stdout },
    length: HEAD + 4 + length,
  };
}

export interface SpoolRecord {
  /** CLOCK_BOOTTIME when the plugin found nobody, milliseconds. */
  readonly bootMilliseconds: number;
  readonly request: PluginRequest;
}

export function encodeRecord(record: SpoolRecord): Buffer {
  const head = Buffer.alloc(16);
  head.writeUInt32BE(RECORD_MAGIC, 0);
  head.writeUInt16BE(PROTOCOL_VERSION, 4);
  head.writeBigUInt64BE(BigInt(Math.floor(record.bootMilliseconds)) * 1_000_000n, 8);
  return Buffer.concat([head, encodeRequest(record.request)]);
}

/** A whole spool file: it was renamed into place, so an incomplete one is as wrong as an invalid one. */
export function decodeRecord(bytes: Buffer): Result<SpoolRecord, string> {
  if (bytes.length < 16 || bytes.readUInt32BE(0) !== RECORD_MAGIC) return fail('not a spool record');
  if (!understands(bytes.readUInt16BE(4))) return fail(`spool record of version ${bytes.readUInt16BE(4)}`);
  const request = decodeRequest(bytes.subarray(16));
  if (request.kind === 'incomplete') return fail('the record is cut short');
  if (request.kind === 'invalid') return fail(request.reason);
  if (request.length !== bytes.length - 16) return fail('bytes after the record');
  return ok({ bootMilliseconds: Number(bytes.readBigUInt64BE(8) / 1_000_000n), request: request.value });
}
