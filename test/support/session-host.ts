/** Starts session-process.ts in a host of a lab and reads what it reports. */
import type { Duration } from '#lib/time.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import type { Host } from '#lab/host.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { SessionProcessOptions, SessionReport } from './session-process.ts';

export interface HostSession {
  readonly process: LabProcess;
  /** Waits for a report, of all that were written since the start, that fits. */
  reports(what: string, fits: (report: SessionReport) => boolean, deadline?: Duration): Promise<SessionReport>;
  latest(): Promise<SessionReport | undefined>;
}

let started = 0;

export async function startSession(host: Host, options: SessionProcessOptions): Promise<HostSession> {
  started += 1;
  const child = await host.spawn(
    [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      `${import.meta.dirname}/session-process.ts`,
      JSON.stringify(options),
    ],
    { log: `session-${started}.log` },
  );
  const read = async (): Promise<SessionReport[]> =>
    (await child.log())
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as SessionReport);
  return {
    process: child,
    latest: async () => (await read()).at(-1),
    reports: (what, fits, deadline = seconds(60)) =>
      waitFor(
        `${host.name}: ${what}`,
        async () => {
          const fitting = (await read()).findLast(fits);
          return fitting === undefined ? notYet((await child.log()).slice(-1500)) : found(fitting);
        },
        { deadline, every: milliseconds(20) },
      ),
  };
}
