// What stays in force when files go wrong. Each row is a life of a directory, state by state.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { brokenFile, readDocuments } from '#sources/directory/documents.ts';
import type { FileReading } from '#sources/directory/documents.ts';
import { nothingRemembered, settle } from '#sources/directory/settle.ts';
import type { BGPPeer } from '#resources/bgp-peer.ts';

const peer = (name: string, asNumber: number | string): string =>
  `apiVersion: flatroute.io/v1alpha1\nkind: BGPPeer\nmetadata: {name: ${name}}\nspec: {peerIP: 192.0.2.1, asNumber: ${asNumber}}\n---\n`;

/** The text of each file; `UNREADABLE` stands for one that cannot be read. */
type Files = Readonly<Record<string, string>>;

const readings = (files: Files): FileReading[] =>
  Object.entries(files).map(([file, text]) =>
    text === 'UNREADABLE'
      ? brokenFile(file, 'CONFIG_FILE_UNREADABLE', 'the file cannot be read')
      : readDocuments(file, text),
  );

/** `name=AS` of every peer in force after the last state, and the messages of that state. */
function life(...states: readonly Files[]): { readonly inForce: string; readonly messages: string[] } {
  let remembered = nothingRemembered;
  let last = settle(remembered, []);
  for (const files of states) {
    last = settle(remembered, readings(files));
    remembered = last.remembered;
  }
  const inForce = last.resources.map((it) => `${it.metadata.name}=${(it as BGPPeer).spec.asNumber}`).sort();
  return { inForce: inForce.join(' '), messages: last.problems.map((it) => it.message) };
}

describe('what is in force', () => {
  const rows: readonly (readonly [string, readonly Files[], string])[] = [
    ['a new object', [{ 'a.yaml': peer('a', 1) }], 'a=1'],
    ['a changed object', [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': peer('a', 2) }], 'a=2'],
    ['a deleted file', [{ 'a.yaml': peer('a', 1) }, {}], ''],
    ['an object taken out of its file', [{ 'a.yaml': peer('a', 1) + peer('b', 2) }, { 'a.yaml': peer('b', 2) }], 'b=2'],
    ['a file of which only comments are left', [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': '# gone\n' }], ''],
    ['a wrong object from the start', [{ 'a.yaml': peer('a', 0) + peer('b', 2) }], 'b=2'],
    [
      'an object gone wrong',
      [{ 'a.yaml': peer('a', 1) + peer('b', 2) }, { 'a.yaml': peer('a', 0) + peer('b', 3) }],
      'a=1 b=3',
    ],
    [
      'a wrong object mended',
      [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': peer('a', 0) }, { 'a.yaml': peer('a', 2) }],
      'a=2',
    ],
    ['a wrong object deleted', [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': peer('a', 0) }, {}], ''],
    ['broken YAML', [{ 'a.yaml': peer('a', 1) + peer('b', 2) }, { 'a.yaml': `${peer('a', 3)}kind: [` }], 'a=1 b=2'],
    ['broken YAML, twice', [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': '[' }, { 'a.yaml': ']' }], 'a=1'],
    [
      'broken YAML beside a good file',
      [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': '[', 'b.yaml': peer('b', 2) }],
      'a=1 b=2',
    ],
    ['an emptied file', [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': '' }], 'a=1'],
    ['an unreadable file', [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': 'UNREADABLE' }], 'a=1'],
    ['a broken file deleted', [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': '[' }, {}], ''],
    [
      'a misspelt kind',
      [
        { 'a.yaml': peer('a', 1) + peer('b', 2) },
        { 'a.yaml': peer('a', 5).replace('BGPPeer', 'BGPPear') + peer('b', 3) },
      ],
      'a=1 b=3',
    ],
    ['a renamed object', [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': peer('b', 1) }], 'b=1'],
    ['an object moved to another file', [{ 'a.yaml': peer('a', 1) }, { 'b.yaml': peer('a', 1) }], 'a=1'],
    ['an object moved to another file, wrongly', [{ 'a.yaml': peer('a', 1) }, { 'b.yaml': peer('a', 0) }], 'a=1'],
    ['two definitions: the first file by name', [{ 'b.yaml': peer('a', 2), 'a.yaml': peer('a', 1) }], 'a=1'],
    ['two definitions: the first in the file', [{ 'a.yaml': peer('a', 1) + peer('a', 2) }], 'a=1'],
    [
      'the first definition gone wrong does not hand over to the second',
      [
        { 'a.yaml': peer('a', 1), 'b.yaml': peer('a', 2) },
        { 'a.yaml': peer('a', 0), 'b.yaml': peer('a', 2) },
      ],
      'a=1',
    ],
    [
      'the first definition deleted hands over',
      [{ 'a.yaml': peer('a', 1), 'b.yaml': peer('a', 2) }, { 'b.yaml': peer('a', 2) }],
      'a=2',
    ],
  ];
  for (const [name, states, expected] of rows) {
    test(name, () => assert.equal(life(...states).inForce, expected));
  }
});

describe('what is said', () => {
  const rows: readonly (readonly [string, readonly Files[], readonly string[]])[] = [
    [
      'an object gone wrong',
      [{ 'peers/tor-b.yaml': peer('tor-b', 1) }, { 'peers/tor-b.yaml': peer('tor-b', 0) }],
      [
        'peers/tor-b.yaml:4: spec.asNumber: 0 is not an AS number (RFC 7607); use 1 to 4294967295, without 23456. The session of tor-b keeps its last good settings.',
      ],
    ],
    [
      'a wrong object from the start',
      [{ 'a.yaml': peer('a', 0) }],
      [
        'a.yaml:4: spec.asNumber: 0 is not an AS number (RFC 7607); use 1 to 4294967295, without 23456. BGPPeer a is not in force.',
      ],
    ],
    [
      'broken YAML',
      [{ 'a.yaml': peer('a', 1) + peer('b', 1) }, { 'a.yaml': 'a: [' }],
      [
        'a.yaml:1: the file is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]. The 2 objects last read from it stay in force.',
      ],
    ],
    [
      'an empty file',
      [{ 'a.yaml': peer('a', 1) }, { 'a.yaml': '' }],
      ['a.yaml: the file is empty; delete it to remove its objects. The object last read from it stays in force.'],
    ],
    [
      'an unreadable file',
      [{ 'a.yaml': 'UNREADABLE' }],
      ['a.yaml: the file cannot be read. It adds nothing to what is in force.'],
    ],
    [
      'two definitions',
      [{ 'a.yaml': peer('a', 1), 'b.yaml': peer('x', 1) + peer('a', 2) }],
      [
        'b.yaml:6: BGPPeer a is already defined in a.yaml:1, which stands because it comes first by name. Delete one of the two.',
      ],
    ],
  ];
  for (const [name, states, expected] of rows) {
    test(name, () => assert.deepEqual(life(...states).messages, expected));
  }
});
