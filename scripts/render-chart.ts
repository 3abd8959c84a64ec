/**
 * deploy/kustomize/flatroute.yaml is the chart with its default values, so that there is one source. Templates keep to the few
 * words that are read here, and a test has Helm itself render the same:
 *
 *     {{ .Values.PATH | toJson }}     {{ printf "TEXT %s" .Values.PATH | toJson }}     {{- if .Values.PATH }} ... {{- end }}
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

const chart = join(import.meta.dirname, '../deploy/charts/flatroute');

function valueAt(values: unknown, path: string): unknown {
  let at = values;
  for (const key of path.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) throw new Error(`values.yaml lacks ${path}`);
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

/** PURE. One template with these values. Throws on words that it does not know. */
export function renderTemplate(text: string, values: unknown): string {
  const chosen = text.replaceAll(
    /^\{\{- if \.Values\.([\w.]+) \}\}\n([\s\S]*?)^\{\{- end \}\}\n/gm,
    (_, path: string, body: string) => (valueAt(values, path) ? body : ''),
  );
  const filled = chosen.replaceAll(
    /\{\{ (?:printf "([^"]*)" )?\.Values\.([\w.]+) \| toJson \}\}/g,
    (_, format: string | undefined, path: string) => {
      const value = valueAt(values, path);
      return JSON.stringify(format === undefined ? value : format.replace('%s', String(value)));
    },
  );
  const unknown = /.*\{\{.*/.exec(filled)?.[0];
  if (unknown !== undefined) throw new Error(`scripts/render-chart.ts does not know: ${unknown.trim()}`);
  return filled;
}

/** All templates with the chart's default values, one stream of documents. */
export function renderChart(): string {
  const values: unknown = parse(readFileSync(join(chart, 'values.yaml'), 'utf8'));
  const folder = join(chart, 'templates');
  const rendered = readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((name) => renderTemplate(readFileSync(join(folder, name), 'utf8'), values).trim())
    // Nothing but comments is left of what the values leave out.
    .filter((text) => text.replaceAll(/^#.*$/gm, '').trim() !== '');
  const head = '# Generated from deploy/charts/flatroute with its default values: npm run generate';
  return `${[head, ...rendered].join('\n---\n')}\n`;
}
