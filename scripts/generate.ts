/**
 * Writes what is generated from the source, or with --check says what differs and exits with 1.
 * Run by `npm run generate` and `npm run generate:check`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { referencePage } from '../src/resources/generate/reference-page.ts';
import { renderChart } from './render-chart.ts';

const root = join(import.meta.dirname, '..');
const generated: Readonly<Record<string, () => string>> = {
  'docs/resources.md': referencePage,
  'deploy/kustomize/flatroute.yaml': renderChart,
};

function current(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const check = process.argv.includes('--check');
let different = 0;
for (const [file, render] of Object.entries(generated)) {
  const path = join(root, file);
  const wanted = render();
  if (current(path) === wanted) continue;
  different++;
  if (check) console.error(`${file} differs from what src says: run npm run generate`);
  else {
    writeFileSync(path, wanted);
    console.log(`${file} written`);
  }
}
process.exitCode = check && different > 0 ? 1 : 0;
