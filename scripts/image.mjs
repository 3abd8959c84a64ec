// The container image, without docker and without pulling anything:
//
//   node scripts/image.mjs --output image.tar [--name flatroute:VERSION]   a tar for `ctr images import` and `docker load`
//   node scripts/image.mjs --tree DIR                                      its files alone, as deploy/Dockerfile takes them
//
// One list of files (`imageFiles`) makes both, and how the image is started is read from the last stage of deploy/Dockerfile,
// so that both are the same image. Programs and libraries come from this machine: Debian's nft, the Node of the npm
// package, the bundle and the plugin that are built here.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tarEnd, tarEntry } from './tar.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const dockerfile = join(root, 'deploy/Dockerfile');
/** Where the bundle lies in the image. */
const PROGRAM = 'usr/lib/flatroute';

function stop(...lines) {
  for (const line of lines) console.error(`flatroute: ${line}`);
  process.exit(1);
}

/** What the dynamic linker loads for these programs, itself included, at the paths where it looks for it. */
function libraries(programs) {
  const found = new Set();
  for (const program of programs) {
    const { stdout, stderr, status } = spawnSync('ldd', [program], { encoding: 'utf8' });
    if (status !== 0 || stdout.includes('not found')) stop(`${program} lacks a library:`, stdout || stderr);
    for (const [, path] of stdout.matchAll(/(\/\S+) \(0x/g)) found.add(path);
  }
  return [...found];
}

function programFile(names, debianPackage) {
  const path = names.find((name) => existsSync(name));
  return path ?? stop(`there is no ${names[0]} on this machine (Debian: ${debianPackage})`);
}

/** The program without the symbols that only a debugger reads: a fifth of it. */
function stripped(path, folder) {
  const target = join(folder, 'node');
  const { status } = spawnSync('strip', ['-o', target, path], { stdio: 'ignore' });
  if (status === 0) return target;
  console.error('flatroute: there is no strip (Debian: binutils); the image holds the symbols of Node, 33 MB');
  return path;
}

function filesBelow(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

/**
 * Every file of the image: `file` is copied, `text` written, `link` a symbolic link, none of them a directory. No shell, no
 * package manager, no C library for anything but node and nft.
 */
export function imageFiles({ dist, node, nft }) {
  const native = filesBelow(dist).filter((name) => name.endsWith('.node') && !name.includes('musl'));
  const bundle = filesBelow(dist).filter((name) => !name.includes('/musl_'));
  const main = readFileSync(join(dist, 'main.js'));
  return [
    { path: 'usr/bin/node', mode: 0o755, file: node },
    { path: 'usr/sbin/nft', mode: 0o755, file: nft },
    ...libraries([node, nft, ...native.map((name) => join(dist, name))]).map((path) => ({
      path: path.slice(1),
      mode: 0o755,
      file: path,
    })),
    ...bundle
      .filter((name) => name !== 'main.js')
      .map((name) => ({
        path: `${PROGRAM}/${name}`,
        mode: name === 'flatroute-cni' ? 0o755 : 0o644,
        file: join(dist, name),
      })),
    // The kernel starts it by its first line, so that `flatroute` is a command of the image without a shell.
    { path: `${PROGRAM}/main.js`, mode: 0o755, text: Buffer.concat([Buffer.from('#!/usr/bin/node\n'), main]) },
    { path: 'usr/bin/flatroute', link: `../lib/flatroute/main.js` },
    {
      path: 'etc/ssl/certs/ca-certificates.crt',
      mode: 0o644,
      file: programFile(['/etc/ssl/certs/ca-certificates.crt'], 'ca-certificates'),
    },
    {
      path: 'etc/passwd',
      mode: 0o644,
      text: 'root:x:0:0:root:/:/sbin/nologin\nflatroute:x:65532:65532::/:/sbin/nologin\n',
    },
    { path: 'etc/group', mode: 0o644, text: 'root:x:0:\nflatroute:x:65532:\n' },
    { path: 'etc/nsswitch.conf', mode: 0o644, text: 'passwd: files\ngroup: files\nhosts: files dns\n' },
    { path: 'tmp', mode: 0o1777 },
    { path: 'run', mode: 0o755 },
    { path: 'var/lib', mode: 0o755 },
  ];
}

/** How the image is started, as the last stage of a Dockerfile says. Throws on words that it does not know. */
export function startOf(text) {
  const lines = text.replaceAll(/\\\n\s*/g, '').split('\n');
  const last = lines.findLastIndex((line) => /^FROM\s/.test(line));
  const config = { Env: [], Labels: {} };
  const copies = [];
  for (const line of lines.slice(last)) {
    const [, word = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    if (word === 'COPY') copies.push(rest);
    else if (word === 'ENV') config.Env.push(rest);
    else if (word === 'ENTRYPOINT') config.Entrypoint = JSON.parse(rest);
    else if (word === 'WORKDIR') config.WorkingDir = rest;
    else if (word === 'LABEL') {
      const [, key, value] = /^([^=]+)="?([^"]*)"?$/.exec(rest) ?? stop(`deploy/Dockerfile: LABEL ${rest}`);
      config.Labels[key] = value;
    } else if (word === 'FROM' && rest !== 'scratch') stop(`deploy/Dockerfile: the last stage is from ${rest}`);
    else if (word !== '' && word !== 'FROM') stop(`deploy/Dockerfile: ${word} is not known to scripts/image.mjs`);
  }
  if (copies.join() !== '--from=build /image /')
    stop(`deploy/Dockerfile: the last stage copies ${copies.join(' and ')}`);
  return config;
}

/** Every directory on the way to the files, each once and before what is in it. */
function withDirectories(files) {
  const known = new Map(files.map((file) => [file.path, file]));
  for (const { path } of files)
    for (let parent = dirname(path); parent !== '.'; parent = dirname(parent))
      if (!known.has(parent)) known.set(parent, { path: parent, mode: 0o755 });
  return [...known.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

const isDirectory = ({ file, text, link }) => file === undefined && text === undefined && link === undefined;

function writeTree(folder, files) {
  for (const entry of files) {
    const path = join(folder, entry.path);
    if (isDirectory(entry)) mkdirSync(path, { recursive: true });
    else if (entry.link !== undefined) symlinkSync(entry.link, path);
    else if (entry.file !== undefined) copyFileSync(realpathSync(entry.file), path);
    else writeFileSync(path, entry.text);
    if (entry.link === undefined) chmodSync(path, entry.mode);
  }
}

/** One layer, a configuration and a manifest, in the form that `docker save` writes. Answers the bytes of the tar. */
function writeImage(output, name, files, config) {
  const layer = files.flatMap((entry) =>
    isDirectory(entry)
      ? tarEntry({ ...entry, path: `${entry.path}/`, kind: 'directory' })
      : tarEntry({
          path: entry.path,
          mode: entry.mode ?? 0o777,
          link: entry.link,
          bytes: entry.file === undefined ? Buffer.from(entry.text ?? '') : readFileSync(entry.file),
        }),
  );
  layer.push(tarEnd);
  const hash = createHash('sha256');
  for (const part of layer) hash.update(part);
  const configuration = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      config,
      rootfs: { type: 'layers', diff_ids: [`sha256:${hash.digest('hex')}`] },
    }),
  );
  const manifest = Buffer.from(JSON.stringify([{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }]));
  const parts = [
    ...tarEntry({ path: 'layer.tar', mode: 0o644, parts: layer }),
    ...tarEntry({ path: 'config.json', mode: 0o644, bytes: configuration }),
    ...tarEntry({ path: 'manifest.json', mode: 0o644, bytes: manifest }),
    tarEnd,
  ];
  mkdirSync(dirname(output), { recursive: true });
  const fd = openSync(output, 'w');
  try {
    for (const part of parts) for (let at = 0; at < part.length; ) at += writeSync(fd, part, at);
  } finally {
    closeSync(fd);
  }
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function main(words) {
  const value = (option) => (words.includes(option) ? words[words.indexOf(option) + 1] : undefined);
  const [output, tree] = [value('--output'), value('--tree')];
  if ((output === undefined) === (tree === undefined))
    stop('usage: node scripts/image.mjs --output image.tar [--name flatroute:VERSION] | --tree DIR');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const name = value('--name') ?? `flatroute:${version}`;
  const config = startOf(readFileSync(dockerfile, 'utf8'));
  if (!existsSync(join(root, 'build/flatroute-cni'))) stop('the CNI plugin is not built: npm run build:plugin');
  const work = mkdtempSync(join(tmpdir(), 'flatroute-image-'));
  try {
    const dist = join(work, 'dist');
    execFileSync(process.execPath, [join(root, 'scripts/build.mjs'), dist], { stdio: ['ignore', 'ignore', 2] });
    const packaged = join(root, 'node_modules', `node-linux-${process.arch}`, 'bin/node');
    const node = stripped(existsSync(packaged) ? packaged : process.execPath, work);
    const nft = programFile(['/usr/sbin/nft', '/sbin/nft', '/usr/bin/nft'], 'nftables');
    const files = withDirectories(imageFiles({ dist, node, nft }));
    const bytes = files.reduce((sum, { file }) => sum + (file === undefined ? 0 : statSync(file).size), 0);
    if (tree !== undefined) {
      mkdirSync(tree, { recursive: true });
      writeTree(tree, files);
      console.log(`${tree}: ${files.length} files, ${(bytes / 1e6).toFixed(0)} MB`);
    } else {
      const size = writeImage(resolve(output), name, files, config);
      console.log(`${output}: ${name}, ${files.length} files, ${(size / 1e6).toFixed(0)} MB`);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  main(process.argv.slice(2));
