/**
 * flatroute's agent on a host of a lab, in directory mode, and its command line: what people would type, with
 * `-o json`. The resources are written as files before the start and may be changed while it runs.
 */
import type { LabProcess } from './process.ts';
import type { Host } from './host.ts';
import { rename, rm } from 'node:fs/promises';
import { AppError } from '#lib/result.ts';
import type { Duration } from '#lib/time.ts';
import { seconds } from '#lib/time.ts';
import { flatroute } from './program.ts';
import { succeeded } from './process.ts';
import { found, notYet, waitFor } from './wait.ts';

export const RESOURCES = '/etc/flatroute/resources';
const LOG = 'flatroute.log';

/** The fields of `flatroute peers -o json` that a lab looks at. */
export interface PeerView {
  readonly name: string;
  readonly address: string;
  readonly asn: number;
  readonly state: string;
  readonly families: readonly string[];
  readonly lastError?: { readonly code: string; readonly text: string };
}

/** The fields of `flatroute routes -o json` that a lab looks at. */
export interface RouteView {
  readonly prefix: string;
  readonly peer: string;
  readonly nextHop?: string;
  readonly accepted: boolean;
  readonly reason: string;
  readonly best: boolean;
  readonly multipath: boolean;
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

export class NodeAgent {
  readonly host: Host;
  #process: LabProcess | undefined;

  constructor(host: Host) {
    this.host = host;
  }

  get process(): LabProcess {
    if (this.#process === undefined)
      throw new AppError('BUG_LAB_AGENT', `the agent of ${this.host.name} never ran`, {});
    return this.#process;
  }

  /** Writes resource files, each replaced in one step; `undefined` removes one. */
  async write(files: Readonly<Record<string, string | undefined>>): Promise<void> {
    for (const [name, text] of Object.entries(files)) {
      const path = `${RESOURCES}/${name}`;
      if (text === undefined) {
        await rm(this.host.path(path), { force: true });
        continue;
      }
      await this.host.writeFile(`/etc/flatroute/.${name}`, text, 0o600);
      await this.host.run(['mkdir', '-p', RESOURCES]);
      await rename(this.host.path(`/etc/flatroute/.${name}`), this.host.path(path));
    }
  }

  /** Starts the agent and resolves when it answers. Throws OS_LAB_AGENT with the end of its log when it ended. */
  async start(deadline: Duration = seconds(20)): Promise<void> {
    await this.host.run(['mkdir', '-p', RESOURCES]);
    const argv = flatroute('agent', '--resources', RESOURCES, '--node', this.host.name);
    const started = await this.host.spawn(argv, { log: LOG });
    this.#process = started;
    await waitFor(
      `the agent of ${this.host.name} to answer`,
      async () => {
        if (started.ended)
          throw new AppError('OS_LAB_AGENT', `the agent of ${this.host.name} ended: ${await this.log()}`, {
            retry: 'never',
          });
        const answer = await this.host.exec(flatroute('status', '-o', 'json'));
        const running = answer.stdout.startsWith('{') && /"state":\s*"running"/.test(answer.stdout);
        return running ? found(undefined) : notYet((answer.stderr || answer.stdout).slice(0, 500));
      },
      { deadline },
    );
  }

  /** SIGTERM stops it cleanly with pods left running, SIGKILL is a crash. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    this.process.kill(signal);
    await this.process.exited;
  }

  /** A table as people see it; throws OS_LAB_COMMAND when the exit code says wrong use or no answer. */
  async text(...words: readonly string[]): Promise<string> {
    return succeeded(this.host.name, ['flatroute', ...words], await this.host.exec(flatroute(...words)));
  }

  async #json(...words: readonly string[]): Promise<unknown> {
    const result = await this.host.exec(flatroute(...words, '-o', 'json'));
    // Exit code 1 says that something is wrong which the answer names: the answer is wanted all the same.
    if (result.stdout.trim() === '') succeeded(this.host.name, ['flatroute', ...words], result);
    return JSON.parse(result.stdout);
  }

  async peers(): Promise<readonly PeerView[]> {
    return listOf(await this.#json('peers'), 'peers') as readonly PeerView[];
  }

  async routes(...words: readonly string[]): Promise<readonly RouteView[]> {
    return listOf(await this.#json('routes', ...words), 'routes') as readonly RouteView[];
  }

  async pods(): Promise<readonly PodView[]> {
    return listOf(await this.#json('pods'), 'pods') as readonly PodView[];
  }

  /** The end of its log. */
  async log(lines = 20): Promise<string> {
    const text = this.#process === undefined ? '' : await this.#process.log();
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }
}

/** An answer is a list, or an object with the list under its own name. */
function listOf(answer: unknown, key: string): readonly unknown[] {
  const list: unknown =
    typeof answer === 'object' && answer !== null && key in answer ? (answer as Record<string, unknown>)[key] : answer;
  if (!Array.isArray(list)) throw new AppError('OS_LAB_AGENT', `no list of ${key}: ${JSON.stringify(answer)}`, {});
  return list as readonly unknown[];
}
