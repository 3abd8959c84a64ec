/**
 * What BFD's process is told and what it tells, PURE: messages as frames on a stream, and back.
 *
 *   length (4, of what follows) | major (1) | minor (1) | JSON in UTF-8
 *
 * Programs of one major version work together: a kind or a field that the other does not know is passed over. Another
 * major is refused with a sentence that both ends of any version can read (kind `refused`).
 */
import { ByteWriter, readU32 } from '#lib/bytes.ts';
import { type IpAddress, parseAddress } from '#lib/ip.ts';
import { fail, ok, type Result } from '#lib/result.ts';
import { type BfdState, bfdStates } from './control-packet.ts';
import type { BfdParameters } from './session.ts';

export const CONTROL_MAJOR = 1;
const CONTROL_MINOR = 0;
/** Some ten thousand sessions; more is not a message. */
const LONGEST_FRAME = 4 * 1024 * 1024;

/** One session with one neighbour, for all families of the peer. */
export interface DesiredBfdSession extends BfdParameters {
  /** Unique; the peer's. */
  readonly name: string;
  readonly remote: IpAddress;
  /** Source address; `undefined`: the kernel's choice. */
  readonly local: IpAddress | undefined;
  /** Name of the interface; a link-local neighbour needs it. */
  readonly interface: string | undefined;
  /** RFC 5881 or RFC 5883. */
  readonly hops: 'single' | 'multi';
  /** Least TTL of a packet of a multi hop neighbour, 1 to 255; a single hop has 255 (RFC 5881 §5). */
  readonly minimumTtl: number;
  /**
   * Ids of kernel nexthops that lead over this path. They are deleted when it fails, and when they are told while it is
   * failed; nothing here ever makes one.
   */
  readonly nexthops: readonly number[];
}

export interface ObservedBfdSession {
  readonly name: string;
  readonly remote: IpAddress;
  readonly hops: DesiredBfdSession['hops'];
  readonly state: BfdState;
  /** RFC 5880 §4.1, why the last change to Down was. */
  readonly diagnostic: number;
  readonly remoteState: BfdState;
  readonly remoteDiagnostic: number;
  /** The neighbour's BFD survives its control plane. */
  readonly remoteControlPlaneIndependent: boolean;
  /** Wall clock of the last change of state, milliseconds since the epoch. */
  readonly since: number;
  /** The path was Up and failed, and is not Up again: RFC 5882 §3.2, an administrative end is no failure. */
  readonly failed: boolean;
  /** How often that happened. */
  readonly failures: number;
  /** Changes of state. */
  readonly changes: number;
  readonly transmitIntervalMilliseconds: number;
  readonly detectionTimeMilliseconds: number;
  readonly sent: number;
  readonly received: number;
  /** Why it cannot work, one sentence; it is tried again. */
  readonly problem?: string;
}

export type ToBfd =
  /**
   * All that are wanted; those that are not named end by AdminDown. But what there is of a peer in `keep` (a session of its
   * name, or of its name, a slash and an address) stays as it is: who asks does not know it yet.
   */
  | {
      readonly kind: 'sessions';
      readonly sessions: readonly DesiredBfdSession[];
      readonly keep: readonly string[];
    }
  /** Asks for `observed`, counters included. */
  | { readonly kind: 'observe' }
  /** Nothing is wanted any more: all sessions end by AdminDown, then the process does, unless it was told to stay. */
  | { readonly kind: 'end' };

export type FromBfd =
  | {
      readonly kind: 'hello';
      readonly program: string;
      readonly pid: number;
      /** Why the process has no real-time priority, if it has none. */
      readonly notRealTime?: string;
      /** Whatever ends the agent's container ends this process too: C=0 in its packets. */
      readonly endsWithAgent?: boolean;
    }
  /** Every session; after `hello`, and as the answer to `sessions` and `observe`. */
  | { readonly kind: 'observed'; readonly sessions: readonly ObservedBfdSession[] }
  /** A change of state, of a negotiated time or of `problem`. */
  | { readonly kind: 'changed'; readonly session: ObservedBfdSession }
  /** The connection is closed after it. */
  | { readonly kind: 'refused'; readonly reason: string };

export function encodeFrame(message: ToBfd | FromBfd): Uint8Array {
  const text = Buffer.from(JSON.stringify(message));
  const writer = new ByteWriter(6 + text.length);
  writer.u32(2 + text.length);
  writer.u8(CONTROL_MAJOR);
  writer.u8(CONTROL_MINOR);
  writer.bytes(text);
  return writer.take();
}

/** Cuts a stream into the JSON values of its frames; after an error the stream is of no use. */
export class FrameReader {
  #pending: Uint8Array = new Uint8Array(0);

