// Pages that list things are compared with the code they list, in both directions.
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import * as kernelNames from '#dataplane/kernel-names.ts';
import { kinds } from '#resources/resource-set.ts';
import type { Shape } from '#resources/schema.ts';

const read = (file: string): string => readFileSync(file, 'utf8');

test('docs/dependencies.md names every package of package.json, and no other', () => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const wanted = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((key) =>
    Object.keys(manifest[key] ?? {}),
  );
  const table = read('docs/dependencies.md')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|')[1] ?? '');
  const named = table.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''));
  assert.deepEqual(named.sort(), wanted.sort());
});

test('every version in package.json is exact', () => {
  const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  for (const key of ['dependencies', 'devDependencies', 'optionalDependencies']) {
    for (const [name, version] of Object.entries(manifest[key] ?? {})) assert.match(version, /^\d+\.\d+\.\d+$/, name);
  }
});

test('docs/kernel.md has every number and name of kernel-names.ts', () => {
  const page = read('docs/kernel.md');
  const values = Object.values(kernelNames).flatMap((value) =>
    typeof value === 'object' ? Object.values(value) : [value],
  );
  assert.ok(values.length > 12);
  for (const value of values) {
    const shown = String(value).replace('\0', '@');
    const known = page.includes(shown) || (shown.startsWith('/run/flatroute') && page.includes('/run/flatroute'));
    assert.ok(known, `docs/kernel.md lacks ${shown}`);
  }
});

/** Codes that a user can meet: string literals of these families in the source. */
function codesOfSource(): Set<string> {
  const codes = new Set<string>();
  for (const file of globSync('src/**/*.ts')) {
    for (const match of read(file).matchAll(
      /'((?:API|CONFIG|SESSION|GOBGP|CNI|CAPACITY|OS|AGENT|CLI|BUG)_[A-Z0-9_]+)'/g,
    )) {
      const code = match[1] ?? '';
      // What CNI itself calls its environment is no code of ours.
      // OS_ and an errno is a family that the page explains as one; bugs of ours are a list at its end.
      if (!/^(CNI_(COMMAND|CONTAINERID|NETNS|IFNAME|ARGS|PATH)|OS_E[A-Z0-9]+|BUG_.*)$/.test(code)) codes.add(code);
    }
  }
  return codes;
}

test('docs/errors.md explains every error code of the source, and no other', () => {
  const page = read('docs/errors.md');
  const explained = new Set([...page.matchAll(/^\| `([A-Z0-9_]+)`/gm)].map((match) => match[1] ?? ''));
  const used = codesOfSource();
  assert.ok(used.size > 10);
  assert.deepEqual([...used].filter((code) => !explained.has(code)).sort(), [], 'not explained');
  assert.deepEqual([...explained].filter((code) => !used.has(code)).sort(), [], 'explained, but not in the source');
});

test('docs/errors.md explains every problem of the kernel that the dataplane names', () => {
  const explained = read('docs/errors.md');
  // What a check of pods tells has a page of its own.
  const files = globSync('src/dataplane/**/*.ts').filter((file) => !file.endsWith('pod/audit.ts'));
  const named = files.flatMap((file) =>
    [...read(file).matchAll(/code: '([A-Z][A-Za-z]+)'/g)].map((match) => match[1] ?? ''),
  );
  assert.ok(named.length > 5);
  assert.deepEqual(
    named.filter((code) => !explained.includes(`\`${code}\``)),
    [],
  );
});

test('every link between pages leads to a file', () => {
  const broken: string[] = [];
  for (const page of globSync(['*.md', 'docs/**/*.md', 'src/**/*.md'])) {
    for (const match of read(page).matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)) {
      const target = normalize(join(dirname(page), match[1] ?? ''));
      if (!existsSync(target)) broken.push(`${page}: ${match[1]}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('docs/metrics.md lists every metric of the source, and no other', () => {
  const listed = new Set([...read('docs/metrics.md').matchAll(/^\| `(flatroute_[a-z_]+)`/gm)].map((match) => match[1]));
  const served = new Set(
    ['metrics', 'controller-metrics'].flatMap((name) =>
      [...read(`src/status/${name}.ts`).matchAll(/'(flatroute_[a-z_]+)'/g)].map((match) => match[1]),
    ),
  );
  assert.ok(served.size > 10);
  assert.deepEqual(
    [...served].filter((name) => !listed.has(name)),
    [],
    'not listed',
  );
  assert.deepEqual(
    [...listed].filter((name) => !served.has(name)),
    [],
    'listed, but not in the source',
  );
});

test('docs/ipam-check.md explains every disagreement that a check of pods can tell, and no other', () => {
  const source = read('src/dataplane/pod/audit.ts') + read('src/cni/pod-check.ts');
  const told = [...source.matchAll(/(?:code: |record,\s+)'([A-Z][A-Za-z]+)'/g)].map((match) => match[1] ?? '');
  const rows = read('docs/ipam-check.md')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([A-Za-z]+)`/g)].map((match) => match[1] ?? ''));
  assert.deepEqual([...new Set(told)].sort(), rows.sort());
});

const fieldsOf = (shape: Shape | undefined): Readonly<Record<string, Shape>> =>
  shape?.kind === 'object'
    ? Object.fromEntries(Object.entries(shape.fields).map(([name, { schema }]) => [name, schema.shape]))
    : {};

test("docs/calico.md says of each of Calico's fields whether there is one", () => {
  const sections = read('docs/calico.md').split(/^## /m).slice(1);
  assert.equal(sections.length, 5);
  for (const section of sections) {
    const [name = ''] = section.split('\n');
    const spec = fieldsOf(kinds.find(({ kind }) => kind === name)?.schema.shape)['spec'];
    const list = fieldsOf(spec)['exportV4'];
    const fields = name === 'BGPFilter' && list?.kind === 'list' ? fieldsOf(list.items.shape) : fieldsOf(spec);
    for (const [, field = '', what] of section.matchAll(/^\| `(\w+)` \| ([a-z ]+) \|/gm))
      assert.equal(Object.hasOwn(fields, field), what !== 'left out', `${name}.${field}: ${what}`);
  }
});
