/** Properties of the BGP codec: round trips, no octets make it throw, and how a stream is cut does not matter. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { asPathLength, mergeAs4Path } from '#bgp/wire/as-path.ts';
import { decodeAttributes, encodeAttributes } from '#bgp/wire/attributes.ts';
import { MessageStream } from '#bgp/wire/framing.ts';
import type { Framing } from '#bgp/wire/framing.ts';
import { decodeMessage } from '#bgp/wire/message.ts';
import type {
  AsPathSegment,
  Capability,
  MpNextHop,
  NlriBlock,
  PathAttributes,
  WireContext,
} from '#bgp/wire/messages.ts';
import { nextHopBytes } from '#bgp/wire/next-hop.ts';
import { nlriOf, prefixesOf, routesOf } from '#bgp/wire/nlri.ts';
import { describeNotification, shutdownData, shutdownText } from '#bgp/wire/notification.ts';
import { decodeOpen, encodeOpen } from '#bgp/wire/open.ts';
import { splitUpdate } from '#bgp/wire/update.ts';
import { withoutNlri } from '#bgp/wire/nlri-cut.ts';
import { PrefixTable } from '#bgp/rib/prefix-table.ts';
import type { OwnedNlri } from '#bgp/wire/update-writer.ts';
import { UpdateWriter } from '#bgp/wire/update-writer.ts';
import { addressBits, addressFromBytes, prefixOf } from '#lib/ip.ts';
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { asn, octets, pathAttributes, peerAsn, prefix, record, segment, u32 } from '../support/path-attributes.ts';
import { noAttributes } from '#bgp/wire/messages.ts';

// Without this, fast-check makes short arrays only, whatever their maximum is.
fc.configureGlobal({ defaultSizeToMaxWhenMaxSpecified: true });

const contextWith = (fourOctetAs: boolean, external: boolean, maximumMessageBytes = 4096): WireContext => ({
  fourOctetAs,
  external,
  families: ['ipv4', 'ipv6'],
  maximumMessageBytes,
  peerAsn,
});
/** Path identifiers in the families named. */
const withIds = (context: WireContext, families: readonly Family[]): WireContext => ({
  ...context,
  addPath: { receive: families, send: families },
});
const someFamilies = fc.subarray<Family>(['ipv4', 'ipv6']);
const anyContext = fc
  .tuple(fc.boolean(), fc.boolean(), someFamilies)
  .map(([four, external, ids]) => withIds(contextWith(four, external), ids));

/** Sequences in a row as one: the same path. */
const joined = (path: readonly AsPathSegment[]): AsPathSegment[] => mergeAs4Path(path, path);

/** What of `attributes` gets through to a peer of this kind. */
function expected(attributes: PathAttributes, context: WireContext): PathAttributes {
  const internal = !context.external;
  return {
    ...attributes,
    localPref: internal ? attributes.localPref : undefined,
    originatorId: internal ? attributes.originatorId : undefined,
    clusterList: internal ? attributes.clusterList : [],
    unknown: [...attributes.unknown].sort((a, b) => a.code - b.code),
  };
}

