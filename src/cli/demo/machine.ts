/**
 * Whether the demo left anything on the machine: the machine's own links, rules and the files that a node has are
 * looked at before and after, and no process may be left in a namespace of the lab.
 */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import type { Lab } from '#lab/lab.ts';
import { startTime } from '#lab/owner.ts';
import { execute } from '#lab/process.ts';
import { Unexpected } from './checks.ts';

/** What a node of the demo has in its own /run, /etc and /var/lib, and the machine must not get. */
const FILES = ['/run/flatroute', '/run/cni', '/var/lib/flatroute', '/etc/flatroute', '/etc/cni/net.d'];

export interface MachineState {
  readonly files: readonly string[];
  /** Host ends of pods in the machine's own namespace: it may be a node itself. */
  readonly podLinks: readonly string[];
}

export async function machineState(): Promise<MachineState> {
  const links = (await execute(['ip', '-o', 'link', 'show'])).stdout.split('\n');
  return {
    files: FILES.filter((path) => existsSync(path)),
    podLinks: links.filter((line) => /^\d+: fr[0-9a-f]{12}@/.test(line)).map((line) => line.split(' ')[1] ?? ''),
  };
}

const networkNamespace = (pid: string): string | undefined => {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
};

/** Takes the lab away and looks. Throws Unexpected when something is left. */
export async function whatIsLeft(lab: Lab, before: MachineState): Promise<string> {
  const hosts = lab.hosts.length;
  const links = lab.links.length;
  const own = networkNamespace('self');
  const namespaces = new Set(lab.hosts.map((host) => networkNamespace(String(host.pid))));
  const inLab = (entry: string): boolean => {
    if (!/^\d+$/.test(entry)) return false;
    const namespace = networkNamespace(entry);
    return namespace !== undefined && namespace !== own && namespaces.has(namespace);
  };
  // The kernel gives the number of a namespace that is gone to the next one, which may be another lab's: only who was there counts.
  const were = new Map(
    readdirSync('/proc').flatMap((entry) => (inLab(entry) ? [[entry, startTime(Number(entry))] as const] : [])),
  );
  await lab.dispose();
  const processes = readdirSync('/proc').filter(
    (entry) => inLab(entry) && were.has(entry) && were.get(entry) === startTime(Number(entry)),
  );
  const after = await machineState();
  const files = after.files.filter((path) => !before.files.includes(path));
  const strays = after.podLinks.filter((link) => !before.podLinks.includes(link));
  if (processes.length + files.length + strays.length > 0) {
    throw new Unexpected({
      expected: '0 processes, 0 links, 0 files',
      seen: [...processes.map((pid) => `process ${pid}`), ...strays, ...files].join(', '),
      command: 'ps, ip link, ls',
    });
  }
  return `${hosts} hosts and ${links} links are gone · 0 processes, 0 links, 0 files left`;
}
