// Control packets that real daemons sent (`captured.json`): read as tcpdump reads them, written as the same octets.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ControlPacket, decodeControlPacket, encodeControlPacket } from '#bgp/bfd/control-packet.ts';

interface Vectors {
  readonly packets: readonly { readonly daemon: string; readonly hex: string; readonly said: string }[];
}

const { packets } = JSON.parse(readFileSync(join(import.meta.dirname, 'captured.json'), 'utf8')) as Vectors;

const milliseconds = (microseconds: number): string => `${Math.floor(microseconds / 1000)} ms`;
const hexNumber = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;

/** RFC 5880 §4.1, as tcpdump calls them. */
const stateWords = { AdminDown: 'AdminDown', Down: 'Down', Init: 'Init', Up: 'Up' } as const;
const diagnosticWords: Readonly<Record<number, string>> = {
  0: 'No Diagnostic (0x00)',
  1: 'Control Detection Time Expired (0x01)',
  3: 'Neighbor Signaled Session Down (0x03)',
  7: 'Administratively Down (0x07)',
};

/** What tcpdump must have said of the packet, piece by piece. */
function wordsFor(packet: ControlPacket): readonly string[] {
  const flags = [
    ...(packet.poll ? ['Poll'] : []),
    ...(packet.final ? ['Final'] : []),
    ...(packet.controlPlaneIndependent ? ['Control Plane Independent'] : []),
    ...(packet.authenticationPresent ? ['Authentication Present'] : []),
    ...(packet.demand ? ['Demand'] : []),
  ];
  return [
    `State ${stateWords[packet.state]}`,
    `Flags: [${flags.length === 0 ? 'none' : flags.join(', ')}]`,
    `Diagnostic: ${diagnosticWords[packet.diagnostic]}`,
    `Detection Timer Multiplier: ${packet.detectMultiplier} (`,
    `My Discriminator: ${hexNumber(packet.myDiscriminator)}`,
    `Your Discriminator: ${hexNumber(packet.yourDiscriminator)}`,
    `Desired min Tx Interval: ${milliseconds(packet.desiredMinTxMicroseconds)}`,
    `Required min Rx Interval: ${milliseconds(packet.requiredMinRxMicroseconds)}`,
    `Required min Echo Interval: ${milliseconds(packet.requiredMinEchoRxMicroseconds)}`,
  ];
}

test('both daemons are there, with packets of every state', () => {
  for (const daemon of ['FRR', 'BIRD']) {
    const states = new Set(
      packets
        .filter((packet) => packet.daemon === daemon)
        .map(({ hex }) => decodeControlPacket(Buffer.from(hex, 'hex')))
        .map((read) => (read.ok ? read.value.state : read.error)),
    );
    for (const state of ['Down', 'Init', 'Up']) assert.ok(states.has(state as 'Up'), `${daemon} ${state}`);
  }
});

for (const [index, { daemon, hex, said }] of packets.entries()) {
  test(`${daemon}, packet ${index}: ${said.slice(0, 90)}`, () => {
    const read = decodeControlPacket(Buffer.from(hex, 'hex'));
    assert.ok(read.ok);
    for (const words of wordsFor(read.value)) assert.ok(said.includes(words), `${words}\nnot in ${said}`);
    assert.equal(
      Buffer.from(encodeControlPacket({ ...read.value, authenticationPresent: false })).toString('hex'),
      hex,
    );
    for (let length = 0; length < hex.length / 2; length++)
      assert.equal(decodeControlPacket(Buffer.from(hex, 'hex').subarray(0, length)).ok, false);
  });
}
