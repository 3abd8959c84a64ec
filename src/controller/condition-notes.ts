/**
 * Events of what has turned in the status of an object. PURE. The status that stands there is what was said before, whichever
 * leader wrote it: nothing is said twice, and a new leader is silent about what the one before has told.
 */
import type { Note } from '#kubernetes/events.ts';
import { type ApiObject, apiVersionOf, type ResourceType } from '#kubernetes/store.ts';
import { severityOf } from '#intent/severity.ts';
import { fieldOf, listOf } from './conditions.ts';

/** `status`: what was written over the object's. */
export function conditionNotes(type: ResourceType, object: ApiObject, status: object): readonly Note[] {
  const before = new Map(
    listOf(fieldOf(object['status'], 'conditions')).map((one) => [fieldOf(one, 'type'), one] as const),
  );
  const { name, namespace, uid } = object.metadata;
  const place = namespace === undefined ? {} : { namespace };
  return listOf(fieldOf(status, 'conditions')).flatMap((one): readonly Note[] => {
    const last = before.get(fieldOf(one, 'type'));
    const is = { status: String(fieldOf(one, 'status')), reason: String(fieldOf(one, 'reason')) };
    const was = { status: fieldOf(last, 'status'), reason: fieldOf(last, 'reason') };
    const turned = turn(String(fieldOf(one, 'type')), was, is);
    if (turned === undefined) return [];
    return [
      {
        regarding: { apiVersion: apiVersionOf(type), kind: type.kind, name, ...place, uid },
        type: turned,
        reason: is.reason,
        action: String(fieldOf(one, 'type')),
        text: String(fieldOf(one, 'message')),
      },
    ];
  });
}

function turn(
  type: string,
  was: { readonly status: unknown; readonly reason: unknown },
  is: { readonly status: string; readonly reason: string },
): Note['type'] | undefined {
  if (is.status === 'True') return was.status === 'False' ? 'Normal' : undefined;
  if (is.status !== 'False' || (was.status === 'False' && was.reason === is.reason)) return undefined;
  // A session that was never up is only being set up, as far as is known; its node tells when that takes long.
  if (type === 'Established' && was.status !== 'True') return undefined;
  return severityOf(is) === 'info' ? 'Normal' : 'Warning';
}
