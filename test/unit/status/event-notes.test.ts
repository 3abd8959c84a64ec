import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Condition } from '#intent/node-intent.ts';
import { instant } from '#lib/time.ts';
import { conditionNotes, isToldByNode, type Watchlist } from '#status/event-notes.ts';

type Step = readonly [
  second: number,
  type: Condition['type'],
  status: Condition['status'],
  reason: Condition['reason'],
  told: string | undefined,
];

const stories: readonly (readonly [string, readonly Step[]])[] = [
  [
    'a session that goes down is told at once, and once, and that it is back',
    [
      [0, 'Established', 'True', 'Established', undefined],
      [1, 'Established', 'False', 'NotEstablished', 'Warning NotEstablished'],
      [2, 'Established', 'False', 'NotEstablished', undefined],
      [3, 'Established', 'True', 'Established', 'Normal Established'],
      [4, 'Established', 'True', 'Established', undefined],
    ],
  ],
  [
    'a session that only takes a moment after the start is not told of',
    [
      [0, 'Established', 'Unknown', 'Pending', undefined],
      [1, 'Established', 'False', 'NotEstablished', undefined],
      [5, 'Established', 'True', 'Established', undefined],
    ],
  ],
  [
    'what stays wrong is told after a while, another reason too, and its end once',
    [
      [0, 'Accepted', 'False', 'SecretMissing', undefined],
      [19, 'Accepted', 'False', 'SecretMissing', undefined],
      [20, 'Accepted', 'False', 'SecretMissing', 'Warning SecretMissing'],
      [30, 'Accepted', 'False', 'SecretInvalid', undefined],
      [50, 'Accepted', 'False', 'SecretInvalid', 'Warning SecretInvalid'],
      [60, 'Accepted', 'True', 'Accepted', 'Normal Accepted'],
    ],
  ],
  [
    'what somebody wishes is no failure',
    [
      [0, 'Established', 'True', 'Established', undefined],
      [1, 'Established', 'False', 'AdminDown', undefined],
      [60, 'Established', 'False', 'AdminDown', undefined],
      [61, 'Established', 'True', 'Established', undefined],
    ],
  ],
];

describe('which changes of conditions become Events', () => {
  for (const [name, steps] of stories)
    test(name, () => {
      let watchlist: Watchlist = new Map();
      for (const [second, type, status, reason, told] of steps) {
        const condition: Condition = { kind: 'BGPPeer', name: 'tor-a', type, status, reason, message: '' };
        const next = conditionNotes(watchlist, [condition], instant(second * 1000));
        watchlist = next.watchlist;
        assert.deepEqual(
          next.notes.map((it) => `${it.type} ${it.condition.reason}`),
          told === undefined ? [] : [told],
          `${second} s`,
        );
      }
    });

  test('a node tells of itself and of its sessions; what all nodes would say of one object is left to the controller', () => {
    const rows: readonly (readonly [string, Condition['type'], boolean])[] = [
      ['Node', 'Accepted', true],
      ['Node', 'KernelReady', true],
      ['BGPPeer', 'Established', true],
      ['BGPPeer', 'RoutesAccepted', true],
      ['BGPPeer', 'Accepted', false],
      ['BGPPeer', 'EngineSupports', false],
      ['Node', 'EngineSupports', true],
      ['BGPFilter', 'Accepted', false],
      ['IPPool', 'Allocatable', false],
      ['BGPConfiguration', 'MeshComplete', false],
    ];
    for (const [kind, type, told] of rows) assert.equal(isToldByNode({ kind, type }), told, `${kind} ${type}`);
  });
});
