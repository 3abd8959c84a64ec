/**
 * New inputs from old ones. Besides flips, cuts and copies it knows what binary protocols are made of: length fields that lie
 * by a little, boundary values of 8, 16 and 32 bits, a piece of another input in the middle of this one.
 */
import type { Random } from '../support/random.ts';

const edges = [0, 1, 2, 3, 4, 7, 8, 15, 16, 19, 23, 24, 31, 32, 33, 63, 64, 127, 128, 129, 192, 240, 254, 255];
const wideEdges = [0, 1, 18, 19, 4095, 4096, 4097, 0x7fff, 0x8000, 23456, 0xfffe, 0xffff];

type Mutation = (bytes: number[], random: Random, other: Uint8Array, words: readonly Uint8Array[]) => void;

const somewhere = (bytes: readonly number[], random: Random): number => random.below(Math.max(1, bytes.length));

const mutations: readonly Mutation[] = [
  (bytes, random) => {
    const at = somewhere(bytes, random);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
  },
  (bytes, random) => {
    bytes[somewhere(bytes, random)] = random.pick(edges);
  },
  (bytes, random) => {
    bytes[somewhere(bytes, random)] = random.below(256);
  },
  // A length or a counter that is off by a few.
  (bytes, random) => {
    const at = somewhere(bytes, random);
    bytes[at] = ((bytes[at] ?? 0) + random.below(9) - 4) & 255;
  },
  (bytes, random) => {
    const at = somewhere(bytes, random);
    const value = random.below(4) === 0 ? random.below(65_536) : random.pick(wideEdges);
    bytes[at] = value >>> 8;
    bytes[at + 1] = value & 255;
  },
  (bytes, random) => {
    bytes.splice(somewhere(bytes, random), 1 + random.below(8));
  },
  (bytes, random) => {
    bytes.length = somewhere(bytes, random);
  },
  (bytes, random) => {
    const fresh = Array.from({ length: 1 + random.below(8) }, () => random.below(256));
    bytes.splice(somewhere(bytes, random), 0, ...fresh);
  },
  // A piece once more, as a repeated attribute or prefix is.
  (bytes, random) => {
    const from = somewhere(bytes, random);
    bytes.splice(somewhere(bytes, random), 0, ...bytes.slice(from, from + 1 + random.below(40)));
  },
  (bytes, random, other) => {
    const from = random.below(Math.max(1, other.length));
    const piece = other.subarray(from, from + 1 + random.below(120));
    const at = somewhere(bytes, random);
    bytes.splice(at, random.below(2) === 0 ? piece.length : 0, ...piece);
  },
  (bytes, random, _other, words) => {
    if (words.length > 0) bytes.splice(somewhere(bytes, random), random.below(4), ...random.pick(words));
  },
];

/** `other`: a second input to take pieces of. `words`: octets that mean something to the target. At most `longest` octets. */
export function mutate(
  input: Uint8Array,
  other: Uint8Array,
  words: readonly Uint8Array[],
  longest: number,
  random: Random,
): Uint8Array {
  const bytes = [...input];
  for (let left = 1 + random.below(random.below(4) === 0 ? 16 : 4); left > 0; left--)
    random.pick(mutations)(bytes, random, other, words);
  return Uint8Array.from(bytes.slice(0, longest), (byte) => byte ?? 0);
}
