/**
 * Writes what is generated from the source, or with --check says what differs and exits with 1.
 * Run by `npm run generate` and `npm run generate:check`.
 */
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { definitions } from '../src/resources/generate/crd.ts';
import { referencePage } from '../src/resources/generate/reference-page.ts';
import { enginesPage } from './engines-page.ts';
import { monitoringTemplate } from './monitoring-chart.ts';
import { renderChart } from './render-chart.ts';

const root = join(import.meta.dirname, '..');
const generated: ReadonlyMap<string, string> = new Map([
  ['docs/resources.md', referencePage()],
  ['docs/engines.md', enginesPage()],
  ['deploy/charts/flatroute/templates/monitoring.yaml', monitoringTemplate()],
  ['deploy/kustomize/flatroute.yaml', renderChart()],
  ...[...definitions()].map(([name, text]): [string, string] => [`deploy/crds/${name}`, text]),
]);

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
for (const [file, wanted] of generated) {
  const path = join(root, file);
  if (current(path) === wanted) continue;
  different++;
  if (check) console.error(`${file} differs from what src says: run npm run generate`);
  else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, wanted);
    console.log(`${file} written`);
  }
}
for (const file of globSync('deploy/crds/*', { cwd: root })) {
  if (generated.has(file)) continue;
  different++;
  if (check) console.error(`${file} is of no kind: run npm run generate`);
  else {
    rmSync(join(root, file));
    console.log(`${file} removed`);
  }
}
process.exitCode = check && different > 0 ? 1 : 0;
