// The samples that test/kube/crds.test.ts gives to the API server, read by this program: the verdicts are the table's own, and
// each half compares with it. Which rules the samples break and keep is told by this program's reader.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { apiKinds, kinds } from '#resources/resource-set.ts';
import { fieldName, invalid } from '#resources/schema.ts';
import type { FieldProblem, Schema } from '#resources/schema.ts';
import { readDocuments } from '#sources/directory/documents.ts';
import { parse } from 'yaml';
import { samples } from '../../kube/samples/all.ts';
import type { Sample } from '../../kube/samples/sample.ts';

/** Of a kind that no file holds; nobody reads a BGPNodeState that somebody wrote. */
const inApiAlone = [apiKinds.serviceAddresses];

function sentences({ kind: name, yaml }: Sample): string[] {
  const kind = inApiAlone.find((it) => it.kind === name);
  if (kind === undefined)
    return readDocuments('sample.yaml', yaml).problems.map(({ field, text }) => `${field}: ${text}`);
  const problems: FieldProblem[] = [];
  kind.schema.read(parse(yaml), [], problems);
  return problems.map(({ path, text }) => `${fieldName(path)}: ${text}`);
}

/** What this program is to say: undefined for nothing. */
function expected({ verdict }: Sample): string | undefined {
  if (verdict === 'good') return undefined;
  if ('rule' in verdict) return verdict.rule;
  return 'node' in verdict ? verdict.node : verdict.structure[0];
}

describe('each sample gets the verdict of the table', () => {
  for (const sample of samples)
    test(`${sample.kind}: ${sample.what}`, () => {
      const said = sentences(sample);
      const wanted = expected(sample);
      if (wanted === undefined) assert.deepEqual(said, []);
      else assert.ok(said.length === 1 && said[0]?.includes(wanted), `${JSON.stringify(said)} is to say ${wanted}`);
    });
});

test('there are two hundred samples or more, half of them wrong', () => {
  const wrong = samples.filter(({ verdict }) => verdict !== 'good').length;
  assert.ok(samples.length >= 200, String(samples.length));
  assert.ok(wrong >= samples.length / 2, `${wrong} of ${samples.length}`);
});

/** Sentences as patterns, by where they stand: `BGPPeer.spec.asNumber`, list entries without their number. */
function rulesOf(schema: Schema<unknown>, place: string): { readonly place: string; readonly sentence: string }[] {
  const { shape } = schema;
  const own = schema.rules.map(({ sentence, path = [] }) => ({ place: [place, ...path].join('.'), sentence }));
  if (shape.kind === 'list') return [...own, ...rulesOf(shape.items, place)];
  if (shape.kind === 'map')
    return [...own, { place: `${place}.*`, sentence: shape.keys.sentence }, ...rulesOf(shape.values, `${place}.*`)];
  if (shape.kind !== 'object') return own;
  const fields = Object.entries(shape.fields).filter(([name]) => name !== 'metadata');
  return [...own, ...fields.flatMap(([name, field]) => rulesOf(field.schema, `${place}.${name}`))];
}

const pattern = (sentence: string): RegExp =>
  new RegExp(
    `^${sentence
      .split(/\{\w+\}/)
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}$`,
    's',
  );

test('every rule of our kinds is broken by a sample and kept by another', () => {
  const own = [...kinds.filter((kind) => kind.definition !== undefined), ...inApiAlone];
  const lacking: string[] = [];
  for (const kind of own) {
    const of = samples.filter((sample) => sample.kind === kind.kind);
    const problems = of.flatMap((sample): FieldProblem[] => {
      const found: FieldProblem[] = [];
      kind.schema.read(parse(sample.yaml), [], found);
      return found;
    });
    const good = of.flatMap((sample): unknown[] => {
      const raw: unknown = parse(sample.yaml);
      return kind.schema.read(raw, [], []) === invalid ? [] : [raw];
    });
    // A rule that several fields share is asked for once in a kind.
    const rules = Map.groupBy(rulesOf(kind.schema, kind.kind), (it) => it.sentence);
    for (const [sentence, found] of rules) {
      const places = found.map(({ place }) => place);
      if (!problems.some(({ text }) => pattern(sentence).test(text))) lacking.push(`broken: ${places[0]}: ${sentence}`);
      if (!good.some((raw) => places.some((place) => reaches(raw, place.split('.').slice(1)))))
        lacking.push(`kept: ${places[0]}: ${sentence}`);
    }
  }
  assert.deepEqual(lacking, []);
});

/** Whether a value stands at the place, in any entry of the lists on the way. */
function reaches(raw: unknown, path: readonly string[]): boolean {
  if (Array.isArray(raw)) return raw.some((entry) => reaches(entry, path));
  const [step, ...rest] = path;
  if (step === undefined) return raw !== undefined && raw !== null;
  if (typeof raw !== 'object' || raw === null) return false;
  return Object.entries(raw).some(([key, value]) => (step === '*' || key === step) && reaches(value, rest));
}
