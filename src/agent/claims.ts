/**
 * Claims blocks for this node in the API, looks whether they overlap, gives back those that are empty. In: what intent
 * says of pools and own blocks, and the facts of pods, speaker and kernel. Out: objects in the API, which the watch brings
 * back, and what hinders. Nothing is written or read while nothing has to change. One step at a time; whatever ends
 * between two steps is found again by the next plan.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Facts, NodeIntent } from '#intent/node-intent.ts';
import { Ground } from '#ipam/claims/ground.ts';
import type { ClaimFacts, ClaimIntent, ClaimOutcome, ClaimProblem, OwnBlock } from '#ipam/claims/intent.ts';
import { plan, type Plan, type Step } from '#ipam/claims/plan.ts';
import type { PoolGrowth } from '#ipam/intent.ts';
import { contains, hostPrefix, type IpAddress, type Prefix } from '#lib/ip.ts';
import { after, between, type Clock, type Duration, earliest, type Instant, milliseconds, seconds } from '#lib/time.ts';
import { AppError } from '#lib/result.ts';
import { ApiError, isApiError, type ResourceStore } from '#kubernetes/store.ts';
import {
  adopt,
  claim,
  type Claimant,
  confirm,
  look,
  lookAround,
  ownersOf,
  remove,
  type Seen,
  turn,
} from './claim-steps.ts';

export interface ClaimerModules {
  readonly store: ResourceStore;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /**
   * Resolves when what is kept for a start without the API says of no block that it is used which intent does not use any
   * more. Rejects with an AppError when it cannot be kept; then nothing is deleted.
   */
  readonly settled: () => Promise<void>;
  readonly growth: () => readonly PoolGrowth[];
  readonly facts: (facts: ClaimFacts) => void;
  readonly log: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** What the agent knows now. */
export interface ClaimerInput {
  readonly claims: ClaimIntent;
  readonly facts: Facts;
  /** As the threads were last told, and its generation. */
  readonly intent: NodeIntent;
  readonly generation: number;
}

/** First and longest pause after a failure; an ADD that waits asks again within 10 s. */
const PAUSE = milliseconds(500);
const LONGEST_PAUSE = seconds(15);
/** Between two looks for a free block when there was none. */
const LOOK_PAUSE = seconds(2);
const LONGEST_LOOK_PAUSE = seconds(60);
const LONGEST_FIXED_PAUSE = seconds(5);
/** The watch is believed again about a block that we changed ourselves: it is seconds behind at most. */
const OWN_WORD = seconds(10);
/** Blocks that others had, each with what is around it looked at, before everything is: the pool is nearly full. */
const TAKEN_AREAS = 4;
/** In one go; more is a plan that does not come to rest. */
const MOST_ROUNDS = 50;

export class BlockClaimer {
  readonly #node: string;
  readonly #modules: ClaimerModules;
  #input: ClaimerInput | undefined;
  /** What our own calls saw last, until the watch says the same. */
  readonly #seen = new Map<string, { readonly seen: Seen; readonly at: Instant }>();
  readonly #emptySince = new Map<Prefix, Instant>();
  #ground = new Ground([]);
  #lookedAt: Instant | undefined;
  #looks = 0;
  #taken = 0;
  #failures = 0;
  #notBefore: Instant | undefined;
  #failure: ClaimProblem | undefined;
  #running: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #wanted = false;
  #stopped = false;
  #foreign: ClaimFacts['foreign'] = [];
  #outcomes: Partial<Record<ClaimOutcome, number>> = {};
  #facts: ClaimFacts = { pending: [], problems: [], foreign: [], outcomes: {} };

  constructor(node: string, modules: ClaimerModules) {
    this.#node = node;
    this.#modules = modules;
  }

  get facts(): ClaimFacts {
    return this.#facts;
  }

  /** Cheap when nothing has to be done. */
  learn(input: ClaimerInput): void {
    this.#input = input;
    this.#noteEmpty(input);
    this.#wake();
  }

