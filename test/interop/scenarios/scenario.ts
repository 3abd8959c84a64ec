/** A scenario: what is set up, what is done, and what all sides must then say; written once for every daemon. */
import type { EngineKind } from '#lab/gobgp-sidecar.ts';
import type { DaemonKind } from '#lab/routers/make.ts';
import type { EngineLack } from './lacks.ts';
import type { Rack } from './rack.ts';
import type { Standard } from './standards.ts';

export interface Scenario {
  /** States behaviour. */
  readonly name: string;
  /** What it is a judgement of. It is not played by a daemon that lacks one of them. */
  readonly judges: readonly Standard[];
  /** Daemons that have the standard, but nothing with which this could be played, and why. */
  readonly except?: Partial<Readonly<Record<DaemonKind, string>>>;
  /** Engines of the node that have the standard, but not this, and how they say so. */
  readonly exceptEngine?: Partial<Readonly<Record<EngineKind, EngineLack>>>;
  /** Engines with which it is played and ends otherwise, and how. */
  readonly differs?: Partial<Readonly<Record<EngineKind, EngineLack>>>;
  /** Takes little time with GoBGP as the engine: played with it in every run. */
  readonly quick?: true;
  readonly play: (rack: Rack) => Promise<void>;
}
