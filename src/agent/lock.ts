/**
 * One agent per network namespace. The kernel frees the lock with the process that holds it, but a process that was killed
 * may need a moment to be gone, so a holder that is on its way out is waited for.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { LOCK_SOCKET } from '#dataplane/kernel-names.ts';
import { AppError } from '#lib/result.ts';
import { acquireLock, type Lock, type LockHeld } from '#linux/lock.ts';

const PATIENCE_MILLISECONDS = 2000;
const AGAIN_MILLISECONDS = 20;

/** Throws AppError AGENT_LOCKED with who holds it. */
export async function takeLock(): Promise<Lock> {
  const deadline = performance.now() + PATIENCE_MILLISECONDS;
  for (;;) {
    const taken = await acquireLock(LOCK_SOCKET);
    if (taken.ok) return taken.value;
    const { holder } = taken.error;
    if ((holder !== undefined && isAlive(holder.pid)) || performance.now() > deadline) {
      throw new AppError('AGENT_LOCKED', lockedText(taken.error), { data: { ...holder } });
    }
    await delay(AGAIN_MILLISECONDS);
  }
}

/** A process of another pid namespace has pid 0 here and counts as alive. */
function isAlive(pid: number): boolean {
  if (pid <= 0) return true;
  try {
    const state = /^\d+ \(.*\) (\S)/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
    return state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}

function commandOf(pid: number): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      .split('\0')
      .filter((word) => word !== '');
    return words.length === 0 ? '' : ` (${words.join(' ').slice(0, 200)})`;
  } catch {
    return '';
  }
}

export function lockedText({ holder }: LockHeld): string {
  const where = `the lock @${LOCK_SOCKET.slice(1)} of this network namespace`;
  if (holder === undefined) return `another process holds ${where} and does not answer; end it, then start again`;
  const who = holder.pid > 0 ? `pid ${holder.pid}${commandOf(holder.pid)}` : 'a process outside this container';
  return holder.uid === 0
    ? `an agent already runs here: ${who} holds ${where}; there can be one`
    : `${who} of user ${holder.uid}, which is not root, holds ${where}: it is no agent; end it, then start again`;
}
