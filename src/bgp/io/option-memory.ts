/** What a socket may hold for its options, TCP MD5 keys above all: `net.core.optmem_max`. */
import { readFileSync } from 'node:fs';

/** In octets; `undefined`: the kernel does not say. */
export function readOptionMemory(): number | undefined {
  try {
    return Number(readFileSync('/proc/sys/net/core/optmem_max', 'utf8'));
  } catch {
    return undefined;
  }
}
