/**
 * Where an agent has its resources from, and to whom it tells what became of them: a directory of files, which is never
 * written to, or a cluster. What only a cluster needs is loaded only there.
 */
import type { ClaimFacts } from '#ipam/claims/intent.ts';
import type { PoolGrowth } from '#ipam/intent.ts';
import type { Clock } from '#lib/time.ts';
import type { ResourceProblem, ResourceSet } from '#resources/resource-set.ts';
import type { ServiceRange, ServiceView } from '#resources/service-view.ts';
import { DirectorySource } from '#sources/directory/directory-source.ts';
import type { ClusterFacts, Snapshot } from '#status/snapshot.ts';
import type { ClaimerInput } from './claims.ts';
import type { KubernetesOptions } from './kubernetes.ts';
import type { LogLevel } from './messages.ts';

/** A directory of YAML files, or the API. */
export type FromWhere = string | KubernetesOptions;

export interface SurroundingsModules {
  readonly node: string;
  readonly clock: Clock;
  readonly log: (level: LogLevel, event: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly snapshot: () => Snapshot;
  /** Everything that is in force, and what is wrong with what is not. */
  readonly resources: (set: ResourceSet, problems: readonly ResourceProblem[]) => void;
  readonly growth: () => readonly PoolGrowth[];
  /** What became of claims. */
  readonly claimed: (facts: ClaimFacts) => void;
  /** Services with an address in the ranges; `undefined`: they cannot be read, because of `problem`, or nobody asks any more. */
  readonly services: (views: readonly ServiceView[] | undefined, problem: string | undefined) => void;
}

export interface Surroundings {
  /** Resolves when resources were given for the first time. */
  start(): Promise<void>;
  /** What the snapshot says may have changed. */
  changed(): void;
  /** After each decision, what claims of blocks go by; nothing is claimed without an API. */
  claim(input: ClaimerInput): void;
  /** Services with addresses in these ranges are wanted from now on. */
  watchServices(ranges: readonly ServiceRange[]): void;
  /** What was asked of the API; `undefined` without one. */
  facts(): ClusterFacts | undefined;
  /** Nothing is read, written or called after it resolved. */
  stop(): Promise<void>;
}

export type Found = (modules: SurroundingsModules) => Surroundings;

export async function find(where: FromWhere): Promise<Found> {
  if (typeof where !== 'string') {
    const { joinCluster } = await import('./kubernetes.ts');
    return await joinCluster(where);
  }
  return ({ resources, services }) => {
    const source = new DirectorySource({ directory: where });
    return {
      start: () => source.start(resources),
      changed: () => undefined,
      claim: () => undefined,
      watchServices(ranges) {
        if (ranges.length === 0) return;
        services(undefined, 'This agent reads a directory, and Services are only in an API server.');
      },
      facts: () => undefined,
      stop: () => source.stop(),
    };
  };
}
