// RFC 5880 §4.1 and the checks of §6.8.6, in their order.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SentPacket, decodeControlPacket, encodeControlPacket } from '#bgp/bfd/control-packet.ts';

const packet: SentPacket = {
  diagnostic: 3,
  state: 'Up',
  poll: true,
  final: false,
  controlPlaneIndependent: true,
  authenticationPresent: false,
  demand: false,
  detectMultiplier: 3,
  myDiscriminator: 0x01020304,
  yourDiscriminator: 0xfffefdfc,
  desiredMinTxMicroseconds: 50_000,
  requiredMinRxMicroseconds: 60_000,
  requiredMinEchoRxMicroseconds: 0,
};

const octets = '23e8031801020304fffefdfc0000c3500000ea6000000000';

test('a packet is written as RFC 5880 §4.1 draws it', () => {
  assert.equal(Buffer.from(encodeControlPacket(packet)).toString('hex'), octets);
});

test('what was written is read as the same packet', () => {
  assert.deepEqual(decodeControlPacket(Buffer.from(octets, 'hex')), { ok: true, value: packet });
});

/** The good packet with some octets changed. */
const changed = (changes: Readonly<Record<number, number>>): Buffer => {
  const bytes = Buffer.from(octets, 'hex');
  for (const [at, value] of Object.entries(changes)) bytes[Number(at)] = value;
  return bytes;
};

const zeroMine = { 4: 0, 5: 0, 6: 0, 7: 0 };
const zeroYours = { 8: 0, 9: 0, 10: 0, 11: 0 };

const discarded = [
  { name: 'no octet at all', bytes: Buffer.alloc(0), reason: 'lengthBeyondPayload' },
  { name: 'three octets', bytes: changed({}).subarray(0, 3), reason: 'lengthBeyondPayload' },
  { name: 'version 0, before everything else', bytes: changed({ 0: 0x03, 3: 5, 2: 0 }), reason: 'version' },
  { name: 'version 2', bytes: changed({ 0: 0x43 }), reason: 'version' },
  { name: 'length 23, before the multiplier', bytes: changed({ 3: 23, 2: 0 }), reason: 'lengthTooSmall' },
  { name: 'length 25 with the A bit', bytes: changed({ 1: 0xec, 3: 25 }), reason: 'lengthTooSmall' },
  { name: 'length 25 of 24 octets', bytes: changed({ 3: 25 }), reason: 'lengthBeyondPayload' },
  { name: 'cut after 23 octets', bytes: changed({}).subarray(0, 23), reason: 'lengthBeyondPayload' },
  { name: 'multiplier 0, before the M bit', bytes: changed({ 2: 0, 1: 0xe9 }), reason: 'detectMultiplierZero' },
  { name: 'M bit, before the discriminator', bytes: changed({ 1: 0xe9, ...zeroMine }), reason: 'multipoint' },
  { name: 'my discriminator 0', bytes: changed({ ...zeroMine, ...zeroYours }), reason: 'myDiscriminatorZero' },
  { name: 'Up without your discriminator', bytes: changed(zeroYours), reason: 'yourDiscriminatorZero' },
  {
    name: 'Init without your discriminator',
    bytes: changed({ ...zeroYours, 1: 0x80 }),
    reason: 'yourDiscriminatorZero',
  },
] as const;

for (const { name, bytes, reason } of discarded) {
  test(`discarded: ${name} (${reason})`, () => {
    assert.deepEqual(decodeControlPacket(bytes), { ok: false, error: reason });
  });
}

for (const [state, flags] of [
  ['AdminDown', 0x00],
  ['Down', 0x40],
] as const) {
  test(`${state} may come without your discriminator`, () => {
    const read = decodeControlPacket(changed({ ...zeroYours, 1: flags }));
    assert.ok(read.ok);
    assert.equal(read.value.state, state);
  });
}

test('octets behind the length are not looked at', () => {
  const read = decodeControlPacket(Buffer.concat([changed({}), Buffer.from('ffff', 'hex')]));
  assert.deepEqual(read, { ok: true, value: packet });
});

test('an authenticated packet is read, for the session to refuse', () => {
  const read = decodeControlPacket(Buffer.concat([changed({ 1: 0xec, 3: 26 }), Buffer.from('0102', 'hex')]));
  assert.ok(read.ok);
  assert.equal(read.value.authenticationPresent, true);
});
