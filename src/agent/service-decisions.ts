/**
 * The memory behind decisions about Services: what was withdrawn and waits, since when each address is what it is, and a line
 * in the log when one is announced or withdrawn. In: each decision; out: what waits, and that it is time to decide again.
 */
import { servable } from '#intent/gate.ts';
import type { Compiled, Facts } from '#intent/node-intent.ts';
import { delayed, type Delayed } from '#intent/service-delay.ts';
import { follow, type ServiceRow, type ServiceRows } from '#intent/service-outcomes.ts';
import type { Clock } from '#lib/time.ts';

/** Lines of the log for one decision; beyond them one line has their number. */
const linesAtOnce = 20;

export interface ServiceDecisionsModules {
  readonly clock: Clock;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
  /** What waited need wait no longer. */
  readonly again: () => void;
}

export class ServiceDecisions {
  readonly #modules: ServiceDecisionsModules;
  #last: Delayed = { delays: new Map(), waiting: new Map(), next: undefined };
  #rows: ServiceRows = new Map();
  #withdrawals = 0;
  /** What was decided on; `undefined`: time alone changes it by now. */
  #seen: { readonly services: Compiled['services']; readonly healthy: boolean | undefined } | undefined;
  #cancel: (() => void) | undefined;

  constructor(modules: ServiceDecisionsModules) {
    this.#modules = modules;
  }

  get rows(): readonly ServiceRow[] {
    return [...this.#rows.values()];
  }
  /** How often something that was announced was withdrawn, since the start. */
  get withdrawals(): number {
    return this.#withdrawals;
  }

  /** Answers what waits; the rest of the facts is as it was given. */
  decide(compiled: Compiled, facts: Facts): Delayed['waiting'] {
    const { services } = compiled;
    const healthy = facts.proxy?.healthy;
    // Facts come often, and there may be thousands of addresses.
    if (this.#seen?.services === services && this.#seen.healthy === healthy) return this.#last.waiting;
    this.#seen = { services, healthy };
    this.#cancel?.();
    const { clock, again, log } = this.#modules;
    const known = services.verdicts.map((it) => it.prefix);
    const wanted = servable(compiled, facts);
    this.#last = delayed(this.#last.delays, { wanted, known }, clock.now(), services.announceDelay);
    const { waiting, next } = this.#last;
    const due = (): void => {
      this.#seen = undefined;
      again();
    };
    this.#cancel = next === undefined ? undefined : clock.at(next, due);
    const { rows, changed } = follow(this.#rows, compiled, { ...facts, delayed: waiting }, Date.now());
    this.#rows = rows;
    for (const [i, { outcome, verdict }] of changed.entries()) {
      const announced = outcome === 'Announced';
      if (!announced) this.#withdrawals += 1;
      if (i >= linesAtOnce) continue;
      const { prefix, service, use } = verdict;
      log(announced ? 'service.announced' : 'service.withdrawn', {
        prefix,
        use,
        ...(service === undefined ? {} : { service }),
        ...(announced ? {} : { reason: outcome }),
      });
    }
    if (changed.length > linesAtOnce) log('service.more-changes', { count: changed.length - linesAtOnce });
    return waiting;
  }

  stop(): void {
    this.#cancel?.();
  }
}
