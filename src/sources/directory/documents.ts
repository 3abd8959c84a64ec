/**
 * One file of resources, as text, read into objects. PURE. Data in: a file's name and text (YAML 1.2 of one or more
 * documents, or JSON, which is YAML too; `v1` Lists are taken apart). Data out: which objects it defines, and what is
 * wrong with which line. Whatever the text is, nothing is thrown.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml';
import type { Document, Node as YamlNode } from 'yaml';
import { idOf, kinds } from '#resources/resource-set.ts';
import type { AnyResource, ResourceCode, ResourceId } from '#resources/resource-set.ts';
import { objectName } from '#resources/formats.ts';
import { secretNamespace } from '#resources/kind.ts';
import { hint } from '#resources/hint.ts';
import { fieldName, invalid, shown } from '#resources/schema.ts';
import type { FieldProblem, Path } from '#resources/schema.ts';

/** More objects than one file of a node's configuration ever has; bounds the work that a wrong file can cause. */
const documentsLimit = 1000;
/** Problems reported of one object; the rest is more of the same. */
const problemsLimit = 10;
/** Times that aliases may repeat a value: enough for anchors, too few to grow a file without end. */
const aliasLimit = 100;

/** A problem without its last sentence: what holds meanwhile is known only when all files are read. */
export interface Draft {
  readonly code: ResourceCode;
  readonly id: ResourceId | undefined;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly field: string;
  readonly text: string;
}

export interface Claim {
  readonly id: ResourceId;
  /** `undefined`: the object is wrong and was refused. */
  readonly resource: AnyResource | undefined;
  readonly line: number;
}

export interface FileReading {
  readonly file: string;
  /** `false`: the file could not be read as a whole, so it says nothing about which objects there are. */
  readonly whole: boolean;
  /** Some document did not say which object it is. */
  readonly unidentified: boolean;
  readonly claims: readonly Claim[];
  readonly problems: readonly Draft[];
}

export const brokenFile = (file: string, code: ResourceCode, text: string, line = 0, column = 0): FileReading => ({
  file,
  whole: false,
  unidentified: true,
  claims: [],
  problems: [{ code, id: undefined, file, line, column, field: '', text }],
});

export function readDocuments(file: string, text: string): FileReading {
  if (text.trim() === '') {
    // A file that is being written anew is empty for a moment: taking that for "no objects" would close its sessions.
    return brokenFile(file, 'CONFIG_FILE_EMPTY', 'the file is empty; delete it to remove its objects');
  }
  const lines = new LineCounter();
  try {
    const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
    if (!Array.isArray(documents)) return { file, whole: true, unidentified: false, claims: [], problems: [] };
    return readAll(file, documents, lines);
  } catch (error) {
    // RangeError: nested until the stack was full. Everything that the parser throws comes from the text.
    const why = error instanceof RangeError ? 'it is nested too deeply' : message(error);
    return brokenFile(file, 'CONFIG_YAML_SYNTAX', `the file is not YAML: ${why}`);
  }
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 200);

function readAll(file: string, documents: readonly Document.Parsed[], lines: LineCounter): FileReading {
  for (const document of documents) {
    const [error] = [...document.errors, ...document.warnings];
    if (error === undefined) continue;
    const { line, col } = lines.linePos(error.pos[0]);
    return brokenFile(file, 'CONFIG_YAML_SYNTAX', `the file is not YAML: ${message(error)}`, line, col);
  }
  const objects = documents.flatMap((document) => objectsOf(document));
  if (objects.length > documentsLimit) {
    const text = `the file has ${objects.length} objects; at most ${documentsLimit} are allowed, split it`;
    return brokenFile(file, 'CONFIG_TOO_MANY_DOCUMENTS', text);
  }
  const claims: Claim[] = [];
  const problems: Draft[] = [];
  let unidentified = false;
  for (const object of objects) {
    const read = readObject(file, object, lines);
    problems.push(...read.problems);
    if (read.claim === undefined) unidentified = true;
    else claims.push(read.claim);
  }
  return { file, whole: true, unidentified, claims, problems };
}

interface RawObject {
  readonly document: Document.Parsed;
  readonly base: Path;
  readonly value: unknown;
}

function objectsOf(document: Document.Parsed): RawObject[] {
  const value: unknown = document.toJS({ maxAliasCount: aliasLimit });
  if (value === null || value === undefined) return [];
  const record = asRecord(value);
  const items = record?.['kind'] === 'List' && record['apiVersion'] === 'v1' ? record['items'] : undefined;
  if (!Array.isArray(items)) return [{ document, base: [], value }];
  return items.map((item: unknown, i) => ({ document, base: ['items', i], value: item }));
}

