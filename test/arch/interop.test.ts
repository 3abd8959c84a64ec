// docs/interop.md shows the table of standards and daemons that the scenarios give.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { scenarios } from '../interop/scenarios/all.ts';
import { lacks } from '../interop/scenarios/lacks.ts';
import { standardNames } from '../interop/scenarios/standards.ts';
import { standardsTable } from '../interop/scenarios/table.ts';

test('docs/interop.md has the table that the scenarios give', () => {
  const page = readFileSync('docs/interop.md', 'utf8');
  const shown = /<!-- table -->\n\n([^]*?)\n\n<!-- end of table -->/.exec(page)?.[1];
  assert.equal(shown, standardsTable(), `between the marks of docs/interop.md must stand:\n\n${standardsTable()}`);
});

test('every standard of the table is judged by a scenario, and every lack belongs to one that others have', () => {
  for (const standard of standardNames) {
    assert.ok(
      scenarios.some((scenario) => scenario.judges.includes(standard)),
      standard,
    );
    assert.ok(
      Object.values(lacks).some((daemon) => daemon[standard] === undefined),
      standard,
    );
  }
});
