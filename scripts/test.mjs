// Runs the tests: `npm test` all of them, `npm test -- FILE...` some. One run of node's own test runner, so that its summary
// is the last word. A skipped test is named loudly; with CI=true it fails the run.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
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
// from a folder, where Node looks whether the source is still the same.
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const scratch = mkdtempSync(join(tmpdir(), 'flatroute-test-'));
const skips = join(scratch, 'skipped.json');
const whole = named.length === 0;
process.env.NODE_COMPILE_CACHE = whole ? join(scratch, 'compiled') : join(root, '.flatroute', 'compiled');

/**
 * For a whole run: labs start the bundle of `npm run build`, as an image does, in half of the processor time that the sources
 * take. An agent is mostly killed and leaves nothing compiled, so all is loaded once before; a thread's entry then says that it
 * is no program, after all it imports.
 */
function prepare() {
  const dist = join(scratch, 'dist');
  const built = spawnSync(process.execPath, [join(root, 'scripts/build.mjs'), dist], { encoding: 'utf8' });
  if (built.status !== 0) {
    console.error(`the bundle could not be built:\n${built.stderr}`);
    rmSync(scratch, { recursive: true, force: true });
    process.exit(1);
  }
  process.env.FLATROUTE_PROGRAM = join(dist, 'main.js');
  const sources = ['main.ts', 'agent/**/*.ts', 'cli/**/*.ts'].map((pattern) => join(root, 'src', pattern));
  for (const programs of [globSync(sources), globSync(join(dist, '*.js'))]) {
    const load = `for (const file of ${JSON.stringify(programs)}) await import(file).catch(() => undefined); process.exit()`;
    spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', load]);
  }
}
if (whole) prepare();

const runner = spawn(
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
// A run that is broken off leaves nothing either.
for (const ending of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(ending, () => runner.kill(ending));
const [status] = await once(runner, 'exit');
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
process.exit(status === 0 && !refused ? 0 : 1);
