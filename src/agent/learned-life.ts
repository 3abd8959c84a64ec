/**
 * Keeps the note of the agent's life true to the kernel: which families have learned routes there, so that the next agent
 * knows what must stand (F of RFC 4724 §3). What is deleted on purpose is taken from the note first: killed between the two,
 * the agent has lost nothing, and its peers must not be told that it has.
 */
import { families, type Family } from '#lib/ip.ts';
import { bootIdentity, lastLife, preserved, rememberLife } from './boot-identity.ts';
import type { LogFunction } from './log.ts';

export class LearnedLife {
  readonly #directory: string;
  readonly #log: LogFunction;
  /** As noted; `undefined`: what the life before has noted is still to be asked for. */
  #noted: readonly Family[] | undefined;

  constructor(runDirectory: string, log: LogFunction) {
    this.#directory = runDirectory;
    this.#log = log;
  }

  /** Families of which nothing was lost since the note was written; from now on it is this life's. In: learned routes that stand. */
  takeOver(routes: Readonly<Record<Family, number>>): readonly Family[] {
    const noted = lastLife(this.#directory)?.learned ?? [];
    const standing = standingIn(routes);
    this.#noted = noted;
    this.#note(standing);
    return preserved(noted, standing);
  }

  /** So many learned routes are in the kernel. */
  learned(routes: Readonly<Record<Family, number>>): void {
    this.#note(standingIn(routes));
  }

  /** The last learned routes of the family are about to be deleted. */
  emptying(family: Family): void {
    this.#note(this.#noted?.filter((it) => it !== family) ?? []);
  }

  #note(learned: readonly Family[]): void {
    if (this.#noted === undefined || learned.join() === this.#noted.join()) return;
    this.#noted = learned;
    try {
      rememberLife(this.#directory, { identity: bootIdentity(), learned });
    } catch (error) {
      // A full disk ends no agent; the next one takes what stands for all that there was.
      this.#log('warn', 'agent.life-not-noted', { error: error instanceof Error ? error.message : String(error) });
    }
  }
}

const standingIn = (routes: Readonly<Record<Family, number>>): readonly Family[] =>
  families.filter((family) => routes[family] > 0);
