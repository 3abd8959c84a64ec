/**
 * The engine that speaks BGP for this node: there is never more than one, and another one greets the peers only when the one before
 * has taken leave of them, since two cannot have one port. In: how an engine begins, and what is wanted; out: engines, in turn.
 */
import type { BgpEngine, BgpIntent, EngineStop } from '#bgp/engine.ts';
import { families } from '#lib/ip.ts';
import type { BgpStart } from '../messages.ts';

export interface EngineTurnsModules {
  readonly make: (start: BgpStart, engine: BgpIntent['engine']) => BgpEngine;
  /** This node is to speak no BGP. */
  readonly none: (generation: number) => void;
}

const programOf = ({ engine }: BgpIntent): string => (engine === undefined ? '' : `${engine.kind} ${engine.address}`);

export class EngineTurns {
  readonly #modules: EngineTurnsModules;
  /** `undefined`: no engine begins, not yet or not any more. */
  #start: BgpStart | undefined;
  #wanted: { readonly intent: BgpIntent | undefined; readonly generation: number } | undefined;
  #current: { readonly engine: BgpEngine; readonly program: string } | undefined;
  #leaving: Promise<void> | undefined;
  /** Engines that went, by their program: GoBGP that did not answer may still be being told. */
  readonly #gone = new Map<string, BgpEngine>();

  constructor(modules: EngineTurnsModules) {
    this.#modules = modules;
  }

  get engine(): BgpEngine | undefined {
    return this.#current?.engine;
  }

  begin(start: BgpStart): void {
    this.#start = start;
    this.#apply();
  }

  want(intent: BgpIntent | undefined, generation: number): void {
    this.#wanted = { intent, generation };
    this.#apply();
  }

  /** Resolves when every engine has stopped; none begins after it. */
  async stop(how: 'silent' | 'cease'): Promise<void> {
    this.#start = undefined;
    await Promise.all([this.#leaving, this.engine?.stop(how)]);
    // Nobody is there any more who would tell them.
    for (const engine of [...this.#gone.values(), this.engine]) await engine?.stop('silent');
    this.#current = undefined;
  }

  #apply(): void {
    // Sessions wait until the kernel was read back: what we announce must be true, and R and F must be known.
    if (this.#wanted === undefined || this.#start === undefined) return;
    const { intent, generation } = this.#wanted;
    const program = intent === undefined ? undefined : programOf(intent);
    if (this.#current !== undefined && this.#current.program !== program) {
      const { engine } = this.#current;
      this.#gone.set(this.#current.program, engine);
      // The next engine's sessions are a restart of this node's speaker, over a kernel that goes on forwarding. Without a next
      // one peers are told.
      const restarted = program !== undefined && engine.forwards;
      const forwardingPreserved = restarted ? families : [];
      this.#start = { ...this.#start, restarted, forwardingPreserved, inherited: undefined };
      this.#leaving = this.#leave(engine, program === undefined ? 'cease' : 'handOver');
      this.#current = undefined;
    }
    if (intent === undefined || program === undefined) {
      // Nothing of what was read back is in the kernel any more.
      this.#start = { ...this.#start, inherited: undefined };
      this.#modules.none(generation);
      return;
    }
    if (this.#leaving !== undefined) return;
    if (this.#current === undefined) {
      void this.#gone.get(program)?.stop('silent');
      this.#gone.delete(program);
    }
    this.#current ??= { engine: this.#modules.make(this.#start, intent.engine), program };
    this.#current.engine.apply(intent, generation);
  }

  async #leave(engine: BgpEngine, how: EngineStop): Promise<void> {
    await engine.stop(how);
    this.#leaving = undefined;
    this.#apply();
  }
}
