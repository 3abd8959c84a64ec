/**
 * PURE: what to do next with the blocks of this node. In: where it may claim and what it has, how full its blocks are and
 * since when empty, what its pods ask for, and the ground. Out: steps, why there are none, and when to look again. Every
 * step is checked once more against the live object by whoever takes it, so a plan from old facts does no harm.
 */
import {
  contains,
  families,
  type Family,
  familyOf,
  hostPrefix,
  type IpAddress,
  networkAddress,
  type Prefix,
} from '#lib/ip.ts';
import { after, type Duration, earliest, type Instant, seconds } from '#lib/time.ts';
import type { BlockFacts, PodFacts, PoolGrowth } from '../intent.ts';
import { blockAround, candidate, capacityOf, type Ground } from './ground.ts';
import type { ClaimIntent, ClaimPool, ClaimProblem, OwnBlock } from './intent.ts';

export type Step =
  /** Make it ours: an earlier Node of this machine had it. */
  | { readonly kind: 'adopt'; readonly block: OwnBlock }
  /** Look whether others overlap it, then use it or let it go. */
  | { readonly kind: 'confirm'; readonly block: OwnBlock }
  /** It is on its way back and needed again. */
  | { readonly kind: 'keep'; readonly block: OwnBlock }
  | { readonly kind: 'claim'; readonly cidr: Prefix; readonly pool: string }
  | { readonly kind: 'release'; readonly block: OwnBlock }
  | { readonly kind: 'remove'; readonly block: OwnBlock };

export interface Plan {
  readonly steps: readonly Step[];
  readonly problems: readonly ClaimProblem[];
  /** When time alone changes the answer. */
  readonly again: Instant | undefined;
}

export interface PlanInput {
  readonly nodeName: string;
  readonly intent: ClaimIntent;
  readonly pods: Pick<PodFacts, 'blocks' | 'outsideBlocks' | 'fencedOutsideBlocks' | 'demand'>;
  /** Blocks that give no addresses, are announced to nobody and have no blackhole any more. */
  readonly withdrawn: ReadonlySet<Prefix>;
  readonly emptySince: ReadonlyMap<Prefix, Instant>;
  readonly growth: readonly PoolGrowth[];
  readonly ground: Ground;
  readonly now: Instant;
}

/** A rollout that moves pods away and back gives no block back in between; a block costs nobody anything meanwhile. */
const EMPTY_FOR = seconds(600);
/** A fixed address is wanted elsewhere at once; a pod that is made again here finds it still there. */
const EMPTY_FIXED_FOR = seconds(5);
/** A pool that this node may not use any more. */
const EMPTY_UNWANTED_FOR = seconds(30);
/** Free addresses below which the next block is claimed: a quarter of a block, but no more than pods come at one time. */
const LOW_WATER = 0.25;
const HIGHEST_LOW_WATER = 32;
/** A claim takes well below a second; people who watch a node fill up should see it earlier. */
const LEAD_HOURS = 5 / 60;
/** In one plan; the rest follows when these are there. */
const CLAIMS_AT_ONCE = 4;

export function plan(input: PlanInput): Plan {
  const planning = new Planning(input);
  return input.intent.nodeUID === undefined ? planning.withoutNode() : planning.plan();
}

class Planning {
  readonly #input: PlanInput;
  readonly #steps: Step[] = [];
  readonly #problems: ClaimProblem[] = [];
  /** What pods of this node have addresses of. */
  readonly #held: readonly IpAddress[];
  /** Blocks that give addresses, or will; filled while the plan is made. */
  readonly #open: { readonly cidr: Prefix; readonly block: OwnBlock | undefined }[] = [];
  readonly #closing: OwnBlock[] = [];
  #again: Instant | undefined;
  #claims = 0;
  #known: Ground | undefined;

  constructor(input: PlanInput) {
    this.#input = input;
    const { nodeUID: uid } = input.intent;
    this.#held = [...input.pods.outsideBlocks, ...input.pods.fencedOutsideBlocks];
    for (const block of input.intent.blocks) {
      if (uid !== undefined && block.nodeUID !== undefined && block.nodeUID !== uid) {
        const { machineID } = input.intent;
        if (machineID !== undefined && machineID === block.machineID) this.#steps.push({ kind: 'adopt', block });
      } else if (block.state === 'Releasing') this.#closing.push(block);
      else this.#open.push({ cidr: block.cidr, block });
    }
  }

