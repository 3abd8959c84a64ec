/**
 * flatroute's agent on a host of a lab, in directory mode. The resources are written as files before the start and may
 * be changed while it runs. What it knows is asked for as people do, by the command line with `-o json`; who asks often
 * can give another way, such as the admin API itself.
 */
import type { LabProcess } from './process.ts';
import type { Host } from './host.ts';
import { renameSync, rmSync } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { AppError } from '#lib/result.ts';
import type { Duration } from '#lib/time.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { flatroute } from './program.ts';
import { succeeded } from './process.ts';
import { found, notYet, waitFor } from './wait.ts';

export const RESOURCES = '/etc/flatroute/resources';
const LOG = 'flatroute.log';
export const ADMIN_SOCKET = '/run/flatroute/admin.sock';

/** The fields of `flatroute peers -o json` that a lab looks at. */
export interface PeerView {
  readonly name: string;
  readonly address: string;
  readonly asn: number | string;
  readonly state: string;
  readonly families: readonly string[];
  readonly holdTimeSeconds?: number;
  readonly messagesReceived: number;
  /** That the peer offered. */
  readonly capabilities: readonly string[];
  readonly announced: { readonly ipv4: number; readonly ipv6: number };
  readonly drain?: string;
  readonly flaps: number;
  readonly lastError?: { readonly code: string; readonly text: string };
  readonly bfd?: {
    readonly state: string;
    readonly since?: string;
    readonly hops?: string;
    readonly detectionTimeMilliseconds?: number;
    readonly failed: boolean;
    readonly failures: number;
    readonly diagnostic?: string;
  };
  readonly conditions: readonly { readonly reason: string; readonly message: string }[];
}

/** The fields of `flatroute routes -o json` that a lab looks at. */
export interface RouteView {
  readonly prefix: string;
  readonly peer: string;
  readonly nextHop?: string;
  readonly accepted: boolean;
  readonly reason: string;
  readonly asPath: string;
  readonly origin: string;
  readonly localPref?: number;
  readonly med?: number;
  readonly communities: readonly string[];
  readonly best: boolean;
  readonly multipath: boolean;
  readonly pathId?: number;
}

/** The fields of `flatroute pods -o json` that a lab looks at. */
export interface PodView {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly hostInterface: string;
  readonly addresses: readonly string[];
  readonly state: string;
}

/** What a lab asks of an agent. */
export interface AgentQuestions {
  /** `running` once everything is set up. */
  state(): Promise<string>;
  peers(): Promise<readonly PeerView[]>;
  /** The best routes and those used beside them, or everything that was accepted. */
  routes(which?: 'best' | 'accepted'): Promise<readonly RouteView[]>;
  /** Of the intent that the resources gave last, and of the one that sessions run with. */
  generation(): Promise<{ readonly given: number; readonly applied: number | undefined }>;
  pods(): Promise<readonly PodView[]>;
  /** Ends a session, which comes back at once, or (`soft`) asks for its routes again. */
  reset(peer: string, how: 'hard' | 'soft'): Promise<void>;
}

/** How the agent of a host is asked. */
export type Asking = (host: Host) => AgentQuestions;

export interface NexthopDeletion {
  readonly afterMilliseconds: number;
  readonly tookMilliseconds: number;
}

export class NodeAgent {
  readonly host: Host;
  readonly questions: AgentQuestions;
  readonly #program: string | undefined;
  #process: LabProcess | undefined;

  /** `program`: the bundle's main file instead of the sources. */
  constructor(host: Host, asking: Asking = askByCommandLine, program?: string) {
    this.host = host;
    this.#program = program;
    this.questions = asking(host);
  }

