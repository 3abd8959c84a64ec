/** A better word for a misspelt one. */
import { nearest } from '#lib/nearest.ts';

/** What was probably meant by a misspelt name, or everything that is allowed. */
export function hint(name: string, known: readonly string[]): string {
  const near = nearest(name.slice(0, 64), known);
  return near === undefined ? `known here: ${known.join(', ')}` : `write ${near}`;
}
