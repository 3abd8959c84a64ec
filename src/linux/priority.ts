/** Priority of the calling thread. On Linux the nice value belongs to the task; children and later threads inherit it. */
import { EACCES, EPERM, errnoName } from './errno.ts';
import * as libc from './libc.ts';

const PRIO_PROCESS = 0;

/** The kernel's number of the calling thread. */
export const threadId = (): number => libc.gettid();

export type PriorityOutcome = { readonly set: true } | { readonly set: false; readonly reason: string };

/**
 * Sets the nice value (-20 first, 19 last) of the calling thread. Without CAP_SYS_NICE a lower value is refused: that is
 * an answer with a reason, for people, not an error.
 */
export function setThreadPriority(nice: number): PriorityOutcome {
  if (libc.setpriority(PRIO_PROCESS, libc.gettid(), nice) === 0) return { set: true };
  const errno = libc.lastErrno();
  if (errno !== EPERM && errno !== EACCES) throw libc.osError('setpriority', `this thread to ${nice}`, errno);
  return { set: false, reason: `${errnoName(errno)}: nice ${nice} needs CAP_SYS_NICE` };
}

export function threadPriority(): number {
  // -1 is a valid answer, so errno has to tell.
  libc.clearErrno();
  const nice = libc.getpriority(PRIO_PROCESS, libc.gettid());
  const errno = nice === -1 ? libc.lastErrno() : 0;
  if (errno !== 0) throw libc.osError('getpriority', 'this thread', errno);
  return nice;
}
