/** The shape of a fuzzing target. */
export interface Target {
  /** Also the name of its corpus file. */
  readonly name: string;
  /** Octets at most; longer inputs are cut. */
  readonly longest: number;
  /** Inputs to begin with, beside the corpus. */
  readonly seeds: () => readonly Uint8Array[];
  /** Octets that mean something to the target. */
  readonly words?: readonly Uint8Array[];
  /** Throws when something that must hold does not. */
  readonly run: (input: Uint8Array) => void | Promise<void>;
}

export const textOf = (input: Uint8Array): string => Buffer.from(input).toString('utf8');
export const bytesOfText = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'utf8'));
