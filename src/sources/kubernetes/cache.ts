/**
 * The last valid resources in a file, for a start while the API is away. It holds passwords: only its owner may read it. It
 * is written whole beside its place and then moved there, so that a crash leaves the old one or the new one.
 */
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { chmod, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ApiObject } from '#kubernetes/store.ts';
import { isRecord } from '#lib/json.ts';
import type { Raw } from './read-object.ts';

/** The form of the file; a file of another form is not read. */
const form = 1;
/** Far above what a node needs; a file that is larger was not written by this program. */
const longest = 32 * 1024 * 1024;

export interface CacheContents {
  readonly objects: readonly ApiObject[];
  /** Why the file, or some of it, is of no use. */
  readonly problem: string | undefined;
}

const nothing = (problem?: string): CacheContents => ({ objects: [], problem });

const isObject = (value: unknown): value is ApiObject =>
  isRecord(value) &&
  typeof value['kind'] === 'string' &&
  typeof value['apiVersion'] === 'string' &&
  isRecord(value['metadata']) &&
  typeof value['metadata']['name'] === 'string';

/** Never throws: a start without the cache is better than none. */
export async function readCache(file: string, node: string): Promise<CacheContents> {
  let handle: FileHandle;
  try {
    // oxlint-disable-next-line no-bitwise
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    return codeOf(error) === 'ENOENT' ? nothing() : nothing(`it cannot be opened (${codeOf(error)})`);
  }
  try {
    const { uid, mode, size } = await handle.stat();
    // Whoever can write it could give this node any peer.
    // oxlint-disable-next-line no-bitwise
    if (uid !== process.geteuid?.() || (mode & 0o022) !== 0) return nothing('others than its owner may write it');
    if (size > longest) return nothing(`it is larger than ${longest} bytes`);
    // oxlint-disable-next-line no-bitwise
    if ((mode & 0o077) !== 0) await chmod(file, 0o600);
    const contents: unknown = JSON.parse(await handle.readFile('utf8'));
    if (!isRecord(contents) || !Array.isArray(contents['objects'])) return nothing('it is not in the form of a cache');
    if (contents['form'] !== form) return nothing('it is of another version of flatroute');
    if (contents['node'] !== node) return nothing('it is of another node');
    const all: readonly unknown[] = contents['objects'];
    const objects = all.filter(isObject);
    const lost = all.length - objects.length;
    return { objects, problem: lost === 0 ? undefined : `${lost} of its ${all.length} objects cannot be read` };
  } catch {
    // The parser's words quote the text, which holds passwords.
    return nothing('it is cut short or damaged');
  } finally {
    await handle.close();
  }
}

/** Rejects with what the file system says. */
export async function writeCache(file: string, node: string, objects: readonly Raw[]): Promise<void> {
  const text = JSON.stringify({ form, node, objects });
  if (text.length > longest) throw new Error(`the resources take more than ${longest} bytes`);
  const beside = `${file}.new`;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await unlink(beside).catch(() => undefined);
  const handle = await open(beside, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(beside, file);
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown error';
