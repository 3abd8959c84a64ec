// The frames between the agent and BFD's process: any cutting of the stream, neighbouring versions, what is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  encodeFrame,
  type FromBfd,
  FrameReader,
  readFromBfd,
  readToBfd,
  type ToBfd,
} from '#bgp/bfd/control-messages.ts';
import { parseAddress } from '#lib/ip.ts';

const remote = parseAddress('192.0.2.1');
assert.ok(remote);

const session = {
  name: 'router',
  remote,
  local: undefined,
  interface: undefined,
  hops: 'single',
  minimumTtl: 254,
  nexthops: [184_549_377],
  desiredMinTxMicroseconds: 50_000,
  requiredMinRxMicroseconds: 50_000,
  detectMultiplier: 3,
  passive: false,
  administrativelyDown: false,
} as const;

const messages: readonly ToBfd[] = [
  {
    kind: 'sessions',
    sessions: [session, { ...session, name: 'other', interface: 'up-a', local: remote }],
    keep: ['range'],
  },
  { kind: 'observe' },
  { kind: 'sessions', sessions: [], keep: [] },
  { kind: 'end' },
];

for (const size of [1, 2, 3, 7, 64, 100_000]) {
  test(`frames come out of a stream cut every ${size} octets`, () => {
    const stream = Buffer.concat(messages.map(encodeFrame));
    const reader = new FrameReader();
    const found: (ToBfd | undefined)[] = [];
    for (let at = 0; at < stream.length; at += size) {
      const read = reader.push(stream.subarray(at, at + size));
      assert.ok(read.ok);
      for (const value of read.value) {
        const message = readToBfd(value);
        assert.ok(message.ok);
        found.push(message.value);
      }
    }
    assert.deepEqual(found, messages);
  });
}

const frame = (major: number, text: string): Buffer => {
  const body = Buffer.from(text);
  const head = Buffer.alloc(6);
  head.writeUInt32BE(2 + body.length);
  head[4] = major;
  return Buffer.concat([head, body]);
};

test('a later minor version: unknown kinds are passed over, unknown fields are not looked at', () => {
  const bytes = frame(1, '{"kind":"later"}');
  bytes[5] = 9;
  const read = new FrameReader().push(bytes);
  assert.ok(read.ok);
  assert.deepEqual(readToBfd(read.value[0]), { ok: true, value: undefined });
  assert.equal(readFromBfd(read.value[0]), undefined);
  const more = readToBfd({ kind: 'sessions', later: 1, sessions: [{ ...session, later: true }] });
  assert.deepEqual(more, { ok: true, value: { kind: 'sessions', sessions: [session], keep: [] } });
});

const broken = [
  { name: 'another major version', bytes: frame(2, '{}'), reason: /version 2 .* speaks 1/ },
  { name: 'no JSON', bytes: frame(1, '{'), reason: /not JSON/ },
  { name: 'a frame that is too short', bytes: Buffer.from([0, 0, 0, 1, 1]), reason: /a frame of 1 octets/ },
  { name: 'a frame that is too long', bytes: Buffer.from([0xff, 0, 0, 0]), reason: /a frame of 4278190080 octets/ },
];

for (const { name, bytes, reason } of broken) {
  test(`refused: ${name}`, () => {
    const read = new FrameReader().push(bytes);
    assert.ok(!read.ok);
    assert.match(read.error, reason);
  });
}

const wrong: readonly (readonly [string, unknown, RegExp])[] = [
  ['no object', 5, /no object/],
  ['no list', { kind: 'sessions' }, /no list/],
  ['kept sessions without names', { kind: 'sessions', sessions: [], keep: [1] }, /keep is no list of names/],
  ['no name', { kind: 'sessions', sessions: [{ ...session, name: '' }] }, /without a name/],
  ['one name twice', { kind: 'sessions', sessions: [session, session] }, /two sessions are called router/],
  ['no address', { kind: 'sessions', sessions: [{ ...session, remote: 'router' }] }, /remote is no address/],
  ['families mixed', { kind: 'sessions', sessions: [{ ...session, local: '2001:db8::1' }] }, /different families/],
  ['an interface with a slash', { kind: 'sessions', sessions: [{ ...session, interface: 'a/b' }] }, /interface/],
  ['an interval of 0', { kind: 'sessions', sessions: [{ ...session, desiredMinTxMicroseconds: 0 }] }, /interval/],
  ['a multiplier of 256', { kind: 'sessions', sessions: [{ ...session, detectMultiplier: 256 }] }, /1 to 255/],
  ['a TTL of 0', { kind: 'sessions', sessions: [{ ...session, minimumTtl: 0 }] }, /minimumTtl/],
  ['an id that is none', { kind: 'sessions', sessions: [{ ...session, nexthops: [1, -1] }] }, /no list of ids/],
  ['hops unsaid', { kind: 'sessions', sessions: [{ ...session, hops: undefined }] }, /neither single nor multi/],
];

for (const [name, value, reason] of wrong) {
  test(`a message that is refused: ${name}`, () => {
    const read = readToBfd(value);
    assert.ok(!read.ok);
    assert.match(read.error, reason);
  });
}

test('what the process tells is read as it was told', () => {
  const observed = {
    name: 'router',
    remote,
    hops: 'single',
    state: 'Up',
    diagnostic: 0,
    remoteState: 'Up',
    remoteDiagnostic: 0,
    remoteControlPlaneIndependent: true,
    since: 1,
    failed: false,
    failures: 0,
    changes: 0,
    transmitIntervalMilliseconds: 50,
    detectionTimeMilliseconds: 150,
    sent: 1,
    received: 2,
  } as const;
  const told: readonly FromBfd[] = [
    { kind: 'hello', program: '1', pid: 2 },
    { kind: 'hello', program: '1', pid: 2, notRealTime: 'EPERM' },
    { kind: 'hello', program: '1', pid: 2, endsWithAgent: true },
    { kind: 'observed', sessions: [observed, { ...observed, problem: 'no way' }] },
    { kind: 'changed', session: observed },
    { kind: 'refused', reason: 'because' },
  ];
  const read = new FrameReader().push(Buffer.concat(told.map(encodeFrame)));
  assert.ok(read.ok);
  assert.deepEqual(read.value.map(readFromBfd), told);
  assert.equal(readFromBfd({ kind: 'changed', session: { ...observed, state: 'Sideways' } }), undefined);
});
