/**
 * From what every file says to what is in force. PURE. An object belongs to the first file, in order of name, that
 * defines it. Where that definition is wrong, or the file cannot be read, the last good state of the object stays in
 * force: a typing error closes no session. Where the file or the definition is gone, so is the object.
 */
import { idText } from '#resources/resource-set.ts';
import type { AnyResource, ResourceId, ResourceProblem } from '#resources/resource-set.ts';
import type { Draft, FileReading } from './documents.ts';

/** What is remembered from one reading of the directory to the next. */
export interface Remembered {
  readonly lastGood: ReadonlyMap<string, AnyResource>;
  /** Objects of each file when it was last read as a whole. */
  readonly objectsOf: ReadonlyMap<string, readonly ResourceId[]>;
}

export const nothingRemembered: Remembered = { lastGood: new Map(), objectsOf: new Map() };

export interface Settled {
  readonly remembered: Remembered;
  readonly resources: readonly AnyResource[];
  readonly problems: readonly ResourceProblem[];
}

interface Owner {
  readonly file: string;
  readonly line: number;
  readonly resource: AnyResource | undefined;
}

/** `readings`: one for each file that is there, in any order. */
export function settle(before: Remembered, readings: readonly FileReading[]): Settled {
  const ordered = [...readings].sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0));
  const owners = new Map<string, Owner>();
  const objectsOf = new Map<string, ResourceId[]>();
  const problems: ResourceProblem[] = [];
  const drafts: { draft: Draft; kept: number }[] = [];

  for (const reading of ordered) {
    const { file } = reading;
    const objects: ResourceId[] = [];
    const claim = (id: ResourceId, owner: Owner): void => {
      const key = idText(id);
      objects.push(id);
      const first = owners.get(key);
      if (first === undefined) owners.set(key, owner);
      else if (owner.line > 0) problems.push(duplicate(id, owner, first));
    };
    for (const { id, resource, line } of reading.claims) claim(id, { file, line, resource });
    let kept = 0;
    if (!reading.whole || reading.unidentified) {
      const named = new Set(objects.map(idText));
      for (const id of before.objectsOf.get(file) ?? []) {
        if (named.has(idText(id))) continue;
        if (before.lastGood.has(idText(id))) kept++;
        claim(id, { file, line: 0, resource: undefined });
      }
    }
    objectsOf.set(file, objects);
    for (const draft of reading.problems) drafts.push({ draft, kept });
  }

  const lastGood = new Map<string, AnyResource>();
  for (const [key, owner] of owners) {
    const resource = owner.resource ?? before.lastGood.get(key);
    if (resource !== undefined) lastGood.set(key, resource);
  }
  for (const { draft, kept } of drafts) problems.push(finished(draft, kept, lastGood));
  problems.sort((a, b) => (a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1));
  return { remembered: { lastGood, objectsOf }, resources: [...lastGood.values()], problems };
}

function duplicate(id: ResourceId, owner: Owner, first: Owner): ResourceProblem {
  const stands = first.line > 0 ? `${first.file}:${first.line}` : first.file;
  return {
    code: 'CONFIG_DUPLICATE_OBJECT',
    id,
    file: owner.file,
    line: owner.line,
    column: 1,
    field: '',
    message: `${owner.file}:${owner.line}: ${idText(id)} is already defined in ${stands}, which stands because it comes first by name. Delete one of the two.`,
    lastGoodInForce: false,
  };
}

function finished(draft: Draft, kept: number, lastGood: ReadonlyMap<string, AnyResource>): ResourceProblem {
  const { code, id, file, line, column, field, text } = draft;
  const place = [file, line > 0 ? line : undefined].filter((it) => it !== undefined && it !== '').join(':');
  const words = [place, field, text].filter((it) => it !== '').join(': ');
  const lastGoodInForce = id === undefined ? kept > 0 : lastGood.has(idText(id));
  return {
    code,
    id,
    file,
    line,
    column,
    field,
    message: `${words}. ${meanwhile(id, kept, lastGoodInForce)}`,
    lastGoodInForce,
  };
}

function meanwhile(id: ResourceId | undefined, kept: number, lastGoodInForce: boolean): string {
  if (id === undefined) {
    if (kept === 0) return 'It adds nothing to what is in force.';
    return `${kept === 1 ? 'The object' : `The ${kept} objects`} last read from it stay${kept === 1 ? 's' : ''} in force.`;
  }
  if (!lastGoodInForce) return `${idText(id)} is not in force.`;
  return id.kind === 'BGPPeer'
    ? `The session of ${id.name} keeps its last good settings.`
    : `${idText(id)} keeps its last good state.`;
}
