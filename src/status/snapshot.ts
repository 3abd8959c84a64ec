/** Everything that main knows of the agent at one moment: what answers, metrics and health are made of. Plain data. */
import type { BfdFacts } from '#bgp/bfd/facts.ts';
import type { BgpFacts, BgpIntent } from '#bgp/engine.ts';
import type { Condition, ConflistFacts } from '#intent/node-intent.ts';
import type { ServiceReport } from '#intent/service-outcomes.ts';
import type { KernelFacts } from '#dataplane/intent.ts';
import type { ClaimFacts } from '#ipam/claims/intent.ts';
import type { PodFacts, PoolGrowth, PoolIntent } from '#ipam/intent.ts';
import type { ConditionAnswer } from './answers.ts';

interface ThreadStatus {
  readonly name: string;
  readonly state: 'starting' | 'running' | 'dead';
  readonly restarts: number;
  readonly delayP50Seconds: number;
  readonly delayP99Seconds: number;
  readonly delayMaxSeconds: number;
  /** What it hangs in, when it hangs. */
  readonly stuck: string | undefined;
}

/** What an agent asked of the API, since its start. */
export interface ClusterFacts {
  /** By verb and HTTP status; `none`: there was no answer. */
  readonly requests: readonly { readonly verb: string; readonly code: string; readonly count: number }[];
  readonly receivedBytes: number;
  readonly events: { readonly sent: number; readonly dropped: number };
  /** Of BGPNodeState. */
  readonly stateWrites: number;
}

export interface Snapshot {
  readonly node: string;
  readonly version: string;
  readonly pid: number;
  /** Wall-clock milliseconds since the epoch. */
  readonly startedAt: number;
  readonly now: number;
  readonly state: 'starting' | 'running' | 'stopping';
  /** What start-up still waits for; empty when it is over. */
  readonly waitingFor: readonly string[];
  /** Zero: no intent yet. */
  readonly generation: number;
  /** As it was sent to the engine; `undefined` while resources give none. */
  readonly bgpIntent: BgpIntent | undefined;
  readonly bgp: BgpFacts | undefined;
  readonly kernel: KernelFacts | undefined;
  readonly pods: PodFacts | undefined;
  /** Pools with a block here. */
  readonly pools: readonly PoolIntent[];
  /** Of the pools that were looked at long enough. */
  readonly growth: readonly PoolGrowth[];
  readonly bfd: BfdFacts;
  /** Only where the agent keeps a list for the container runtime. */
  readonly conflist: ConflistFacts | undefined;
  /** Addresses of Services, and the proxy that translates them. */
  readonly services?: ServiceReport;
  /** What became of claims of blocks; only in a cluster. */
  readonly claims?: ClaimFacts | undefined;
  /** Only in a cluster. */
  readonly cluster: ClusterFacts | undefined;
  readonly threads: readonly ThreadStatus[];
  /** Worst first. */
  readonly conditions: readonly ConditionAnswer[];
  /** The same, each on the object that it is about; without what is wrong with a file as a whole. */
  readonly objectConditions: readonly Condition[];
  /** Seconds from the start of the agent to the first established session, once there was one. */
  readonly firstSessionSeconds: number | undefined;
}