  get process(): LabProcess {
    if (this.#process === undefined)
      throw new AppError('BUG_LAB_AGENT', `the agent of ${this.host.name} never ran`, {});
    return this.#process;
  }

  /**
   * Writes resource files, each replaced in one step and all in one moment, so that the agent reads them together; `undefined`
   * removes one.
   */
  async write(files: Readonly<Record<string, string | undefined>>): Promise<void> {
    await mkdir(this.host.path(RESOURCES), { recursive: true });
    const steps: (() => void)[] = [];
    for (const [name, text] of Object.entries(files)) {
      const path = this.host.path(`${RESOURCES}/${name}`);
      if (text === undefined) {
        steps.push(() => rmSync(path, { force: true }));
        continue;
      }
      const written = `/etc/flatroute/.${name}`;
      await this.host.writeFile(written, text, 0o600);
      steps.push(() => renameSync(this.host.path(written), path));
    }
    for (const step of steps) step();
  }

  /** Starts the process, with more options than it needs, and waits for nothing. */
  async launch(options: readonly string[] = []): Promise<LabProcess> {
    await this.host.run(['mkdir', '-p', RESOURCES]);
    const words = ['agent', '--resources', RESOURCES, '--node', this.host.name, ...options];
    const argv = this.#program === undefined ? flatroute(...words) : [process.execPath, this.#program, ...words];
    this.#process = await this.host.spawn(argv, { log: LOG });
    return this.#process;
  }

  /** Launches the agent and resolves when it answers. Throws OS_LAB_AGENT with the end of its log when it ended. */
  async start(deadline: Duration = seconds(60), options: readonly string[] = []): Promise<void> {
    const started = await this.launch(options);
    await waitFor(
      `the agent of ${this.host.name} to answer`,
      async () => {
        this.host.expectAlive();
        if (started.ended)
          throw new AppError('OS_LAB_AGENT', `the agent of ${this.host.name} ended: ${await this.log()}`, {
            retry: 'never',
          });
        // A look at the file costs nothing; the agent itself has better things to do while it starts.
        await access(this.host.path(ADMIN_SOCKET));
        const state = await this.questions.state();
        return state === 'running' ? found(undefined) : notYet(`state ${state}`);
      },
      { deadline, every: milliseconds(50) },
    );
  }

  /** SIGTERM stops it cleanly with pods left running, SIGKILL is a crash. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    this.process.kill(signal);
    await this.process.exited;
  }

  /** In the host's own pid namespace; `undefined`: no peer has BFD, or it is not started yet. */
  async bfdPid(): Promise<number | undefined> {
    const line = (await this.host.processes()).find((row) => / bfd( --|$)/.test(row));
    return line === undefined ? undefined : Number.parseInt(line, 10);
  }

  /** To the process for BFD, which outlives the agent. */
  async signalBfd(signal: NodeJS.Signals): Promise<void> {
    const pid = await this.bfdPid();
    if (pid !== undefined) await this.host.run(['kill', '-s', signal.replace('SIG', ''), String(pid)]);
  }

  /** When BFD's process deleted next hops of a peer, and how long that took; `undefined`: not since `moment`, in Unix milliseconds. */
  async nexthopsDeleted(peer: string, moment: number): Promise<NexthopDeletion | undefined> {
    for (const line of (await this.host.readFile('/run/flatroute/bfd.log')).split('\n')) {
      if (!line.startsWith('{') || !line.endsWith('}')) continue;
      const it = JSON.parse(line) as { event: string; name?: string; time: string; milliseconds?: number };
      const afterMilliseconds = Date.parse(it.time) - moment;
      if (it.event === 'bfd.nexthops.deleted' && it.name === peer && afterMilliseconds >= 0)
        return { afterMilliseconds, tookMilliseconds: it.milliseconds ?? 0 };
    }
    return undefined;
  }

  /** A table as people see it in so many columns; throws OS_LAB_COMMAND unless the exit code is 0. */
  async text(words: readonly string[], columns?: number): Promise<string> {
    const environment = columns === undefined ? {} : { COLUMNS: String(columns) };
    return succeeded(
      this.host.name,
      ['flatroute', ...words],
      await this.host.exec(flatroute(...words), { environment }),
    );
  }

  /** The end of its log. */
  async log(lines = 20): Promise<string> {
    const text = this.#process === undefined ? '' : await this.#process.log();
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }
}

interface StatusView {
  readonly generation: number;
  readonly threads: readonly { readonly name: string; readonly generation: number }[];
}

export const generationOf = ({
  generation,
  threads,
}: StatusView): Awaited<ReturnType<AgentQuestions['generation']>> => ({
  given: generation,
  applied: threads.find((thread) => thread.name === 'bgp')?.generation,
});

/** `flatroute … -o json` in the host. */
export const askByCommandLine: Asking = (host) => {
  const json = async (...words: readonly string[]): Promise<unknown> => {
    const result = await host.exec(flatroute(...words, '-o', 'json'));
    // Exit code 1 says that something is wrong which the answer names: the answer is wanted all the same.
    if (result.stdout.trim() === '') succeeded(host.name, ['flatroute', ...words], result);
    return JSON.parse(result.stdout);
  };
  return {
    state: async () => String(((await json('status')) as { readonly state?: unknown }).state),
    peers: async () => listOf(await json('peers'), 'peers') as readonly PeerView[],
    routes: async (which) =>
      listOf(await json('routes', ...(which === 'accepted' ? ['--accepted'] : [])), 'routes') as readonly RouteView[],
    generation: async () => generationOf((await json('status')) as StatusView),
    pods: async () => listOf(await json('pods'), 'pods') as readonly PodView[],
    reset: async (peer, how) => {
      const words = ['reset', ...(how === 'soft' ? ['--soft'] : []), peer];
      succeeded(host.name, ['flatroute', ...words], await host.exec(flatroute(...words)));
    },
  };
};

/** An answer is a list, or an object with the list under its own name. */
function listOf(answer: unknown, key: string): readonly unknown[] {
  const list: unknown =
    typeof answer === 'object' && answer !== null && key in answer ? (answer as Record<string, unknown>)[key] : answer;
  if (!Array.isArray(list)) throw new AppError('OS_LAB_AGENT', `no list of ${key}: ${JSON.stringify(answer)}`, {});
  return list as readonly unknown[];
}
