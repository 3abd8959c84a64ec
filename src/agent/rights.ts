/**
 * Whether this process may do what an agent does: routes, links and rules need CAP_NET_ADMIN, the namespaces of pods
 * CAP_SYS_ADMIN. Said at the start in one sentence; otherwise a thread would die of it, and with it the agent.
 */
import { readFileSync } from 'node:fs';
import { AppError } from '#lib/result.ts';

/** Bits of linux/capability.h. */
const needed = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 } as const;

/** PURE. What is missing, by the text of /proc/self/status; nothing where that says nothing. */
export function missingRights(status: string): readonly string[] {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (effective === undefined) return [];
  const set = BigInt(`0x${effective}`);
  return Object.entries(needed)
    .filter(([, bit]) => ((set >> BigInt(bit)) & 1n) === 0n)
    .map(([name]) => name);
}

/** Throws AppError AGENT_RIGHTS. */
export function requireRights(status = readFileSync('/proc/self/status', 'utf8')): void {
  const missing = missingRights(status);
  if (missing.length === 0) return;
  throw new AppError(
    'AGENT_RIGHTS',
    `the agent may not change this kernel: ${missing.join(' and ')} missing; run it as root`,
  );
}
