/** The order of the acts. Each act knows the network and reports through checks; none knows the others. */
import type { Checks } from '../checks.ts';
import type { DemoNetwork } from '../network.ts';
import type { Screen } from '../screen.ts';
import { freezeRouter, killTheAgent, switchOffRouter } from './failures.ts';
import { buildNetwork, compareTables, establishSessions } from './network.ts';
import { attachPods } from './pods.ts';
import { reachEachOther, tracePath } from './reach.ts';
import { deletePods, stopAgents } from './removal.ts';

export interface Stage {
  readonly network: DemoNetwork;
  readonly checks: Checks;
  readonly screen: Screen;
}

/** Throws DemoStopped when something failed on which all the rest depends. */
export async function play(network: DemoNetwork, checks: Checks, screen: Screen, keep: boolean): Promise<void> {
  const stage: Stage = { network, checks, screen };
  await buildNetwork(stage);
  screen.act('Routes');
  await establishSessions(stage);
  await compareTables(stage);
  screen.act('Pods');
  await attachPods(stage);
  screen.act('Who reaches whom, and who sees which address');
  await reachEachOther(stage);
  await tracePath(stage);
  screen.act('What breaks');
  await freezeRouter(stage);
  await switchOffRouter(stage);
  await killTheAgent(stage);
  if (keep) return;
  screen.act('Nothing is left');
  await deletePods(stage);
  await stopAgents(stage);
}
