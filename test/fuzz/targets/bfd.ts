/** BFD: control packets from the network, and the frames between the agent and BFD's process. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FrameReader, encodeFrame, readFromBfd, readToBfd } from '#bgp/bfd/control-messages.ts';
import type { FromBfd, ToBfd } from '#bgp/bfd/control-messages.ts';
import { decodeControlPacket, encodeControlPacket } from '#bgp/bfd/control-packet.ts';
import { bytesOfText } from '../target.ts';
import type { Target } from '../target.ts';

const packet: Target = {
  name: 'bfd-packet',
  longest: 80,
  seeds: () => {
    const text = readFileSync(join(import.meta.dirname, '../../vectors/bfd/captured.json'), 'utf8');
    return [...text.matchAll(/"([0-9a-f]{48,})"/g)].map(([, hex]) => Uint8Array.from(Buffer.from(hex ?? '', 'hex')));
  },
  run(input) {
    const decoded = decodeControlPacket(input);
    if (!decoded.ok || decoded.value.authenticationPresent) return;
    const again = decodeControlPacket(encodeControlPacket({ ...decoded.value, authenticationPresent: false }));
    assert.deepEqual(again, decoded);
  },
};

const session = {
  name: 'tor-a',
  remote: '192.0.2.1',
  local: '192.0.2.2',
  interface: 'eth0',
  hops: 'single',
  minimumTtl: 255,
  nexthops: [184549377],
  desiredMinTxMicroseconds: 50_000,
  requiredMinRxMicroseconds: 50_000,
  detectMultiplier: 3,
  passive: false,
  administrativelyDown: false,
};
const observed = {
  name: 'tor-a',
  remote: '192.0.2.1',
  state: 'Up',
  remoteState: 'Up',
  remoteControlPlaneIndependent: true,
  failed: false,
  diagnostic: 0,
  remoteDiagnostic: 0,
  since: 1,
  failures: 0,
  transmitIntervalMilliseconds: 50,
  detectionTimeMilliseconds: 150,
  sent: 1,
  received: 1,
};

const frames: Target = {
  name: 'bfd-control',
  longest: 3000,
  seeds: () =>
    [
      { kind: 'sessions', sessions: [session] },
      { kind: 'sessions', sessions: [session, { ...session, name: 'b', remote: '2001:db8::1', local: undefined }] },
      { kind: 'observe' },
      { kind: 'end' },
      { kind: 'hello', program: 'flatroute', pid: 1 },
      { kind: 'refused', reason: 'no' },
      { kind: 'changed', session: observed },
      { kind: 'observed', sessions: [observed] },
    ].map((value) => encodeFrame(value as ToBfd | FromBfd)),
  words: ['{"', '"kind":', '[]', '{}', 'null', '-1', '1e999', '"constructor"', '"__proto__":'].map(bytesOfText),
  run(input) {
    const whole = new FrameReader().push(input);
    const inPieces = new FrameReader();
    const values: unknown[] = [];
    for (let at = 0; at < input.length; at += 7) {
      const read = inPieces.push(input.subarray(at, at + 7));
      if (!read.ok) break;
      values.push(...read.value);
    }
    if (!whole.ok) return;
    assert.deepEqual(values, whole.value);
    for (const value of whole.value) {
      readFromBfd(value);
      const message = readToBfd(value);
      if (!message.ok) assert.ok(message.error.length < 2000);
    }
  },
};

export const bfdTargets: readonly Target[] = [packet, frames];
