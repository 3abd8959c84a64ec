/** One promise of the engine port, tried the same way with every engine. */
import type { Scene } from './scene.ts';
import type { EngineKind } from '#lab/gobgp-sidecar.ts';

export interface ContractScenario {
  /** States behaviour. */
  readonly name: string;
  /** Engines with which it is not played, and why: the run prints it. */
  readonly except?: Partial<Readonly<Record<EngineKind, string>>>;
  readonly play: (scene: Scene) => Promise<void>;
}
