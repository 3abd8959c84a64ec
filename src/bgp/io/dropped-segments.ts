/**
 * How many segments the kernel dropped before any socket saw them, since the network namespace was made: for their RFC 2385
 * signature, or for a TTL that RFC 5082 does not let pass. In: /proc/thread-self/net/netstat, where a line of names is
 * followed by a line of values. Counted per namespace, not per peer.
 */
import { readFileSync } from 'node:fs';

export interface DroppedSegments {
  readonly md5: {
    /** The peer does not sign, we have a key for it. */
    readonly notFound: number;
    /** The peer signs, we have no key for it. */
    readonly unexpected: number;
    /** The signature is wrong: the keys differ. */
    readonly failure: number;
  };
  /** TTL or hop limit below what the socket takes. */
  readonly hopLimit: number;
}

export const nothingDropped: DroppedSegments = { md5: { notFound: 0, unexpected: 0, failure: 0 }, hopLimit: 0 };

/** How many of them can be one peer's. */
export interface DropsOfPeer {
  readonly signature: number;
  readonly hopLimit: number;
}

/** What decides which drops can be a peer's: whether we have a key for it, and whether we look at its TTL. */
export interface Expected {
  readonly hasKey: boolean;
  readonly ttlSecurity: boolean;
}

/** What came between two counts and can be this peer's. Others like it count too. */
export function dropsBetween(before: DroppedSegments, now: DroppedSegments, peer: Expected): DropsOfPeer {
  const signature = ({ md5 }: DroppedSegments): number => (peer.hasKey ? md5.notFound + md5.failure : md5.unexpected);
  return {
    signature: signature(now) - signature(before),
    hopLimit: peer.ttlSecurity ? now.hopLimit - before.hopLimit : 0,
  };
}

/** Zero where the kernel has no such counter. */
export function parseDroppedSegments(netstat: string): DroppedSegments {
  const [names = [], values = []] = netstat
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.trim().split(' '));
  const count = (name: string): number => {
    const at = names.indexOf(name);
    return at < 0 ? 0 : Number(values[at] ?? 0);
  };
  return {
    md5: {
      notFound: count('TCPMD5NotFound'),
      unexpected: count('TCPMD5Unexpected'),
      failure: count('TCPMD5Failure'),
    },
    hopLimit: count('TCPMinTTLDrop'),
  };
}

/** Of the calling thread's network namespace. What cannot be read counts nothing: no session depends on it. */
export function readDroppedSegments(): DroppedSegments {
  try {
    return parseDroppedSegments(readFileSync('/proc/thread-self/net/netstat', 'utf8'));
  } catch {
    return nothingDropped;
  }
}
