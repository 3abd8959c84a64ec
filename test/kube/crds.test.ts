// The custom resource definitions on a real API server: the same verdicts as this program's reader, defaults, what is
// explained and listed, what may change, and what an older schema does to newer objects.
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { before, test } from 'node:test';
import { pluralOf } from '#resources/kind.ts';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import type { Access } from '#kubernetes/io/access.ts';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { samples } from './samples/all.ts';
import type { Sample } from './samples/sample.ts';
import { apiServer } from './support.ts';

let plane: ControlPlane;
let access: Access;
before(async () => {
  plane = await apiServer();
  access = await kubernetesAccess(await plane.kubeconfig('kubernetes-admin', ['system:masters']));
});

interface Answer {
  readonly code: number;
  /** The sentence of a refusal. */
  readonly message: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a create answers that changes nothing, with YAML as kubectl sends it. */
async function dryRun(kind: string, yaml: string): Promise<Answer> {
  const { headers, agent } = await access.grant();
  const path = `/apis/flatroute.io/v1alpha1/${pluralOf(kind)}?dryRun=All&fieldValidation=Strict`;
  return await new Promise((resolve, reject) => {
    const asked = request(
      new URL(path, access.server),
      { method: 'POST', agent, headers: { ...headers, 'content-type': 'application/yaml' } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => {
          const body = JSON.parse(text) as Answer['body'];
          resolve({
            code: answer.statusCode ?? 0,
            message: typeof body['message'] === 'string' ? body['message'] : '',
            body,
          });
        });
      },
    );
    asked.on('error', reject).end(yaml);
  });
}

/** What the API server is to say: undefined for nothing. */
function expected({ verdict }: Sample): string | undefined {
  if (verdict === 'good' || 'node' in verdict) return undefined;
  return 'rule' in verdict ? verdict.rule : verdict.structure[1];
}

test('the API server gives each sample the verdict of the table, which is that of this program', async () => {
  const differing: string[] = [];
  for (const sample of samples) {
    const { code, message } = await dryRun(sample.kind, sample.yaml);
    const wanted = expected(sample);
    const good = wanted === undefined ? code === 201 : code >= 400 && message.includes(wanted);
    const noise = /evaluation error|no such overload|failed to call|unable to parse/i.test(message);
    if (!good || noise)
      differing.push(`${sample.kind}: ${sample.what}: ${code} ${message} (expected ${wanted ?? 'nothing'})`);
  }
  assert.deepEqual(differing, []);
});