  /** Somebody deleted the Node, or it is not registered yet: nothing is done but to keep what pods have. */
  withoutNode(): Plan {
    const { nodeName, intent } = this.#input;
    for (const block of this.#closing) if (this.#inUse(block.cidr) && block.nodeUID !== undefined) this.#keep(block);
    const text = `there is no Node ${nodeName} in the API, and blocks are claimed in its name; look whether its kubelet has registered it, or correct --node`;
    const problems: ClaimProblem[] = intent.pools.length === 0 ? [] : [{ kind: 'noNode', pools: [], text }];
    return { steps: this.#steps, problems, again: undefined };
  }

  plan(): Plan {
    for (const { block } of this.#open)
      if (block?.state === 'Pending') {
        const unwanted = this.#pool(block.cidr) === undefined && block.nodeUID !== undefined;
        this.#steps.push({ kind: unwanted ? 'remove' : 'confirm', block });
      }
    for (const block of this.#closing.splice(0))
      if (this.#inUse(block.cidr) && block.nodeUID !== undefined) this.#keep(block);
      else this.#closing.push(block);
    this.#claimHeld();
    for (const family of families) this.#keepMark(this.#poolsOf(family, 'everyPod'), family);
    for (const pool of this.#poolsOf(undefined, 'somePods'))
      if (this.#open.some(({ cidr }) => contains(pool.cidr, cidr) && this.#inUse(cidr)))
        this.#keepMark([pool], familyOf(pool.cidr));
    for (const { pools, family, count } of this.#input.pods.demand.choices) {
      const asked = pools.flatMap((name) => this.#input.intent.pools.find((it) => it.name === name) ?? []);
      if (asked.length > 0) this.#more(asked, family, count);
    }
    for (const address of this.#input.pods.demand.addresses) this.#fixed(address);
    this.#giveBack();
    for (const block of this.#closing) {
      const mine = block.nodeUID !== undefined;
      if (mine && this.#input.withdrawn.has(block.cidr)) this.#steps.push({ kind: 'remove', block });
    }
    return { steps: this.#steps, problems: this.#problems, again: this.#again };
  }

  get #ground(): Ground {
    this.#known ??= this.#input.ground.with(this.#input.intent.blocks.map((it) => it.cidr));
    return this.#known;
  }

  #pool(cidr: Prefix): ClaimPool | undefined {
    return this.#input.intent.pools.find((it) => contains(it.cidr, cidr));
  }

  #poolsOf(family: Family | undefined, use: ClaimPool['use']): ClaimPool[] {
    return this.#input.intent.pools.filter(
      (it) => it.use === use && (family === undefined || familyOf(it.cidr) === family),
    );
  }

  #facts(cidr: Prefix): BlockFacts | undefined {
    return this.#input.pods.blocks.find((it) => it.cidr === cidr);
  }

  #inUse(cidr: Prefix): boolean {
    const facts = this.#facts(cidr);
    return (facts?.used ?? 0) + (facts?.fenced ?? 0) > 0 || this.#held.some((address) => contains(cidr, address));
  }

  #keep(block: OwnBlock): void {
    this.#steps.push({ kind: 'keep', block });
    this.#open.push({ cidr: block.cidr, block });
  }

  #claim(pool: ClaimPool, cidr: Prefix): void {
    if (this.#claims >= CLAIMS_AT_ONCE) return;
    this.#claims += 1;
    this.#known = this.#ground.with([cidr]);
    this.#steps.push({ kind: 'claim', cidr, pool: pool.name });
    this.#open.push({ cidr, block: undefined });
  }

  /** The block of pods that are there was taken from the node, or lost: it is claimed again before somebody else has it. */
  #claimHeld(): void {
    for (const address of this.#held) {
      const pool = this.#pool(hostPrefix(address));
      if (pool === undefined || this.#open.some(({ cidr }) => contains(cidr, address))) continue;
      const whole = blockAround(address, pool.blockSize);
      const cidr = pool.use === 'named' ? hostPrefix(address) : whole;
      if (this.#ground.isFree(cidr)) this.#claim(pool, cidr);
    }
  }

  #capacity(cidr: Prefix): number {
    return this.#facts(cidr)?.capacity ?? capacityOf(cidr, this.#input.intent.reserved);
  }

  #free(pools: readonly ClaimPool[]): { readonly blocks: number; readonly free: number } {
    const mine = this.#open.filter(({ cidr }) => pools.some((pool) => contains(pool.cidr, cidr)));
    let free = 0;
    for (const { cidr } of mine) {
      const facts = this.#facts(cidr);
      free += this.#capacity(cidr) - (facts?.used ?? 0) - (facts?.fenced ?? 0);
    }
    return { blocks: mine.length, free };
  }

  #lowWater(pool: ClaimPool): number {
    const one = this.#typical(pool);
    const growth = this.#input.growth.find((it) => it.pool === pool.name && it.family === familyOf(pool.cidr));
    const quarter = Math.min(Math.ceil(one * LOW_WATER), HIGHEST_LOW_WATER);
    return Math.max(1, quarter, Math.ceil((growth?.perHour ?? 0) * LEAD_HOURS));
  }

  #typical(pool: ClaimPool): number {
    return Math.max(1, capacityOf(blockAround(networkAddress(pool.cidr), pool.blockSize), []));
  }

  /** There is always something for the pods that come next. */
  #keepMark(pools: readonly ClaimPool[], family: Family): void {
    const [first] = pools;
    if (first !== undefined) this.#more(pools, family, this.#lowWater(first));
  }

