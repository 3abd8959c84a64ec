/**
 * Where the program's own files are, from sources and from the bundle alike: the one table of thread entry points, the
 * API definition, the version. A bundler leaves `new URL('./x.ts', import.meta.url)` as it is, so the ending is chosen
 * here; scripts/build.mjs reads the same table and puts each entry, called by its key, beside the bundle's main file.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const threadNames = ['bgp', 'background', 'pods'] as const;
export type ThreadName = (typeof threadNames)[number];

/** Path of each thread's entry point, relative to this file. */
export const threadEntries: Readonly<Record<ThreadName, string>> = {
  bgp: './threads/bgp.ts',
  background: './threads/background.ts',
  pods: './threads/pods.ts',
};

const here = import.meta.url;
const bundled = !here.endsWith('.ts');

export const threadEntry = (name: ThreadName): URL =>
  new URL(bundled ? `./thread-${name}.js` : threadEntries[name], here);

/** The `flatroute` command itself, for a process of its own. */
export const mainProgram = (): string => fileURLToPath(new URL(bundled ? './main.js' : '../main.ts', here));

/** Folder that holds `flatroute/agent/v1/agent.proto`. */
export const protoFolder = (): URL => new URL(bundled ? './proto/' : '../../proto/', here);

/** The CNI plugin as `npm run build:plugin` leaves it. */
export const cniPlugin = (): string =>
  fileURLToPath(new URL(bundled ? './flatroute-cni' : '../../build/flatroute-cni', here));

/** Version of this program, from package.json. */
export function programVersion(): string {
  const file = new URL(bundled ? './package.json' : '../../package.json', here);
  const parsed: unknown = JSON.parse(readFileSync(file, 'utf8'));
  return typeof parsed === 'object' && parsed !== null && 'version' in parsed ? String(parsed.version) : 'unknown';
}
