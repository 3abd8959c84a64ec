/**
 * Throw-away network namespaces for tests that need a real kernel: made by `ip netns add`, with `lo` up, and removed by
 * dispose(), by the process's exit and on SIGINT or SIGTERM, so that a broken test leaves nothing behind.
 */
import { execFile, spawnSync } from 'node:child_process';

export interface Executed {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

export interface TestNamespace {
  readonly name: string;
  /** What setns() and IFLA_NET_NS_FD want opened. */
  readonly path: string;
  /** Runs a command inside the namespace; a code other than 0 is an answer, not a failure. */
  exec(argv: readonly string[]): Promise<Executed>;
  /** Like exec, but throws with the command's own words when the code is not 0; answers stdout. */
  run(argv: readonly string[]): Promise<string>;
  dispose(): Promise<void>;
}

const living = new Set<string>();
let made = 0;
let hooked = false;

function removeAll(): void {
  for (const name of living) spawnSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
  living.clear();
}

function hookExit(): void {
  if (hooked) return;
  hooked = true;
  process.once('exit', removeAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      removeAll();
      process.kill(process.pid, signal);
    });
  }
}

export function execute(argv: readonly string[]): Promise<Executed> {
  const [file = '', ...rest] = argv;
  return new Promise((resolve, reject) => {
    execFile(file, rest, { maxBuffer: 256 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr, code: 0 });
      else if (typeof error.code === 'number') resolve({ stdout, stderr, code: error.code });
      else reject(error);
    });
  });
}

async function mustSucceed(argv: readonly string[]): Promise<string> {
  const { stdout, stderr, code } = await execute(argv);
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code}: ${stderr.trim()}`);
  return stdout;
}

/** The name is `PREFIX-PID-N`: unique on the machine, and it says whose it is. */
export async function createNamespace(prefix: string): Promise<TestNamespace> {
  hookExit();
  made += 1;
  const name = `${prefix}-${process.pid}-${made}`;
  living.add(name);
  await mustSucceed(['ip', 'netns', 'add', name]);
  await mustSucceed(['ip', '-n', name, 'link', 'set', 'lo', 'up']);
  const inside = (argv: readonly string[]): readonly string[] => ['ip', 'netns', 'exec', name, ...argv];
  return {
    name,
    path: `/run/netns/${name}`,
    exec: (argv) => execute(inside(argv)),
    run: (argv) => mustSucceed(inside(argv)),
    async dispose() {
      if (!living.delete(name)) return;
      await execute(['ip', 'netns', 'del', name]);
    },
  };
}

/** Gives `action` a namespace of its own and removes it afterwards, whatever happened. */
export async function withNamespace<T>(action: (ns: TestNamespace) => Promise<T>, prefix = 'frt-test'): Promise<T> {
  const ns = await createNamespace(prefix);
  try {
    return await action(ns);
  } finally {
    await ns.dispose();
  }
}

/** Waits until `condition` answers something other than undefined or false; fails after `deadlineMs` with `what`. */
export async function eventually<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  deadlineMs = 90_000,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const looked = performance.now();
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    const now = performance.now();
    if (now > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    // A look may be a process: what is waited for needs the processor more than who waits.
    await new Promise((resolve) => setTimeout(resolve, Math.max(5, now - looked)));
  }
}
