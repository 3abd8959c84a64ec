/**
 * The pods thread's service and the reaper as one process, for tests that need them in a namespace of their own. Commands
 * and answers go over the IPC channel; the reaper can be held, so that a test sees what is between DEL and the end.
 */
import { PodService } from '#cni/pod-service.ts';
import type { PodEvent } from '#cni/port.ts';
import { Reaper } from '#dataplane/pod/io/reaper.ts';
import type { ReaperRequest } from '#dataplane/pod/reaping.ts';
import type { PodCheck, PodCheckRequest, PodFacts, PodRow, PodsGate, PodsIntent } from '#ipam/intent.ts';
import { milliseconds, seconds } from '#lib/time.ts';

export type AgentCommand =
  | { readonly do: 'begin' }
  | { readonly do: 'apply'; readonly intent: PodsIntent; readonly generation: number }
  | { readonly do: 'gate'; readonly gate: PodsGate }
  | { readonly do: 'rows' }
  | { readonly do: 'check'; readonly request: PodCheckRequest }
  | { readonly do: 'holdReaper'; readonly held: boolean }
  | { readonly do: 'lookAgain' }
  | { readonly do: 'linksGone'; readonly indexes: readonly number[] }
  | { readonly do: 'stop' };

export type AgentMessage =
  /** Everything is there but the service: it starts when it is told to. */
  | { readonly kind: 'loaded' }
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly rows: readonly PodRow[]; readonly check?: PodCheck }
  | { readonly kind: 'event'; readonly event: PodEvent }
  | { readonly kind: 'facts'; readonly facts: PodFacts };

/** How long an ADD waits for what others do, in milliseconds: its block to be announced, an earlier interface to be deleted. */
export interface Waits {
  readonly announcement: number;
  readonly deletion: number;
}

export interface AgentStart {
  /** Calls at a time. */
  readonly connections: number;
  /** `undefined`: it knows nothing yet. */
  readonly intent: PodsIntent | undefined;
  readonly waits: Waits;
}

/** Where a test writes what libcni would. */
const RESULT_DIRECTORY = '/run/cni-results';

const say = (message: AgentMessage): void => {
  process.send?.(message);
};

const { connections, intent, waits } = JSON.parse(process.argv[2] ?? '') as AgentStart;
let held = false;
let kept: ReaperRequest[] = [];
const reaper: Reaper = new Reaper({}, { report: (report) => service.reaped(structuredClone(report)) });
const service: PodService = new PodService(
  {
    announcementWait: milliseconds(waits.announcement),
    deletionWait: milliseconds(waits.deletion),
    // Only when a test tells it to: what somebody has damaged is not mended before it was looked at.
    lookAgainInterval: seconds(86_400),
    // And at once, not a tenth of a second into the next test.
    lookAgainDelay: milliseconds(0),
    connections,
    checkConfirm: milliseconds(20),
    checkRepair: milliseconds(50),
    resultDirectories: [RESULT_DIRECTORY],
  },
  {
    reap: (request) => {
      if (held) kept.push(structuredClone(request));
      else reaper.request(structuredClone(request));
    },
    facts: (facts) => say({ kind: 'facts', facts: structuredClone(facts) }),
    event: (event) => say({ kind: 'event', event: structuredClone(event) }),
  },
);

async function obey(command: AgentCommand): Promise<void> {
  if (command.do === 'begin') {
    await service.start();
    say({ kind: 'ready' });
    return;
  }
  if (command.do === 'apply') service.apply(command.intent, command.generation);
  else if (command.do === 'gate') service.gate(command.gate);
  else if (command.do === 'check') {
    say({ kind: 'done', rows: [], check: structuredClone(await service.check(command.request)) });
    return;
  } else if (command.do === 'lookAgain') service.kernelChanged({ kind: 'lookAgain' });
  else if (command.do === 'linksGone') service.kernelChanged({ kind: 'linksGone', indexes: command.indexes });
  else if (command.do === 'holdReaper') {
    held = command.held;
    const waiting = kept;
    kept = [];
    if (!held) for (const request of waiting) reaper.request(request);
    else kept = waiting;
  } else if (command.do === 'stop') {
    await service.stop();
    await reaper.stop();
    say({ kind: 'done', rows: [] });
    process.disconnect?.();
    return;
  }
  say({ kind: 'done', rows: service.rows() });
}

process.on('message', (command) => void obey(command as AgentCommand));
process.on('disconnect', () => process.exit(0));
if (intent !== undefined) service.apply(intent, 1);
say({ kind: 'loaded' });
