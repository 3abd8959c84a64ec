/**
 * natOutgoing in nftables, kept as the intent wants it. In: the intent, and that somebody changed rules; out: rules through
 * the nft program, one run at a time. What fails is tried again and is a problem meanwhile.
 */
import { isDeepStrictEqual } from 'node:util';
import type { DataplaneIntent } from '#dataplane/intent.ts';
import { KeptChain } from '#dataplane/pod/io/kept-chain.ts';
import { outgoingRules } from '#dataplane/pod/ruleset.ts';
import { AppError } from '#lib/result.ts';

const AGAIN_MILLISECONDS = 5000;

/** What the kernel is asked; a test has its own. */
export interface OutgoingDriver {
  readonly apply: (intent: DataplaneIntent) => Promise<void>;
  /** The rules are as they were written last. Throws AppError. */
  readonly isAsWritten: () => boolean;
}

type Part = Pick<DataplaneIntent, 'natOutgoing' | 'poolPrefixes' | 'nodeAddresses'>;

function nftables(): OutgoingDriver {
  const chain = new KeptChain();
  return { apply: (intent) => chain.write(outgoingRules(intent)), isAsWritten: () => chain.isAsWritten() };
}

export class OutgoingRules {
  readonly #changed: () => void;
  readonly #driver: OutgoingDriver;
  #wanted: DataplaneIntent | undefined;
  #inForce: Part | undefined;
  #running = false;
  /** Somebody changed rules while ours were written. */
  #lookAfterwards = false;
  #timer: NodeJS.Timeout | undefined;
  #problem: string | undefined;
  #repairs = 0;
  #stopped = false;

  constructor(callbacks: { readonly changed: () => void }, driver = nftables()) {
    this.#changed = callbacks.changed;
    this.#driver = driver;
  }

  get problems(): readonly { readonly code: string; readonly text: string }[] {
    return this.#problem === undefined ? [] : [{ code: 'NatRulesFailed', text: this.#problem }];
  }

  /** How often somebody else changed them. */
  get repairs(): number {
    return this.#repairs;
  }

  set(intent: DataplaneIntent): void {
    this.#wanted = intent;
    if (!this.#running) void this.#run();
  }

  /** Somebody changed rules of this node; if it was ours they are written again. */
  lookAgain(): void {
    this.#lookAfterwards = this.#running;
    if (this.#running || this.#stopped || this.#inForce === undefined) return;
    try {
      if (this.#driver.isAsWritten()) return;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
    }
    this.#inForce = undefined;
    this.#repairs += 1;
    this.#changed();
    void this.#run();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    this.#running = true;
    clearTimeout(this.#timer);
    while (!this.#stopped && this.#wanted !== undefined && !isDeepStrictEqual(partOf(this.#wanted), this.#inForce)) {
      const intent = this.#wanted;
      try {
        await this.#driver.apply(intent);
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
    if (this.#lookAfterwards) this.lookAgain();
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
