/**
 * A chain in nftables, kept as the intent wants it: that of natOutgoing, and the one that drops what nobody translated. In: the
 * intent, and that somebody changed rules; out: rules through the nft program, one run at a time. What fails is tried again
 * and is a problem meanwhile.
 */
import { isDeepStrictEqual } from 'node:util';
import type { DataplaneIntent } from '#dataplane/intent.ts';
import { chainIsThere, KeptChain } from '#dataplane/pod/io/kept-chain.ts';
import { outgoingRules, type Ruleset, serviceRules } from '#dataplane/pod/ruleset.ts';
import { AppError } from '#lib/result.ts';

const AGAIN_MILLISECONDS = 5000;

/** What the kernel is asked; a test has its own. */
export interface RulesDriver {
  readonly apply: (intent: DataplaneIntent) => Promise<void>;
  /** The rules are as they were written last. Throws AppError. */
  readonly isAsWritten: () => boolean;
  /** There is such a chain, whoever made it. Throws AppError. */
  readonly isThere: () => boolean;
}

/** One chain, and which part of the intent it is made of. */
export interface RulesKind {
  /** Code and words of the problem while they are not in force. */
  readonly code: string;
  readonly words: string;
  readonly part: (intent: DataplaneIntent) => Partial<DataplaneIntent>;
  readonly ruleset: (intent: DataplaneIntent) => Ruleset;
  /** The chain is not even made for these intents, while there is none. */
  readonly isEmpty?: (intent: DataplaneIntent) => boolean;
}

export const natOutgoing: RulesKind = {
  code: 'NatRulesFailed',
  words: 'The rules of natOutgoing are not in force',
  part: ({ natOutgoing, poolPrefixes, nodeAddresses }) => ({ natOutgoing, poolPrefixes, nodeAddresses }),
  ruleset: outgoingRules,
};

export const untranslated: RulesKind = {
  code: 'ServiceRulesFailed',
  words:
    'What is forwarded to addresses of Services that no proxy translates is not dropped, and may go round in circles',
  part: ({ serviceRanges }) => ({ serviceRanges }),
  ruleset: serviceRules,
  isEmpty: ({ serviceRanges }) => serviceRanges.length === 0,
};

const nothing: DataplaneIntent = {
  blocks: [],
  nodeAddresses: { ipv4: undefined, ipv6: undefined },
  natOutgoing: [],
  poolPrefixes: [],
  serviceRanges: [],
};

function nftables({ ruleset }: RulesKind): RulesDriver {
  const chain = new KeptChain();
  return {
    apply: (intent) => chain.write(ruleset(intent)),
    isAsWritten: () => chain.isAsWritten(),
    isThere: () => chainIsThere(ruleset(nothing)),
  };
}

export class IntentRules {
  readonly #kind: RulesKind;
  readonly #changed: () => void;
  readonly #driver: RulesDriver;
  #wanted: DataplaneIntent | undefined;
  #inForce: Partial<DataplaneIntent> | undefined;
  #running = false;
  /** Somebody changed rules while ours were written. */
  #lookAfterwards = false;
  #timer: NodeJS.Timeout | undefined;
  #problem: string | undefined;
  #repairs = 0;
  #stopped = false;

  constructor(kind: RulesKind, callbacks: { readonly changed: () => void }, driver = nftables(kind)) {
    this.#kind = kind;
    this.#changed = callbacks.changed;
    this.#driver = driver;
  }

  get problems(): readonly { readonly code: string; readonly text: string }[] {
    return this.#problem === undefined ? [] : [{ code: this.#kind.code, text: this.#problem }];
  }

  /** How often somebody else changed them. */
  get repairs(): number {
    return this.#repairs;
  }

  set(intent: DataplaneIntent): void {
    if (this.#wanted === undefined && this.#kind.isEmpty?.(intent) === true && !this.#isThere()) return;
    this.#wanted = intent;
    if (!this.#running) void this.#run();
  }

  #isThere(): boolean {
    try {
      return this.#driver.isThere();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return false;
    }
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
    const { part, words } = this.#kind;
    this.#running = true;
    clearTimeout(this.#timer);
    while (!this.#stopped && this.#wanted !== undefined && !isDeepStrictEqual(part(this.#wanted), this.#inForce)) {
      const intent = this.#wanted;
      try {
        await this.#driver.apply(intent);
        this.#inForce = part(intent);
        this.#say(undefined);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        this.#say(`${words}: ${error.message}`);
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
