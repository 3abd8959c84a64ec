/**
 * natOutgoing in nftables, kept as the intent wants it. In: the intent; out: rules through the nft program, one run at a
 * time; what fails is tried again and is a problem meanwhile.
 */
import { isDeepStrictEqual } from 'node:util';
import type { DataplaneIntent } from '#dataplane/intent.ts';
import { applyOutgoingRules } from '#dataplane/pod/io/nft.ts';
import { AppError } from '#lib/result.ts';

const AGAIN_MILLISECONDS = 5000;

type Part = Pick<DataplaneIntent, 'natOutgoing' | 'poolPrefixes' | 'nodeAddresses'>;

export class OutgoingRules {
  readonly #changed: () => void;
  readonly #apply: (intent: DataplaneIntent) => Promise<void>;
  #wanted: DataplaneIntent | undefined;
  #inForce: Part | undefined;
  #running = false;
  #timer: NodeJS.Timeout | undefined;
  #problem: string | undefined;
  #stopped = false;

  constructor(callbacks: { readonly changed: () => void }, apply = applyOutgoingRules) {
    this.#changed = callbacks.changed;
    this.#apply = apply;
  }

  get problems(): readonly { readonly code: string; readonly text: string }[] {
    return this.#problem === undefined ? [] : [{ code: 'NatRulesFailed', text: this.#problem }];
  }

  set(intent: DataplaneIntent): void {
    this.#wanted = intent;
    if (!this.#running) void this.#run();
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
        await this.#apply(intent);
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
