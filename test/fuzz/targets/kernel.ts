/** What the kernel says: netlink messages, and the counters of /proc. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDroppedSegments } from '#bgp/io/dropped-segments.ts';
import { decodeAlias } from '#dataplane/pod/alias.ts';
import { decodeAddress } from '#netlink/wire/address.ts';
import { decodeLink } from '#netlink/wire/link.ts';
import { decodeNeighbour } from '#netlink/wire/neighbour.ts';
import { decodeNetconfInterface } from '#netlink/wire/netconf.ts';
import { decodeNexthop } from '#netlink/wire/nexthop.ts';
import { WireReader, decodeDone, decodeError, eachMessage } from '#netlink/wire/reader.ts';
import { decodePackedRoute, decodeRoute, emptyPackedRoute } from '#netlink/wire/route.ts';
import { decodeSourceRule } from '#netlink/wire/rule.ts';
import { decodeChain, decodeRuleHandle, decodeRulesetChange, decodeTable } from '#netlink/wire/ruleset.ts';
import { bytesOfText, textOf } from '../target.ts';
import type { Target } from '../target.ts';

const decoders = [
  decodeLink,
  decodeAddress,
  decodeNeighbour,
  decodeNexthop,
  decodeRoute,
  decodeSourceRule,
  decodeNetconfInterface,
  decodeRulesetChange,
  decodeTable,
  decodeChain,
  decodeRuleHandle,
  decodeError,
  decodeDone,
] as const;

/** What the monitors hear: a sysctl of interface 3, a new generation of rules by `nft`, and a chain with hook and policy. */
const told = [
  '2400000050000000000000000000000002000000080001000300000008000200' + '01000000',
  '2c0000000f0a0000000000000000000000000007080001000000000708000200000000010800030' + '06e667400',
  '4c000000030a0000000000000000000001000000070001007470000007000300636300000c0002000000000000000007' +
    '14000480080001000000000208000200fffffed40800050000000000',
];

const netlink: Target = {
  name: 'netlink',
  longest: 3000,
  seeds: () => {
    const text = readFileSync(join(import.meta.dirname, '../../vectors/netlink/answers.json'), 'utf8');
    const { messages } = JSON.parse(text) as { readonly messages: readonly { readonly hex: string }[] };
    return [...messages.map(({ hex }) => hex), ...told].map((hex) => Uint8Array.from(Buffer.from(hex, 'hex')));
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
