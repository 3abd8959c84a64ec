// Resources for tests, read as files are, so that defaults and types are those of the program.
import assert from 'node:assert/strict';
import { readDocuments } from '#sources/directory/documents.ts';
import { resourceSet } from '#resources/resource-set.ts';
import type { AnyResource, ResourceSet } from '#resources/resource-set.ts';

/** Objects of YAML that must be right. */
export function objects(yaml: string): AnyResource[] {
  const { claims, problems } = readDocuments('test.yaml', yaml);
  assert.deepEqual(
    problems.map((it) => `${it.line}: ${it.field}: ${it.text}`),
    [],
  );
  return claims.flatMap((it) => it.resource ?? []);
}

export const resources = (...yaml: readonly string[]): ResourceSet => resourceSet(yaml.flatMap(objects));

/** One of our own kinds with its spec in flow style. */
export const own = (kind: string, name: string, spec: string): string =>
  `{apiVersion: flatroute.io/v1alpha1, kind: ${kind}, metadata: {name: ${name}}, spec: {${spec}}}\n---\n`;

export const nodeYaml = (name: string, address: string, podCIDRs: string, labels = ''): string =>
  `{apiVersion: v1, kind: Node, metadata: {name: ${name}, labels: {${labels}}}, spec: {podCIDRs: [${podCIDRs}]}, status: {addresses: [${address
    .split(' ')
    .filter((it) => it !== '')
    .map((it) => `{type: InternalIP, address: "${it}"}`)
    .join(', ')}]}}\n---\n`;
