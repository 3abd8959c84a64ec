/** One promise of the engine port, tried the same way with every engine. */
import type { Scene } from './scene.ts';
import type { EngineKind } from '#lab/gobgp-sidecar.ts';

export interface ContractScenario {
  /** States behaviour. */
  readonly name: string;
  /** Fields of which an engine itself says that it cannot do them, as resources call them: then that is what is tried. */
  readonly lacks?: Partial<Readonly<Record<EngineKind, readonly string[]>>>;
  readonly play: (scene: Scene) => Promise<void>;
}