const asRecord = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;

function readObject(
  file: string,
  { document, base, value }: RawObject,
  lines: LineCounter,
): { readonly claim: Claim | undefined; readonly problems: readonly Draft[] } {
  const at = (path: Path, where: 'key' | 'value') => placeOf(document, [...base, ...path], where, lines);
  const start = at([], 'value');
  const draft = (
    code: ResourceCode,
    text: string,
    path: Path,
    id?: ResourceId,
    where: 'key' | 'value' = 'value',
  ): Draft => ({
    code,
    id,
    file,
    ...at(path, where),
    field: fieldName(path),
    text,
  });
  const record = asRecord(value);
  if (record === undefined) {
    const text = `${shown(value)} is no object; a document has apiVersion, kind, metadata and spec`;
    return { claim: undefined, problems: [draft('CONFIG_NOT_AN_OBJECT', text, [])] };
  }
  const kind = kinds.find((it) => it.kind === record['kind'] && it.apiVersion === record['apiVersion']);
  if (kind === undefined) {
    const { text, path } = unknownKind(record);
    return { claim: undefined, problems: [draft('CONFIG_UNKNOWN_KIND', text, path)] };
  }
  const found: FieldProblem[] = [];
  const resource = kind.schema.read(record, [], found);
  const id = resource === invalid ? claimedId(kind.kind, kind.namespaced, record) : idOf(resource);
  const problems = found.slice(0, problemsLimit).map((it) => draft(it.code, it.text, it.path, id, it.at));
  if (id === undefined) return { claim: undefined, problems };
  return { claim: { id, resource: resource === invalid ? undefined : resource, line: start.line }, problems };
}

/** Which object a refused document meant, if its name can be read. */
function claimedId(
  kind: string,
  namespaced: boolean,
  record: Readonly<Record<string, unknown>>,
): ResourceId | undefined {
  const metadata = asRecord(record['metadata']);
  const name = objectName.read(metadata?.['name'], [], []);
  if (name === invalid) return undefined;
  if (!namespaced) return { kind, namespace: undefined, name };
  const namespace = metadata?.['namespace'] ?? secretNamespace;
  return typeof namespace === 'string' ? { kind, namespace, name } : undefined;
}

function unknownKind(record: Readonly<Record<string, unknown>>): { readonly text: string; readonly path: Path } {
  const { kind, apiVersion } = record;
  const known = kinds.find((it) => it.kind === kind);
  if (known !== undefined) {
    const text =
      apiVersion === undefined
        ? `is required; ${known.kind} has ${known.apiVersion}`
        : `${shown(apiVersion)} is not known here; write ${known.apiVersion}`;
    return { text, path: ['apiVersion'] };
  }
  const names = kinds.map((it) => it.kind);
  if (typeof kind !== 'string') return { text: `is required; known here: ${names.join(', ')}`, path: ['kind'] };
  return { text: `${shown(kind)} is not known here; ${hint(kind, names)}`, path: ['kind'] };
}

/** Where a field stands: the field itself, or the nearest thing around it that is there. */
function placeOf(
  document: Document.Parsed,
  path: Path,
  where: 'key' | 'value',
  lines: LineCounter,
): { readonly line: number; readonly column: number } {
  const offsetOf = (it: unknown): number | undefined => (it as YamlNode | null | undefined)?.range?.[0];
  let current: unknown = document.contents;
  let offset = offsetOf(current) ?? 0;
  for (const [i, step] of path.entries()) {
    if (isAlias(current)) current = current.resolve(document);
    let key: unknown;
    let next: unknown;
    if (isMap(current)) {
      const pair = current.items.find((it) => isScalar(it.key) && String(it.key.value) === String(step));
      if (pair === undefined) break;
      key = pair.key;
      next = pair.value;
    } else if (isSeq(current) && typeof step === 'number') next = current.items[step];
    else break;
    const last = i === path.length - 1;
    // A block below its key begins on a later line; people look for the key.
    const block = isMap(next) || isSeq(next);
    offset =
      (last && where === 'value' && !block ? offsetOf(next) : undefined) ?? offsetOf(key) ?? offsetOf(next) ?? offset;
    current = next;
  }
  const { line, col } = lines.linePos(offset);
  return { line, column: col };
}
