/** BFD's process of ours in a host of a lab, and what a test asks of it. */
import { connectControl, type ControlClient } from '#bgp/bfd/io/control-client.ts';
import type { DesiredBfdSession, FromBfd, ObservedBfdSession } from '#bgp/bfd/control-messages.ts';
import type { Host } from '#lab/host.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { IpAddress } from '#lib/ip.ts';
import { type Duration, milliseconds, seconds } from '#lib/time.ts';

export interface BfdHost {
  readonly process: LabProcess;
  readonly client: ControlClient;
  /** Everything that was told, with the time of performance.now(). */
  readonly told: readonly { readonly at: number; readonly message: FromBfd }[];
  /** What is known of a session now. */
  latest(name: string): ObservedBfdSession | undefined;
  /** What is now, or else what the session was since it was waited for last: also what is over when this process looks. */
  until(
    name: string,
    what: string,
    fits: (s: ObservedBfdSession) => boolean,
    deadline?: Duration,
  ): Promise<ObservedBfdSession>;
}

const program = new URL('../../src/main.ts', import.meta.url).pathname;

/** 50 ms x 3, single hop. */
export const fastSession = (remote: string, changes: Partial<DesiredBfdSession> = {}): DesiredBfdSession => ({
  name: 'router',
  remote: remote as IpAddress,
  local: undefined,
  interface: undefined,
  hops: 'single',
  minimumTtl: 254,
  nexthops: [],
  desiredMinTxMicroseconds: 50_000,
  requiredMinRxMicroseconds: 50_000,
  detectMultiplier: 3,
  passive: false,
  administrativelyDown: false,
  ...changes,
});

export async function startBfd(host: Host, ...words: readonly string[]): Promise<BfdHost> {
  const argv = [process.execPath, '--disable-warning=ExperimentalWarning', program, 'bfd', ...words];
  const child = await host.spawn(argv, { log: 'bfd.log' });
  return { process: child, ...(await connectBfd(host, child)) };
}

export async function connectBfd(host: Host, child: LabProcess): Promise<Omit<BfdHost, 'process'>> {
  const told: { at: number; message: FromBfd }[] = [];
  const sessions = new Map<string, ObservedBfdSession>();
  /** What each session was, the last that was waited for first. */
  const lives = new Map<string, ObservedBfdSession[]>();
  const learn = (session: ObservedBfdSession): void => {
    sessions.set(session.name, session);
    lives.set(session.name, [...(lives.get(session.name) ?? []), session]);
  };
  const hear = (message: FromBfd): void => {
    told.push({ at: performance.now(), message });
    if (message.kind === 'changed') learn(message.session);
    if (message.kind === 'observed') {
      sessions.clear();
      for (const session of message.sessions) learn(session);
    }
  };
  const client = await waitFor(
    `the socket of BFD on ${host.name}`,
    async () => {
      const answer = await connectControl(host.path('/run/flatroute/bfd.sock'), { told: hear, lost: () => undefined });
      return answer.ok ? found(answer.value) : notYet(`${answer.error}\n${await child.log()}`);
    },
    { deadline: seconds(60), every: milliseconds(20) },
  );
  return {
    client,
    told,
    latest: (name) => sessions.get(name),
    until: (name, what, fits, deadline = seconds(60)) =>
      waitFor(
        `${host.name}: BFD ${name} ${what}`,
        async () => {
          const life = lives.get(name) ?? [];
          const now = sessions.get(name);
          const session = now !== undefined && fits(now) ? now : life.find(fits);
          if (session === undefined) return notYet(`${JSON.stringify(now)}\n${(await child.log()).slice(-1500)}`);
          lives.set(name, life.slice(life.indexOf(session)));
          return found(session);
        },
        { deadline, every: milliseconds(5) },
      ),
  };
}
