/** The port between where resources come from and the agent. */
import type { ResourceProblem, ResourceSet } from '#resources/resource-set.ts';

export interface ResourceSource {
  /**
   * Reads everything, calls `onChange` once with what is in force, and again after each change of the set or of the
   * problems. Resolves after the first call; a source that cannot be read at all delivers an empty set and a problem.
   */
  start(onChange: (resources: ResourceSet, problems: readonly ResourceProblem[]) => void): Promise<void>;
  /** No call comes after it resolved. */
  stop(): Promise<void>;
}
