/** What became of each range and address of Services on this node, since when, and what it was before. PURE. */
import { proxyServes } from './gate.ts';
import type { Compiled, Facts, ProxyFacts } from './node-intent.ts';
import type { ServiceReason, ServiceVerdict } from './services.ts';

/** Why something is announced or not, with what is known of the proxy and the delay; `Gone`: there is no such address any more. */
export type ServiceOutcome = ServiceReason | 'ProxyNotAsked' | 'ProxyNotHealthy' | 'Delayed' | 'Gone';

/** Wall-clock milliseconds since the epoch. */
export interface ServiceRow {
  readonly verdict: ServiceVerdict;
  readonly outcome: ServiceOutcome;
  readonly since: number;
  /** The outcome before this one, and when that had begun. */
  readonly before: { readonly outcome: ServiceOutcome; readonly since: number } | undefined;
}

/** What is said of Services on this node. */
export interface ServiceReport {
  readonly rows: readonly ServiceRow[];
  /** How often something that was announced was withdrawn, since the start. */
  readonly withdrawals: number;
  readonly proxy: ProxyFacts | undefined;
}

/** By prefix and Service. */
export type ServiceRows = ReadonlyMap<string, ServiceRow>;

const keyOf = ({ prefix, use, service = '' }: ServiceVerdict): string => `${prefix} ${use} ${service}`;

/** Of one key. */
const isSame = (a: ServiceVerdict, b: ServiceVerdict): boolean =>
  a.range === b.range && a.policy === b.policy && a.reason === b.reason;

function outcomeOf(verdict: ServiceVerdict, compiled: Pick<Compiled, 'services'>, facts: Facts): ServiceOutcome {
  if (verdict.reason !== 'Announced') return verdict.reason;
  if (!proxyServes(compiled, facts)) return facts.proxy?.healthy === false ? 'ProxyNotHealthy' : 'ProxyNotAsked';
  return facts.delayed?.has(verdict.prefix) === true ? 'Delayed' : 'Announced';
}

export interface Followed {
  readonly rows: ServiceRows;
  /** Those that are announced now and were not, or the other way round. */
  readonly changed: readonly ServiceRow[];
}

export function follow(before: ServiceRows, compiled: Pick<Compiled, 'services'>, facts: Facts, now: number): Followed {
  const rows = new Map<string, ServiceRow>();
  const changed: ServiceRow[] = [];
  for (const verdict of compiled.services.verdicts) {
    const key = keyOf(verdict);
    const was = before.get(key);
    const outcome = outcomeOf(verdict, compiled, facts);
    const row: ServiceRow =
      was?.outcome === outcome
        ? isSame(was.verdict, verdict)
          ? was
          : { ...was, verdict }
        : {
            verdict,
            outcome,
            since: now,
            before: was === undefined ? undefined : { outcome: was.outcome, since: was.since },
          };
    rows.set(key, row);
    if ((was?.outcome === 'Announced') !== (outcome === 'Announced')) changed.push(row);
  }
  for (const [key, was] of before)
    if (!rows.has(key) && was.outcome === 'Announced')
      changed.push({ ...was, outcome: 'Gone', since: now, before: { outcome: was.outcome, since: was.since } });
  return { rows, changed };
}