  /** The step that runs ends first. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#running;
  }

  #wake(): void {
    this.#wanted = true;
    if (this.#stopped || this.#running !== undefined) return;
    const now = this.#modules.clock.now();
    if (this.#notBefore !== undefined && this.#notBefore > now) return this.#wakeAt(this.#notBefore);
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#wanted) this.#wake();
    });
  }

  #wakeAt(at: Instant | undefined): void {
    this.#cancel?.();
    this.#cancel = at === undefined || this.#stopped ? undefined : this.#modules.clock.at(at, () => this.#wake());
  }

  async #run(): Promise<void> {
    let planned: Plan | undefined;
    try {
      for (let round = 0; ; round++) {
        this.#wanted = false;
        const input = this.#input;
        if (input === undefined || this.#stopped) return;
        planned = this.#plan(input);
        const { steps, problems } = planned;
        if (steps.length === 0 && !(await this.#lookFurther(input, problems))) break;
        if (round === MOST_ROUNDS) {
          this.#pause(PAUSE);
          return;
        }
        if (steps.length > 0) await this.#perform(steps, input);
      }
      this.#failures = 0;
      this.#failure = undefined;
      this.#notBefore = undefined;
      if (planned.problems.length === 0) this.#forget();
      this.#wakeAt(earliest(planned.again, this.#lookAgain(planned.problems)));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      this.#failed(error);
    } finally {
      this.#publish(planned);
    }
  }

  #plan({ claims, facts, intent, generation }: ClaimerInput): Plan {
    const pods = facts.pods;
    // Before the kernel's links were read nobody knows what is in use.
    if (pods === undefined) return { steps: [], problems: [], again: undefined };
    const blocks = this.#blocks(claims);
    const withdrawn = blocks.filter((it) => isWithdrawn(it.cidr, { facts, intent, generation })).map((it) => it.cidr);
    return plan({
      nodeName: this.#node,
      intent: { ...claims, blocks },
      pods,
      withdrawn: new Set(withdrawn),
      emptySince: this.#emptySince,
      growth: this.#modules.growth(),
      ground: this.#ground,
      now: this.#modules.clock.now(),
    });
  }

  /** As the watch has them, and as our own calls saw them where the watch is behind. */
  #blocks(claims: ClaimIntent): OwnBlock[] {
    const now = this.#modules.clock.now();
    const blocks = new Map(claims.blocks.map((it) => [it.name, it]));
    for (const [name, { seen, at }] of this.#seen) {
      const ours = seen.block?.node === this.#node ? seen.block : undefined;
      const theirs = blocks.get(name);
      const same = ours?.state === theirs?.state && ours?.nodeUID === theirs?.nodeUID;
      if (same || between(at, now) > OWN_WORD) this.#seen.delete(name);
      else if (ours === undefined) blocks.delete(name);
      else blocks.set(name, ours);
    }
    return [...blocks.values()];
  }

  #noteEmpty({ claims, facts }: ClaimerInput): void {
    const { pods } = facts;
    if (pods === undefined) return;
    const held = [...pods.outsideBlocks, ...pods.fencedOutsideBlocks];
    const empty = claims.blocks.filter(({ cidr, state }) => {
      const block = pods.blocks.find((it) => it.cidr === cidr);
      const used = (block?.used ?? 0) + (block?.fenced ?? 0);
      return state === 'Claimed' && used === 0 && !held.some((address) => contains(cidr, address));
    });
    const cidrs = new Set(empty.map((it) => it.cidr));
    for (const cidr of this.#emptySince.keys()) if (!cidrs.has(cidr)) this.#emptySince.delete(cidr);
    for (const cidr of cidrs) if (!this.#emptySince.has(cidr)) this.#emptySince.set(cidr, this.#modules.clock.now());
  }

  async #perform(steps: readonly Step[], input: ClaimerInput): Promise<void> {
    const { store, settled } = this.#modules;
    const { nodeUID: uid, machineID } = input.claims;
    const who: Claimant = { node: this.#node, uid, machineID };
    const toConfirm: string[] = [];
    for (const step of steps) {
      try {
        switch (step.kind) {
          case 'claim':
            await this.#claimed(await claim(store, who, step.cidr), who, step.pool);
            break;
          case 'confirm':
            toConfirm.push(step.block.name);
            break;
          case 'adopt':
            this.#note(await adopt(store, who, step.block.name), 'adopted');
            break;
          case 'keep':
            this.#note(await turn(store, who, step.block.name, ['Releasing', 'Claimed']), 'kept');
            break;
          case 'release':
            this.#emptySince.delete(step.block.cidr);
            this.#note(await turn(store, who, step.block.name, ['Claimed', 'Releasing']));
            break;
          default:
            if (step.block.state !== 'Pending') await settled();
            this.#note(await remove(store, who, step.block.name), 'released');
        }
      } catch (error) {
        // Somebody wrote in between: what it is now is read by the next plan's step.
        if (!isApiError(error, 'API_CONFLICT')) throw error;
      }
    }
    if (toConfirm.length > 0) await this.#confirm(who, toConfirm);
  }

  async #claimed(seen: Seen, who: Claimant, pool: string): Promise<void> {
    const { block } = seen;
    if (block === undefined) return;
    if (block.node === who.node && block.nodeUID === who.uid) {
      this.#note(seen);
      return;
    }
    this.#count('taken');
    this.#taken += 1;
    const { store } = this.#modules;
    if (this.#taken % TAKEN_AREAS === 0) this.#looked((await look(store)).ground);
    else this.#ground = this.#ground.with([block.cidr, ...(await lookAround(store, [block.cidr])).uids.keys()]);
    this.#modules.log('info', 'claim.taken', { block: block.cidr, pool, node: block.node });
  }

  async #confirm(who: Claimant, names: readonly string[]): Promise<void> {
    try {
      const { blocks, look: looked } = await confirm(this.#modules.store, who, names);
      this.#ground = this.#ground.with([...looked.uids.keys()]);
      for (const one of blocks) {
        this.#note(one, one.outcome);
        if (one.overlaps.length > 0)
          this.#modules.log('warn', 'claim.gave-way', { block: one.name, to: one.overlaps.join(' ') });
      }
    } catch (error) {
      if (!isApiError(error, 'API_CONFLICT')) throw error;
    }
  }

  #note(seen: Seen, outcome?: ClaimOutcome): void {
    this.#seen.set(seen.name, { seen, at: this.#modules.clock.now() });
    if (outcome === undefined) return;
    this.#count(outcome);
    this.#modules.log('info', `claim.${outcome}`, { block: seen.name });
  }

  #count(outcome: ClaimOutcome): void {
    this.#outcomes = { ...this.#outcomes, [outcome]: (this.#outcomes[outcome] ?? 0) + 1 };
  }

  #looked(ground: Ground): void {
    this.#ground = ground;
    this.#lookedAt = this.#modules.clock.now();
  }

  /** What is not known of other nodes is looked at, now and then; `true`: there is something new to plan with. */
  async #lookFurther(input: ClaimerInput, problems: readonly ClaimProblem[]): Promise<boolean> {
    const due = this.#lookAgain(problems);
    if (due === undefined || due > this.#modules.clock.now()) return false;
    const { store } = this.#modules;
    const fixed = problems.flatMap((it) => (it.kind === 'taken' && it.address !== undefined ? [it.address] : []));
    const asked = [...fixed, ...this.#strays(input)].map(hostPrefix);
    if (problems.some((it) => it.kind === 'exhausted')) this.#looked((await look(store)).ground);
    else {
      const { uids } = await lookAround(store, asked);
      const gone = asked.flatMap((it) => this.#ground.overlapping(it)).filter((it) => !uids.has(it));
      this.#looked(this.#ground.without(gone).with([...uids.keys()]));
    }
    const owned = await ownersOf(store, this.#ground, asked);
    this.#looks += 1;
    this.#foreign = owned.filter((it) => it.node !== this.#node);
    return true;
  }

  /** When to look for what there was not: a fixed address comes back with one pod, a block of a full pool hardly. */
  #lookAgain(problems: readonly ClaimProblem[]): Instant | undefined {
    const exhausted = problems.some((it) => it.kind === 'exhausted');
    const taken = problems.some((it) => it.kind === 'taken');
    if (!exhausted && !taken && (this.#input === undefined || this.#strays(this.#input).length === 0)) return undefined;
    if (this.#lookedAt === undefined || this.#looks === 0) return this.#modules.clock.now();
    const longest = taken ? LONGEST_FIXED_PAUSE : LONGEST_LOOK_PAUSE;
    return after(this.#lookedAt, Math.min(LOOK_PAUSE * 2 ** (this.#looks - 1), longest) as Duration);
  }

  /** Addresses of pods that no block of this node holds. */
  #strays({ claims, facts }: ClaimerInput): IpAddress[] {
    return heldBy(facts).filter((address) => !claims.blocks.some((it) => contains(it.cidr, address)));
  }

  /** The ground of a whole cluster is not kept for the day when it is needed again; it is another one then. */
  #forget(): void {
    if (this.#input !== undefined && this.#strays(this.#input).length > 0) return;
    this.#ground = new Ground([]);
    this.#lookedAt = undefined;
    this.#looks = 0;
    this.#taken = 0;
    this.#foreign = [];
  }

  #failed(error: AppError): void {
    this.#count('failed');
    this.#failures += 1;
    const pause = Math.min(PAUSE * 2 ** (this.#failures - 1), LONGEST_PAUSE) * (0.5 + this.#modules.random() / 2);
    this.#pause(Math.max(pause, error instanceof ApiError ? (error.retryAfter ?? 0) : 0) as Duration);
    const text = `no block can be claimed: ${error.message}. Pods use the addresses that the node has`;
    this.#failure = { kind: 'api', pools: [], text };
    this.#modules.log('warn', 'claim.failed', { code: error.code, error: error.message });
  }

  #pause(pause: Duration): void {
    this.#notBefore = after(this.#modules.clock.now(), pause);
    this.#wakeAt(this.#notBefore);
  }

  #publish(planned: Plan | undefined): void {
    const blocks = this.#input === undefined ? [] : this.#blocks(this.#input.claims);
    const facts: ClaimFacts = {
      pending: blocks.filter((it) => it.state === 'Pending').map((it) => it.cidr),
      problems: [...(this.#failure === undefined ? [] : [this.#failure]), ...(planned?.problems ?? [])],
      foreign: this.#foreign,
      outcomes: this.#outcomes,
    };
    if (isDeepStrictEqual(facts, this.#facts)) return;
    this.#facts = facts;
    this.#modules.facts(facts);
  }
}

const heldBy = ({ pods }: Facts): readonly IpAddress[] => [
  ...(pods?.outsideBlocks ?? []),
  ...(pods?.fencedOutsideBlocks ?? []),
];

/** Nothing on this node gives, has, announces or catches addresses of it, nor will before the watch says that it is ours. */
export function isWithdrawn(
  cidr: Prefix,
  { facts, intent, generation }: Pick<ClaimerInput, 'facts' | 'intent' | 'generation'>,
): boolean {
  const { pods, bgp, kernel } = facts;
  if (pods === undefined || kernel === undefined) return false;
  const pool = intent.pods.ipam.pools.find((it) => it.blocks.includes(cidr));
  if (pool !== undefined && pool.closed?.includes(cidr) !== true) return false;
  const block = pods.blocks.find((it) => it.cidr === cidr);
  const stopped = block === undefined ? pods.generation >= generation : block.closed === true;
  const held = heldBy(facts).some((address) => contains(cidr, address));
  return (
    stopped &&
    (block?.used ?? 0) + (block?.fenced ?? 0) === 0 &&
    !held &&
    !kernel.blackholes.includes(cidr) &&
    !(bgp?.announced ?? []).some((it) => it.prefix === cidr)
  );
}
