// The plugin's protocol and the alias: round trips, every cut is "incomplete", nothing throws.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeAnswer,
  decodeRecord,
  decodeRequest,
  encodeAnswer,
  encodeRecord,
  encodeRequest,
  PROTOCOL_VERSION,
} from '#cni/protocol.ts';
import { ALIAS_MAX_BYTES, decodeAlias, encodeAlias } from '#dataplane/pod/alias.ts';
import { type IpAddress, addressFromBytes } from '#lib/ip.ts';

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const text = fc
  .string({ unit: 'binary', maxLength: 40 })
  .filter((value) => !value.includes('\0') && value.isWellFormed());
const request = fc.record({
  version: fc.constantFrom(1, PROTOCOL_VERSION, PROTOCOL_VERSION + 1),
  environment: fc
    .dictionary(fc.stringMatching(/^CNI_[A-Z]{1,10}$/), text, { maxKeys: 6 })
    .map((object) => new Map(Object.entries(object))),
  stdin: bytes,
});

test('a request comes out as it went in, and every cut of it is incomplete', () => {
  fc.assert(
    fc.property(request, bytes, (value, more) => {
      const encoded = encodeRequest(value);
      const decoded = decodeRequest(Buffer.concat([encoded, more]));
      assert.equal(decoded.kind, 'complete');
      if (decoded.kind !== 'complete') return;
      assert.equal(decoded.length, encoded.length);
      assert.deepEqual(decoded.value.environment, value.environment);
      assert.ok(decoded.value.stdin.equals(value.stdin));
      for (let cut = 0; cut < encoded.length; cut++)
        assert.equal(decodeRequest(encoded.subarray(0, cut)).kind, 'incomplete');
    }),
    { numRuns: 60 },
  );
});

test('an answer and a spool record come out as they went in; a cut record is refused', () => {
  fc.assert(
    fc.property(
      request,
      bytes,
      fc.integer({ min: 0, max: 255 }),
      fc.nat(2 ** 40),
      (value, stdout, code, bootMilliseconds) => {
        const answer = decodeAnswer(encodeAnswer({ version: 1, code, stdout }));
        assert.ok(answer.kind === 'complete' && answer.value.code === code && answer.value.stdout.equals(stdout));
        const encoded = encodeRecord({ bootMilliseconds, request: value });
        const record = decodeRecord(encoded);
        assert.ok(record.ok && record.value.bootMilliseconds === bootMilliseconds);
        for (let cut = 0; cut < encoded.length; cut++) assert.equal(decodeRecord(encoded.subarray(0, cut)).ok, false);
        assert.equal(decodeRecord(Buffer.concat([encoded, Buffer.from('x')])).ok, false);
      },
    ),
    { numRuns: 60 },
  );
});

test('no bytes make a decoder throw', () => {
  fc.assert(
    fc.property(bytes, fc.boolean(), (raw, magic) => {
      const input = magic ? Buffer.concat([Buffer.from('FRCN\0\u0001\0\0'), raw]) : raw;
      decodeRequest(input);
      decodeAnswer(input);
      decodeRecord(magic ? Buffer.concat([Buffer.from('FRSP\0\u0001\0\0\0\0\0\0\0\0\0\0'), input]) : raw);
      decodeAlias(raw.toString('latin1'));
    }),
    { numRuns: 2000 },
  );
});

const ip = fc
  .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
  .map((raw): IpAddress => addressFromBytes(raw));
const attachment = fc.record({
  networkHash: fc.stringMatching(/^[0-9a-f]{12}$/),
  containerId: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,80}$/),
  interfaceName: fc.stringMatching(/^[!-~]{1,15}$/),
  addresses: fc.array(ip, { maxLength: 6 }),
  bootMilliseconds: fc.nat(2 ** 41),
  mtu: fc.option(fc.integer({ min: 1280, max: 65535 }), { nil: undefined }),
  mac: fc.option(fc.constant('02:ab:cd:ef:01:23'), { nil: undefined }),
  namespace: fc.stringMatching(/^[a-z0-9-]{0,63}$/),
  pod: fc.stringMatching(/^[a-z0-9.-]{0,120}$/),
});

test('an alias holds all that identifies, whatever is cut of the names, in 255 bytes', () => {
  fc.assert(
    fc.property(attachment, (value) => {
      const encoded = encodeAlias(value);
      if (!encoded.ok) {
        assert.ok(encoded.error.needed > ALIAS_MAX_BYTES);
        return;
      }
      assert.ok(Buffer.byteLength(encoded.value) <= ALIAS_MAX_BYTES);
      const decoded = decodeAlias(encoded.value);
      assert.ok(decoded !== undefined);
      const { namespace, pod, ...identity } = value;
      const { namespace: cutNamespace, pod: cutPod, ...decodedIdentity } = decoded;
      assert.deepEqual(decodedIdentity, identity);
      if (namespace !== '')
        assert.ok(
          `${namespace}/${pod}`.startsWith(
            cutPod === '' ? cutNamespace : `${cutNamespace}${cutNamespace === '' ? '' : '/'}${cutPod}`,
          ),
        );
    }),
  );
});
