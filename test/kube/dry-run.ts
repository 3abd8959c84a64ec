// Creating an object of ours over REST as kubectl does, so that nothing is kept.
import { request } from 'node:https';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import type { ControlPlane } from '#lab/kubernetes/control-plane.ts';
import { pluralOf } from '#resources/kind.ts';

export interface Answer {
  readonly code: number;
  /** The sentence of a refusal. */
  readonly message: string;
  /** Fields that a refusal names, such as `spec.importV4[0].cidr`. */
  readonly fields: readonly string[];
  readonly body: Readonly<Record<string, unknown>>;
}

export type DryRun = (kind: string, yaml: string) => Promise<Answer>;

/** With strict field validation, and every admission there is. */
export async function dryRunner(plane: ControlPlane): Promise<DryRun> {
  const access = await kubernetesAccess(await plane.kubeconfig('kubernetes-admin', ['system:masters']));
  return async (kind, yaml) => {
    const { headers, agent } = await access.grant();
    const path = `/apis/flatroute.io/v1alpha1/${pluralOf(kind)}?dryRun=All&fieldValidation=Strict`;
    return await new Promise((resolve, reject) => {
      const asked = request(
        new URL(path, access.server),
        { method: 'POST', agent, headers: { ...headers, 'content-type': 'application/yaml' } },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
          answer.on('end', () => resolve(answerOf(answer.statusCode ?? 0, text)));
        },
      );
      asked.on('error', reject).end(yaml);
    });
  };
}

function answerOf(code: number, text: string): Answer {
  const body = JSON.parse(text) as Answer['body'];
  const message = typeof body['message'] === 'string' ? body['message'] : '';
  const { causes = [] } = (body['details'] ?? {}) as { readonly causes?: readonly { readonly field?: string }[] };
  return { code, message, fields: causes.flatMap(({ field }) => (field === undefined ? [] : [field])), body };
}
