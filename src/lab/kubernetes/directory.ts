/**
 * A directory of the machine that every host of a lab sees, for keys and kubeconfigs. It is removed with its host; what a
 * killed run left is removed by the next one, which knows by the name that the owner is dead.
 */
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Host } from '../host.ts';
import { pidNamespace, startTime } from '../owner.ts';

const PREFIX = 'flatroute-kubernetes';

/** Only its owner, root of this run, can enter it. */
export async function sharedDirectory(host: Host): Promise<string> {
  await removeThoseOfDead();
  const owner = [PREFIX, pidNamespace(), process.pid, startTime(process.pid) ?? '?'].join('-');
  const directory = await mkdtemp(join(tmpdir(), `${owner}-`));
  host.atEnd(async () => await rm(directory, { recursive: true, force: true }));
  return directory;
}

async function removeThoseOfDead(): Promise<void> {
  const ours = `${PREFIX}-${pidNamespace()}-`;
  const dead = readdirSync(tmpdir()).filter((name) => {
    if (!name.startsWith(ours)) return false;
    const [pid, start] = name.slice(ours.length).split('-');
    return startTime(Number(pid)) !== start;
  });
  await Promise.all(dead.map(async (name) => await rm(join(tmpdir(), name), { recursive: true, force: true })));
}
