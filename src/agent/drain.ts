/**
 * `flatroute drain`: takes traffic away from peers step by step, so that nobody loses a packet. In: names of peers, and what the
 * speaker says it has done; out: how far each is. A step is over when the speaker has done it and the network has had time
 * to follow. The steps stand in the run directory, so that a restarted agent goes on where the one before it was.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BgpFacts, DrainStep } from '#bgp/engine.ts';
import { type Drains, EVERY_PEER } from '#intent/drain.ts';
import { type Clock, type Duration, type Instant, after, milliseconds, seconds } from '#lib/time.ts';

const lookEvery = milliseconds(100);
const defaultWait = seconds(5);

interface Draining {
  step: DrainStep;
  wait: Duration;
  /** When the speaker was seen to have done this step. */
  doneAt: Instant | undefined;
}

export interface DrainModules {
  readonly clock: Clock;
  /** Puts the steps into the intent; answers the generation that holds them. */
  readonly apply: (drains: Drains) => number;
  readonly facts: () => BgpFacts | undefined;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
}

export class Drain {
  readonly #file: string;
  readonly #modules: DrainModules;
  readonly #targets = new Map<string, Draining>();
  #generation = 0;
  #cancel: (() => void) | undefined;

  constructor(runDirectory: string, modules: DrainModules) {
    this.#file = join(runDirectory, 'drain.json');
    this.#modules = modules;
    for (const [name, step] of readSteps(this.#file))
      this.#targets.set(name, { step, wait: defaultWait, doneAt: undefined });
  }

  get drains(): Drains {
    return new Map([...this.#targets].map(([name, { step }]) => [name, step]));
  }

  /** What an agent before this one had begun goes on. */
  start(): void {
    if (this.#targets.size > 0) this.#changed();
  }

  /** Begins with these peers, or with every peer; what is under way goes on. `wait`: how long the network has for each step. */
  begin(peers: readonly string[], wait: Duration): void {
    for (const name of peers.length === 0 ? [EVERY_PEER] : peers) {
      if (this.#targets.has(name)) continue;
      this.#targets.set(name, { step: 'deprefer', wait, doneAt: undefined });
      this.#modules.log('drain.begun', { peer: name });
    }
    this.#changed();
  }

  /** Sessions and routes come back: of these peers, or of every one. */
  end(peers: readonly string[]): void {
    for (const name of peers.length === 0 ? [...this.#targets.keys()] : peers)
      if (this.#targets.delete(name)) this.#modules.log('drain.ended', { peer: name });
    this.#changed();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #changed(): void {
    writeSteps(this.#file, this.drains);
    this.#generation = this.#modules.apply(this.drains);
    this.#look();
  }

  #look(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const { clock } = this.#modules;
    const now = clock.now();
    let moved = false;
    for (const [name, target] of this.#targets) {
      if (target.step === 'down') continue;
      if (target.doneAt === undefined && this.#isDone(name, target.step)) target.doneAt = now;
      if (target.doneAt === undefined || now < after(target.doneAt, target.wait)) continue;
      target.step = target.step === 'deprefer' ? 'withdraw' : 'down';
      target.doneAt = undefined;
      moved = true;
      this.#modules.log('drain.step', { peer: name, step: target.step });
    }
    if (moved) this.#changed();
    else if ([...this.#targets.values()].some(({ step }) => step !== 'down'))
      this.#cancel = clock.at(after(now, lookEvery), () => this.#look());
  }

  /** The speaker has the step, and after a withdrawal no route of ours is left at these peers. */
  #isDone(target: string, step: DrainStep): boolean {
    const facts = this.#modules.facts();
    if (facts === undefined || facts.generation < this.#generation) return false;
    if (step !== 'withdraw') return true;
    const peers = facts.peers.filter(
      ({ name }) => target === EVERY_PEER || name === target || name.startsWith(`${target}/`),
    );
    return peers.every(({ announced }) => announced.ipv4 + announced.ipv6 === 0);
  }
}

const known: readonly DrainStep[] = ['deprefer', 'withdraw', 'down'];

/** A file that is not there, or that is none of ours, means that nothing is drained. */
function readSteps(file: string): Map<string, DrainStep> {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof value !== 'object' || value === null) return new Map();
    return new Map(
      Object.entries(value).flatMap(([name, step]): [string, DrainStep][] => {
        const found = known.find((it) => it === step);
        return found === undefined ? [] : [[name, found]];
      }),
    );
  } catch {
    return new Map();
  }
}

function writeSteps(file: string, drains: Drains): void {
  if (drains.size === 0) return rmSync(file, { force: true });
  writeFileSync(`${file}.new`, JSON.stringify(Object.fromEntries(drains)), { mode: 0o600 });
  return renameSync(`${file}.new`, file);
}
