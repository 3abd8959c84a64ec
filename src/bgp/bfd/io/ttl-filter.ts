/**
 * The program that the kernel runs on each datagram of a receiving socket, because IP_MINTTL is for TCP only: what came
 * over a hop too many is dropped before it is queued. RFC 5881 §5: a single hop packet has TTL 255. RFC 5883 has no such
 * rule (BIRD sends 64, FRR 255), so there each neighbour has its own least TTL, and who is no neighbour is not heard.
 */
import { addressBytes, type Family, type IpAddress } from '#lib/ip.ts';
import { readU32 } from '#lib/bytes.ts';
import type { FilterInstruction } from '#linux/socket-options.ts';

// Classic BPF, linux/bpf_common.h and linux/filter.h.
const LOAD_WORD = 0x20;
const LOAD_OCTET = 0x30;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const RETURN = 0x06;
/** SKF_NET_OFF: offsets from here on count from the IP header, whatever options it has. */
const NETWORK_HEADER = -0x10_0000;
const WHOLE = 0xffff_ffff;

const layout = {
  ipv4: { ttl: 8, source: 12 },
  ipv6: { ttl: 7, source: 8 },
} as const satisfies Record<Family, { ttl: number; source: number }>;

const drop: FilterInstruction = [RETURN, 0, 0, 0];

function atLeast(family: Family, ttl: number): FilterInstruction[] {
  return [
    [LOAD_OCTET, 0, 0, NETWORK_HEADER + layout[family].ttl],
    [JUMP_AT_LEAST, 0, 1, ttl],
    [RETURN, 0, 0, WHOLE],
    drop,
  ];
}

export const singleHopFilter = (family: Family): readonly FilterInstruction[] => atLeast(family, 255);

export interface TtlRule {
  readonly source: IpAddress;
  readonly minimumTtl: number;
}

/** `rules`: of this family. The kernel takes 4096 instructions: 680 IPv4 or 340 IPv6 neighbours. */
export function multiHopFilter(family: Family, rules: readonly TtlRule[]): readonly FilterInstruction[] {
  const program = rules.flatMap(({ source, minimumTtl }) => {
    const bytes = addressBytes(source);
    const check = atLeast(family, minimumTtl);
    const words = bytes.length / 4;
    return [
      ...Array.from({ length: words }, (_, i): FilterInstruction[] => [
        [LOAD_WORD, 0, 0, NETWORK_HEADER + layout[family].source + 4 * i],
        // Not this neighbour: past the words that are left and the check.
        [JUMP_EQUAL, 0, 2 * (words - 1 - i) + check.length, readU32(bytes, 4 * i)],
      ]).flat(),
      ...check,
    ];
  });
  return [...program, drop];
}
