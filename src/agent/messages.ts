/**
 * Every message between the agent's threads, and nothing else. All are plain data (structured clone); the arrays of a
 * FibUpdate are transferred, not copied. Intents go down from main, facts go up to main; the two side channels are
 * bgp ↔ background (routes) and pods ↔ background (veths).
 */
import type { MessagePort } from 'node:worker_threads';
import type { BgpFacts, BgpIntent, RouteAnswer, RouteQuery } from '#bgp/engine.ts';
import type { PodKernelChange } from '#cni/port.ts';
import type { WatchedPaths } from '#dataplane/fib/nexthops.ts';
import type { FibUpdate, InheritedRoutes } from '#dataplane/fib/route.ts';
import type { DataplaneIntent, KernelFacts } from '#dataplane/intent.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import type { ReaperReport, ReaperRequest } from '#dataplane/pod/reaping.ts';
import type { PodCheck, PodCheckRequest, PodFacts, PodRow, PodsGate, PodsIntent } from '#ipam/intent.ts';
import type { KernelRouteAnswer } from '#status/answers.ts';
import type { Family, IpAddress } from '#lib/ip.ts';
import type { ThreadName } from './entries.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** What a thread is born with. */
export interface ThreadData {
  readonly name: ThreadName;
  /** Nice value that the thread gives itself first. */
  readonly nice: number;
  readonly logLevel: LogLevel;
  readonly runDirectory: string;
}

/** What each thread can be asked, and what it answers. Every request is answered once, or the thread has died. */
export interface ThreadRequests {
  readonly background: {
    /** Reads the kernel and starts to repair. Once, before anything else. */
    readonly start: { readonly ask: undefined; readonly answer: undefined };
    /** What an engine that begins now takes over. */
    readonly inheritance: { readonly ask: undefined; readonly answer: Inheritance };
    readonly lookup: { readonly ask: IpAddress; readonly answer: KernelRouteAnswer };
    readonly stop: { readonly ask: StopOrder; readonly answer: undefined };
  };
  readonly bgp: {
    readonly start: { readonly ask: BgpStart; readonly answer: undefined };
    readonly routes: { readonly ask: RouteQuery; readonly answer: RouteAnswer };
    /** Answers false when there is no such peer. */
    readonly reset: {
      readonly ask: { readonly peer: string; readonly how: 'hard' | 'soft' };
      readonly answer: boolean;
    };
    readonly stop: { readonly ask: StopOrder; readonly answer: undefined };
  };
  readonly pods: {
    /** Rebuilds from the kernel, drains the spool, listens. */
    readonly start: { readonly ask: undefined; readonly answer: undefined };
    readonly rows: { readonly ask: undefined; readonly answer: readonly PodRow[] };
    readonly check: { readonly ask: PodCheckRequest; readonly answer: PodCheck };
    readonly stop: { readonly ask: StopOrder; readonly answer: undefined };
  };
}

/** What BFD says of the paths to gateways. */
export interface PathsCommand extends WatchedPaths {
  readonly kind: 'paths';
  /** Some session is Up, so the kernel's locks must not be held for long. */
  readonly isUp: boolean;
}

/** What main tells a thread without waiting. */
export interface ThreadCommands {
  readonly background:
    | { readonly kind: 'intent'; readonly generation: number; readonly intent: DataplaneIntent }
    | PathsCommand;
  /** `undefined`: this node speaks no BGP. */
  readonly bgp:
    | { readonly kind: 'intent'; readonly generation: number; readonly intent: BgpIntent | undefined }
    | { readonly kind: 'pathFailed'; readonly peer: string; readonly text: string };
  readonly pods:
    | { readonly kind: 'intent'; readonly generation: number; readonly intent: PodsIntent }
    | { readonly kind: 'gate'; readonly gate: PodsGate };
}

/** What a thread publishes. */
export interface ThreadFacts {
  readonly background: KernelFacts;
  readonly bgp: BgpFacts;
  readonly pods: PodFacts;
}

export interface StopOrder {
  /** `cease` withdraws our routes at the peers; `silent` leaves them to graceful restart. */
  readonly sessions: 'silent' | 'cease';
}

export interface BgpStart {
  /** R of RFC 4724: this node's agent ran before, since the same boot. */
  readonly restarted: boolean;
  /** F of RFC 4724: families whose routes were read back from the kernel and stand, or that had none to lose. */
  readonly forwardingPreserved: readonly Family[];
  /** Directory into which the lives of sessions are written. */
  readonly record: { readonly directory: string; readonly program: string } | undefined;
  /** Folder that holds `gobgp/`, the definitions of GoBGP's interface. */
  readonly protoFolder: string;
  /** Learned routes that were read back; nothing after a reboot. */
  readonly inherited: InheritedRoutes | undefined;
}

/** What the kernel holds of this node's own. */
export interface Inheritance {
  /** Families of which the kernel has lost nothing since the last agent: F of RFC 4724 §3. */
  readonly preserved: readonly Family[];
  readonly routes: InheritedRoutes;
}

export type MainToThread<N extends ThreadName> =
  | { readonly kind: 'command'; readonly command: ThreadCommands[N] }
  | {
      readonly kind: 'request';
      readonly id: number;
      readonly name: keyof ThreadRequests[N] & string;
      readonly ask: unknown;
    }
  /** A new way to another thread; an earlier one is dead. */
  | { readonly kind: 'connect'; readonly to: ThreadName; readonly port: MessagePort };

export type ThreadToMain<N extends ThreadName> =
  | { readonly kind: 'facts'; readonly facts: ThreadFacts[N] }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly event: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ThreadError }
  | { readonly kind: 'beat'; readonly beat: Heartbeat }
  /** Seconds that one attachment took, for the histogram. */
  | { readonly kind: 'attached'; readonly seconds: number }
  /** The last words of a thread that dies of an error. */
  | { readonly kind: 'fatal'; readonly error: ThreadError };

/** An error on its way to another thread; the class does not survive the crossing. */
export interface ThreadError {
  readonly code: string;
  readonly message: string;
  readonly stack: string | undefined;
}

export interface Heartbeat {
  readonly delayP50Seconds: number;
  readonly delayP99Seconds: number;
  readonly delayMaxSeconds: number;
  /** The call that has been running longest. */
  readonly oldestCall: { readonly name: string; readonly seconds: number } | undefined;
}

export type BgpToBackground =
  /** An engine begins: group numbers of an earlier one mean nothing any more. */
  { readonly kind: 'engine' } | { readonly kind: 'fib'; readonly update: FibUpdate };
export type BackgroundToBgp =
  | { readonly kind: 'applied'; readonly sequence: number }
  | { readonly kind: 'view'; readonly view: KernelView };

export type PodsToBackground =
  | { readonly kind: 'reap'; readonly request: ReaperRequest }
  /** What this netlink port does to routes of pods is the pods thread's own doing. */
  | { readonly kind: 'self'; readonly netlinkPort: number };
export type BackgroundToPods =
  | { readonly kind: 'reaped'; readonly report: ReaperReport }
  | { readonly kind: 'kernel'; readonly change: PodKernelChange };
