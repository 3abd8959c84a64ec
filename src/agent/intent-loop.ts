/**
 * Flow A and flow D of the architecture meet here: resources become an intent, facts open its gates and decide its
 * conditions. In come resources, problems and facts; out go intents with a generation, gates for pods, and conditions.
 * Whatever comes in, the answer is worked out anew from everything that is known; what did not change is not sent again.
 */
import { isDeepStrictEqual } from 'node:util';
import { compile } from '#intent/compile.ts';
import { conditions } from '#intent/conditions.ts';
import { type Drains, withDrains } from '#intent/drain.ts';
import { gate, servicesSettled } from '#intent/gate.ts';
import type { Compiled, Condition, Facts, NodeIntent } from '#intent/node-intent.ts';
import type { PodsGate } from '#ipam/intent.ts';
import type { ResourceProblem, ResourceSet } from '#resources/resource-set.ts';
import type { ServiceRange, ServiceView } from '#resources/service-view.ts';
import type { ConditionAnswer } from '#status/answers.ts';
import { conditionAnswers } from '#status/conditions.ts';
import type { ClaimerInput } from './claims.ts';
import type { ProxyPlace } from './proxy-health.ts';
import type { ServiceDecisions } from './service-decisions.ts';

export interface IntentLoopModules {
  readonly decisions: Pick<ServiceDecisions, 'decide' | 'stop'>;
  readonly intent: (intent: NodeIntent, generation: number) => void;
  readonly podsGate: (gate: PodsGate) => void;
  /** Given where there is an API to claim blocks in: what the claims go by, after each decision. */
  readonly claims?: (input: ClaimerInput) => void;
  /** Services with addresses in these ranges are wanted from now on; `proxy`: where their proxy says how it is. */
  readonly services: (ranges: readonly ServiceRange[], proxy: ProxyPlace | undefined) => void;
  readonly conditions: (before: readonly ConditionAnswer[], now: readonly ConditionAnswer[]) => void;
}

export class IntentLoop {
  readonly #node: string;
  readonly #modules: IntentLoopModules;
  #compiled: Compiled | undefined;
  #problems: readonly ResourceProblem[] = [];
  #facts: Facts = {};
  #drains: Drains = new Map();
  #intent: NodeIntent | undefined;
  #generation = 0;
  #podsGate: PodsGate | undefined;
  #objectConditions: readonly Condition[] = [];
  #conditions: readonly ConditionAnswer[] = [];
  #pending: NodeJS.Immediate | undefined;
  #resources: ResourceSet | undefined;
  #services: readonly ServiceView[] | undefined;

  constructor(node: string, modules: IntentLoopModules) {
    this.#node = node;
    this.#modules = modules;
  }

  get facts(): Facts {
    return this.#facts;
  }
  /** As it was last sent to the threads. */
  get intent(): NodeIntent | undefined {
    return this.#intent;
  }
  get generation(): number {
    return this.#generation;
  }
  get conditions(): readonly ConditionAnswer[] {
    return this.#conditions;
  }
  get objectConditions(): readonly Condition[] {
    return this.#objectConditions;
  }
  get podsGate(): PodsGate | undefined {
    return this.#podsGate;
  }

  get servicesSettled(): boolean {
    return this.#compiled !== undefined && servicesSettled(this.#compiled, this.#facts);
  }

  resources(resources: ResourceSet, problems: readonly ResourceProblem[]): void {
    this.#resources = resources;
    this.#problems = problems;
    this.#compile();
    if (this.#compiled === undefined) return;
    const { services, intent } = this.#compiled;
    const { ranges, proxyHealthPort: port } = services;
    const { ipv4, ipv6 } = intent.dataplane.nodeAddresses;
    const addresses = [ipv4, ipv6].filter((it) => it !== undefined);
    this.#modules.services(ranges, ranges.length === 0 || port === undefined ? undefined : { port, addresses });
  }

  /** `undefined`: they cannot be read, because of `problem`, or nobody asks any more. */
  services(views: readonly ServiceView[] | undefined, problem: string | undefined): void {
    // What was learned before stays while it cannot be read.
    if (views !== undefined || problem === undefined) this.#services = views;
    this.#facts = { ...this.#facts, servicesProblem: problem };
    this.#compile();
  }

  #compile(): void {
    if (this.#resources === undefined) return;
    const claims = this.#modules.claims !== undefined;
    this.#compiled = compile(this.#resources, this.#node, { claims, services: this.#services });
    this.#decide();
  }

  /** Answers the generation of the intent with these steps in it. */
  drain(drains: Drains): number {
    this.#drains = drains;
    this.#decide();
    return this.#generation;
  }

  /** Time has passed that something waited for. */
  again(): void {
    this.#decide();
  }

  /** Facts come often and from several threads at once: those of one turn of the event loop are looked at together. */
  learn(facts: Facts): void {
    this.#facts = { ...this.#facts, ...facts };
    this.#pending ??= setImmediate(() => this.#decide());
  }

  stop(): void {
    clearImmediate(this.#pending);
    this.#modules.decisions.stop();
  }

  #decide(): void {
    clearImmediate(this.#pending);
    this.#pending = undefined;
    if (this.#compiled === undefined) return;
    const asked = { ...this.#compiled, intent: withDrains(this.#compiled.intent, this.#drains) };
    this.#facts = { ...this.#facts, delayed: this.#modules.decisions.decide(asked, this.#facts) };
    const intent = gate(asked, this.#facts);
    if (!isDeepStrictEqual(intent, this.#intent)) {
      this.#intent = intent;
      this.#generation += 1;
      this.#modules.intent(intent, this.#generation);
    }
    const podsGate = podsGateOf(asked.intent, this.#facts);
    if (!isDeepStrictEqual(podsGate, this.#podsGate)) {
      this.#podsGate = podsGate;
      this.#modules.podsGate(podsGate);
    }
    const before = this.#conditions;
    this.#objectConditions = conditions(asked, this.#facts, this.#problems);
    this.#conditions = conditionAnswers(this.#objectConditions, this.#problems);
    this.#modules.conditions(before, this.#conditions);
    const { claims } = this.#compiled;
    if (claims !== undefined)
      this.#modules.claims?.({ claims, facts: this.#facts, intent, generation: this.#generation });
  }
}

/** What an ADD waits for: its block was written to an established session. */
export function podsGateOf(intent: NodeIntent, { bgp, claims }: Facts): PodsGate {
  const blocks = new Set(intent.dataplane.blocks);
  const meant = new Set(intent.bgp?.announcements.map(({ prefix }) => prefix) ?? blocks);
  return {
    anySession: (bgp?.peers ?? []).some((peer) => peer.state === 'Established'),
    announcedBlocks: [
      ...(bgp?.announced ?? [])
        .filter(({ prefix, peers }) => peers.length > 0 && blocks.has(prefix))
        .map(({ prefix }) => prefix),
      ...[...blocks].filter((block) => !meant.has(block)),
    ],
    ...(claims === undefined || claims.problems.length === 0 ? {} : { claimProblems: claims.problems }),
  };
}
