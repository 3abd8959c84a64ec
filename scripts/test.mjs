// Runs the tests: `npm test` all of them, `npm test -- FILE...` some. One run of node's own test runner, so that its summary
// is the last word. A skipped test is named loudly; with CI=true it fails the run.
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const folders = [
  'arch',
  'unit',
  'vectors',
  'property',
  'fuzz',
  'replay',
  'sim',
  'contract',
  'netns',
  'cni',
  'interop',
  'chaos',
];
const options = process.argv.slice(2).filter((word) => word.startsWith('-'));
const named = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const files = (named.length > 0 ? named : folders.map((folder) => `test/${folder}/**/*.test.ts`)).flatMap((pattern) =>
  globSync(pattern).sort(),
);
if (files.length === 0) {
  console.error(`no test file matches ${named.join(' ')}`);
  process.exit(2);
}

// Every process of the tests compiles what it loads, and there are thousands of them: what one has compiled the others take
// from a folder, where Node looks whether the source is still the same. A process that is killed leaves nothing there, as most
// agents are; so before a whole run each program is loaded once. A thread's entry says that it is no program, after all it imports.
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
process.env.NODE_COMPILE_CACHE ??= join(root, '.flatroute', 'compiled');
if (named.length === 0) {
  const programs = globSync(['main.ts', 'agent/**/*.ts', 'cli/**/*.ts'].map((pattern) => join(root, 'src', pattern)));
  const load = `for (const file of ${JSON.stringify(programs)}) await import(file).catch(() => undefined); process.exit()`;
  spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', load]);
}

const scratch = mkdtempSync(join(tmpdir(), 'flatroute-test-'));
const skips = join(scratch, 'skipped.json');
const result = spawnSync(
  process.execPath,
  [
    '--disable-warning=ExperimentalWarning',
    '--test',
    '--test-concurrency=2',
    // Every scenario with GoBGP as the engine takes longer than any file of a usual run.
    `--test-timeout=${process.env.FLATROUTE_ENGINE === undefined ? 600_000 : 1_200_000}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=./scripts/skip-reporter.mjs',
    `--test-reporter-destination=${skips}`,
    ...options,
    ...files,
  ],
  { stdio: 'inherit' },
);
let skipped = [];
try {
  skipped = JSON.parse(readFileSync(skips, 'utf8'));
} catch {
  // The runner ended before its reporters did; its exit code says so.
}
rmSync(scratch, { recursive: true, force: true });
for (const line of skipped) console.error(`SKIPPED ${line}`);
const refused = skipped.length > 0 && process.env.CI === 'true';
if (refused) console.error('CI=true: a skipped test is a failure.');
process.exit(result.status === 0 && !refused ? 0 : 1);
