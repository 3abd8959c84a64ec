/** What is tried with which engine, in the order in which scenarios share a lab. */
import { announcementScenarios } from './scenarios/announcements.ts';
import { gobgpdScenarios } from './scenarios/gobgpd.ts';
import { lifeScenarios } from './scenarios/lives.ts';
import { endedPeerScenarios, peerScenarios } from './scenarios/peers.ts';
import { routeScenarios } from './scenarios/routes.ts';
import type { EngineKind } from '#lab/gobgp-sidecar.ts';
import type { ContractScenario } from './scenario.ts';

export interface Trial {
  readonly kind: EngineKind;
  readonly what: string;
  readonly scenarios: readonly ContractScenario[];
}

const routes: readonly ContractScenario[] = [...routeScenarios, ...announcementScenarios];

/** Each has a lab of its own. GoBGP waits long before it connects again, so its sessions come and go beside the rest. */
export const trials: readonly Trial[] = [
  {
    kind: 'embedded',
    what: 'sessions and routes',
    scenarios: [...peerScenarios, ...endedPeerScenarios, ...routes, ...lifeScenarios],
  },
  { kind: 'gobgp', what: 'sessions', scenarios: peerScenarios },
  { kind: 'gobgp', what: 'sessions that are ended', scenarios: endedPeerScenarios },
  { kind: 'gobgp', what: 'lives', scenarios: lifeScenarios },
  { kind: 'gobgp', what: 'routes, and gobgpd itself', scenarios: [...routes, ...gobgpdScenarios] },
];
