/**
 * natOutgoing in nftables, kept as the intent wants it. In: the intent; out: rules through the nft program, one run at a
 * time; what fails is tried again and is a problem meanwhile. Others flush rulesets too (a reload of nftables.service
 * begins with it), and nobody tells: so it looks now and then, and writes what is not as it was left.
 */
import { isDeepStrictEqual } from 'node:util';
import type { DataplaneIntent } from '#dataplane/intent.ts';
import { applyOutgoingRules, readOutgoingRules, rulesetGeneration } from '#dataplane/pod/io/nft.ts';
import { AppError } from '#lib/result.ts';

const AGAIN_MILLISECONDS = 5000;

/** What nft is asked; a test has its own. */
export interface OutgoingDriver {
  readonly apply: (intent: DataplaneIntent) => Promise<void>;
  /** The rules as the kernel has them; `undefined` when there are none of ours. */
  readonly read: () => Promise<string | undefined>;
  /** Grows with every change of any rules; `undefined` when the kernel does not tell. */
  readonly generation: () => number | undefined;
}

const nft: OutgoingDriver = { apply: applyOutgoingRules, read: readOutgoingRules, generation: rulesetGeneration };

type Part = Pick<DataplaneIntent, 'natOutgoing' | 'poolPrefixes' | 'nodeAddresses'>;

export class OutgoingRules {
  readonly #changed: () => void;
  readonly #driver: OutgoingDriver;
  #wanted: DataplaneIntent | undefined;
  #inForce: Part | undefined;
  /** As the kernel showed them after they were written. */
  #shown: string | undefined;
  /** When they were last as shown. */
  #generation: number | undefined;
  #running = false;
  #timer: NodeJS.Timeout | undefined;
  #problem: string | undefined;
  #stopped = false;

  constructor(callbacks: { readonly changed: () => void }, driver = nft) {
    this.#changed = callbacks.changed;
    this.#driver = driver;
  }

  get problems(): readonly { readonly code: string; readonly text: string }[] {
    return this.#problem === undefined ? [] : [{ code: 'NatRulesFailed', text: this.#problem }];
  }

  set(intent: DataplaneIntent): void {
    this.#wanted = intent;
    if (!this.#running) void this.#run();
  }

  /** Whether somebody changed the rules meanwhile; then they are written again. */
  lookAgain(): void {
    if (this.#running || this.#stopped || this.#inForce === undefined) return;
    void this.#look();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const generation = this.#driver.generation();
    if (generation !== undefined && generation === this.#generation) return;
    this.#running = true;
    try {
      const shown = await this.#driver.read();
      if (shown !== undefined && shown === this.#shown) this.#generation = generation;
      else this.#inForce = undefined;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#inForce = undefined;
    }
    await this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    clearTimeout(this.#timer);
    while (!this.#stopped && this.#wanted !== undefined && !isDeepStrictEqual(partOf(this.#wanted), this.#inForce)) {
      const intent = this.#wanted;
      try {
        await this.#driver.apply(intent);
        this.#generation = this.#driver.generation();
        this.#shown = await this.#driver.read();
        this.#inForce = partOf(intent);
        this.#say(undefined);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        this.#say(`The rules of natOutgoing are not in force: ${error.message}`);
        this.#timer = setTimeout(() => void this.#run(), AGAIN_MILLISECONDS);
        break;
      }
    }
    this.#running = false;
  }

  #say(problem: string | undefined): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#changed();
  }
}

const partOf = ({ natOutgoing, poolPrefixes, nodeAddresses }: DataplaneIntent): Part => ({
  natOutgoing,
  poolPrefixes,
  nodeAddresses,
});
