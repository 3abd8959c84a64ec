/** A scenario: what is set up, what is done, and what all sides must then say; written once for every daemon. */
import type { DaemonKind } from '#lab/routers/make.ts';
import type { Rack } from './rack.ts';
import type { Standard } from './standards.ts';

export interface Scenario {
  /** States behaviour. */
  readonly name: string;
  /** What it is a judgement of. It is not played by a daemon that lacks one of them. */
  readonly judges: readonly Standard[];
  /** Daemons that have the standard, but nothing with which this could be played, and why. */
  readonly except?: Partial<Readonly<Record<DaemonKind, string>>>;
  readonly play: (rack: Rack) => Promise<void>;
}
