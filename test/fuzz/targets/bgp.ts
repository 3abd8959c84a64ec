/** BGP: the stream, each message, path attributes and capabilities. The first octet of an input says what was negotiated. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { decodeAttributes, encodeAttributes } from '#bgp/wire/attributes.ts';
import { formatCapability } from '#bgp/wire/capabilities.ts';
import { EXTENDED_MESSAGE_BYTES, MAXIMUM_MESSAGE_BYTES } from '#bgp/wire/codes.ts';
import { MessageStream } from '#bgp/wire/framing.ts';
import { decodeMessage } from '#bgp/wire/message.ts';
import type { Message, UpdateMessage, WireContext } from '#bgp/wire/messages.ts';
import { checkOpen, negotiate, openMessage } from '#bgp/wire/negotiate.ts';
import { prefixesOf } from '#bgp/wire/nlri.ts';
import { describeNotification } from '#bgp/wire/notification.ts';
import { decodeOpen, encodeOpen } from '#bgp/wire/open.ts';
import { splitUpdate } from '#bgp/wire/update.ts';
import type { Asn } from '#lib/ip.ts';
import type { Target } from '../target.ts';

const vectorFolder = join(import.meta.dirname, '../../vectors/bgp');

interface Vectors {
  readonly context: WireContext;
  readonly messages: readonly { readonly type: number; readonly hex: string }[];
}

const vectorFiles = (): readonly Vectors[] =>
  ['diagrams.json', ...readdirSync(join(vectorFolder, 'captured')).map((name) => join('captured', name))].map(
    (name) => JSON.parse(readFileSync(join(vectorFolder, name), 'utf8')) as Vectors,
  );

/** Whole messages of the vectors, each after the octet that stands for its context. */
function vectorMessages(type: number | undefined): Uint8Array[] {
  return vectorFiles().flatMap(({ context, messages }) =>
    messages
      .filter((message) => type === undefined || message.type === type)
      .map(({ hex }) => Uint8Array.from([octetOf(context), ...Buffer.from(hex.replaceAll(/\s/g, ''), 'hex')])),
  );
}

const octetOf = (context: WireContext): number =>
  (context.fourOctetAs ? 1 : 0) |
  (context.external ? 2 : 0) |
  (context.maximumMessageBytes > MAXIMUM_MESSAGE_BYTES ? 4 : 0) |
  (context.extendedNextHop === true ? 8 : 0) |
  (context.families.length === 1 ? 16 : 0) |
  (context.enforceFirstAs === false ? 32 : 0);

export const contextOf = (octet: number): WireContext => ({
  fourOctetAs: (octet & 1) !== 0,
  external: (octet & 2) !== 0,
  maximumMessageBytes: (octet & 4) === 0 ? MAXIMUM_MESSAGE_BYTES : EXTENDED_MESSAGE_BYTES,
  extendedNextHop: (octet & 8) !== 0,
  families: (octet & 16) === 0 ? ['ipv4', 'ipv6'] : ['ipv4'],
  enforceFirstAs: (octet & 32) === 0,
  peerAsn: 64513 as Asn,
});

/** Chunk sizes that follow from the input, so that the same input is always cut the same way. */
function* cuts(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0, step = 1; at < bytes.length; at += step) {
    step = 1 + ((bytes[at] ?? 0) % 37);
    yield bytes.subarray(at, at + step);
  }
}

type Read = { readonly type: number; readonly octets: string } | { readonly broken: number };

function readAll(chunks: Iterable<Uint8Array>, longest: number, message: (type: number, bytes: Uint8Array) => void) {
  const stream = new MessageStream();
  stream.longest = longest;
  const read: Read[] = [];
  for (const chunk of chunks) {
    stream.push(chunk);
    for (let left = 10_000; left > 0; left--) {
      const framing = stream.next();
      if (framing.kind === 'incomplete') {
        assert.ok(framing.need > 0, 'incomplete, and nothing is missing');
        break;
      }
      if (framing.kind === 'invalid') {
        read.push({ broken: framing.reset.subcode });
        return read;
      }
      const { type, bytes } = framing.frame;
      read.push({ type, octets: Buffer.from(bytes).toString('latin1') });
      message(type, bytes);
    }
  }
  return read;
}

const printable = (text: string): void => {
  assert.ok(text.length < 2000, `${text.length} characters for a person to read`);
  // oxlint-disable-next-line no-control-regex
  assert.ok(!/[\u0000-\u001f\u007f-\u009f]/.test(text), 'control characters in a text for people');
};

