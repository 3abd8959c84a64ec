/**
 * How many segments the kernel dropped because of their RFC 2385 signature, since the network namespace was made. In:
 * /proc/thread-self/net/netstat, where a line of names is followed by a line of values. Counted per namespace, not per peer.
 */
import { readFileSync } from 'node:fs';

export interface Md5Counters {
  /** The peer does not sign, we have a key for it. */
  readonly notFound: number;
  /** The peer signs, we have no key for it. */
  readonly unexpected: number;
  /** The signature is wrong: the keys differ. */
  readonly failure: number;
}

export const noMd5Rejections: Md5Counters = { notFound: 0, unexpected: 0, failure: 0 };

/** How many of them can be one peer's, which signs or not as we have a key for it or not. Others like it count too. */
export const md5Rejections = ({ notFound, unexpected, failure }: Md5Counters, hasKey: boolean): number =>
  hasKey ? notFound + failure : unexpected;

/** Zero where the kernel has no such counter. */
export function parseMd5Counters(netstat: string): Md5Counters {
  const [names = [], values = []] = netstat
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.trim().split(' '));
  const count = (name: string): number => {
    const at = names.indexOf(name);
    return at < 0 ? 0 : Number(values[at] ?? 0);
  };
  return {
    notFound: count('TCPMD5NotFound'),
    unexpected: count('TCPMD5Unexpected'),
    failure: count('TCPMD5Failure'),
  };
}

/** Of the calling thread's network namespace. What cannot be read counts nothing: no session depends on it. */
export function readMd5Counters(): Md5Counters {
  try {
    return parseMd5Counters(readFileSync('/proc/thread-self/net/netstat', 'utf8'));
  } catch {
    return noMd5Rejections;
  }
}
