/** CLOCK_BOOTTIME: time since the boot, sleep included, the same for every process of the machine. */
import koffi from 'koffi';
import { checked } from './libc.ts';
import { readNative64 } from './socket-address.ts';

const CLOCK_BOOTTIME = 7;
const clockGettime = koffi.load(null).func('clock_gettime', 'int', ['int', 'void *']) as unknown as (
  clock: number,
  time: Uint8Array,
) => number;

/** Whole milliseconds. /proc/uptime would not do: container runtimes put a file of their own over it. */
export function bootMilliseconds(): number {
  const time = Buffer.alloc(16);
  checked(clockGettime(CLOCK_BOOTTIME, time), 'clock_gettime', 'CLOCK_BOOTTIME');
  return Number(readNative64(time, 0) * 1000n + readNative64(time, 8) / 1_000_000n);
}
