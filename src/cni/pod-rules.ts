/**
 * The rules against spoofing, kept in force: written at the start, and again when somebody changed or flushed them. One run
 * of nft at a time; what fails is tried again and is a problem meanwhile.
 */
import { KeptChain } from '#dataplane/pod/io/kept-chain.ts';
import { arpRules, podRules } from '#dataplane/pod/ruleset.ts';
import { AppError } from '#lib/result.ts';

const AGAIN_MILLISECONDS = 5000;

export interface PodRulesModules {
  /** Put back after somebody took them. */
  readonly restored: () => void;
  readonly failed: (error: AppError) => void;
  readonly driver?: PodRulesDriver;
}

export interface PodRulesDriver {
  /** Throws AppError. */
  readonly write: () => Promise<void>;
  readonly isAsWritten: () => boolean;
}

function nftables(): PodRulesDriver {
  const chains = [
    { kept: new KeptChain(), rules: podRules() },
    { kept: new KeptChain(), rules: arpRules() },
  ];
  return {
    write: async () => {
      for (const { kept, rules } of chains) if (!kept.isAsWritten()) await kept.write(rules);
    },
    isAsWritten: () => chains.every(({ kept }) => kept.isAsWritten()),
  };
}

export class PodRules {
  readonly #modules: PodRulesModules;
  readonly #driver: PodRulesDriver;
  #running: Promise<void> | undefined;
  /** Something changed while they were written. */
  #again = false;
  #everWritten = false;
  #problem: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(modules: PodRulesModules) {
    this.#modules = modules;
    this.#driver = modules.driver ?? nftables();
  }

  /** They are there as they were written. */
  get stand(): boolean {
    try {
      return this.#driver.isAsWritten();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return false;
    }
  }

  get problems(): readonly { readonly code: string; readonly text: string }[] {
    return this.#problem === undefined ? [] : [{ code: 'PodRulesFailed', text: this.#problem }];
  }

  /** Writes them unless they are as they were written. Errors: AppError `OS_*`; it is tried again all the same. */
  put(): Promise<void> {
    this.#again = true;
    this.#running ??= this.#put().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #put(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      while (this.#again && !this.#stopped) {
        this.#again = false;
        if (this.#driver.isAsWritten()) continue;
        await this.#driver.write();
        const restored = this.#everWritten;
        this.#everWritten = true;
        this.#problem = undefined;
        if (restored) this.#modules.restored();
      }
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#problem = `The rules against forged sources are not in force: ${error.message}`;
      this.#modules.failed(error);
      if (!this.#stopped) this.#timer = setTimeout(() => void this.put().catch(() => undefined), AGAIN_MILLISECONDS);
      throw error;
    }
  }
}
