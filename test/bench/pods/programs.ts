/** The C programs of the bench: the load generator, the floor under it, the two ends of a ping-pong, what times a plugin. */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

const programs = {
  driver: 'driver.c',
  floor: 'floor.c',
  pingpong: '../paths/pingpong.c',
  timed: '../runtime/timed.c',
} as const;

/** The plugin as the build leaves it. */
export const plugin = resolve('build/flatroute-cni');
export const programPath = (name: keyof typeof programs): string => resolve(`build/bench-${name}`);

const output = (command: string, words: readonly string[]): string =>
  spawnSync(command, words, { encoding: 'utf8' }).stdout;

/** musl where it is, because a static glibc program takes longer to start; its own headers have none of the kernel's. */
export function buildPrograms(): void {
  mkdirSync('build', { recursive: true });
  const musl = spawnSync('musl-gcc', ['--version']).status === 0;
  const machine = output('gcc', ['-print-multiarch']).trim();
  const headers = ['-idirafter', '/usr/include', '-idirafter', join('/usr/include', machine)];
  for (const [name, source] of Object.entries(programs)) {
    const words = ['-O2', '-static', ...(musl ? headers : []), '-o', resolve(`build/bench-${name}`)];
    const built = spawnSync(musl ? 'musl-gcc' : 'gcc', [...words, join(import.meta.dirname, source)], {
      encoding: 'utf8',
    });
    if (built.status !== 0) throw new Error(`the C compiler could not build ${source}: ${built.stderr}`);
  }
}
