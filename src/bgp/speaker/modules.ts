/** What the embedded engine is made with: facts about its start, and the parts of the world that it is given. */
import type { InheritedRoutes } from '#dataplane/fib/route.ts';
import type { Family } from '#lib/ip.ts';
import type { Clock } from '#lib/time.ts';
import type { BgpEngineOutputs } from '../engine.ts';
import type { DroppedSegments } from '../io/dropped-segments.ts';
import type { DiscoveryModules, NeighbourDiscovery } from '../discovery/io/discovery.ts';
import type { Recorder } from '../io/recorder.ts';
import type { createListener as CreateListener } from '../io/listener.ts';
import type { createSession as CreateSession } from '../io/session-runner.ts';

export interface SpeakerOptions {
  /** R of RFC 4724: this engine follows an earlier life whose routes the kernel may still have; false after a reboot. */
  readonly restarted: boolean;
  /** Families whose learned routes were read back from the kernel and stand (F of RFC 4724). */
  readonly forwardingPreserved: readonly Family[];
  /** What the kernel has of that life; only with `restarted`. */
  readonly inherited?: InheritedRoutes | undefined;
}

export interface SpeakerModules {
  readonly clock: Clock;
  /** Wall clock, milliseconds since the epoch, for what people see. */
  readonly wallClock: () => number;
  /** 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number;
  readonly outputs: BgpEngineOutputs;
  /** What the kernel dropped in this namespace; default: what the kernel says. */
  readonly droppedSegments?: () => DroppedSegments;
  /** Octets that a socket may hold for its options; default: what the kernel says. */
  readonly optionMemory?: () => number | undefined;
  /** Writes the lives of sessions down. */
  readonly recorder?: Recorder | undefined;
  /** Lets the event loop look at sockets and timers between two slices of work; default `setImmediate`. */
  readonly defer?: (work: () => void) => void;
}

export interface EngineModules extends SpeakerModules {
  readonly createSession: typeof CreateSession;
  readonly createListener: typeof CreateListener;
  readonly createDiscovery: (modules: DiscoveryModules) => NeighbourDiscovery;
}
