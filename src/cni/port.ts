/**
 * What the composition of the agent knows of pods: the service of the "pods" thread. All arguments and answers are plain
 * data that crosses threads by structured clone; the callbacks run on the service's own thread.
 */
import type { ReaperReport, ReaperRequest } from '#dataplane/pod/reaping.ts';
import type { PodCheck, PodCheckRequest, PodFacts, PodRow, PodsGate, PodsIntent } from '#ipam/intent.ts';
import type { Duration } from '#lib/time.ts';

export interface PodServiceOptions {
  /** Default: CNI_SOCKET of the kernel names. */
  readonly socketPath?: string;
  /** Default: SPOOL_DIRECTORY of the kernel names. */
  readonly spoolDirectory?: string;
  /** Where libcni keeps the results of attachments. Default: of containerd, CRI-O and Multus. */
  readonly resultDirectories?: readonly string[];
  /** Pause between the two looks of a check that must agree. Default 0.5 s, and 3 s when something may be freed. */
  readonly checkConfirm?: Duration;
  readonly checkRepair?: Duration;
  /** How long an ADD waits for its block to be written to a session. Default 5 s. */
  readonly announcementWait?: Duration;
  /** How long an ADD waits for the deletion of its own attachment, or for a fenced address when all others are taken. Default 10 s. */
  readonly deletionWait?: Duration;
  /** How often it looks at its links without being told of a change. Default 60 s. */
  readonly lookAgainInterval?: Duration;
  /** How long changes in the kernel are gathered before it looks. Default 100 ms. */
  readonly lookAgainDelay?: Duration;
  /** Calls served or waiting at one time; more are answered with error 11. Default 256. */
  readonly connections?: number;
}

/** Something an operator wants to know about one attachment or the whole service; also a log line. */
export interface PodEvent {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** One stable word, for instance `pod_attached`, `pod_detached`, `pod_unannounced`, `cni_failed`. */
  readonly name: string;
  readonly text: string;
  readonly data: Readonly<Record<string, string | number | boolean>>;
}

export interface PodServiceModules {
  /** Hands veths to the reaper, on whatever thread it is. */
  readonly reap: (request: ReaperRequest) => void;
  readonly facts: (facts: PodFacts) => void;
  readonly event: (event: PodEvent) => void;
  /** One call of a plugin was answered; seconds from its request to the answer. */
  readonly served?: (verb: string, seconds: number, succeeded: boolean) => void;
}

/** What the kernel's notifications say that matters here; the background thread's monitor sends it. */
export type PodKernelChange =
  /** Host ends that are gone. */
  | { readonly kind: 'linksGone'; readonly indexes: readonly number[] }
  /** A host end changed, or routes, neighbours or notifications were lost: look at everything again. */
  | { readonly kind: 'lookAgain' }
  /** Somebody changed nftables rules; `by` is a program that did. */
  | { readonly kind: 'rulesChanged'; readonly by: string };

export interface PodServicePort {
  /** Notifications of what the service itself changed in the node's namespace carry this port. */
  readonly netlinkPort: number;
  /** Rebuilds everything from the kernel, drains the spool, then listens. Throws AppError (`OS_…`, `CNI_…`). */
  start(): Promise<void>;
  /** Stops listening, lets running calls end; pods stay as they are. */
  stop(): Promise<void>;
  /** May be called before start() and at any time; idempotent. */
  apply(intent: PodsIntent, generation: number): void;
  gate(gate: PodsGate): void;
  rows(): PodRow[];
  /** Compares kernel, books and runtime, and repairs if asked to. Errors: AppError `OS_*`. */
  check(request: PodCheckRequest): Promise<PodCheck>;
  /** What the reaper reported. */
  reaped(report: ReaperReport): void;
  kernelChanged(change: PodKernelChange): void;
}

/** The "background" thread's part: `new Reaper(options, modules)` in `#dataplane/pod/io/reaper.ts`. */
export interface ReaperPort {
  request(request: ReaperRequest): void;
  /** Finishes what was asked for, then closes its sockets. */
  stop(): Promise<void>;
}
