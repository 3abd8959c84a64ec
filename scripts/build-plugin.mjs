// Builds the CNI plugin: one static program from one C file, with musl where there is one, because a static glibc
// program takes twice as long to start. Plain JavaScript: it runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'src/cni/plugin/flatroute.c');
const words = process.argv.slice(2).filter((word) => word !== '--if-needed');
const output = resolve(words[0] ?? join(root, 'build/flatroute-cni'));

const isOlder = (file, than) => statSync(file).mtimeMs < statSync(than).mtimeMs;
if (process.argv.includes('--if-needed') && existsSync(output) && !isOlder(output, source)) process.exit(0);

const flags = [
  '-std=gnu11',
  '-static',
  '-Os',
  '-s',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-ffunction-sections',
  '-Wl,--gc-sections',
];
const compilers = process.env.CC ? [process.env.CC] : ['musl-gcc', 'cc', 'gcc', 'clang'];

const isThere = (compiler) => spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status === 0;
const compiler = compilers.find(isThere);
if (compiler === undefined) {
  console.error(`No C compiler found (looked for ${compilers.join(', ')}). On Debian: apt-get install musl-tools`);
  process.exit(1);
}
mkdirSync(dirname(output), { recursive: true });
const temporary = `${output}.${process.pid}`;
const built = spawnSync(compiler, [...flags, '-o', temporary, source], { stdio: 'inherit' });
if (built.status !== 0) {
  console.error(`${compiler} could not build ${source}.`);
  process.exit(1);
}
renameSync(temporary, output);
const kind = compiler.includes('musl') ? 'musl' : 'its own C library; musl starts faster (Debian: musl-tools)';
console.log(`${output}: ${statSync(output).size} bytes, built by ${compiler} with ${kind}`);
