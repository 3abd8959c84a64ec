/** Versions and error codes of the CNI specification (1.1.0 and before), and how a failed call looks on stdout. */
import type { Result } from '#lib/result.ts';

export const specVersions = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export type SpecVersion = (typeof specVersions)[number];

export const isSpecVersion = (text: string): text is SpecVersion => (specVersions as readonly string[]).includes(text);
export const atLeast = (version: SpecVersion, since: SpecVersion): boolean =>
  specVersions.indexOf(version) >= specVersions.indexOf(since);

export const verbs = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;
export type Verb = (typeof verbs)[number];

/** CNI specification 1.1.0, "Error"; from 100 on they are ours. */
export const cniCode = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  containerUnknown: 3,
  invalidEnvironment: 4,
  io: 5,
  cannotDecode: 6,
  invalidConfig: 7,
  tryAgain: 11,
  unavailable: 50,
  limitedConnectivity: 51,
  addressesExhausted: 100,
  kernel: 101,
  notAsAdded: 102,
} as const;

export interface CniFailure {
  readonly code: number;
  readonly msg: string;
  readonly details: string;
}

export type CniResult<T> = Result<T, CniFailure>;

export const cniFailure = (
  code: number,
  msg: string,
  details = '',
): { readonly ok: false; readonly error: CniFailure } => ({
  ok: false,
  error: { code, msg, details },
});

const LONGEST_QUOTE = 200;

/** The value as JSON; `undefined` when it is nested so deeply that it cannot be written. */
export function jsonText(value: unknown): string | undefined {
  try {
    return JSON.stringify(value) ?? String(value);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return undefined;
  }
}

/** What a caller sent, as an error names it. Annotations come from whoever may create a pod: they may be large and deep. */
export function quote(value: unknown): string {
  const text = jsonText(value) ?? 'a value nested too deeply';
  return text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text;
}

export const formatFailure = (version: string, failure: CniFailure): string =>
  `${JSON.stringify({ cniVersion: version, code: failure.code, msg: failure.msg, details: failure.details })}\n`;

export const formatVersions = (): string =>
  `${JSON.stringify({ cniVersion: '1.1.0', supportedVersions: specVersions })}\n`;
