// The import rules of src/README.md, checked on the source itself.
import assert from 'node:assert/strict';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const src = resolve('src');

/** Which rooms a room may import from, beside itself and `lib`. The longest matching room counts. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  linux: [],
  'netlink/wire': [],
  netlink: ['netlink/wire', 'linux'],
  resources: [],
  kubernetes: [],
  sources: ['resources'],
  'sources/kubernetes': ['sources', 'resources', 'kubernetes'],
  ipam: [],
  // Only the input types of bgp, ipam and dataplane; `intentTypes` below narrows this.
  intent: ['resources', 'bgp', 'bgp/bfd', 'ipam', 'dataplane'],
  'bgp/wire': [],
  'bgp/session': ['bgp/wire', 'bgp'],
  'bgp/policy': ['bgp/wire', 'bgp'],
  'bgp/rib': ['bgp/wire', 'bgp/policy', 'bgp', 'dataplane'],
  'bgp/bfd': [],
  'bgp/bfd/io': ['bgp/bfd', 'linux'],
  'bgp/discovery': [],
  'bgp/discovery/io': ['bgp/discovery', 'bgp', 'dataplane', 'linux'],
  'bgp/io': ['bgp/wire', 'bgp/session', 'bgp', 'linux'],
  bgp: ['bgp/wire', 'bgp/session', 'bgp/policy', 'bgp/rib', 'bgp/io', 'bgp/discovery/io', 'dataplane'],
  dataplane: ['netlink', 'netlink/wire', 'linux', 'ipam'],
  cni: ['ipam', 'dataplane', 'linux'],
  status: ['resources', 'intent', 'bgp', 'bgp/bfd', 'dataplane', 'ipam'],
  agent: ['*'],
  controller: ['resources', 'sources/kubernetes', 'kubernetes', 'intent', 'ipam'],
  cli: ['*'],
  lab: ['resources', 'cni', 'linux', 'netlink'],
  'main.ts': ['cli', 'agent'],
};

/** What other rooms may know of bgp, dataplane and ipam: their input types and facts, and the numbers put into the kernel. */
const inputTypes = new Set([
  'bgp/engine.ts',
  'bgp/bfd/control-messages.ts',
  'bgp/bfd/facts.ts',
  'bgp/gobgp/capabilities.ts',
  'dataplane/intent.ts',
  'dataplane/kernel-view.ts',
  'dataplane/kernel-names.ts',
  'dataplane/fib/route.ts',
  'ipam/claims/intent.ts',
  'ipam/intent.ts',
]);
const onlyInputTypes: Readonly<Record<string, readonly string[]>> = {
  intent: ['bgp', 'bgp/bfd', 'dataplane', 'ipam'],
  bgp: ['dataplane'],
  'bgp/rib': ['dataplane'],
  'bgp/discovery/io': ['dataplane'],
  status: ['bgp', 'bgp/bfd', 'dataplane', 'ipam'],
};

const rooms = Object.keys(allowed).sort((a, b) => b.length - a.length);
const roomOf = (file: string): string | undefined => rooms.find((room) => file === room || file.startsWith(`${room}/`));

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(src, file), 'utf8');
  const found: Import[] = [];
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s+)?[^;'"]*?(?:from\s+)?['"]([#.][^'"]*)['"]/gm)) {
    const specifier = match[2] ?? '';
    const target = specifier.startsWith('#') ? join(src, specifier.slice(1)) : resolve(src, dirname(file), specifier);
    found.push({ from: file, to: relative(src, target), typeOnly: match[1] !== undefined });
  }
  return found;
}

const files = globSync('**/*.ts', { cwd: src });
const imports = files.flatMap(importsOf);

test('the source is not empty, so that the rules below speak of something', () => {
  assert.ok(files.length > 20);
  assert.ok(imports.length > 20);
});

test('every file lies in a room that src/README.md names', () => {
  const map = readFileSync(join(src, 'README.md'), 'utf8');
  for (const entry of readdirSync(src)) {
    if (entry === 'README.md') continue;
    assert.ok(map.includes(`\`${entry}\``) || map.includes(`\`${entry}/\``), `src/README.md says nothing of ${entry}`);
  }
  for (const file of files) assert.ok(roomOf(file), `${file} belongs to no room`);
});

