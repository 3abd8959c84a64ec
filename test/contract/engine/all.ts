/** Every scenario of the contract, in the order in which they share a lab. */
import { announcementScenarios } from './scenarios/announcements.ts';
import { lifeScenarios } from './scenarios/lives.ts';
import { peerScenarios } from './scenarios/peers.ts';
import { routeScenarios } from './scenarios/routes.ts';
import type { ContractScenario } from './scenario.ts';

export const contractScenarios: readonly ContractScenario[] = [
  ...peerScenarios,
  ...routeScenarios,
  ...announcementScenarios,
  ...lifeScenarios,
];