export function judge(message: Message, context: WireContext): void {
  if (message.kind === 'notification') printable(describeNotification(message.code, message.subcode, message.data));
  if (message.kind === 'update') judgeUpdate(message, context);
}

function judgeUpdate(update: UpdateMessage, context: WireContext): void {
  for (const block of update.withdrawn) prefixesOf(block);
  for (const { nlri } of update.reachable) prefixesOf(nlri);
  if (update.treatAsWithdraw !== undefined) printable(update.treatAsWithdraw);
  const hasClassicNlri = update.reachable.some((part) => part.nextHop === undefined);
  const verdict = decodeAttributes(update.attributes, context, { hasClassicNlri });
  if (verdict.kind === 'treatAsWithdraw') printable(verdict.text);
  if (verdict.kind === 'reset') printable(verdict.reset.text);
  if (verdict.kind !== 'accept') return;
  // What we took we can write, and what we write we take, with the same meaning.
  const bytes = encodeAttributes(verdict.attributes, context);
  const again = decodeAttributes(bytes, context, { hasClassicNlri });
  assert.equal(again.kind, 'accept', 'attributes that were taken are refused when written again');
  if (again.kind !== 'accept') return;
  assert.deepEqual(encodeAttributes(again.attributes, context), bytes, 'written twice they differ');
}

const stream: Target = {
  name: 'bgp-stream',
  longest: 9000,
  seeds: () => {
    const all = vectorMessages(undefined);
    const joined = vectorFiles().map(({ context, messages }) =>
      Uint8Array.from([octetOf(context), ...messages.flatMap(({ hex }) => [...Buffer.from(hex, 'hex')])]),
    );
    return [...all, ...joined];
  },
  words: [Uint8Array.from({ length: 16 }, () => 255)],
  run(input) {
    const context = contextOf(input[0] ?? 0);
    const bytes = input.subarray(1);
    const whole = readAll([bytes], context.maximumMessageBytes, (type, octets) => {
      const decoded = decodeMessage({ type, bytes: octets }, context);
      if (decoded.ok) judge(decoded.value, context);
      else printable(decoded.error.text);
      decodeMessage({ type, bytes: octets }, undefined);
    });
    const inPieces = readAll(cuts(bytes), context.maximumMessageBytes, () => undefined);
    assert.deepEqual(inPieces, whole, 'how the stream is cut changes what is read');
  },
};

const withoutHeader = (message: Uint8Array): Uint8Array => Uint8Array.from([message[0] ?? 0, ...message.subarray(20)]);

const update: Target = {
  name: 'bgp-update',
  longest: 5000,
  seeds: () => vectorMessages(2).map(withoutHeader),
  run(input) {
    const context = contextOf(input[0] ?? 0);
    const split = splitUpdate(input.subarray(1), context);
    if (split.ok) judge(split.value, context);
    else printable(split.error.text);
  },
};

const ours = openMessage({
  localAsn: 64512 as Asn,
  identifier: 0x0a00_0001,
  holdTimeSeconds: 90,
  families: ['ipv4', 'ipv6'],
  enhancedRouteRefresh: true,
  extendedMessage: true,
  extendedNextHop: true,
  gracefulRestart: { restarted: false, notification: true, restartTimeSeconds: 120, families: [] },
});

const open: Target = {
  name: 'bgp-open',
  longest: 4200,
  seeds: () => vectorMessages(1).map(withoutHeader),
  run(input) {
    const decoded = decodeOpen(input.subarray(1));
    if (!decoded.ok) return printable(decoded.error.text);
    const { value } = decoded;
    for (const capability of value.capabilities) printable(formatCapability(capability));
    const refused = checkOpen(value, {
      peerAsn: 64513 as Asn,
      localAsn: 64512 as Asn,
      localIdentifier: 0x0a00_0001,
      families: ['ipv4', 'ipv6'],
    });
    if (refused !== undefined) printable(refused.text);
    const { context } = negotiate(ours, value);
    assert.ok(context.maximumMessageBytes >= MAXIMUM_MESSAGE_BYTES);
    const again = decodeOpen(encodeOpen(value).subarray(19));
    assert.ok(again.ok, 'an OPEN that was taken is refused when written again');
    assert.deepEqual(again.value, value);
  },
};

const notification: Target = {
  name: 'bgp-notification',
  longest: 4100,
  seeds: () => vectorMessages(3),
  run(input) {
    const decoded = decodeMessage({ type: 3, bytes: input.subarray(1) }, contextOf(3));
    if (decoded.ok) judge(decoded.value, contextOf(3));
  },
};

export const bgpTargets: readonly Target[] = [stream, update, open, notification];
