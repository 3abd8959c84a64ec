/** Which program carries a router's description out. */
import type { Host } from '../host.ts';
import { BirdRouter } from './bird.ts';
import { FlatrouteRouter } from './flatroute.ts';
import { FrrRouter } from './frr.ts';
import type { LabRouter, RouterDescription, RouterKind } from './router.ts';

export const routerKinds: readonly RouterKind[] = ['flatroute', 'bird', 'frr'];

export function makeRouter(kind: RouterKind, host: Host, description: RouterDescription): LabRouter {
  switch (kind) {
    case 'flatroute':
      return new FlatrouteRouter(host, description);
    case 'bird':
      return new BirdRouter(host, description);
    case 'frr':
      return new FrrRouter(host, description);
  }
}
