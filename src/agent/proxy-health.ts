/**
 * Asks the proxy of the node (kube-proxy, or what stands for it) whether it works, for as long as Services are announced.
 * In: where its `/healthz` is; out: facts, whenever they change. One question at a time, each with a deadline.
 *
 * 200 is healthy; any other answer is the proxy's own word that it is not, and counts at once. Who does not answer may be
 * starting anew, and what it put into the kernel still works: only the third time in a row counts. kube-proxy answers 200
 * from its start on, before it has put anything into the kernel: once it was seen to be away, three good answers are needed.
 */
import { request } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import type { ProxyFacts } from '#intent/node-intent.ts';
import { after, type Clock, milliseconds } from '#lib/time.ts';

const every = milliseconds(1000);
const answerMilliseconds = 1000;
const answersThatCount = 3;
const longestAnswer = 64 * 1024;
/** By default the proxy listens on all addresses; healthzBindAddress may name one of these, or of the node's own. */
const loopbacks = ['127.0.0.1', '::1'];

export interface ProxyPlace {
  readonly port: number;
  /** The node's own, beside the loopback. */
  readonly addresses: readonly string[];
}

/** What one question found: healthy, its own word that it is not, or no answer. */
export type Probe = { readonly kind: 'healthy' } | { readonly kind: 'unhealthy' | 'silent'; readonly text: string };

export interface ProxyHealthModules {
  readonly clock: Clock;
  readonly changed: (facts: ProxyFacts) => void;
  /** A test has its own. */
  readonly probe?: (place: ProxyPlace, signal: AbortSignal) => Promise<Probe>;
}

export interface ProxyRecord {
  readonly facts: ProxyFacts;
  /** Kind of the last answers, and how many of it came in a row. */
  readonly last: Probe['kind'] | undefined;
  readonly inARow: number;
}

export const notAsked: ProxyRecord = { facts: { healthy: undefined, problem: undefined }, last: undefined, inARow: 0 };

/** What is known after one more answer. PURE. */
export function judged({ facts, last, inARow }: ProxyRecord, probe: Probe): ProxyRecord {
  const row = probe.kind === last ? inARow + 1 : 1;
  const becomes = (next: ProxyFacts): ProxyRecord => ({ facts: next, last: probe.kind, inARow: row });
  if (probe.kind === 'unhealthy') return becomes({ healthy: false, problem: probe.text });
  const sure = row >= answersThatCount;
  if (probe.kind === 'silent') return becomes(sure ? { healthy: false, problem: probe.text } : facts);
  const neverAway = last === undefined || facts.healthy === true;
  return becomes(sure || neverAway ? { healthy: true, problem: undefined } : facts);
}

export class ProxyHealth {
  readonly #modules: ProxyHealthModules;
  #place: ProxyPlace | undefined;
  #record = notAsked;
  #round: AbortController | undefined;
  #cancel: (() => void) | undefined;

  constructor(modules: ProxyHealthModules) {
    this.#modules = modules;
  }

  /** `undefined`: nobody is asked any more. */
  watch(place: ProxyPlace | undefined): void {
    if (isDeepStrictEqual(place, this.#place)) return;
    this.stop();
    this.#place = place;
    this.#learn(notAsked);
    if (place !== undefined) void this.#ask(place);
  }

  stop(): void {
    this.#cancel?.();
    this.#round?.abort();
    this.#place = undefined;
  }

  async #ask(place: ProxyPlace): Promise<void> {
    const { clock, probe = probeProxy } = this.#modules;
    const round = new AbortController();
    this.#round = round;
    const found = await probe(place, round.signal);
    if (round.signal.aborted) return;
    this.#learn(judged(this.#record, found));
    this.#cancel = clock.at(after(clock.now(), every), () => void this.#ask(place));
  }

  #learn(record: ProxyRecord): void {
    const { facts: before } = this.#record;
    this.#record = record;
    const { facts } = record;
    if (facts.healthy !== before.healthy || facts.problem !== before.problem) this.#modules.changed(facts);
  }
}

/** Never rejects. Who listens on one address of this host only is found there. */
export async function probeProxy({ port, addresses }: ProxyPlace, signal: AbortSignal): Promise<Probe> {
  let first: Probe | undefined;
  for (const host of [...loopbacks, ...addresses]) {
    const found = await askOnce(host, port, signal);
    if (found.kind !== 'silent') return found;
    first ??= found;
  }
  return first ?? { kind: 'silent', text: 'it was not asked' };
}

function askOnce(host: string, port: number, signal: AbortSignal): Promise<Probe> {
  const silent = (why: string): Probe => ({
    kind: 'silent',
    text: `nobody answers on port ${port} of this host (${why})`,
  });
  return new Promise((resolve) => {
    const call = request(
      {
        host,
        port,
        path: '/healthz',
        agent: false,
        signal: AbortSignal.any([signal, AbortSignal.timeout(answerMilliseconds)]),
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (part: string) => {
          text = (text + part).slice(0, longestAnswer);
        });
        answer.on('error', () => resolve(silent('it broke off')));
        answer.on('end', () => resolve(readAnswer(answer.statusCode ?? 0, text)));
      },
    );
    call.on('error', (error) =>
      resolve(silent('code' in error && error.code === 'ECONNREFUSED' ? 'refused' : 'no answer in time')),
    );
    call.end();
  });
}

/** PURE: what an answer of `/healthz` means. */
export function readAnswer(status: number, text: string): Probe {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  const field = (name: string): unknown =>
    typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined;
  if (status !== 200) {
    const why = field('nodeEligible') === false ? ': the node is about to be removed' : '';
    return { kind: 'unhealthy', text: `its /healthz answers ${status}${why}` };
  }
  return { kind: 'healthy' };
}
