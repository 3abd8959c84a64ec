/** Configurations as a page of docs shows them, so that what is written there is what a test runs. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import type { Conflist, PluginConfiguration } from '#lab/conflist.ts';

/** Every object in the fenced blocks of `docs/PAGE.md`. */
function objectsOf(page: string): readonly Readonly<Record<string, unknown>>[] {
  const blocks = [...readFileSync(`docs/${page}.md`, 'utf8').matchAll(/^```(?:json|yaml)\n(.*?)^```$/gms)];
  return blocks.flatMap(([, text = '']) =>
    parseAllDocuments(text).map((document) => document.toJS() as Readonly<Record<string, unknown>>),
  );
}

/** The list, or the single plugin's configuration, of this name. */
export function documentedList(page: string, name: string): Conflist {
  const found = objectsOf(page).find((one) => one['name'] === name) ?? assert.fail(`docs/${page}.md has no ${name}`);
  return 'plugins' in found ? (found as unknown as Conflist) : single(found);
}

/** What a NetworkAttachmentDefinition of this name holds. */
export function documentedNetwork(page: string, name: string): Conflist {
  const isIt = (one: Readonly<Record<string, unknown>>): boolean =>
    one['kind'] === 'NetworkAttachmentDefinition' && (one['metadata'] as { name: string }).name === name;
  const found = objectsOf(page).find(isIt) ?? assert.fail(`docs/${page}.md has no NetworkAttachmentDefinition ${name}`);
  return single(JSON.parse((found['spec'] as { config: string }).config) as Readonly<Record<string, unknown>>);
}

function single(configuration: Readonly<Record<string, unknown>>): Conflist {
  const { cniVersion, name, ...plugin } = configuration;
  return { cniVersion: String(cniVersion), name: String(name), plugins: [plugin as PluginConfiguration] };
}
