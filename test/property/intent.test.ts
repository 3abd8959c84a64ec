// Whatever the resources are and in whatever order they come: one answer, and never an exception.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compile } from '#intent/compile.ts';
import { conditions } from '#intent/conditions.ts';
import { overlaps } from '#lib/ip.ts';
import { resourceSet } from '#resources/resource-set.ts';
import { parseSelector } from '#resources/selector.ts';
import { readDocuments } from '#sources/directory/documents.ts';
import { nothingRemembered, settle } from '#sources/directory/settle.ts';
import { nodeYaml, own } from '../support/resources.ts';

// Few names and addresses, so that objects meet.
const name = fc.constantFrom('a', 'b', 'c');
const nodeName = fc.constantFrom('node-1', 'node-2', 'node-3');
const octet = fc.integer({ min: 0, max: 3 });
const peerYaml = fc
  .record({
    name,
    who: fc.constantFrom(
      '',
      'node: node-1, ',
      "nodeSelector: rack == 'a', ",
      'nodeLabelSelector: {matchLabels: {rack: b}}, ',
    ),
    address: octet,
    password: fc.constantFrom('', 'password: {secretKeyRef: {name: bgp, key: k}}, '),
    filters: fc.subarray(['a', 'b']),
  })
  .map((it) =>
    own(
      'BGPPeer',
      it.name,
      `${it.who}${it.password}filters: [${it.filters.join(', ')}], peerIP: 10.0.${it.address}.1, asNumber: 65100`,
    ),
  );
const nodeObject = fc
  .record({ name: nodeName, block: octet, rack: fc.constantFrom('a', 'b') })
  .map((it) => nodeYaml(it.name, `192.0.2.${it.block}`, `10.0.${it.block}.0/24`, `rack: ${it.rack}`));
const poolYaml = fc
  .record({
    name,
    block: octet,
    length: fc.constantFrom(16, 23, 24),
    flags: fc.subarray(['disabled: true', 'natOutgoing: true', 'disableBGPExport: true']),
  })
  .map((it) =>
    own(
      'IPPool',
      it.name,
      [`cidr: 10.0.${it.length === 16 ? 0 : it.block & 2}.0/${it.length}`, ...it.flags].join(', '),
    ),
  );
const otherYaml = fc.constantFrom(
  own('BGPConfiguration', 'default', 'addressSource: IPPools'),
  own('BGPConfiguration', 'node.node-1', 'asNumber: 65100'),
  own('BGPFilter', 'a', 'default: Reject'),
  own('IPBlock', 'ipv4-0a000100-26', 'cidr: 10.0.1.0/26, node: node-1'),
  own('IPBlock', 'ipv4-0a000100-27', 'cidr: 10.0.1.0/27, node: node-2'),
  own('IPReservation', 'a', 'reservedCIDRs: [10.0.1.0/30]'),
  '{apiVersion: v1, kind: Secret, metadata: {name: bgp}, stringData: {k: x}}\n---\n',
);
const file = fc.array(fc.oneof(peerYaml, nodeObject, poolYaml, otherYaml), { maxLength: 12 }).map((it) => it.join(''));
const directory = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-f]{1,3}\.yaml$/), file), {
  maxLength: 5,
  selector: ([path]) => path,
});

const read = (files: readonly (readonly [string, string])[]) =>
  settle(
    nothingRemembered,
    files.map(([path, text]) => readDocuments(path, text)),
  );

test('compiling twice is equal, and the order in which files are read does not matter', () => {
  fc.assert(
    fc.property(directory, fc.nat(), (files, turn) => {
      const one = read(files);
      const rotated = [
        ...files.slice(turn % (files.length + 1)),
        ...files.slice(0, turn % (files.length + 1)),
      ].reverse();
      const other = read(rotated);
      assert.deepEqual(other.problems, one.problems);
      const [first, second] = [resourceSet(one.resources), resourceSet(other.resources.toReversed())];
      assert.deepEqual(second, first);
      for (const node of ['node-1', 'node-2', 'nobody']) {
        const compiled = compile(first, node);
        assert.deepEqual(compile(second, node), compiled);
        assert.deepEqual(conditions(compile(second, node), {}, other.problems), conditions(compiled, {}, one.problems));
      }
    }),
    { numRuns: 150 },
  );
});

test('no two nodes use overlapping blocks, no node two peers of one address', () => {
  fc.assert(
    fc.property(directory, (files) => {
      const set = resourceSet(read(files).resources);
      const intents = ['node-1', 'node-2', 'node-3'].map((node) => compile(set, node).intent);
      const blocks = intents.flatMap((intent) => intent.dataplane.blocks);
      for (const [i, a] of blocks.entries())
        for (const b of blocks.slice(i + 1)) assert.ok(!overlaps(a, b), `${a} ${b}`);
      for (const { bgp } of intents) {
        const addresses = (bgp?.peers ?? []).map((it) => it.address);
        assert.equal(new Set(addresses).size, addresses.length);
        // Fail closed: no peer is open whose password is wanted and not there.
        for (const peer of bgp?.peers ?? []) {
          const wanted = set.bgpPeers.find((it) => it.metadata.name === peer.name)?.spec.password !== undefined;
          assert.equal(peer.enabled && wanted && peer.password === undefined, false, peer.name);
        }
      }
    }),
    { numRuns: 150 },
  );
});

test('any text has an answer, and whatever follows a good state the others stay', () => {
  const good = own('BGPPeer', 'steady', 'peerIP: 192.0.2.1, asNumber: 65100');
  const before = read([['steady.yaml', good]]);
  const pieces = fc.constantFrom(
    good,
    'kind: ',
    'BGPPeer',
    '\n',
    '  ',
    '---\n',
    '[',
    '}',
    '&a ',
    '*a',
    ': ',
    '- ',
    '"',
    '!!binary ',
    '%YAML 9\n',
    '\0',
    'apiVersion: flatroute.io/v1alpha1\n',
    'metadata: {name: x}\n',
    '? ',
    '<<: ',
    '|\n',
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.array(pieces, { maxLength: 30 }).map((it) => it.join('')),
  );
  fc.assert(
    fc.property(text, (noise) => {
      const reading = readDocuments('zzz.yaml', noise);
      const after = settle(before.remembered, [readDocuments('steady.yaml', good), reading]);
      assert.ok(after.resources.some((it) => it.metadata.name === 'steady'));
      for (const { message } of after.problems) assert.ok(message.length < 1500, message);
    }),
    { numRuns: 1500 },
  );
});

test('any text is a selector or has a place where it is none', () => {
  const word = fc.constantFrom(
    'a',
    "'x'",
    '==',
    '!=',
    '&&',
    '||',
    '(',
    ')',
    '!',
    'in',
    'not',
    '{',
    '}',
    ',',
    'has',
    'all',
    'starts',
    'with',
    ' ',
    '"',
  );
  const text = fc.oneof(
    fc.array(word, { maxLength: 20 }).map((it) => it.join(' ')),
    fc.string({ maxLength: 40 }),
  );
  fc.assert(
    fc.property(text, (source) => {
      const parsed = parseSelector(source);
      if (!parsed.ok)
        assert.ok(parsed.error.at >= 0 && parsed.error.at <= source.length && parsed.error.text.length > 0);
    }),
    { numRuns: 2000 },
  );
});
