/** Which program carries a router's description out. */
import type { Host } from '../host.ts';
import { BirdRouter } from './bird.ts';
import { FlatrouteRouter } from './flatroute.ts';
import { FrrRouter } from './frr.ts';
import type { LabRouter, RouterDescription, RouterKind } from './router.ts';

export const routerKinds: readonly RouterKind[] = ['flatroute', 'bird', 'frr'];

const programs: Readonly<Record<RouterKind, new (host: Host, description: RouterDescription) => LabRouter>> = {
  flatroute: FlatrouteRouter,
  bird: BirdRouter,
  frr: FrrRouter,
};

export const makeRouter = (kind: RouterKind, host: Host, description: RouterDescription): LabRouter =>
  new programs[kind](host, description);