  #more(pools: readonly ClaimPool[], family: Family, wanted: number): void {
    for (;;) {
      const { free } = this.#free(pools);
      if (free >= wanted || this.#claims >= CLAIMS_AT_ONCE) return;
      const closing = this.#closing.find(({ cidr }) => pools.some((pool) => contains(pool.cidr, cidr)));
      if (closing !== undefined) {
        this.#closing.splice(this.#closing.indexOf(closing), 1);
        this.#keep(closing);
        continue;
      }
      const next = this.#next(pools);
      if (next === undefined) {
        const names = pools.map((it) => it.name);
        const text = `${names.join(', ')}: no ${familyName[family]} block is left to claim. Add an IPPool, or free a block: \`kubectl get ipblocks\` shows who has them`;
        this.#problems.push({ kind: 'exhausted', pools: names, text });
        return;
      }
      this.#claim(next.pool, next.cidr);
    }
  }

  #next(pools: readonly ClaimPool[]): { readonly pool: ClaimPool; readonly cidr: Prefix } | undefined {
    const { nodeName, intent } = this.#input;
    for (const pool of pools) {
      const cidr = candidate(nodeName, pool, this.#ground, intent.reserved);
      if (cidr !== undefined) return { pool, cidr };
    }
    return undefined;
  }

  #fixed(address: IpAddress): void {
    const cidr = hostPrefix(address);
    const pool = this.#input.intent.pools.find((it) => it.use === 'named' && contains(it.cidr, address));
    if (pool === undefined || this.#open.some((it) => contains(it.cidr, address))) return;
    const closing = this.#closing.find((it) => contains(it.cidr, address));
    if (closing !== undefined) {
      this.#closing.splice(this.#closing.indexOf(closing), 1);
      this.#keep(closing);
      return;
    }
    if (this.#ground.isFree(cidr)) {
      this.#claim(pool, cidr);
      return;
    }
    const text = `${address} lies in a block of another node (${this.#ground.overlapping(cidr).join(', ')}); delete the pod that has it there, or ask for another address`;
    this.#problems.push({ kind: 'taken', pools: [pool.name], address, text });
  }

  #giveBack(): void {
    for (const { cidr, block } of [...this.#open].reverse()) {
      if (block?.state !== 'Claimed' || block.nodeUID === undefined) continue;
      const since = this.#input.emptySince.get(cidr);
      const pool = this.#pool(cidr);
      if (since === undefined || this.#inUse(cidr) || this.#asked(cidr, pool)) continue;
      const due = after(since, this.#patience(cidr, pool));
      if (!this.#spare(cidr, pool)) continue;
      if (due > this.#input.now) {
        this.#again = earliest(this.#again, due);
        continue;
      }
      this.#steps.push({ kind: 'release', block });
      this.#open.splice(
        this.#open.findIndex((it) => it.cidr === cidr),
        1,
      );
    }
  }

  #asked(cidr: Prefix, pool: ClaimPool | undefined): boolean {
    const { addresses, choices } = this.#input.pods.demand;
    return (
      addresses.some((it) => contains(cidr, it)) ||
      (pool !== undefined && choices.some((it) => it.pools.includes(pool.name)))
    );
  }

  #patience(cidr: Prefix, pool: ClaimPool | undefined): Duration {
    if (pool === undefined) return EMPTY_UNWANTED_FOR;
    return pool.use === 'named' && cidr === hostPrefix(networkAddress(cidr)) ? EMPTY_FIXED_FOR : EMPTY_FOR;
  }

  /** Whether enough stays without it: twice the mark at which another one would be claimed. */
  #spare(cidr: Prefix, pool: ClaimPool | undefined): boolean {
    if (pool?.use !== 'everyPod') return true;
    const pools = this.#poolsOf(familyOf(cidr), 'everyPod');
    const { blocks, free } = this.#free(pools);
    return blocks > 1 && free - this.#capacity(cidr) >= 2 * this.#lowWater(pools[0] ?? pool);
  }
}

const familyName = { ipv4: 'IPv4', ipv6: 'IPv6' } as const;
