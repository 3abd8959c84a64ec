// Creating an object of ours over REST as kubectl does, so that nothing is kept.
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { send, wholeText } from '#kubernetes/io/transport.ts';
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
    const call = {
      method: 'POST',
      path: `/apis/flatroute.io/v1alpha1/${pluralOf(kind)}?dryRun=All&fieldValidation=Strict`,
      what: `dry run ${kind}`,
      body: { type: 'application/yaml', text: yaml },
      headMilliseconds: 30_000,
    } as const;
    const answer = await send(access, 'flatroute-test/0', call);
    return answerOf(answer.status, await wholeText(answer, call, { bytes: 1 << 24, milliseconds: 30_000 }));
  };
}

function answerOf(code: number, text: string): Answer {
  const body = JSON.parse(text) as Answer['body'];
  const message = typeof body['message'] === 'string' ? body['message'] : '';
  const { causes = [] } = (body['details'] ?? {}) as { readonly causes?: readonly { readonly field?: string }[] };
  return { code, message, fields: causes.flatMap(({ field }) => (field === undefined ? [] : [field])), body };
}
