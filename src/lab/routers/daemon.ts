/**
 * What every router of a lab that is somebody else's daemon has in common: the process that speaks BGP, waiting until its
 * command line answers, and the errors for what was asked of it too early or of the wrong peer.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { seconds } from '#lib/time.ts';
import type { Host } from '../host.ts';
import type { LabProcess } from '../process.ts';
import { found, notYet, waitFor } from '../wait.ts';
import type { LabRouter, PathRow, RouterDescription, RouterKind, RouterPeer, SessionRow, TableRow } from './router.ts';

/**
 * A router's BFD shares its processor with nobody, a lab's with everything else that runs: where it may, the program runs
 * real-time, or a busy machine would be taken for a dead router.
 */
export const realTime = (argv: readonly string[]): readonly string[] => [
  'sh',
  '-c',
  'chrt --rr 1 true 2>/dev/null && exec chrt --rr 1 "$@"; exec "$@"',
  'sh',
  ...argv,
];

export abstract class DaemonRouter implements LabRouter {
  abstract readonly kind: RouterKind;
  readonly host: Host;
  #description: RouterDescription;
  #speaker: LabProcess | undefined;

  constructor(host: Host, description: RouterDescription) {
    this.host = host;
    this.#description = description;
  }

  /** `recovering`: as one that restarts gracefully, where it has to be told. */
  abstract start(recovering?: 'recovering'): Promise<void>;
  abstract reconfigure(description: RouterDescription): Promise<void>;
  abstract resetSession(peer: IpAddress): Promise<void>;
  abstract sessions(): Promise<readonly SessionRow[]>;
  abstract table(family: Family): Promise<readonly TableRow[]>;
  abstract paths(family: Family): Promise<readonly PathRow[]>;
  abstract shutDown(peer: IpAddress, text: string): Promise<void>;
  abstract refresh(peer: IpAddress): Promise<void>;
  abstract about(peer: IpAddress): Promise<string>;
  abstract configuration(): Readonly<Record<string, string>>;

  get description(): RouterDescription {
    return this.#description;
  }

  protected describedBy(description: RouterDescription): void {
    this.#description = description;
  }

  protected get speaker(): LabProcess {
    if (this.#speaker === undefined) throw new AppError('BUG_LAB_ROUTER', `${this.host.name} was not started`, {});
    return this.#speaker;
  }

  /** Starts the process that speaks BGP, and waits until this question to it is answered with 0. */
  protected async speak(argv: readonly string[], log: string, question: readonly string[]): Promise<void> {
    this.#speaker = await this.startAnswering(argv, log, question);
  }

  protected async startAnswering(
    argv: readonly string[],
    log: string,
    question: readonly string[],
  ): Promise<LabProcess> {
    const { host } = this;
    const program = argv[0]?.split('/').at(-1) ?? '';
    const process = await host.spawn(argv, { log });
    await waitFor(
      `${program} on ${host.name} to answer`,
      async () => {
        if (process.ended)
          throw new AppError('OS_LAB_ROUTER', `${program} ended: ${await process.log()}`, { retry: 'never' });
        const answer = await host.exec(question);
        return answer.code === 0 ? found(undefined) : notYet(answer.stdout + answer.stderr);
      },
      { deadline: seconds(60) },
    );
    return process;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    this.speaker.kill(signal);
    await Promise.resolve();
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    await this.signal(signal);
    await this.speaker.exited;
  }

  /** Starts the program again, after a stop, with another description. */
  async restart(description: RouterDescription, recovering?: 'recovering'): Promise<void> {
    this.#description = description;
    await this.start(recovering);
  }

  /**
   * What the program says, without being started, against its configuration with one more line for its first neighbour;
   * `undefined`: nothing, it takes the line.
   */
  abstract refusal(line: string): Promise<string | undefined>;

  protected refused(why: string): AppError {
    return new AppError('OS_LAB_ROUTER', `${this.kind} on ${this.host.name} refused its configuration: ${why}`, {});
  }

  protected peerAt(address: IpAddress): RouterPeer {
    const known = this.#description.peers.find((peer) => peer.address === address);
    if (known === undefined) throw new AppError('BUG_LAB_ROUTER', `${address} is no peer of ${this.host.name}`, {});
    return known;
  }

  async log(lines = 20): Promise<string> {
    return (await this.speaker.log()).split('\n').slice(-lines).join('\n');
  }
}
