// Static checks in one go: types, lint, format, dead code, generated files. With --fix: what can be mended is mended.
import { spawnSync } from 'node:child_process';

const fix = process.argv.includes('--fix');
const steps = fix
  ? [
      ['oxlint', '--type-aware', '--fix'],
      ['biome', 'format', '--write'],
    ]
  : [
      ['tsc', '--noEmit', '-p', '.'],
      ['oxlint', '--type-aware', '--deny-warnings'],
      ['biome', 'format'],
      ['knip'],
      ['node', '--disable-warning=ExperimentalWarning', 'scripts/generate.ts', '--check'],
    ];

let failed = 0;
for (const [program, ...args] of steps) {
  const started = Date.now();
  const result = spawnSync(program, args, { encoding: 'utf8' });
  const good = result.status === 0;
  process.stdout.write(
    `${good ? '✔' : '✖'} ${program} ${args.join(' ')}  ${((Date.now() - started) / 1000).toFixed(1)} s\n`,
  );
  if (!good) {
    failed++;
    process.stdout.write(
      `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ? `${result.error.message}\n` : ''}`,
    );
  }
}
process.exit(failed === 0 ? 0 : 1);
