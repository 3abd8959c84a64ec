/** Priority of the calling thread. On Linux the nice value belongs to the task; children and later threads inherit it. */
import { EACCES, ENOSYS, EPERM, errnoName } from './errno.ts';
import * as libc from './libc.ts';
import { writeNative32 } from './socket-address.ts';

const PRIO_PROCESS = 0;
const SCHED_RR = 2;
const SCHED_RESET_ON_FORK = 0x4000_0000;

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

/**
 * Lets the calling thread run before every thread that is not real-time, whatever their nice values and groups: where the
 * kernel schedules by session or by control group, a nice value counts only inside. Its children are ordinary again.
 */
export function setThreadRealTime(priority: number): PriorityOutcome {
  const parameter = Buffer.alloc(4);
  writeNative32(parameter, priority, 0);
  if (libc.schedSetScheduler(libc.gettid(), SCHED_RR | SCHED_RESET_ON_FORK, parameter) === 0) return { set: true };
  const errno = libc.lastErrno();
  // musl has no such call; control groups of version 1 may have no real-time budget.
  if (errno !== EPERM && errno !== ENOSYS)
    throw libc.osError('sched_setscheduler', `this thread to ${priority}`, errno);
  return { set: false, reason: `${errnoName(errno)}: real-time priority ${priority} is not to be had` };
}

export function threadPriority(): number {
  // -1 is a valid answer, so errno has to tell.
  libc.clearErrno();
  const nice = libc.getpriority(PRIO_PROCESS, libc.gettid());
  const errno = nice === -1 ? libc.lastErrno() : 0;
  if (errno !== 0) throw libc.osError('getpriority', 'this thread', errno);
  return nice;
}
