// What a sample object is, and what both evaluators say of it.

/**
 * `rule`: refused, and this stands in the sentence of both. `structure`: refused, each in its own words: first this program's,
 * then the API server's. `node`: taken by the API server, refused by this program with this sentence.
 */
type Verdict =
  | 'good'
  | { readonly rule: string }
  | { readonly structure: readonly [node: string, server: string] }
  | { readonly node: string };

export interface Sample {
  readonly what: string;
  readonly kind: string;
  readonly yaml: string;
  readonly verdict: Verdict;
}

/** What it is, its spec as the inside of a flow map, the verdict, and a name where that matters. */
export type Row = readonly [what: string, spec: string, verdict: Verdict, name?: string];

export const samplesOf = (kind: string, rows: readonly Row[]): Sample[] =>
  rows.map(([what, spec, verdict, name = 'sample']) => ({
    what,
    kind,
    yaml: `{apiVersion: flatroute.io/v1alpha1, kind: ${kind}, metadata: {name: "${name}"}, spec: {${spec}}}`,
    verdict,
  }));

export const rule = (sentence: string): Verdict => ({ rule: sentence });
export const structure = (node: string, server: string): Verdict => ({ structure: [node, server] });
export const node = (sentence: string): Verdict => ({ node: sentence });
