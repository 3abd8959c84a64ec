/** By what a process is known to others for good: a pid alone goes to the next one, and means something in one pid namespace only. */
import { readFileSync, readlinkSync } from 'node:fs';

/**
 * A lab of a container, or of a run without root, can be seen from outside, where its owner's pid is another's: it is left
 * to those inside, and to the kernel when they are gone.
 */
export function pidNamespace(): string {
  return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '?';
}

/** Start time in clock ticks since boot: with the pid it names a process for good. */
export function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command in parentheses may hold anything; what follows the last one is 20 fields before the start time.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
