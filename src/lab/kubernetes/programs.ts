/** Programs of Kubernetes that run on one host, each at most once, each with a log of its own in the host's /run/log. */
import { join } from 'node:path';
import { AppError } from '#lib/result.ts';
import type { Host } from '../host.ts';
import type { LabProcess } from '../process.ts';
import type { KubernetesTools } from './tools.ts';

const LOG_TAIL = 30;

export class Programs<Name extends string> {
  readonly #host: Host;
  readonly #tools: KubernetesTools;
  readonly #processes = new Map<Name, LabProcess>();

  constructor(host: Host, tools: KubernetesTools) {
    this.#host = host;
    this.#tools = tools;
  }

  async start(program: Name, words: readonly string[]): Promise<void> {
    const argv = [join(this.#tools.directory, program), ...words];
    this.#processes.set(program, await this.#host.spawn(argv, { log: `${program}.log` }));
  }

  /** At once, as when its machine loses power. */
  async end(program: Name): Promise<void> {
    const running = this.#processes.get(program);
    this.#processes.delete(program);
    running?.kill('SIGKILL');
    await running?.exited;
  }

  /** The last that was started first. */
  async endAll(): Promise<void> {
    for (const program of [...this.#processes.keys()].reverse()) await this.end(program);
  }

  /** Throws OS_LAB_KUBERNETES with the end of its log when one of them ended by itself. */
  async expectAlive(): Promise<void> {
    for (const [program, one] of this.#processes)
      if (one.ended)
        throw new AppError(
          'OS_LAB_KUBERNETES',
          `${program} of ${this.#host.name} ended: ${await this.logTail(program)}`,
          { retry: 'never' },
        );
  }

  /** As this machine sees it. Throws OS_LAB_KUBERNETES when it does not run. */
  pidOf(program: Name): number {
    const running = this.#processes.get(program);
    if (running === undefined || running.ended)
      throw new AppError('OS_LAB_KUBERNETES', `${program} does not run`, { retry: 'never' });
    return running.pid;
  }

  async logTail(program: Name, lines = LOG_TAIL): Promise<string> {
    const text = await this.#host.readFile(`/run/log/${program}.log`).catch(() => '');
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }
}
