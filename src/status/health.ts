/**
 * Health and readiness. PURE. Unhealthy means that only a new process helps; not ready means that this node should not be
 * given new work yet. A session that is down is neither: it is a condition.
 */
import type { Snapshot } from './snapshot.ts';

export interface Health {
  readonly fine: boolean;
  /** A sentence for each thing that is wrong. */
  readonly problems: readonly string[];
}

const health = (problems: readonly string[]): Health => ({ fine: problems.length === 0, problems });

export function healthOf({ threads }: Snapshot): Health {
  const problems: string[] = [];
  for (const thread of threads) {
    if (thread.state === 'dead') problems.push(`thread ${thread.name} has died and is being started again`);
    else if (thread.stuck !== undefined) problems.push(`thread ${thread.name} is stuck: ${thread.stuck}`);
  }
  return health(problems);
}

export function readinessOf(snapshot: Snapshot): Health {
  const problems = [...healthOf(snapshot).problems];
  if (snapshot.state === 'stopping') problems.push('the agent is stopping');
  for (const what of snapshot.waitingFor) problems.push(`waiting for ${what}`);
  return health(problems);
}
