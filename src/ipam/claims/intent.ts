/** What intent gives the claims: pools to claim in and the blocks that the node has; and what the claims report. */
import type { IpAddress, Prefix } from '#lib/ip.ts';

export interface ClaimIntent {
  /** UID of the Node object; `undefined`: there is none, so nothing can be claimed in its name. */
  readonly nodeUID: string | undefined;
  readonly machineID: string | undefined;
  /** In which this node may claim, in order of preference. */
  readonly pools: readonly ClaimPool[];
  readonly reserved: readonly Prefix[];
  /** Every IPBlock that names this node. */
  readonly blocks: readonly OwnBlock[];
}

export interface ClaimPool {
  readonly name: string;
  readonly cidr: Prefix;
  readonly blockSize: number;
  /**
   * `everyPod`: pods that name no pool take from it, so a block is claimed before one comes. `somePods`: for some namespaces,
   * `named`: for pods that name it or one of its addresses; a block is claimed when such a pod comes.
   */
  readonly use: 'everyPod' | 'somePods' | 'named';
}

export type BlockState = 'Pending' | 'Claimed' | 'Releasing';

export interface OwnBlock {
  /** Of the object. */
  readonly name: string;
  readonly cidr: Prefix;
  readonly state: BlockState;
  /** `undefined`: made by hand. */
  readonly nodeUID: string | undefined;
  readonly machineID: string | undefined;
}

/** What became of claims since the start. */
export type ClaimOutcome = 'claimed' | 'taken' | 'overlapped' | 'released' | 'kept' | 'adopted' | 'failed';

export interface ClaimFacts {
  /** Blocks that are being claimed. */
  readonly pending: readonly Prefix[];
  /** Why more blocks cannot be had: what, and what to do. */
  readonly problems: readonly ClaimProblem[];
  /** Ranges of other nodes in which pods of this node have addresses. */
  readonly foreign: readonly { readonly cidr: Prefix; readonly node: string }[];
  readonly outcomes: Readonly<Partial<Record<ClaimOutcome, number>>>;
}

export interface ClaimProblem {
  /** `exhausted`: the pools have no free block; `taken`: another node has the fixed address; `api`: no answer, or a refusal. */
  readonly kind: 'exhausted' | 'taken' | 'api' | 'noNode';
  readonly pools: readonly string[];
  readonly address?: IpAddress;
  readonly text: string;
}
