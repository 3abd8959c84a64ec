/**
 * The process that speaks BFD, apart from the agent so that its death and its upgrade are no failure of the path: it holds
 * the sessions it was told last, whoever told them may be gone. When a path fails it takes the path's nexthops out of the
 * kernel itself, so that traffic moves whether or not the agent lives. One per network namespace. It ends when it is told to on
 * its socket, or by SIGTERM, each with AdminDown to every neighbour (RFC 5882 §3.2: no neighbour takes that for a failure
 * of the path); killing it is a failure.
 */
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { BfdRunner } from '#bgp/bfd/io/runner.ts';
import { type ControlServer, serveControl } from '#bgp/bfd/io/control-server.ts';
import { systemUdp } from '#bgp/bfd/io/udp.ts';
import type { DesiredBfdSession, FromBfd, ToBfd } from '#bgp/bfd/control-messages.ts';
import { BFD_LOCK_SOCKET } from '#dataplane/kernel-names.ts';
import { AppError } from '#lib/result.ts';
import { systemClock } from '#lib/time.ts';
import { acquireLock, type Lock } from '#linux/lock.ts';
import { setThreadPriority, setThreadRealTime } from '#linux/priority.ts';
import { prepareRunDirectory } from './boot-identity.ts';
import { FailedNexthops } from './failed-nexthops.ts';
import { programVersion } from './entries.ts';
import { createLog } from './log.ts';
import type { LogLevel } from './messages.ts';

/** Late packets are a failed path. The least of the real-time priorities is ahead of all that is not real-time. */
const REAL_TIME = 1;
/** Where that is not to be had. */
const NICE = -19;

export interface BfdProcessOptions {
  readonly runDirectory: string;
  readonly logLevel: LogLevel;
  /** Somebody else starts it again when it ends, so it stays when nothing is wanted. */
  readonly stay: boolean;
}

/**
 * A container runtime kills all of a container with it, so what an agent in a pod has started is not apart from it. A process
 * that somebody else keeps is.
 */
const endsWithAgent = ({ stay }: BfdProcessOptions): boolean =>
  !stay && process.env['KUBERNETES_SERVICE_HOST'] !== undefined;

/** Answers the exit code. Throws AppError AGENT_BFD_LOCKED, AGENT_BFD_SOCKET, AGENT_RUN_DIRECTORY. */
export async function runBfd(options: BfdProcessOptions, modules: { readonly stop: AbortSignal }): Promise<number> {
  const { runDirectory, logLevel, stay } = options;
  prepareRunDirectory(runDirectory);
  const lock = await takeBfdLock();
  const log = createLog(logLevel, () => undefined);
  const realTime = setThreadRealTime(REAL_TIME);
  const priority = realTime.set ? realTime : setThreadPriority(NICE);
  // Collecting on one thread: helpers of ordinary priority would be waited for.
  setFlagsFromString('--single-threaded-gc');
  const ended = Promise.withResolvers<string>();
  let server: ControlServer | undefined;
  const states = new Map<string, string>();
  const nexthops = new FailedNexthops(log.write);
  const runner = new BfdRunner({
    clock: systemClock,
    now: () => Date.now(),
    udp: systemUdp,
    controlPlaneIndependent: !endsWithAgent(options),
    afterReading: (callback) => {
      setImmediate(callback);
    },
    failed: (session) => nexthops.remove(session),
    changed: (session) => {
      const { name, remote, state, diagnostic, remoteState, detectionTimeMilliseconds, problem } = session;
      const level = problem === undefined ? 'info' : 'warn';
      const fields = { name, remote, state, diagnostic, remoteState, detectionTimeMilliseconds, problem };
      // Whoever follows BFD closely asks for `debug`; every change of state is news for all.
      log.write(states.get(name) === `${state} ${problem}` ? 'debug' : level, 'bfd.session.changed', fields);
      states.set(name, `${state} ${problem}`);
      server?.tell({ kind: 'changed', session });
    },
  });
  const asked = (message: ToBfd): readonly FromBfd[] => {
    if (message.kind === 'end' && !stay) {
      ended.resolve('told to');
      return [];
    }
    const { sessions, keep } = message.kind === 'sessions' ? message : { sessions: [], keep: [] };
    if (message.kind !== 'observe') {
      log.write('info', 'bfd.sessions', { sessions: sessions.map(described), keep });
      states.clear();
      runner.setSessions(sessions, keep);
    }
    return [{ kind: 'observed', sessions: runner.observed() }];
  };
  try {
    server = await serveControl(join(runDirectory, 'bfd.sock'), {
      greeting: () => [
        {
          kind: 'hello',
          program: programVersion(),
          pid: process.pid,
          ...(realTime.set ? {} : { notRealTime: realTime.reason }),
          ...(endsWithAgent(options) ? { endsWithAgent: true } : {}),
        },
        { kind: 'observed', sessions: runner.observed() },
      ],
      asked,
    });
    log.write('info', 'bfd.started', { version: programVersion(), pid: process.pid });
    if (!realTime.set) log.write('warn', 'bfd.priority', { reason: realTime.reason, nice: priority.set ? NICE : 0 });
    const stopped = (): void => ended.resolve('signal');
    if (modules.stop.aborted) stopped();
    else modules.stop.addEventListener('abort', stopped, { once: true });
    const reason = await ended.promise;
    log.write('info', 'bfd.ending', { reason });
    // Nobody may want something of a process that is saying goodbye; who asks later finds the next one.
    await server.close();
    server = undefined;
    await runner.end();
    log.write('info', 'bfd.ended', { discarded: Object.fromEntries(runner.discarded) });
    return 0;
  } finally {
    await server?.close();
    nexthops.close();
    await lock.release();
    log.flush();
  }
}

const described = ({ name, remote, hops }: DesiredBfdSession): string => `${name} ${remote} ${hops}`;

async function takeBfdLock(): Promise<Lock> {
  const taken = await acquireLock(BFD_LOCK_SOCKET);
  if (taken.ok) return taken.value;
  const { holder } = taken.error;
  const who = holder === undefined || holder.pid === 0 ? 'another process' : `pid ${holder.pid}`;
  throw new AppError(
    'AGENT_BFD_LOCKED',
    `BFD already runs here: ${who} holds the lock @${BFD_LOCK_SOCKET.slice(1)} of this network namespace; there can be one`,
    { data: { ...holder } },
  );
}
