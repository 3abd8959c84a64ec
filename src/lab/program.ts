/** Where the programs are that a lab starts: flatroute itself, its CNI plugin, and the plugins of others. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

const byNode = (program: string, words: readonly string[]): readonly string[] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  program,
  ...words,
];

/** `flatroute` with these words from the sources, by the Node that runs this program. */
export const fromSources = (...words: readonly string[]): readonly string[] => byNode(join(root, 'src/main.ts'), words);

/** `flatroute` with these words: the bundle's main file that FLATROUTE_PROGRAM names, or the sources. */
export const flatroute = (...words: readonly string[]): readonly string[] => {
  const bundle = process.env['FLATROUTE_PROGRAM'];
  return bundle === undefined ? fromSources(...words) : byNode(bundle, words);
};

/** A TypeScript file of the lab, run as a program of its own. */
export const labScript = (path: string, ...words: readonly string[]): readonly string[] =>
  byNode(join(root, 'src/lab', path), words);

/** Folders in which Debian, or an administrator, puts portmap and its like. */
const PLUGIN_FOLDERS = ['/usr/lib/cni', '/opt/cni/bin'];

/** Folder that holds the reference plugins; `undefined` when this machine has none. */
export const referencePlugins = (): string | undefined =>
  PLUGIN_FOLDERS.find((folder) => existsSync(join(folder, 'portmap')));
