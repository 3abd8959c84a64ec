/** What an agent does about Services, put together: who is asked, what is remembered, and when all of it is known. */
import type { ServiceReport } from '#intent/service-outcomes.ts';
import type { ProxyFacts } from '#intent/node-intent.ts';
import { after, type Clock, seconds } from '#lib/time.ts';
import type { ServiceView } from '#resources/service-view.ts';
import type { LogFunction } from './log.ts';
import { ProxyHealth } from './proxy-health.ts';
import { ServiceDecisions } from './service-decisions.ts';
import { ServiceMemory } from './service-memory.ts';

/** A restarted agent has its first session this much later at most. */
const longestWait = seconds(5);

export interface AgentServicesModules {
  readonly clock: Clock;
  readonly log: LogFunction;
  readonly proxy: (facts: ProxyFacts) => void;
  /** What waited need wait no longer. */
  readonly again: () => void;
}

export class AgentServices {
  readonly decisions: ServiceDecisions;
  readonly memory: ServiceMemory;
  readonly proxy: ProxyHealth;
  readonly #clock: Clock;
  readonly #known = Promise.withResolvers<void>();

  constructor(runDirectory: string, { clock, log, proxy, again }: AgentServicesModules) {
    this.#clock = clock;
    this.decisions = new ServiceDecisions({ clock, log: (event, fields) => log('info', event, fields), again });
    this.memory = new ServiceMemory(runDirectory, { clock, log });
    this.proxy = new ProxyHealth({ clock, changed: proxy });
  }

  report(proxy: ProxyFacts | undefined): ServiceReport {
    const { rows, withdrawals } = this.decisions;
    return { rows, withdrawals, proxy };
  }

  /** `undefined`: they cannot be read, because of `problem`, or nobody asks any more. */
  learn(views: readonly ServiceView[] | undefined, problem: string | undefined): void {
    if (views !== undefined) this.memory.remember(views);
    else if (problem === undefined) this.memory.forget();
  }

  /** All that decides about Services has been looked at. */
  settled(): void {
    this.#known.resolve();
  }

  /** Resolves when that is so; but the API server, or the proxy, may be away, and pods are not to wait for them. */
  async known(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const cancel = this.#clock.at(after(this.#clock.now(), longestWait), () => late.resolve());
    await Promise.race([this.#known.promise, late.promise]);
    cancel();
  }

  stop(): void {
    this.decisions.stop();
    this.proxy.stop();
    this.memory.stop();
  }
}
