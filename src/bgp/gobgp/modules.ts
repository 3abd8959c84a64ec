/** What the GoBGP engine is made with, and what its parts share. */
import type { IpAddress } from '#lib/ip.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import type { Clock, Duration } from '#lib/time.ts';
import type { BgpEngineOutputs, BgpIntent } from '../engine.ts';
import type { BestPaths } from './best-paths.ts';
import type { FailedPaths } from './failed-paths.ts';
import type { connectGobgp } from './io/client.ts';
import type { KnownPeers } from './known-peers.ts';
import type { LinkNeighbours, Sessions } from './neighbours.ts';

export interface GobgpModules {
  readonly clock: Clock;
  /** Wall clock, milliseconds since the epoch, for what people see. */
  readonly wallClock: () => number;
  /** 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number;
  readonly outputs: BgpEngineOutputs;
  /** Folder that holds `gobgp/`, the definitions of the interface. */
  readonly protoFolder: string;
  /** What does not answer within it hangs; default 10 s. */
  readonly answerTime?: Duration;
  /** Default `connectGobgp`. */
  readonly connect?: typeof connectGobgp;
  /** Lets others have their turn between two slices of work; default `setImmediate`. */
  readonly defer?: (work: () => void) => void;
}

/** What all connections of one engine share. */
export interface Shared {
  readonly modules: GobgpModules;
  readonly best: BestPaths;
  readonly peers: KnownPeers;
  readonly failed: FailedPaths;
  readonly intent: () => BgpIntent;
  readonly generation: () => number;
  readonly sessions: () => Sessions;
  readonly neighbours: () => LinkNeighbours;
  /** GoBGP has a session of this unnumbered peer with a neighbour that was not heard yet. */
  readonly adoptNeighbour: (peer: string, address: IpAddress) => void;
  readonly view: () => KernelView;
  /** The kernel may have routes of an earlier life. */
  readonly forwards: () => boolean;
  readonly changed: () => void;
  /** Everything that GoBGP has was said: what the kernel has beside it may go, at the latest after this time. */
  readonly said: () => void;
}
