/** Inputs on disk: one file for each target, one input a line in hexadecimal; `#` begins a remark. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = (kind: 'corpus' | 'crashers'): string => join(import.meta.dirname, kind);

export function readInputs(kind: 'corpus' | 'crashers', target: string): Uint8Array[] {
  const file = join(folder(kind), `${target}.txt`);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
    .map((line) => Uint8Array.from(Buffer.from(line, 'hex')));
}

/** Replaces the file of a target. */
export function writeInputs(kind: 'corpus' | 'crashers', target: string, inputs: readonly Uint8Array[]): string {
  mkdirSync(folder(kind), { recursive: true });
  const file = join(folder(kind), `${target}.txt`);
  writeFileSync(file, inputs.map((input) => `${Buffer.from(input).toString('hex')}\n`).join(''));
  return file;
}
