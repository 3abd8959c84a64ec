// The custom resource definitions on a real API server: the same verdicts as this program's reader, defaults, what is
// explained and listed, what may change, and what an older schema does to newer objects.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { apiKinds, kinds } from '#resources/resource-set.ts';
import { readDocuments } from '#sources/directory/documents.ts';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { seededRandom } from '../support/random.ts';
import { dryRunner } from './dry-run.ts';
import type { DryRun } from './dry-run.ts';
import { samples } from './samples/all.ts';
import { formats, mutations } from './samples/mutations.ts';
import type { Sample } from './samples/sample.ts';
import { apiServer } from './support.ts';

let plane: ControlPlane;
let dryRun: DryRun;
before(async () => {
  plane = await apiServer();
  dryRun = await dryRunner(plane);
});

/** What a CEL expression that fails instead of answering makes the server say. */
const broken = /evaluation error|no such overload|failed to call|unable to parse/i;

describe('one verdict from the API server and from this program', () => {
  /** What the API server is to say: undefined for nothing. */
  function expected({ verdict }: Sample): string | undefined {
    if (verdict === 'good' || 'node' in verdict) return undefined;
    return 'rule' in verdict ? verdict.rule : verdict.structure[1];
  }

  test('of every sample, and with the same sentence where a rule is broken', async () => {
    const differing: string[] = [];
    for (const sample of samples) {
      const { code, message } = await dryRun(sample.kind, sample.yaml);
      const wanted = expected(sample);
      const good = wanted === undefined ? code === 201 : code >= 400 && message.includes(wanted);
      if (!good || broken.test(message))
        differing.push(`${sample.kind}: ${sample.what}: ${code} ${message} (expected ${wanted ?? 'nothing'})`);
    }
    assert.deepEqual(differing, []);
  });

  test('of the least that a kind needs: what comes back is what this program reads', async () => {
    for (const sample of samples.filter(({ verdict }) => verdict === 'good')) {
      const { body } = await dryRun(sample.kind, sample.yaml);
      const kind = [...kinds, apiKinds.serviceAddresses].find((it) => it.kind === sample.kind);
      const [here, there] = [parse(sample.yaml) as unknown, body].map((raw) => kind?.schema.read(raw, [], []));
      assert.ok(typeof here === 'object' && typeof there === 'object', sample.what);
      assert.deepEqual('spec' in there && there.spec, 'spec' in here && here.spec, `${sample.kind}: ${sample.what}`);
    }
  });

  const refusedHere = (yaml: string): boolean => readDocuments('f.yaml', yaml).problems.length > 0;
  const seed = Number(process.env['FLATROUTE_SEED'] ?? 1);

  for (const [name, format] of Object.entries(formats))
    test(`of texts that are nearly right: ${name} (seed ${seed})`, async () => {
      const { kind, object, field } = format;
      const texts = mutations(format, field === undefined ? 80 : 400, seededRandom(seed));
      const all = field === undefined ? undefined : await dryRun(kind, object(...texts));
      const differing: string[] = [];
      for (const [i, text] of texts.entries()) {
        const yaml = object(text);
        const { code, message, fields } = all ?? (await dryRun(kind, yaml));
        assert.doesNotMatch(message, broken);
        const there = field === undefined ? code >= 400 : fields.includes(field(i));
        if (there === refusedHere(yaml) || (format.gap === true && !there)) continue;
        differing.push(`${text}: refused ${there ? `there: ${message}` : 'here'}`);
      }
      assert.deepEqual(differing, []);
    });
});
