// docs/interop.md shows the table of standards and daemons that the scenarios give.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { scenarios } from '../interop/scenarios/all.ts';
import { lacks } from '../interop/scenarios/lacks.ts';
import { standardNames } from '../interop/scenarios/standards.ts';
import { engineKinds } from '#lab/gobgp-sidecar.ts';
import { standardsTable } from '../interop/scenarios/table.ts';

test('docs/interop.md has the tables that the scenarios give', () => {
  const page = readFileSync('docs/interop.md', 'utf8');
  for (const engine of engineKinds) {
    const marks = new RegExp(`<!-- table of engine ${engine} -->\n\n([^]*?)\n\n<!-- end of table -->`);
    const table = standardsTable(engine);
    assert.equal(marks.exec(page)?.[1], table, `between the marks of docs/interop.md must stand:\n\n${table}`);
  }
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
