/** Which program carries a router's description out. */
import type { Host } from '../host.ts';
import type { Asking } from '../node-agent.ts';
import { BirdRouter } from './bird.ts';
import type { DaemonRouter } from './daemon.ts';
import { FlatrouteRouter } from './flatroute.ts';
import { FrrRouter } from './frr.ts';
import { GobgpRouter } from './gobgp.ts';
import { OpenbgpdRouter } from './openbgpd.ts';
import type { ForwardingKind, LabRouter, RouterDescription, RouterKind } from './router.ts';

/** Those that can be the routers of a network that carries packets. */
export const forwardingKinds: readonly ForwardingKind[] = ['flatroute', 'bird', 'frr'];

export type DaemonKind = Exclude<RouterKind, 'flatroute'>;
export const daemonKinds: readonly DaemonKind[] = ['bird', 'frr', 'gobgp', 'openbgpd'];

export function makeDaemon(kind: DaemonKind, host: Host, description: RouterDescription): DaemonRouter {
  if (kind === 'bird') return new BirdRouter(host, description);
  if (kind === 'frr') return new FrrRouter(host, description);
  if (kind === 'gobgp') return new GobgpRouter(host, description);
  return new OpenbgpdRouter(host, description);
}

/** `asking`: how flatroute is asked; the daemons have command lines of their own. */
export function makeRouter(kind: RouterKind, host: Host, description: RouterDescription, asking?: Asking): LabRouter {
  return kind === 'flatroute' ? new FlatrouteRouter(host, description, asking) : makeDaemon(kind, host, description);
}
