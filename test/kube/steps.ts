/** What a run tells while it goes on, and what it keeps when it fails. */
import { cp, mkdir, readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, afterEach } from 'node:test';
import type { Host } from '#lab/host.ts';

const file = basename(process.argv[1] ?? '', '.test.ts');
/** Logs of failed runs, one folder for each test file and process. */
const KEPT = '.flatroute/test-kube';
const TAIL = 15;

/** Prints that it begins, and how long it took or that it failed. */
export async function step<T>(what: string, work: Promise<T>): Promise<T> {
  const started = performance.now();
  const took = (): string => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  console.log(`[${file}] ${what} ...`);
  try {
    const result = await work;
    console.log(`[${file}] ${what}: ${took()}`);
    return result;
  } catch (error) {
    console.log(`[${file}] ${what}: failed after ${took()}`);
    throw error;
  }
}

/**
 * Called once at the top of a test file, before the hook that disposes of the hosts: when a test or a hook of the file
 * failed, /run/log of every host is copied, and the end of each log is printed.
 */
export function keepLogsOnFailure(hosts: () => readonly Host[]): void {
  let passed = 0;
  const failed: string[] = [];
  afterEach((context) => {
    if (!('passed' in context)) return;
    if (context.passed) passed += 1;
    else failed.push(context.name);
  });
  after(async () => {
    if (failed.length === 0 && passed > 0) return;
    const directory = join(KEPT, `${file}-${process.pid}`);
    for (const host of hosts()) await keepLogsOf(host, join(directory, host.name)).catch(() => undefined);
    console.log(`[${file}] ${failed.join(', ') || 'no test'} failed; the logs are kept in ${directory}`);
  });
}

async function keepLogsOf(host: Host, directory: string): Promise<void> {
  const logs = host.path('/run/log');
  await mkdir(directory, { recursive: true });
  await cp(logs, directory, { recursive: true });
  for (const name of await readdir(logs)) {
    const lines = (await readFile(join(logs, name), 'utf8')).trimEnd().split('\n').slice(-TAIL);
    console.log(`--- ${host.name}: end of ${name}\n${lines.join('\n')}`);
  }
}
