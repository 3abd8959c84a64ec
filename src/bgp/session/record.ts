/**
 * A session's life as JSON lines: what happened to it, and what the machine made of it. PURE: values to lines and back.
 *
 *   begin  who the session is with, its configuration, and the machine's state before the first step below it
 *   step   one event, the state after it and what was to be done; bodies of UPDATEs stand in the event alone
 *
 * A file may hold several beginnings: one for each start of the session, and one wherever steps could not be written.
 * No line holds a password. Octets are hexadecimal.
 */
import { type Result, fail, ok } from '#lib/result.ts';
import type { SessionState } from '../engine.ts';
import type { SessionConfig } from './config.ts';
import type { Effect, Event } from './events.ts';
import { type State, sessionStateOf } from './state.ts';

const RECORD_VERSION = 1;

export interface RecordBegin {
  readonly kind: 'begin';
  readonly version: typeof RECORD_VERSION;
  /** Version of the program that wrote it. */
  readonly program: string;
  readonly peer: string;
  readonly address: string;
  /** Wall clock of `at`, milliseconds since the epoch. */
  readonly wall: number;
  /** The clock of the events, milliseconds. */
  readonly at: number;
  readonly config: SessionConfig;
  readonly state: State;
  /** Steps that were not written before this one, because the disk was too slow. */
  readonly lost: number;
}

/** An effect without the octets that its event holds already. */
export type RecordedEffect = Exclude<Effect, { kind: 'deliverUpdate' }> | { readonly kind: 'deliverUpdate' };

export interface RecordStep {
  readonly kind: 'step';
  readonly event: Event;
  readonly state: SessionState;
  readonly effects: readonly RecordedEffect[];
}

export type RecordLine = RecordBegin | RecordStep;

export const beginLine = (
  who: Pick<RecordBegin, 'program' | 'peer' | 'address' | 'wall' | 'config' | 'lost'>,
  before: State,
  event: Event,
): RecordBegin => ({ kind: 'begin', version: RECORD_VERSION, ...who, at: event.at, state: before });

export const stepLine = (event: Event, after: State, effects: readonly Effect[]): RecordStep => ({
  kind: 'step',
  event,
  state: sessionStateOf(after),
  effects: effects.map((effect) => (effect.kind === 'deliverUpdate' ? { kind: 'deliverUpdate' } : effect)),
});

/** Octets before a Buffer makes a list of numbers of itself. */
export function hexadecimal(this: Record<string, unknown>, key: string, value: unknown): unknown {
  const raw = this[key];
  return raw instanceof Uint8Array ? { hex: Buffer.from(raw).toString('hex') } : value;
}

/** One line, its end included. */
export const formatLine = (line: RecordLine): string => `${JSON.stringify(line, hexadecimal)}\n`;

const octets = (value: unknown): unknown => {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1 || !('hex' in value)) return value;
  return typeof value.hex === 'string' ? Uint8Array.from(Buffer.from(value.hex, 'hex')) : value;
};

/** The error says what is wrong with the line, in words. */
export function parseLine(text: string): Result<RecordLine, string> {
  let value: unknown;
  try {
    value = JSON.parse(text, (_key, inner: unknown) => octets(inner));
  } catch {
    return fail('is no JSON; the line was cut short, or the file is no record of a session');
  }
  if (typeof value !== 'object' || value === null || !('kind' in value)) return fail('is no line of a session record');
  const has = (...keys: readonly string[]): boolean =>
    keys.every((key) => typeof (value as Record<string, unknown>)[key] === 'object');
  if (value.kind === 'begin' && has('config', 'state')) {
    const line = value as RecordBegin;
    return (line.version as number) === RECORD_VERSION
      ? ok(line)
      : fail(`is of version ${String(line.version)} of the record; this program reads version ${RECORD_VERSION}`);
  }
  if (value.kind === 'step' && has('event', 'effects')) return ok(value as RecordStep);
  return fail('is no line of a session record');
}
