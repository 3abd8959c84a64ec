/** What the kernel says: netlink messages, and the counters of /proc. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDroppedSegments } from '#bgp/io/dropped-segments.ts';
import { decodeAlias } from '#dataplane/pod/alias.ts';
import { decodeAddress } from '#netlink/wire/address.ts';
import { decodeLink } from '#netlink/wire/link.ts';
import { decodeNeighbour } from '#netlink/wire/neighbour.ts';
import { decodeNexthop } from '#netlink/wire/nexthop.ts';
import { WireReader, decodeDone, decodeError, eachMessage } from '#netlink/wire/reader.ts';
import { decodePackedRoute, decodeRoute, emptyPackedRoute } from '#netlink/wire/route.ts';
import { decodeSourceRule } from '#netlink/wire/rule.ts';
import { bytesOfText, textOf } from '../target.ts';
import type { Target } from '../target.ts';

const decoders = [
  decodeLink,
  decodeAddress,
  decodeNeighbour,
  decodeNexthop,
  decodeRoute,
  decodeSourceRule,
  decodeError,
  decodeDone,
] as const;

const netlink: Target = {
  name: 'netlink',
  longest: 3000,
  seeds: () => {
    const text = readFileSync(join(import.meta.dirname, '../../vectors/netlink/answers.json'), 'utf8');
    const { messages } = JSON.parse(text) as { readonly messages: readonly { readonly hex: string }[] };
    return messages.map(({ hex }) => Uint8Array.from(Buffer.from(hex, 'hex')));
  },
  run(input) {
    const reader = new WireReader(input);
    eachMessage(reader, input.length, (message) => {
      assert.ok(message.payload <= message.end && message.end <= input.length, 'a message outside of its datagram');
      for (const decode of decoders) decode(reader, message);
      const values = decodeRoute(reader, message);
      const packed = emptyPackedRoute();
      const isPacked = decodePackedRoute(reader, message, packed);
      if (values === undefined) return;
      assert.ok(isPacked, 'one reader of routes takes what the other refuses');
      assert.deepEqual(
        [packed.table, packed.protocol, packed.metric, packed.nexthopId],
        [values.table, values.protocol, values.metric, values.nexthopId ?? 0],
      );
    });
  },
};

const netstat: Target = {
  name: 'proc-netstat',
  longest: 2000,
  seeds: () => [
    bytesOfText('TcpExt: A TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure\nTcpExt: 1 2 3 4\nIpExt: A\nIpExt: 1\n'),
  ],
  run: (input) => void parseDroppedSegments(textOf(input)),
};

const alias: Target = {
  name: 'alias',
  longest: 300,
  seeds: () => [bytesOfText('1 0123456789ab c0ffee eth0 1000 0a3c0105 - default/web')],
  run: (input) => void decodeAlias(Buffer.from(input).toString('latin1')),
};

export const kernelTargets: readonly Target[] = [netlink, netstat, alias];
