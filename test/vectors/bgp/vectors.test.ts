/**
 * Octets and values that must go together: captures of real daemons (`captured/`) and messages put together by hand from
 * the RFCs' diagrams (`diagrams.json`). Each is also fed octet by octet, and cut at every length.
 */
import { strict as assert } from 'node:assert';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { MessageStream, frameAt } from '#bgp/wire/framing.ts';
import { decodeMessage } from '#bgp/wire/message.ts';
import type { WireContext } from '#bgp/wire/messages.ts';
import { bytesOf, describeMessage, hexOf } from './describe.ts';
import type { Json } from './describe.ts';
import { rewrite } from './rewrite.ts';

interface Vectors {
  readonly source: string;
  readonly context: WireContext;
  readonly messages: readonly {
    readonly name?: string;
    readonly type: number;
    readonly hex: string;
    /** This program writes the very same octets. */
    readonly canonical: boolean;
    readonly expected: Json;
  }[];
}

const here = import.meta.dirname;
const files = [
  'diagrams.json',
  ...readdirSync(join(here, 'captured'))
    .sort()
    .map((name) => join('captured', name)),
];

for (const file of files) {
  const { source, context, messages } = JSON.parse(readFileSync(join(here, file), 'utf8')) as Vectors;
  describe(`${file}: ${source}`, () => {
    messages.forEach((vector, index) => {
      const name = vector.name ?? `message ${index} of type ${vector.type}`;
      const bytes = bytesOf(vector.hex);

      test(`${name}: decodes to the expected value`, () => {
        const decoded = decodeMessage({ type: vector.type, bytes }, context);
        assert.ok(decoded.ok, decoded.ok ? '' : decoded.error.text);
        assert.deepEqual(describeMessage(decoded.value, context), vector.expected);
      });

      test(`${name}: written again it ${vector.canonical ? 'is the same octets' : 'says the same'}`, () => {
        const decoded = decodeMessage({ type: vector.type, bytes }, context);
        assert.ok(decoded.ok);
        const again = rewrite(decoded.value, context);
        if (vector.canonical) assert.equal(hexOf(again), hexOf(bytes));
        else assertSameMeaning(again, vector.expected, context);
      });

      test(`${name}: arrives whole octet by octet`, () => {
        const stream = new MessageStream();
        for (const [at, octet] of bytes.entries()) {
          stream.push(Uint8Array.of(octet));
          const answer = stream.next();
          if (at < bytes.length - 1) assert.equal(answer.kind, 'incomplete');
          else {
            assert.ok(answer.kind === 'complete');
            assert.equal(answer.frame.type, vector.type);
            assert.equal(hexOf(answer.frame.bytes), hexOf(bytes));
          }
        }
      });

      test(`${name}: cut at any length it is incomplete, and its decoder does not throw`, () => {
        for (let length = 0; length < bytes.length; length++) {
          const answer = frameAt(bytes.slice(0, length), 0, length, context.maximumMessageBytes);
          assert.ok(answer.kind === 'incomplete', `${length} octets: ${answer.kind}`);
          assert.ok(answer.need >= 1 && answer.need <= bytes.length - length, `need ${answer.need} at ${length}`);
          if (length >= 19) decodeMessage({ type: vector.type, bytes: bytes.slice(0, length) }, context);
        }
      });
    });
  });
}

/** What was written may be several messages (a withdrawal has one of its own): together they must say the same. */
function assertSameMeaning(bytes: Uint8Array, expected: Json, context: WireContext): void {
  const stream = new MessageStream(context.maximumMessageBytes);
  stream.push(bytes);
  const said: Record<string, Json> = {};
  for (let next = stream.next(); next.kind === 'complete'; next = stream.next()) {
    const decoded = decodeMessage(next.frame, context);
    assert.ok(decoded.ok, decoded.ok ? '' : decoded.error.text);
    Object.assign(said, describeMessage(decoded.value, context));
  }
  // Why a route is treated as withdrawn is not written; that it is withdrawn, is.
  const { treatAsWithdraw: _reason, ...meaning } = expected as Record<string, Json>;
  assert.deepEqual(said, meaning);
}
