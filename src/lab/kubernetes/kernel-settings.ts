/**
 * The settings of the whole machine that kubelet wants otherwise. It reads them first, and writes only what differs: files
 * with the values it wants, mounted over those of the kernel in the mount namespace of one host, leave the machine as it is. And the
 * boot id, which is the machine's too: every host has one of its own, because a host that is made anew has booted.
 */
import { randomUUID } from 'node:crypto';
import type { Host } from '../host.ts';

/** By path under /proc/sys: what kubelet 1.34 sets unless it is told to protect the kernel's defaults. */
const WANTED: Readonly<Record<string, string>> = {
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
};

// Pairs of path and value.
const COVER = `
set -e
while [ $# -gt 0 ]; do
  if [ -e "/proc/sys/$1" ]; then
    file="/run/kernel-settings/$1"
    mkdir -p "$(dirname "$file")"
    echo "$2" > "$file"
    mount --bind "$file" "/proc/sys/$1"
  fi
  shift 2
done
`;

/** To be called before kubelet starts on that host. */
export async function shieldKernelSettings(host: Host): Promise<void> {
  const values = { ...WANTED, 'kernel/random/boot_id': randomUUID() };
  await host.run(['sh', '-c', COVER, 'sh', ...Object.entries(values).flat()]);
}