  push(bytes: Uint8Array): Result<readonly unknown[], string> {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    const values: unknown[] = [];
    while (this.#pending.length >= 4) {
      const length = readU32(this.#pending, 0);
      if (length < 2 || length > LONGEST_FRAME) return fail(`a frame of ${length} octets is none`);
      if (this.#pending.length < 4 + length) break;
      const major = this.#pending[4] ?? 0;
      if (major !== CONTROL_MAJOR)
        return fail(`version ${major} of the control protocol; this program speaks ${CONTROL_MAJOR}`);
      try {
        values.push(JSON.parse(new TextDecoder().decode(this.#pending.subarray(6, 4 + length))));
      } catch {
        return fail('a frame that is not JSON');
      }
      this.#pending = this.#pending.subarray(4 + length);
    }
    return ok(values);
  }
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const whole = (value: unknown, least: number, most: number): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most ? value : undefined;

const address = (value: unknown): IpAddress | undefined =>
  typeof value === 'string' ? parseAddress(value) : undefined;

/** A message to BFD's process; `undefined`: a kind of a later minor version. The error is a sentence. */
export function readToBfd(value: unknown): Result<ToBfd | undefined, string> {
  if (!isFields(value)) return fail('a message that is no object');
  if (value['kind'] === 'end' || value['kind'] === 'observe') return ok({ kind: value['kind'] });
  if (value['kind'] !== 'sessions') return ok(undefined);
  if (!Array.isArray(value['sessions'])) return fail('sessions is no list');
  const sessions: DesiredBfdSession[] = [];
  const names = new Set<string>();
  for (const row of value['sessions'] as readonly unknown[]) {
    const session = readDesired(row);
    if (!session.ok) return session;
    if (names.has(session.value.name)) return fail(`two sessions are called ${session.value.name}`);
    names.add(session.value.name);
    sessions.push(session.value);
  }
  const keep = readNames(value['keep'] ?? []);
  return keep === undefined ? fail('keep is no list of names') : ok({ kind: 'sessions', sessions, keep });
}

const readNames = (value: unknown): string[] | undefined =>
  Array.isArray(value) && value.every((name) => typeof name === 'string') ? value : undefined;

function readDesired(row: unknown): Result<DesiredBfdSession, string> {
  if (!isFields(row) || typeof row['name'] !== 'string' || row['name'] === '') return fail('a session without a name');
  const { name } = row;
  const remote = address(row['remote']);
  const local = row['local'] === undefined ? undefined : address(row['local']);
  const interfaceName = row['interface'];
  const desiredMinTxMicroseconds = whole(row['desiredMinTxMicroseconds'], 1, 0xffff_ffff);
  const requiredMinRxMicroseconds = whole(row['requiredMinRxMicroseconds'], 0, 0xffff_ffff);
  const detectMultiplier = whole(row['detectMultiplier'], 1, 255);
  const minimumTtl = whole(row['minimumTtl'], 1, 255);
  const { hops, passive, administrativelyDown } = row;
  const nexthops = readIds(row['nexthops'] ?? []);
  if (remote === undefined) return fail(`${name}: remote is no address`);
  if (row['local'] !== undefined && local === undefined) return fail(`${name}: local is no address`);
  if (local !== undefined && local.includes(':') !== remote.includes(':'))
    return fail(`${name}: local and remote are of different families`);
  if (interfaceName !== undefined && (typeof interfaceName !== 'string' || !/^[^\s/]{1,15}$/.test(interfaceName)))
    return fail(`${name}: interface is no name of an interface`);
  if (desiredMinTxMicroseconds === undefined || requiredMinRxMicroseconds === undefined)
    return fail(`${name}: an interval is no number of microseconds`);
  if (detectMultiplier === undefined) return fail(`${name}: detectMultiplier is not 1 to 255`);
  if (minimumTtl === undefined) return fail(`${name}: minimumTtl is not 1 to 255`);
  if (hops !== 'single' && hops !== 'multi') return fail(`${name}: hops is neither single nor multi`);
  if (nexthops === undefined) return fail(`${name}: nexthops is no list of ids`);
  return ok({
    name,
    remote,
    local,
    interface: interfaceName,
    hops,
    minimumTtl,
    nexthops,
    desiredMinTxMicroseconds,
    requiredMinRxMicroseconds,
    detectMultiplier,
    passive: passive === true,
    administrativelyDown: administrativelyDown === true,
  });
}

function readIds(value: unknown): number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const ids = (value as readonly unknown[]).flatMap((id) => whole(id, 1, 0xffff_ffff) ?? []);
  return ids.length === value.length ? ids : undefined;
}

/** A message of BFD's process, which is a program of ours: the frame was checked, the kinds are told apart. */
export function readFromBfd(value: unknown): FromBfd | undefined {
  if (!isFields(value)) return undefined;
  const { kind, program, pid, notRealTime, endsWithAgent, reason, session, sessions } = value;
  if (kind === 'hello' && typeof program === 'string' && typeof pid === 'number')
    return {
      kind,
      program,
      pid,
      ...(typeof notRealTime === 'string' ? { notRealTime } : {}),
      ...(endsWithAgent === true ? { endsWithAgent } : {}),
    };
  if (kind === 'refused' && typeof reason === 'string') return { kind, reason };
  if (kind === 'changed' && isObserved(session)) return { kind, session };
  if (kind === 'observed' && Array.isArray(sessions) && sessions.every(isObserved)) return { kind, sessions };
  return undefined;
}

const numbers = [
  'diagnostic',
  'remoteDiagnostic',
  'since',
  'failures',
  'changes',
  'transmitIntervalMilliseconds',
  'detectionTimeMilliseconds',
  'sent',
  'received',
] as const;

const isState = (value: unknown): value is BfdState => bfdStates.some((state) => state === value);

const isObserved = (value: unknown): value is ObservedBfdSession =>
  isFields(value) &&
  typeof value['name'] === 'string' &&
  address(value['remote']) !== undefined &&
  (value['hops'] === 'single' || value['hops'] === 'multi') &&
  isState(value['state']) &&
  isState(value['remoteState']) &&
  typeof value['remoteControlPlaneIndependent'] === 'boolean' &&
  typeof value['failed'] === 'boolean' &&
  numbers.every((key) => typeof value[key] === 'number');
