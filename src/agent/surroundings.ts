/**
 * Where an agent has its resources from, and to whom it tells what became of them: a directory of files, which is never
 * written to, or a cluster. What only a cluster needs is loaded only there.
 */
import type { Clock } from '#lib/time.ts';
import type { ResourceProblem, ResourceSet } from '#resources/resource-set.ts';
import { DirectorySource } from '#sources/directory/directory-source.ts';
import type { Snapshot } from '#status/snapshot.ts';
import type { LogLevel } from './messages.ts';

/** A directory of YAML files. */
export type FromWhere = string;

export interface SurroundingsModules {
  readonly node: string;
  readonly clock: Clock;
  readonly log: (level: LogLevel, event: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly snapshot: () => Snapshot;
  /** Everything that is in force, and what is wrong with what is not. */
  readonly resources: (set: ResourceSet, problems: readonly ResourceProblem[]) => void;
}

export interface Surroundings {
  /** Resolves when resources were given for the first time. */
  start(): Promise<void>;
  /** What the snapshot says may have changed. */
  changed(): void;
  /** Nothing is read, written or called after it resolved. */
  stop(): Promise<void>;
}

export type Found = (modules: SurroundingsModules) => Surroundings;

export const find =
  (where: FromWhere): Found =>
  ({ resources }) => {
    const source = new DirectorySource({ directory: where });
    return { start: () => source.start(resources), changed: () => undefined, stop: () => source.stop() };
  };
