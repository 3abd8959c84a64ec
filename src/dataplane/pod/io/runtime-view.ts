/**
 * What the container runtime has, as far as it can be seen from here: which network namespaces are named or have processes,
 * and the results that libcni keeps of the attachments which it was told of (its `cniCacheV1` files, which a runtime's
 * DEL removes). Read without holding the thread up; what vanishes meanwhile is left out.
 */
import { type Dirent, promises as files } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '#lib/result.ts';
import { closeNamespace, openNamespace } from '#linux/namespace.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { appendGetNamespaceId, decodeNamespaceId } from '#netlink/wire/namespace.ts';
import { networkHash } from '../attachment.ts';

export interface SeenNamespace {
  /** Number by which the node's namespace knows it; see `linkNamespace` of a link. */
  readonly id: number;
  /** Leads there. */
  readonly path: string;
  /** Files that name it, such as /run/netns/cni-1234. */
  readonly names: readonly string[];
  readonly processes: number;
}

/** One attachment of which the runtime keeps the result. */
export interface RuntimeResult {
  readonly networkHash: string;
  readonly network: string;
  readonly containerId: string;
  readonly interfaceName: string;
  /** Path of the pod's namespace; empty when the file does not say. */
  readonly netns: string;
  /** Number of that namespace, as far as it could be opened. */
  readonly namespace: number | undefined;
  /** The file at `netns` is there. */
  readonly exists: boolean;
  /** A plugin of its list is ours. */
  readonly ours: boolean;
}

export interface RuntimeView {
  readonly namespaces: readonly SeenNamespace[];
  /** `undefined` when there is no directory of results that could be read. */
  readonly results: readonly RuntimeResult[] | undefined;
}

/** Where libcni keeps results for containerd and CRI-O, and for Multus. */
export const RESULT_DIRECTORIES: readonly string[] = ['/var/lib/cni/results', '/var/lib/cni/multus/results'];
const NAME_DIRECTORIES = ['/run/netns', '/run/docker/netns'];
const PLUGIN_TYPE = 'flatroute';
const LARGEST_RESULT = 4 * 1024 * 1024;
/** Files that are read at one time. */
const AT_ONCE = 32;

export async function observeRuntime(resultDirectories: readonly string[] = RESULT_DIRECTORIES): Promise<RuntimeView> {
  const socket = NetlinkSocket.open();
  try {
    const seen = new Map<string, { path: string; names: string[]; processes: number }>();
    const note = async (path: string): Promise<{ names: string[]; processes: number } | undefined> => {
      const stat = await files.stat(path).catch(() => undefined);
      if (stat === undefined) return undefined;
      const key = `${stat.dev} ${stat.ino}`;
      const known = seen.get(key) ?? { path, names: [], processes: 0 };
      seen.set(key, known);
      return known;
    };
    for (const directory of NAME_DIRECTORIES)
      for (const { name } of await entries(directory)) {
        const path = join(directory, name);
        (await note(path))?.names.push(path);
      }
    const processes = (await entries('/proc')).filter(({ name }) => /^\d+$/.test(name));
    await each(processes, async ({ name }) => {
      const known = await note(`/proc/${name}/ns/net`);
      if (known !== undefined) known.processes += 1;
    });
    const namespaces: SeenNamespace[] = [];
    for (const { path, names, processes: count } of seen.values()) {
      const id = namespaceId(socket, path);
      if (id !== undefined) namespaces.push({ id, path, names, processes: count });
    }
    return { namespaces, results: await readResults(resultDirectories, (path) => namespaceId(socket, path)) };
  } finally {
    socket.close();
  }
}

async function readResults(
  directories: readonly string[],
  idOf: (path: string) => number | undefined,
): Promise<readonly RuntimeResult[] | undefined> {
  let found: RuntimeResult[] | undefined;
  for (const directory of directories) {
    const here = await files.readdir(directory).catch(() => undefined);
    if (here === undefined) continue;
    const results: RuntimeResult[] = (found ??= []);
    await each(here, async (name) => {
      const result = await readResult(join(directory, name));
      if (result === undefined) return;
      const exists = (await files.stat(result.netns).catch(() => undefined)) !== undefined;
      results.push({ ...result, exists, namespace: exists ? idOf(result.netns) : undefined });
    });
  }
  return found;
}

/** `undefined` for what is no file of libcni's. */
async function readResult(path: string): Promise<Omit<RuntimeResult, 'exists' | 'namespace'> | undefined> {
  try {
    const seen = await files.stat(path);
    if (!seen.isFile() || seen.size > LARGEST_RESULT) return undefined;
    const json: unknown = JSON.parse(await files.readFile(path, 'utf8'));
    const { kind, containerId, ifName, networkName, netns, config, result } = fields(json);
    if (kind !== 'cniCacheV1' || typeof containerId !== 'string' || typeof ifName !== 'string') return undefined;
    if (typeof networkName !== 'string') return undefined;
    return {
      networkHash: networkHash(networkName),
      network: networkName,
      containerId,
      interfaceName: ifName,
      netns: typeof netns === 'string' ? netns : sandboxOf(result, ifName),
      ours: typeof config === 'string' && pluginTypes(config).includes(PLUGIN_TYPE),
    };
  } catch {
    return undefined;
  }
}

const fields = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? { ...value } : {};

/** Where older versions of libcni say it: CNI specification 1.0.0, "Success", `interfaces[].sandbox`. */
function sandboxOf(result: unknown, interfaceName: string): string {
  const { interfaces } = fields(result);
  for (const one of Array.isArray(interfaces) ? interfaces : []) {
    const { name, sandbox } = fields(one);
    if (name === interfaceName && typeof sandbox === 'string') return sandbox;
  }
  return '';
}

/** Of a network configuration or a list of them, in base64 as Go writes bytes. */
function pluginTypes(config: string): unknown[] {
  const { type, plugins } = fields(JSON.parse(Buffer.from(config, 'base64').toString('utf8')));
  return [type, ...(Array.isArray(plugins) ? plugins.map((plugin) => fields(plugin)['type']) : [])];
}

function namespaceId(socket: NetlinkSocket, path: string): number | undefined {
  let fd: number | undefined;
  try {
    fd = openNamespace(path);
    const batch = new MessageBatch(64);
    appendGetNamespaceId(batch, fd);
    let id: number | undefined;
    socket.execute(batch, (_, reader, message) => {
      id = decodeNamespaceId(reader, message) ?? id;
    });
    return id;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return undefined;
  } finally {
    if (fd !== undefined) closeNamespace(fd);
  }
}

const entries = async (directory: string): Promise<Dirent[]> =>
  await files.readdir(directory, { withFileTypes: true }).catch(() => []);

async function each<T>(items: readonly T[], action: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += AT_ONCE)
    await Promise.all(items.slice(from, from + AT_ONCE).map(action));
}
