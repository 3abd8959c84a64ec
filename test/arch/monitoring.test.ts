// Alerts, dashboard, docs and metrics speak of the same things.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';

const read = (file: string): string => readFileSync(file, 'utf8');
interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: { readonly summary: string; readonly runbook_url: string };
    }[];
  }[];
}
const rules = (parse(read('deploy/monitoring/rules.yaml')) as Rules).groups.flatMap((group) => group.rules);
const dashboard = read('deploy/monitoring/dashboard.json');
const known = new Set([...read('docs/metrics.md').matchAll(/^\| `(flatroute_[a-z_]+)`/gm)].map((match) => match[1]));
const unknownIn = (text: string): readonly string[] =>
  [...text.matchAll(/flatroute_[a-z_]+/g)]
    .map(([name]) => name.replace(/_bucket$/, ''))
    .filter((name) => !known.has(name) && name !== 'flatroute_build_info');

test('alerts and panels ask for metrics that there are', () => {
  assert.ok(rules.length > 20);
  assert.deepEqual(unknownIn(rules.map(({ expr }) => expr).join('\n')), []);
  assert.deepEqual(unknownIn(dashboard), []);
});

test('docs/monitoring.md has a heading for every alert, and no other, and each alert leads to its own', () => {
  const headings = [...read('docs/monitoring.md').matchAll(/^### (\w+)$/gm)].map((match) => match[1]);
  assert.deepEqual(new Set(headings), new Set(rules.map(({ alert }) => alert)));
  assert.equal(headings.length, rules.length);
  for (const { alert, annotations } of rules) {
    assert.ok(annotations.runbook_url.endsWith(`docs/monitoring.md#${alert.toLowerCase()}`), alert);
    assert.match(annotations.summary, /^.{20,}\.$/, alert);
  }
});

test('every alert is made to fire by a test of its own rules', () => {
  const tests = read('deploy/monitoring/rules-test.yaml');
  for (const { alert } of rules) assert.ok(tests.includes(`{alertname="${alert}"}`), alert);
});
