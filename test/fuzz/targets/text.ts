/** Text that people write: manifests, selectors, addresses, durations. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseLine } from '#bgp/session/record.ts';
import { checkPrefix, hostPrefix, parseAddress, prefixFromBytes, prefixParts } from '#lib/ip.ts';
import { parseAsNumber, parseDuration, parseEndpoint } from '#resources/formats.ts';
import { matches, parseSelector } from '#resources/selector.ts';
import { readDocuments } from '#sources/directory/documents.ts';
import { bytesOfText, textOf } from '../target.ts';
import type { Target } from '../target.ts';

const manifests = [
  `apiVersion: flatroute.io/v1alpha1
kind: BGPPeer
metadata: {name: tor-a}
spec:
  peerIP: 192.0.2.1:1179
  asNumber: 4200000001
  nodeSelector: rack == 'a' && !has(retired)
  holdTime: 9s
  filters: [fabric]
  maxPrefixes: {limit: 100}
  password: {secretKeyRef: {name: bgp, key: tor-a}}
`,
  `apiVersion: flatroute.io/v1alpha1
kind: BGPFilter
metadata: {name: fabric}
spec:
  importV4:
    - action: Accept
      cidr: 10.0.0.0/8
      matchOperator: In
      prefixLength: {min: 8, max: 24}
      communities: {values: ["64512:1"]}
      operations: [{setMED: {value: 5}}]
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {rack: a}}
spec: {podCIDRs: [10.60.1.0/26, "2001:db8:60:1::/122"]}
`,
  `apiVersion: v1
kind: Secret
metadata: {name: bgp, namespace: flatroute-system}
data: {tor-a: aHVudGVyMg==}
---
apiVersion: flatroute.io/v1alpha1
kind: IPPool
metadata: {name: p}
spec: {cidr: 10.60.0.0/16, blockSize: 26, nodeSelector: all()}
`,
];

const words = [
  '&a ',
  '*a',
  '<<: *a',
  '!!binary ',
  '? ',
  '---\n',
  '\n...\n',
  '{',
  '}',
  '- ',
  ': ',
  '|\n',
  '"',
  "'",
  '0x',
  '1e400',
  '~',
  'null',
];

const manifest: Target = {
  name: 'manifest',
  longest: 2000,
  seeds: () => manifests.map(bytesOfText),
  words: words.map(bytesOfText),
  run(input) {
    const reading = readDocuments('a.yaml', textOf(input));
    for (const { text } of reading.problems)
      assert.ok(text.length > 0 && text.length < 4000, `a problem of ${text.length} characters`);
  },
};

const selector: Target = {
  name: 'selector',
  longest: 400,
  seeds: () =>
    [
      "rack == 'a' && !has(retired)",
      'all()',
      "a in {'x', 'y'} || (b not in {'z'} && c contains 'd')",
      "k starts with 'v'",
    ].map(bytesOfText),
  words: ['&&', '||', '!', '(', ')', 'has(', ' in ', ' not in ', '{', '}', "'", '==', '!=', 'global()'].map(
    bytesOfText,
  ),
  run(input) {
    const parsed = parseSelector(textOf(input));
    if (parsed.ok) matches(parsed.value.expression, { rack: 'a', b: '' });
  },
};

const formats: Target = {
  name: 'formats',
  longest: 80,
  seeds: () =>
    [
      '192.0.2.1',
      '2001:db8::1/64',
      '::ffff:10.0.0.1',
      '[2001:db8::1]:179',
      '1h2m3s',
      '64512',
      '1.10',
      '10.0.0.0/8',
      'fe80::1%eth0',
    ].map(bytesOfText),
  run(input) {
    const text = textOf(input);
    const address = parseAddress(text);
    // What is one address is written in one way.
    if (address !== undefined) assert.equal(parseAddress(address), address);
    const prefix = checkPrefix(text);
    if (prefix.ok) {
      const { bytes, length } = prefixParts(prefix.value);
      assert.equal(prefixFromBytes(bytes, length), prefix.value);
    } else if (address !== undefined) assert.ok(checkPrefix(hostPrefix(address)).ok);
    parseEndpoint(text);
    parseDuration(text);
    parseAsNumber(text);
  },
};

const record: Target = {
  name: 'session-record',
  longest: 6000,
  seeds: () => {
    const lines = readFileSync(join(import.meta.dirname, '../../replay/bird.jsonl'), 'utf8').split('\n');
    return [lines.slice(0, 6).join('\n'), lines.slice(0, 14).join('\n')].map(bytesOfText);
  },
  run(input) {
    for (const line of textOf(input).split('\n')) {
      const read = parseLine(line);
      if (!read.ok) assert.ok(read.error.length > 0);
    }
  },
};

export const textTargets: readonly Target[] = [manifest, selector, formats, record];