describe('path attributes', () => {
  test('come back as they were written, to every kind of peer', () => {
    fc.assert(
      fc.property(pathAttributes, anyContext, (attributes, context) => {
        const bytes = encodeAttributes(attributes, context);
        const verdict = decodeAttributes(bytes, context, { hasClassicNlri: true });
        assert.ok(verdict.kind === 'accept', JSON.stringify(verdict));
        assert.deepEqual(verdict.discarded, []);
        const wanted = expected(attributes, context);
        assert.deepEqual(joined(verdict.attributes.asPath), joined(wanted.asPath));
        assert.deepEqual({ ...verdict.attributes, asPath: [] }, { ...wanted, asPath: [] });
      }),
    );
  });

  test('a path with segments above 255 AS numbers keeps its AS numbers', () => {
    fc.assert(
      fc.property(fc.array(asn, { minLength: 200, maxLength: 700 }), (asns) => {
        const context = contextWith(true, false);
        const base = { ...expected(blank, context), asPath: [{ type: 2 as const, asns }] };
        const verdict = decodeAttributes(encodeAttributes(base, context), context, { hasClassicNlri: true });
        assert.ok(verdict.kind === 'accept');
        assert.deepEqual(
          verdict.attributes.asPath.flatMap((s) => s.asns),
          asns,
        );
      }),
      { numRuns: 30 },
    );
  });

  test('a merged path is as long as the AS_PATH that came, unless AS4_PATH is ignored', () => {
    const path = fc.array(segment(5), { maxLength: 5 });
    fc.assert(
      fc.property(path, path, (asPath, as4Path) => {
        assert.equal(asPathLength(mergeAs4Path(asPath, as4Path)), asPathLength(asPath));
      }),
    );
  });

  test('no octets make them throw, and the answer keeps no view of them', () => {
    const random = octets(0, 200);
    const mutated = fc
      .tuple(pathAttributes, anyContext, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 5 }), fc.nat())
      .map(([attributes, context, changes, cut]) => {
        const bytes = encodeAttributes(attributes, context);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return cut % 3 === 0 ? bytes.slice(0, cut % bytes.length) : bytes;
      });
    fc.assert(
      fc.property(fc.oneof(random, mutated), anyContext, fc.boolean(), (bytes, context, hasClassicNlri) => {
        const verdict = decodeAttributes(bytes, context, { hasClassicNlri });
        const before = JSON.stringify(verdict);
        bytes.fill(0);
        assert.equal(JSON.stringify(verdict), before);
      }),
      { numRuns: 1000 },
    );
  });
});

const blank: PathAttributes = {
  ...noAttributes,
  nextHop: '10.0.0.1' as IpAddress,
  localPref: 100,
};

/** Every prefix of every message, in order, by what the message says of it. */
function readAll(bytes: Uint8Array, context: WireContext): { said: string[]; sizes: number[] } {
  const stream = new MessageStream(Math.max(4096, context.maximumMessageBytes));
  stream.push(bytes);
  const said: string[] = [];
  const sizes: number[] = [];
  for (let next = stream.next(); ; next = stream.next()) {
    if (next.kind === 'incomplete') return { said, sizes };
    assert.ok(next.kind === 'complete', JSON.stringify(next));
    sizes.push(next.frame.bytes.length);
    const update = splitUpdate(next.frame.bytes.subarray(19), context);
    assert.ok(update.ok, JSON.stringify(update));
    assert.equal(update.value.treatAsWithdraw, undefined);
    const row = (word: string, block: NlriBlock, hop?: MpNextHop): string[] =>
      routesOf(block).map(
        ({ prefix: p, pathId }) => `${word} ${p} ${pathId ?? ''} ${hop?.global ?? ''} ${hop?.linkLocal ?? ''}`,
      );
    for (const block of update.value.withdrawn) said.push(...row('withdraw', block));
    for (const { nlri, nextHop } of update.value.reachable) said.push(...row('reach', nlri, nextHop));
    if (update.value.endOfRib !== undefined) said.push(`end ${update.value.endOfRib}`);
  }
}

