/**
 * Labs of other runs: found by their holders' arguments in /proc, never by a name in the file system. A tied holder
 * ends with its owner by itself; what can be left is a kept lab, or one whose owner was killed before it kept or
 * disposed of it, and the cgroups of its runtimes. A living owner's lab is never touched.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { removeCgroupsOfDead } from './cgroups.ts';
import { pidNamespace, startTime } from './owner.ts';

/** argv[0] of the holder's shell script; with it come lab, host, owner and mode. */
const HOLDER_MARK = 'flatroute-lab';
/** In a host: its owner left it on purpose. */
export const KEPT_FILE = '/run/.lab-kept';

export interface FoundHolder {
  /** Pid of `unshare`; what it holds ends with it. */
  readonly pid: number;
  /** Pid of the holder in the namespaces, for `nsenter`. */
  readonly inside: number;
  readonly lab: string;
  readonly host: string;
  readonly state: 'owned' | 'kept' | 'orphaned';
}

/** What a holder's command line carries, so that it can be found and judged by any later run. */
export function holderArguments(lab: string, host: string, mode: 'tied' | 'keepable'): readonly string[] {
  return [HOLDER_MARK, lab, host, `${process.pid}/${startTime(process.pid) ?? '?'}/${pidNamespace()}`, mode];
}

/** Every holder of this pid namespace. */
export function findHolders(): readonly FoundHolder[] {
  const here = pidNamespace();
  const holders: FoundHolder[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    let words: string[];
    let children: string;
    try {
      words = readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      if (!(words[0] ?? '').endsWith('unshare')) continue;
      children = readFileSync(`/proc/${entry}/task/${entry}/children`, 'utf8');
    } catch {
      continue;
    }
    const at = words.indexOf(HOLDER_MARK);
    const [lab, host, owner = ''] = at < 0 ? [] : words.slice(at + 1);
    if (lab === undefined || host === undefined) continue;
    const [ownerPid, ownerStart, ownerNamespace] = owner.split('/');
    if (ownerNamespace !== here) continue;
    const inside = Number(children.trim().split(' ')[0]);
    const owned = startTime(Number(ownerPid)) === ownerStart;
    const kept = existsSync(`/proc/${inside}/root${KEPT_FILE}`);
    holders.push({ pid: Number(entry), inside, lab, host, state: owned ? 'owned' : kept ? 'kept' : 'orphaned' });
  }
  return holders;
}

/** Ends what killed runs left behind; kept labs stay. Answers the names of the labs that were removed. */
export const removeLeftovers = (): readonly string[] => removeHolders((holder) => holder.state === 'orphaned');

/** Ends kept labs, all of them or the one named. Answers the names of the labs that were removed. */
export const removeKept = (lab?: string): readonly string[] =>
  removeHolders((holder) => holder.state === 'kept' && (lab === undefined || holder.lab === lab));

function removeHolders(which: (holder: FoundHolder) => boolean): readonly string[] {
  const holders = findHolders().filter(which);
  for (const holder of holders) {
    try {
      // `unshare --kill-child`: the init of the pid namespace ends with it, and everything in there.
      process.kill(holder.pid, 'SIGKILL');
    } catch {
      // It ended meanwhile: that is what was wanted.
    }
  }
  removeCgroupsOfDead(() => new Set(findHolders().map((holder) => holder.lab)));
  return [...new Set(holders.map((holder) => holder.lab))];
}