test('imports follow the data', () => {
  const broken = imports.filter(({ from, to }) => {
    const here = roomOf(from) ?? '';
    const there = roomOf(to) ?? to;
    const rules = allowed[here] ?? [];
    return !(there === here || there === 'lib' || rules.includes('*') || rules.includes(there));
  });
  assert.deepEqual(
    broken.map(({ from, to }) => `${from} -> ${to}`),
    [],
  );
});

test('rooms that may know only the input types of others know no more', () => {
  const broken = imports.filter(({ from, to }) => {
    const narrow = onlyInputTypes[roomOf(from) ?? ''] ?? [];
    return narrow.includes(roomOf(to) ?? '') && !inputTypes.has(to);
  });
  assert.deepEqual(
    broken.map(({ from, to }) => `${from} -> ${to}`),
    [],
  );
});

test('nothing imports agent/ or cli/ but main.ts and themselves', () => {
  const broken = imports.filter(({ from, to }) => {
    const here = roomOf(from);
    return /^(agent|cli)\//.test(to) && here !== 'main.ts' && here !== 'agent' && here !== 'cli';
  });
  assert.deepEqual(
    broken.map(({ from, to }) => `${from} -> ${to}`),
    [],
  );
});

test('there are no import cycles between files', () => {
  const next = new Map<string, string[]>();
  for (const { from, to, typeOnly } of imports) if (!typeOnly) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    if (done.has(file)) return;
    assert.ok(!path.includes(file), `cycle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`);
    path.push(file);
    for (const to of next.get(file) ?? []) visit(to);
    path.pop();
    done.add(file);
  };
  for (const file of files) visit(file);
});

test('foreign-function calls and third-party types stay in the first folder they meet', () => {
  const homes: Readonly<Record<string, readonly string[]>> = {
    '@kubernetes/client-node': ['kubernetes'],
    koffi: ['linux'],
    '@grpc/grpc-js': ['agent', 'cli', 'lab', 'bgp'],
    '@grpc/proto-loader': ['agent', 'cli', 'lab', 'bgp'],
    yaml: ['sources', 'cli', 'resources', 'lab', 'kubernetes'],
    'prom-client': ['status', 'agent'],
    pino: ['agent', 'status'],
  };
  const broken: string[] = [];
  for (const file of files) {
    const text = readFileSync(join(src, file), 'utf8');
    for (const match of text.matchAll(/from\s+['"]([@a-z][^'"]*)['"]/g)) {
      const name = match[1] ?? '';
      if (name.startsWith('node:')) continue;
      const home = Object.entries(homes).find(([library]) => name === library || name.startsWith(`${library}/`));
      if (home === undefined || !home[1].includes(file.split('/')[0] ?? '')) broken.push(`${file} imports ${name}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('pure rooms use no clock, no socket, no file and no process', () => {
  const pure =
    /^(intent|ipam|bgp\/(wire|session|rib|policy|(?:bfd|discovery)(?!\/io))|netlink\/wire|resources\/(?!generate))/;
  const worldly =
    /from 'node:(?!assert|buffer)|\bDate\.now\(|performance\.now\(|\bsetTimeout\(|\bsetInterval\(|Math\.random\(|process\.(?!emitWarning)/;
  const broken: string[] = [];
  for (const file of files.filter((name) => pure.test(name))) {
    const hit = worldly.exec(readFileSync(join(src, file), 'utf8').replaceAll(/^\s*(\/\/|\*|\/\*).*$/gm, ''));
    if (hit !== null) broken.push(`${file}: ${hit[0]}`);
  }
  assert.deepEqual(broken, []);
});

test('docs say nothing of work that is still to be done in src', () => {
  const broken = files.filter((file) => /\b(TODO|FIXME|XXX)\b/.test(readFileSync(join(src, file), 'utf8')));
  assert.deepEqual(broken, []);
});