describe('UpdateWriter', () => {
  const batch = record({
    family: fc.constantFrom<Family>('ipv4', 'ipv6'),
    withdraw: fc.boolean(),
    endOfRib: fc.boolean(),
    seed: fc.array(fc.tuple(octets(16), fc.nat({ max: 128 })), { maxLength: 40 }),
    repeat: fc.integer({ min: 1, max: 30 }),
    communities: fc.integer({ min: 0, max: 900 }),
  });

  test('writes every prefix once and in order, in messages within the limit that are as full as they can be', () => {
    fc.assert(
      fc.property(
        fc.array(batch, { maxLength: 4 }),
        fc.constantFrom(4096, 65535),
        someFamilies,
        (batches, longest, ids) => {
          const context = withIds(contextWith(true, false, longest), ids);
          const writer = new UpdateWriter(context);
          const wanted: string[] = [];
          let fewest = 0;
          for (const { family, withdraw, endOfRib, seed, repeat, communities } of batches) {
            const bits = addressBits(family);
            const prefixes = Array.from({ length: repeat }, () => seed)
              .flat()
              .map(([bytes, length]) => prefixOf(addressFromBytes(bytes.subarray(0, bits / 8)), length % (bits + 1)));
            const hasIds = ids.includes(family);
            const pathId = (i: number): number => (0xfffffffe + i) >>> 0;
            const run = nlriOf(prefixes, hasIds ? prefixes.map((_unused, i) => pathId(i)) : undefined);
            const attributes = encodeAttributes(
              {
                ...blank,
                nextHop: family === 'ipv4' ? blank.nextHop : undefined,
                communities: Array.from({ length: communities }, (_unused, i) => i),
              },
              context,
            );
            const hop = family === 'ipv4' ? undefined : nextHopBytes('2001:db8::1' as IpAddress);
            if (withdraw) writer.beginWithdraw(family);
            else assert.ok(writer.beginReach(attributes, family, hop));
            writer.nlri(run);
            const tail = withdraw ? '  ' : family === 'ipv4' ? '  ' : ' 2001:db8::1 ';
            wanted.push(
              ...prefixes.map((p, i) => `${withdraw ? 'withdraw' : 'reach'} ${p} ${hasIds ? pathId(i) : ''}${tail}`),
            );
            if (endOfRib) {
              writer.endOfRib(family);
              wanted.push(`end ${family}`);
              fewest += 1;
            }
            const fixed = 23 + (withdraw ? 0 : attributes.length) + (family === 'ipv4' ? 0 : withdraw ? 7 : 4 + 5 + 16);
            fewest += messagesNeeded(run, hasIds ? 4 : 0, longest - fixed);
          }
          assert.equal(writer.messages, fewest);
          const { said, sizes } = readAll(writer.take(), context);
          assert.deepEqual(said, wanted);
          assert.ok(sizes.every((size) => size <= longest));
          assert.equal(sizes.length, fewest);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('prefix4 and prefix write the same', () => {
    fc.assert(
      fc.property(fc.array(prefix('ipv4'), { maxLength: 50 }), (prefixes) => {
        const [one, other] = [new UpdateWriter(contextWith(true, true)), new UpdateWriter(contextWith(true, true))];
        one.beginWithdraw('ipv4');
        other.beginWithdraw('ipv4');
        other.nlri(nlriOf(prefixes));
        for (const p of prefixes) {
          const [text = '', length = ''] = p.split('/');
          one.prefix4(
            text.split('.').reduce((value, part) => value * 256 + Number(part), 0),
            Number(length),
          );
        }
        assert.deepEqual(one.take(), other.take());
      }),
    );
  });
});

describe('withoutNlri', () => {
  test('leaves what the others wrote, in whole messages with something in them', () => {
    const part = record({
      family: fc.constantFrom<Family>('ipv4', 'ipv6'),
      withdraw: fc.boolean(),
      routes: fc.array(fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 200 })), { maxLength: 30 }),
    });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), someFamilies, fc.boolean(), (parts, ids, viaIpv6) => {
        const context = withIds(contextWith(true, false, 120), ids);
        const tables = { ipv4: new PrefixTable('ipv4'), ipv6: new PrefixTable('ipv6') };
        const write = (missing: number): { messages: Uint8Array; owned: readonly OwnedNlri[] } => {
          const writer = new UpdateWriter(context);
          for (const { family, withdraw, routes } of parts) {
            const classic = family === 'ipv4' && !viaIpv6;
            const attributes = encodeAttributes({ ...blank, nextHop: classic ? blank.nextHop : undefined }, context);
            if (withdraw) writer.beginWithdraw(family);
            else writer.beginReach(attributes, family, classic ? undefined : nextHopBytes('2001:db8::1' as IpAddress));
            for (const [owner, n] of routes) {
              if (owner === missing) continue;
              writer.own(owner);
              const text = family === 'ipv4' ? `10.${n}.0.0/16` : `2001:db8:${n.toString(16)}::/48`;
              writer.route(tables[family], tables[family].internPrefix(text as Prefix), n);
            }
          }
          writer.end();
          const { owned } = writer;
          return { messages: writer.take(), owned };
        };
        const all = write(-1);
        for (const owner of [1, 2, 3]) {
          const cut = withoutNlri(
            all.messages,
            all.owned.filter((run) => run.owner === owner),
          );
          const left = readAll(cut, { ...context, extendedNextHop: true });
          assert.deepEqual(left.said, readAll(write(owner).messages, { ...context, extendedNextHop: true }).said);
          assert.ok(left.sizes.every((size) => size <= 120));
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** First fit in order, by the plainest of means. */
function messagesNeeded(run: Uint8Array, idOctets: number, room: number): number {
  let [count, left] = [0, 0];
  for (let at = 0; at < run.length; ) {
    const size = idOctets + 1 + Math.ceil((run[at + idOctets] ?? 0) / 8);
    if (size > left) [count, left] = [count + 1, room];
    left -= size;
    at += size;
  }
  return count;
}

describe('UPDATE', () => {
  test('no octets make splitUpdate throw; what it lets pass can be read', () => {
    const made = fc
      .tuple(fc.array(prefix('ipv4'), { maxLength: 5 }), fc.array(prefix('ipv6'), { maxLength: 5 }), pathAttributes)
      .map(([four, six, attributes]) => {
        const context = contextWith(true, true);
        const writer = new UpdateWriter(context);
        const encoded = encodeAttributes(attributes, context);
        if (six.length > 0) writer.beginReach(encoded, 'ipv6', nextHopBytes('2001:db8::1' as IpAddress));
        if (six.length > 0) writer.nlri(nlriOf(six));
        else writer.beginReach(encoded, 'ipv4', undefined);
        if (six.length === 0) writer.nlri(nlriOf(four));
        return writer.take().slice(19);
      });
    const mutated = fc
      .tuple(made, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 }))
      .map(([bytes, changes]) => {
        for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(octets(0, 120), mutated), anyContext, (body, context) => {
        const update = splitUpdate(body, context);
        if (!update.ok) {
          assert.equal(update.error.code, 3);
          return;
        }
        for (const block of update.value.withdrawn) prefixesOf(block);
        for (const { nlri } of update.value.reachable) prefixesOf(nlri);
        decodeAttributes(update.value.attributes, context, { hasClassicNlri: true });
      }),
      { numRuns: 2000 },
    );
  });
});

const capability: fc.Arbitrary<Capability> = fc.oneof(
  record({
    kind: fc.constant('multiprotocol' as const),
    afi: fc.nat({ max: 65535 }),
    safi: fc.nat({ max: 255 }),
  }),
  fc.constantFrom<Capability>({ kind: 'routeRefresh' }, { kind: 'enhancedRouteRefresh' }, { kind: 'extendedMessage' }),
  record({
    kind: fc.constant('longLivedGracefulRestart' as const),
    families: fc.array(
      record({
        afi: fc.constantFrom(1, 2, 25),
        safi: fc.constantFrom(1, 2),
        forwarding: fc.boolean(),
        staleTimeSeconds: fc.nat(0xff_ffff),
      }),
      { maxLength: 3 },
    ),
  }),
  record({
    kind: fc.constant('addPath' as const),
    families: fc.array(
      fc
        .tuple(fc.nat({ max: 65535 }), fc.nat({ max: 255 }), fc.integer({ min: 1, max: 3 }))
        .map(([afi, safi, mode]) => ({
          afi,
          safi,
          receive: mode !== 2,
          send: mode !== 1,
        })),
      { maxLength: 5 },
    ),
  }),
  record({
    kind: fc.constant('gracefulRestart' as const),
    restarted: fc.boolean(),
    notification: fc.boolean(),
    restartTimeSeconds: fc.nat({ max: 4095 }),
    families: fc.array(record({ afi: fc.nat({ max: 65535 }), safi: fc.nat({ max: 255 }), forwarding: fc.boolean() }), {
      maxLength: 5,
    }),
  }),
  record({
    kind: fc.constant('extendedNextHop' as const),
    tuples: fc.array(
      record({ afi: fc.nat({ max: 65535 }), safi: fc.nat({ max: 65535 }), nextHopAfi: fc.nat({ max: 65535 }) }),
      { minLength: 1, maxLength: 5 },
    ),
  }),
  record({ kind: fc.constant('unknown' as const), code: fc.integer({ min: 100, max: 255 }), value: octets(0, 255) }),
);

describe('OPEN', () => {
  const open = record({
    kind: fc.constant('open' as const),
    version: fc.constant(4),
    myAs: fc.integer({ min: 1, max: 65535 }),
    holdTimeSeconds: fc.nat({ max: 65535 }).filter((s) => s !== 1 && s !== 2),
    identifier: u32.filter((id) => id !== 0),
    capabilities: fc.array(capability, { maxLength: 12 }),
  });

  test('comes back as it was written, in the short and in the extended form', () => {
    fc.assert(
      fc.property(open, (message) => {
        assert.deepEqual(decodeOpen(encodeOpen(message).subarray(19)), { ok: true, value: message });
      }),
    );
  });

  test('no octets make it throw; a refusal is an OPEN Message Error', () => {
    const mutated = fc
      .tuple(open, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 }))
      .map(([message, changes]) => {
        const bytes = encodeOpen(message).slice(19);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(octets(0, 80), mutated), (body) => {
        const decoded = decodeOpen(body);
        assert.ok(decoded.ok || decoded.error.code === 2);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('NOTIFICATION', () => {
  test('any code, subcode and data can be told to people, without control characters', () => {
    const octet = fc.nat({ max: 255 });
    fc.assert(
      fc.property(octet, octet, octets(0, 60), (code, subcode, data) => {
        assert.match(describeNotification(code, subcode, data), /^\P{C}+$/u);
      }),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const data = shutdownData(text);
        assert.ok(data.length <= 256);
        assert.match(describeNotification(6, 2, data), /^\P{C}+$/u);
      }),
    );
  });

  test('a shutdown text of printable characters comes back, cut at a whole character', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', 'ü', '漢', '🙂', ' '), maxLength: 300 }), (text) => {
        assert.ok(text.startsWith(shutdownText(shutdownData(text)) ?? ''));
      }),
    );
  });
});

describe('framing', () => {
  const message = fc
    .tuple(fc.constantFrom(2, 3, 5), octets(4, 300))
    .map(([type, body]) =>
      Uint8Array.of(
        ...Array.from({ length: 16 }, () => 255),
        (19 + body.length) >> 8,
        (19 + body.length) & 255,
        type,
        ...body,
      ),
    );
  const concat = (parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

  /** Feeds `bytes` in chunks of the given sizes and answers all there is to hear. */
  function feed(bytes: Uint8Array, sizes: readonly number[]): Framing[] {
    const stream = new MessageStream();
    const heard: Framing[] = [];
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = sizes.length === 0 ? bytes.length : Math.max(sizes[i % sizes.length] ?? 1, 1);
      stream.push(bytes.slice(at, at + size));
      at += size;
      for (let next = stream.next(); next.kind !== 'incomplete'; next = stream.next()) {
        heard.push(next);
        if (next.kind === 'invalid') return heard;
      }
    }
    return heard;
  }

  test('any chunking gives the same frames', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 500 }), { maxLength: 20 }),
        (messages, sizes) => {
          const heard = feed(concat(messages), sizes);
          assert.deepEqual(
            heard.map((answer) => (answer.kind === 'complete' ? answer.frame.bytes : answer)),
            messages,
          );
        },
      ),
    );
  });

  test('any chunking gives the same answer to a stream that goes wrong somewhere', () => {
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 4 }),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 10 }),
        (messages, changes, sizes) => {
          const bytes = concat(messages);
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          assert.deepEqual(feed(bytes, sizes), feed(bytes, []));
        },
      ),
      { numRuns: 500 },
    );
  });

  test('frames of any octets are decoded without throwing', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), octets(0, 100), anyContext, (type, body, context) => {
        const bytes = Uint8Array.of(...Array.from({ length: 16 }, () => 255), 0, 19 + body.length, type, ...body);
        decodeMessage({ type, bytes }, context);
        decodeMessage({ type, bytes }, undefined);
      }),
      { numRuns: 1000 },
    );
  });
});
