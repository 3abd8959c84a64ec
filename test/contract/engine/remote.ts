/** An engine in a process of its own on a host of a lab, with a kernel that is played beside it. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { BgpFacts, BgpIntent, PeerFacts, RouteAnswer, RouteQuery } from '#bgp/engine.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import type { Host } from '#lab/host.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import { PlayedKernel } from './played-kernel.ts';
import type { Call, EngineStart, Question, Said, SaidEvent } from './words.ts';

const program = new URL('./process.ts', import.meta.url).pathname;

export class RemoteEngine {
  readonly kernel: PlayedKernel;
  facts: BgpFacts | undefined;
  readonly events: SaidEvent[] = [];
  /** False: the kernel confirms nothing until it is true again. */
  #confirms = true;
  #generation = 0;
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #answers = new Map<number, (value: unknown) => void>();
  #asked = 0;
  #errors = '';

  constructor(host: Host, start: EngineStart) {
    this.kernel = new PlayedKernel(start.inherited);
    const words = ['--disable-warning=ExperimentalWarning', program, JSON.stringify(start)];
    const [command = '', ...entry] = [...host.entryCommand(), process.execPath, ...words];
    this.#process = spawn(command, entry, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#exited = new Promise((resolve) => this.#process.once('exit', () => resolve()));
    this.#process.stdin?.on('error', () => undefined);
    this.#process.stderr?.on('data', (chunk: Buffer) => (this.#errors += chunk.toString()));
    const output = this.#process.stdout;
    assert.ok(output !== null, 'stdout is a pipe');
    createInterface({ input: output }).on('line', (line) => this.#hear(JSON.parse(line) as Said));
  }

  #hear(line: Said): void {
    if (line.said === 'facts') this.facts = line.facts;
    else if (line.said === 'event') this.events.push(line.event);
    else if (line.said === 'answer') this.#answers.get(line.ask)?.(line.value);
    else {
      this.kernel.take(line.update);
      if (this.#confirms) this.#say({ call: 'fibApplied', sequence: line.update.sequence });
    }
  }

  #say(call: Call): void {
    this.#process.stdin?.write(`${JSON.stringify(call)}\n`);
  }

  async #ask(question: Question): Promise<unknown> {
    const ask = ++this.#asked;
    const answer = new Promise<unknown>((resolve) => this.#answers.set(ask, resolve));
    this.#say({ ...question, ask });
    const gone = this.#exited.then(() => Promise.reject(new Error(`the engine ended: ${this.#errors}`)));
    return await Promise.race([answer, gone]);
  }

  setKernelView(view: KernelView): void {
    this.#say({ call: 'setKernelView', view });
  }

  /** Resolves when the facts say that it is in force. */
  async apply(intent: BgpIntent): Promise<void> {
    this.#generation++;
    const generation = this.#generation;
    this.#say({ call: 'apply', intent, generation });
    await this.until(`generation ${generation}`, ({ facts }) => facts?.generation === generation);
  }

  /** Applies and waits for nothing. */
  applyOnly(intent: BgpIntent): void {
    this.#generation++;
    this.#say({ call: 'apply', intent, generation: this.#generation });
  }

  async routes(query: RouteQuery): Promise<RouteAnswer> {
    return (await this.#ask({ call: 'routes', query })) as RouteAnswer;
  }

  async reset(peer: string, how: 'hard' | 'soft'): Promise<boolean> {
    return (await this.#ask({ call: 'reset', peer, how })) as boolean;
  }

  async pathFailed(peer: string, text: string): Promise<boolean> {
    return (await this.#ask({ call: 'pathFailed', peer, text })) as boolean;
  }

  /** Resolves when the engine has said its last byte; its process is gone then. */
  async stop(how: 'silent' | 'cease'): Promise<void> {
    const told = (what: string): boolean => this.events.some(({ event }) => event === what);
    await this.#ask({ call: 'stop', how });
    // A GoBGP that was too busy for two seconds is told afterwards, while the driver's process lives.
    if (told('gobgp.notLeft')) await this.until('GoBGP to be told', () => told('gobgp.left'));
    await this.#end();
  }

  /** kill -9. */
  async die(): Promise<void> {
    this.#say({ call: 'die' });
    await this.#exited;
  }

  async #end(): Promise<void> {
    this.#process.stdin?.end();
    await this.#exited;
  }

  /** Ends the process, whatever it does. */
  async dispose(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await this.#end();
  }

  /** What updates say meanwhile is carried out and not confirmed. */
  holdConfirmations(): void {
    this.#confirms = false;
  }

  confirm(): void {
    this.#confirms = true;
    this.#say({ call: 'fibApplied', sequence: this.kernel.sequence });
  }

  peer(name: string): PeerFacts | undefined {
    return this.facts?.peers.find((peer) => peer.name === name);
  }

  /** Waits until what the engine has said fits. */
  async until(what: string, fits: (engine: this) => boolean, within = 60): Promise<void> {
    await waitFor(
      what,
      async () => {
        assert.deepEqual(this.kernel.violations, []);
        if (this.#process.exitCode !== null) throw new Error(`the engine ended: ${this.#errors}`);
        return fits(this) ? found(undefined) : notYet(this.#seen());
      },
      { deadline: seconds(within), every: seconds(0.01) },
    );
  }

  #seen(): string {
    const peers = this.facts?.peers.map(({ name, state, received, accepted, announced, lastError }) => ({
      name,
      state,
      received,
      accepted,
      announced,
      lastError,
    }));
    const events = this.events.slice(-5).map(({ event, fields }) => ({ event, ...fields }));
    return `${JSON.stringify({ peers, announced: this.facts?.announced, kernel: this.kernel.size > 50 ? this.kernel.size : this.kernel.routes(), events })}\n${this.#errors.slice(-2000)}`;
  }

  /** Waits until the whole kernel is this: prefix to gateways. */
  async kernelIs(expected: Readonly<Record<string, readonly string[]>>): Promise<void> {
    const rows = Object.entries(expected).sort(([a], [b]) => (a < b ? -1 : 1));
    const wanted = JSON.stringify(rows.map(([prefix, hops]) => [prefix, [...hops].sort()]));
    await this.until(`the kernel to be ${wanted}`, ({ kernel }) => {
      const seen = Object.entries(kernel.routes()).map(([prefix, hops]) => [
        prefix,
        hops.map((hop) => hop.split('%')[0] ?? '').sort(),
      ]);
      return JSON.stringify(seen) === wanted;
    });
  }

  /** Waits for the state of a session. */
  async established(...peers: readonly string[]): Promise<void> {
    for (const name of peers)
      await this.until(`a session with ${name}`, (engine) => engine.peer(name)?.state === 'Established');
  }
}
