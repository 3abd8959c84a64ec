/**
 * How fast the BGP codec is on one thread: a million prefixes, 20 per UPDATE, attributes drawn from N/25 sets, in chunks of
 * 64 KiB. Prints the median of some interleaved rounds, in millions per second of CPU time (collection of
 * garbage included), since the machine is shared; asserts nothing on time.
 *
 *   node test/bench/bgp/wire.ts [PREFIXES] [ROUNDS]
 */
import { decodeAttributes, encodeAttributes } from '#bgp/wire/attributes.ts';
import { MessageStream } from '#bgp/wire/framing.ts';
import type { PathAttributes, WireContext } from '#bgp/wire/messages.ts';
import { UpdateWriter } from '#bgp/wire/update-writer.ts';
import { splitUpdate } from '#bgp/wire/update.ts';
import type { Asn, IpAddress } from '#lib/ip.ts';
import { noAttributes } from '#bgp/wire/messages.ts';

const prefixes = Number(process.argv[2] ?? 1_000_000);
const rounds = Number(process.argv[3] ?? 7);
const PER_UPDATE = 20;
const CHUNK = 65536;
const sets = Math.max(Math.trunc(prefixes / 25), 1);
const context: WireContext = {
  fourOctetAs: true,
  external: true,
  families: ['ipv4', 'ipv6'],
  maximumMessageBytes: 4096,
  peerAsn: 64513 as Asn,
};

const attributesOf = (set: number): PathAttributes => ({
  ...noAttributes,
  asPath: [{ type: 2, asns: [64513, 64600 + (set % 97), 4200000000 + (set % 1009), 100 + set] }],
  nextHop: '192.0.2.1' as IpAddress,
  med: set % 7,
  communities: [0xfc010000 + (set % 500), 0xfc020000 + (set % 31)],
});

const encoded = Array.from({ length: sets }, (_unused, set) => encodeAttributes(attributesOf(set), context));
const addressOf = (i: number): number => (0x01000000 + i * 256) >>> 0;

function input(): Uint8Array {
  const writer = new UpdateWriter(context);
  for (let i = 0; i < prefixes; i++) {
    if (i % PER_UPDATE === 0) writer.beginReach(encoded[(i / PER_UPDATE) % sets] as Uint8Array, 'ipv4', undefined);
    writer.prefix4(addressOf(i), 24);
  }
  return writer.take();
}

/** Frames, split, intern by the attributes' octets, walk the NLRI; decode what is new. */
function learn(stream: Uint8Array, decode: boolean): number {
  const messages = new MessageStream();
  const known = new Map<string, number>();
  let count = 0;
  for (let at = 0; at < stream.length; at += CHUNK) {
    messages.push(stream.subarray(at, at + CHUNK));
    for (let next = messages.next(); next.kind === 'complete'; next = messages.next()) {
      const update = splitUpdate(next.frame.bytes.subarray(19), context);
      if (!update.ok) throw new Error(update.error.text);
      const { attributes, reachable } = update.value;
      const view = Buffer.from(attributes.buffer, attributes.byteOffset, attributes.length);
      const key = view.toString('latin1');
      if (!known.has(key)) {
        known.set(key, known.size);
        if (decode && decodeAttributes(attributes, context, { hasClassicNlri: true }).kind !== 'accept')
          throw new Error('attributes are refused');
      }
      for (const { nlri } of reachable) {
        const { bytes } = nlri;
        for (let i = 0; i < bytes.length; i += 1 + (((bytes[i] as number) + 7) >>> 3)) count++;
      }
    }
  }
  return count;
}

/** One beginReach for each attribute set, its 25 prefixes behind it, as an update group writes them. */
function announce(): number {
  const writer = new UpdateWriter(context);
  const perSet = Math.ceil(prefixes / sets);
  for (let set = 0, i = 0; i < prefixes; set++) {
    writer.beginReach(encoded[set % sets] as Uint8Array, 'ipv4', undefined);
    for (let n = 0; n < perSet && i < prefixes; n++, i++) writer.prefix4(addressOf(i), 24);
  }
  writer.take();
  return prefixes;
}

function withdraw(): number {
  const writer = new UpdateWriter(context);
  writer.beginWithdraw('ipv4');
  for (let i = 0; i < prefixes; i++) writer.prefix4(addressOf(i), 24);
  writer.take();
  return prefixes;
}

function attributesAlone(): number {
  for (const bytes of encoded) decodeAttributes(bytes, context, { hasClassicNlri: true });
  return encoded.length;
}

const stream = input();
const cases: Readonly<Record<string, () => number>> = {
  'frames, split, intern key': () => learn(stream, false),
  '... and decode of new attributes': () => learn(stream, true),
  'encode announcements': announce,
  'encode withdrawals': withdraw,
  'decode attribute sets alone': attributesAlone,
  'encode attribute sets alone': () => {
    for (let set = 0; set < sets; set++) encodeAttributes(attributesOf(set), context);
    return sets;
  },
};
const times = new Map<string, number[]>(Object.keys(cases).map((name) => [name, []]));
for (let round = 0; round <= rounds; round++) {
  for (const [name, run] of Object.entries(cases)) {
    const start = process.cpuUsage();
    const count = run();
    const { user, system } = process.cpuUsage(start);
    // The first round warms up.
    if (round > 0) times.get(name)?.push(count / (user + system));
  }
}
console.log(`${prefixes} prefixes, ${PER_UPDATE} per UPDATE, ${sets} attribute sets, ${stream.length} octets`);
for (const [name, all] of times) {
  const sorted = all.sort((a, b) => a - b);
  const [low = 0, median = 0, high = 0] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)];
  console.log(
    `${name.padEnd(36)} ${median.toFixed(2).padStart(7)} M/CPU s   (${low.toFixed(2)} to ${high.toFixed(2)})`,
  );
}
