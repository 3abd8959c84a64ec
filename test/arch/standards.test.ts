// docs/standards.md and the citations of the source are the same list: RFCs, their sections, and deviations.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const citation = /RFC (\d{3,5})(?: (§[0-9A-Z]+(?:\.[0-9]+)*))?/g;

/** Comments are joined over their lines, because a citation may be wrapped. */
const sources = globSync('src/**/*.ts')
  .sort()
  .map((file) => ({ file, text: readFileSync(file, 'utf8').replace(/\s*\n\s*(?:\*(?!\/)|\/\/)?\s*/g, ' ') }));

const cited = new Set<string>();
const citedRfcs = new Set<string>();
for (const { text } of sources)
  for (const [, rfc = '', section] of text.matchAll(citation)) {
    citedRfcs.add(rfc);
    if (section !== undefined) cited.add(`RFC ${rfc} ${section}`);
  }

const chapters = new Map(
  readFileSync('docs/standards.md', 'utf8')
    .split(/^## /m)
    .slice(1)
    .map((chapter) => [chapter.slice(0, chapter.indexOf('\n')), chapter]),
);
const rowsOf = (chapter: string): string[][] =>
  [...(chapters.get(chapter) ?? '').matchAll(/^\| (RFC .*) \|$/gm)].map((row) => (row[1] ?? '').split(' | '));

const implemented = ['BGP', 'BFD', 'Addresses, links, times'].flatMap(rowsOf);
const named = rowsOf('Known by name only');
const deviations = rowsOf('Deviations');

const onlyIn = (some: ReadonlySet<string>, others: ReadonlySet<string>): string[] =>
  [...some].filter((one) => !others.has(one)).sort();

test('the tables and the citations are found', () => {
  assert.ok(cited.size > 80);
  assert.ok(implemented.length > 40);
  assert.ok(named.length > 2);
  assert.ok(deviations.length > 4);
});

test('every section that the source cites is in a table of docs/standards.md, and every section there is cited', () => {
  const listed = new Set<string>();
  for (const [rfc = '', sections = ''] of implemented)
    for (const section of sections.split(' ')) if (section.startsWith('§')) listed.add(`${rfc} ${section}`);
  assert.deepEqual(onlyIn(cited, listed), [], 'cited, but not in docs/standards.md');
  assert.deepEqual(onlyIn(listed, cited), [], 'in docs/standards.md, but cited nowhere in src');
});

test('every RFC that the source cites is in docs/standards.md, and every one listed there is cited', () => {
  const listed = new Set([...implemented, ...named].map(([rfc = '']) => rfc.replace('RFC ', '')));
  assert.deepEqual(onlyIn(citedRfcs, listed), [], 'cited, but not in docs/standards.md');
  assert.deepEqual(onlyIn(listed, citedRfcs), [], 'in docs/standards.md, but cited nowhere in src');
});

test('a folder that docs/standards.md names for a standard cites it', () => {
  for (const [rfc = '', , , where = ''] of implemented)
    for (const [, folder = ''] of where.matchAll(/`([^`]+)`/g)) {
      const there = sources.some(({ file, text }) => file.startsWith(`${folder}/`) && text.includes(rfc));
      assert.ok(there, `${folder} does not cite ${rfc}`);
    }
});

test('every mark DEVIATION is in the table of deviations, and every row there has its mark', () => {
  const marked = new Set<string>();
  for (const { file, text } of sources)
    for (const [, rest = ''] of text.matchAll(/DEVIATION(.{0,40})/g)) {
      const what = /^: (RFC \d+ §[0-9A-Z]+(?:\.[0-9]+)*)/.exec(rest)?.[1];
      assert.ok(what, `${file}: DEVIATION${rest}: write "DEVIATION: RFC 4271 §8.2.2"`);
      marked.add(`${what} ${file}`);
    }
  const listed = new Set(deviations.map(([what = '', file = '']) => `${what} ${file.replaceAll('`', '')}`));
  assert.deepEqual(onlyIn(marked, listed), [], 'marked, but not in docs/standards.md');
  assert.deepEqual(onlyIn(listed, marked), [], 'in docs/standards.md, but not marked');
});

test('every § in the source stands behind the number of its RFC', () => {
  for (const { file, text } of sources)
    for (const bare of text.replaceAll(citation, '').matchAll(/.{0,40}§.{0,10}/g)) assert.fail(`${file}: ${bare[0]}`);
});

test('RFCs are not listed by bare numbers', () => {
  for (const { file, text } of sources)
    for (const bare of text.matchAll(/RFC \d+(?: §[0-9.]+)?,? (?:and )?\d{4}\b(?! ?[a-z])/g))
      assert.fail(`${file}: ${bare[0]}`);
});
