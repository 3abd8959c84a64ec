/**
 * gobgpd as the engine of a node: beside the agent on its host, without a configuration of its own. What it speaks it is told
 * over its socket.
 */
import { access, rm } from 'node:fs/promises';
import { AppError } from '#lib/result.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import type { Host } from './host.ts';
import type { LabProcess } from './process.ts';
import { found, notYet, waitFor } from './wait.ts';

/** What speaks BGP for a node: the agent itself, or a gobgpd beside it. */
export type EngineKind = 'embedded' | 'gobgp';
export const engineKinds: readonly EngineKind[] = ['embedded', 'gobgp'];

const SOCKET = '/run/gobgp/engine.sock';

export class GobgpSidecar {
  /** What `gobgp.address` of a BGPConfiguration says. */
  static readonly address = `unix://${SOCKET}`;
  readonly host: Host;
  #process: LabProcess | undefined;

  constructor(host: Host) {
    this.host = host;
  }

  get process(): LabProcess {
    if (this.#process === undefined) throw new AppError('BUG_LAB_ROUTER', `gobgpd of ${this.host.name} never ran`, {});
    return this.#process;
  }

  /** Resolves when its socket is there. */
  async start(): Promise<void> {
    await this.host.run(['mkdir', '-p', '/run/gobgp']);
    // A killed gobgpd leaves its socket behind, and the next one does not listen on it.
    await rm(this.host.path(SOCKET), { force: true });
    const words = ['--pprof-disable', '--log-plain', '--api-hosts', GobgpSidecar.address];
    const started = await this.host.spawn(['gobgpd', ...words], { log: 'gobgpd.log' });
    this.#process = started;
    await waitFor(
      `gobgpd on ${this.host.name} to listen`,
      async () => {
        if (started.ended)
          throw new AppError('OS_LAB_ROUTER', `gobgpd ended: ${await started.log()}`, { retry: 'never' });
        return await access(this.host.path(SOCKET)).then(
          () => found(undefined),
          () => notYet('no socket'),
        );
      },
      { deadline: seconds(60), every: milliseconds(10) },
    );
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    this.process.kill(signal);
    await this.process.exited;
  }

  /** Its own command line, for what somebody does by hand. */
  async ask(...words: readonly string[]): Promise<string> {
    return await this.host.run(['gobgp', '--target', GobgpSidecar.address, ...words]);
  }
}
