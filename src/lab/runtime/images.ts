/**
 * The images of a lab, made here because a lab has no registry: one static program in a layer, and a tar of layer,
 * configuration and manifest in the form that `docker save` writes and every runtime imports.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AppError } from '#lib/result.ts';

/** The one process of a pod sandbox. */
export const PAUSE_IMAGE = 'flatroute.io/lab/pause:1';
/** A container that says over HTTP whom it sees: see witness.c. */
export const WITNESS_IMAGE = 'flatroute.io/lab/witness:1';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** The static program of a C file beside this one, built when it is not there or older than its source. Throws OS_LAB_SETUP with the compiler's words. */
export function staticProgram(name: string): string {
  const source = fileURLToPath(new URL(`./${name}.c`, import.meta.url));
  const program = join(root, `build/lab-${name}`);
  if (!existsSync(program) || statSync(program).mtimeMs < statSync(source).mtimeMs) {
    mkdirSync(dirname(program), { recursive: true });
    const compiler = ['musl-gcc', 'cc', 'gcc'].find((it) => spawnSync(it, ['--version']).status === 0);
    if (compiler === undefined)
      throw new AppError('OS_LAB_SETUP', `no C compiler for the image of ${name} (Debian: musl-tools)`, {});
    const temporary = `${program}.${process.pid}`;
    const built = spawnSync(compiler, ['-Os', '-static', '-s', '-o', temporary, source], { encoding: 'utf8' });
    if (built.status !== 0)
      throw new AppError('OS_LAB_SETUP', `${compiler} could not build ${source}: ${built.stderr}`, {});
    renameSync(temporary, program);
  }
  return program;
}

const BLOCK = 512;

/** POSIX.1-1988 (ustar): one header block and the content, filled up to whole blocks; two empty blocks at the end. */
function tar(files: Readonly<Record<string, { readonly mode: number; readonly bytes: Buffer }>>): Buffer {
  const parts: Buffer[] = [];
  for (const [name, { mode, bytes }] of Object.entries(files)) {
    const header = Buffer.alloc(BLOCK);
    const octal = (value: number, at: number, width: number): number =>
      header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at);
    header.write(name, 0);
    octal(mode, 100, 8);
    octal(0, 108, 8);
    octal(0, 116, 8);
    octal(bytes.length, 124, 12);
    octal(0, 136, 12);
    header.write('        0', 148);
    header.write('ustar\u000000', 257);
    octal(
      header.reduce((sum, byte) => sum + byte, 0),
      148,
      7,
    );
    parts.push(header, bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** The tar for `ctr images import` of an image called `reference` that runs `/NAME`. */
function programImage(reference: string, name: string): Buffer {
  const layer = tar({ [name]: { mode: 0o755, bytes: readFileSync(staticProgram(name)) } });
  const configuration = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      config: { Entrypoint: [`/${name}`] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${createHash('sha256').update(layer).digest('hex')}`] },
    }),
  );
  const manifest = [{ Config: 'config.json', RepoTags: [reference], Layers: ['layer.tar'] }];
  const files = {
    'layer.tar': layer,
    'config.json': configuration,
    'manifest.json': Buffer.from(JSON.stringify(manifest)),
  };
  return tar(Object.fromEntries(Object.entries(files).map(([file, bytes]) => [file, { mode: 0o644, bytes }])));
}

export const pauseImage = (): Buffer => programImage(PAUSE_IMAGE, 'pause');
export const witnessImage = (): Buffer => programImage(WITNESS_IMAGE, 'witness');
