// A machine of the simulation and the agent on it: the real claims, intent, gate and allocator; what is between them, and
// the kernel, takes time. A killed agent leaves pods and announcements; a dead machine leaves its Node and its cache.
import { isDeepStrictEqual } from 'node:util';
import { BlockClaimer } from '#agent/claims.ts';
import { Demands, claimable } from '#cni/demand.ts';
import { compile } from '#intent/compile.ts';
import { gate } from '#intent/gate.ts';
import type { Compiled, Facts, NodeIntent } from '#intent/node-intent.ts';
import type { ClaimFacts } from '#ipam/claims/intent.ts';
import { Allocator } from '#ipam/allocator.ts';
import { hostPrefix, type IpAddress, type Prefix } from '#lib/ip.ts';
import { after, type Clock, milliseconds } from '#lib/time.ts';
import { kindLists, resourceSet } from '#resources/resource-set.ts';
import type { AnyResource } from '#resources/resource-set.ts';
import { invalid } from '#resources/schema.ts';
import type { ApiObject, ResourceStore } from '#kubernetes/store.ts';
import { podFacts } from '../support/snapshot.ts';
import type { Random } from '../support/random.ts';
import type { Caller } from './claims-world.ts';

/** What everybody is told of beside blocks and Nodes. */
export interface Told {
  readonly resources: readonly AnyResource[];
}

export interface World {
  readonly clock: Clock;
  readonly random: Random;
  readonly store: (caller: Caller) => ResourceStore;
  /** What the watches of a node have now; `undefined`: they do not hear anything. */
  readonly watched: (node: string) => Omit<View, 'told'> | undefined;
  /** Milliseconds until what a watch has is looked at. */
  readonly lag: () => number;
  readonly told: () => Told;
  /** Fixed addresses that pods anywhere may ask for. */
  readonly fixed: readonly IpAddress[];
  /** Something is used, or no longer. */
  readonly changed: (machine: Machine) => void;
}

export const readAs = (kind: (typeof kindLists)[keyof typeof kindLists], raw: unknown): AnyResource => {
  const problems: never[] = [];
  const value = kind.schema.read(raw, [], problems);
  if (value === invalid) throw new Error(JSON.stringify([raw, problems]));
  return value as AnyResource;
};

/** Nodes have their addresses from pools. */
export const fromPools = readAs(kindLists.bgpConfigurations, {
  apiVersion: 'flatroute.io/v1alpha1',
  kind: 'BGPConfiguration',
  metadata: { name: 'default' },
  spec: { addressSource: 'IPPools' },
});

/** What the agent's cache keeps, and what its watches deliver. */
export interface View {
  readonly blocks: readonly AnyResource[];
  readonly node: AnyResource | undefined;
  readonly told: Told;
}

export class Machine {
  readonly name: string;
  readonly machineID: string;
  readonly held = new Map<IpAddress, 'used' | 'fenced'>();
  announced: readonly Prefix[] = [];
  cache: View;
  alive = true;
  agent: Agent | undefined;

  constructor(name: string, machineID: string, told: Told) {
    this.name = name;
    this.machineID = machineID;
    this.cache = { blocks: [], node: undefined, told };
  }

  /** Everything that traffic may come to here, or a pod get. */
  uses(): Prefix[] {
    if (!this.alive) return [];
    return [...new Set([...this.announced, ...[...this.held.keys()].map(hostPrefix), ...(this.agent?.open() ?? [])])];
  }
}

export class Agent {
  readonly #world: World;
  readonly #machine: Machine;
  readonly #claimer: BlockClaimer;
  readonly #allocator: Allocator;
  readonly #demands = new Demands();
  #alive = true;
  #stalled: (() => void)[] | undefined;
  #view: View;
  #compiled: Compiled | undefined;
  #intent: NodeIntent | undefined;
  #generation = 0;
  #applied: NodeIntent | undefined;
  #facts: Facts = {};
  #last = 0;
  #pod = 0;
  #saving: Promise<void> = Promise.resolve();

  constructor(machine: Machine, world: World) {
    this.#machine = machine;
    this.#world = world;
    this.#view = machine.cache;
    this.#allocator = new Allocator(() => world.random.unit());
    for (const [address, state] of machine.held) this.#allocator.adopt(address, state);
    const caller = { alive: () => this.#alive, run: (work: () => void) => this.#run(work) };
    this.#claimer = new BlockClaimer(machine.name, {
      store: world.store(caller),
      clock: {
        now: () => world.clock.now(),
        at: (at, callback) => world.clock.at(at, () => this.#run(callback)),
      },
      random: () => world.random.unit(),
      settled: () => this.#save(),
      growth: () => [],
      facts: (claims: ClaimFacts) => this.#learn({ claims }),
      log: () => undefined,
    });
    this.#later(1, () => this.#decide());
    // The watches are in step some time after the start.
    this.#later(50 + world.random.below(2000), () => this.look());
  }

  get claims(): ClaimFacts {
    return this.#claimer.facts;
  }
  get runs(): boolean {
    return this.#alive && this.#stalled === undefined;
  }
  get problems(): string {
    return this.claims.problems.map((it) => it.text).join(' ');
  }

  kill(): void {
    this.#alive = false;
    void this.#claimer.stop();
  }

  /** SIGSTOP, and SIGCONT some time later. */
  pause(time: number): void {
    if (!this.runs) return;
    this.#stalled = [];
    this.#after(time, () => {
      const stalled = this.#stalled ?? [];
      this.#stalled = undefined;
      for (const work of stalled) this.#run(work);
    });
  }

  #run(work: () => void): void {
    if (!this.#alive) return;
    if (this.#stalled === undefined) work();
    else this.#stalled.push(work);
  }

  #after(time: number, work: () => void): void {
    const { clock } = this.#world;
    clock.at(after(clock.now(), milliseconds(time)), work);
  }

  #later(time: number, work: () => void): void {
    this.#after(time, () => this.#run(work));
  }

  /** Blocks that a pod could have an address of at once. */
  open(): Prefix[] {
    return (this.#applied?.pods.ipam.pools ?? [])
      .filter((it) => !it.disabled)
      .flatMap((it) => it.blocks.filter((cidr) => it.closed?.includes(cidr) !== true));
  }

  /** The watches deliver what the API has at the moment of their reading, in order. */
  look(): void {
    const { watched, told, clock } = this.#world;
    const seen = watched(this.#machine.name);
    if (seen === undefined) {
      this.#later(1000, () => this.look());
      return;
    }
    const view: View = { ...seen, told: told() };
    const at = Math.max(clock.now() + this.#world.lag(), this.#last);
    this.#last = at;
    this.#later(at - clock.now(), () => {
      this.#view = view;
      this.#compiled = undefined;
      this.#later(1000, () => void this.#save());
      this.#decide();
    });
  }

  #save(): Promise<void> {
    const view = this.#view;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#later(5, () => {
      this.#machine.cache = view;
      resolve();
    });
    this.#saving = Promise.all([this.#saving, promise]).then(() => undefined);
    return this.#saving;
  }

  #decide(): void {
    const { name } = this.#machine;
    const { blocks, node, told } = this.#view;
    this.#compiled ??= compile(
      resourceSet([...blocks, ...(node === undefined ? [] : [node]), ...told.resources]),
      name,
      { claims: true },
    );
    const intent = gate(this.#compiled, this.#facts);
    if (!isDeepStrictEqual(intent, this.#intent)) {
      this.#intent = intent;
      this.#generation += 1;
      this.#send(intent, this.#generation);
    }
    const { claims } = this.#compiled;
    if (claims !== undefined)
      this.#claimer.learn({ claims, facts: this.#facts, intent: this.#intent ?? intent, generation: this.#generation });
  }

  /** To the threads, one message behind the other. */
  #send(intent: NodeIntent, generation: number): void {
    const { clock, random } = this.#world;
    const at = Math.max(clock.now() + random.below(50), this.#last);
    this.#last = at;
    this.#later(at - clock.now(), () => {
      this.#applied = intent;
      this.#allocator.apply(intent.pods.ipam);
      const announced = (intent.bgp?.announcements ?? []).map((it) => it.prefix);
      this.#machine.announced = announced;
      this.#world.changed(this.#machine);
      this.#sendFacts(generation);
      this.#later(5 + random.below(50), () =>
        this.#learn({
          kernel: { ...noKernel, generation, blackholes: intent.dataplane.blocks },
          bgp: {
            generation,
            listening: { ipv4: true, ipv6: true },
            peers: [],
            announced: announced.map((prefix) => ({ prefix, peers: ['router'] })),
          } as unknown as NonNullable<Facts['bgp']>,
        }),
      );
    });
  }

  #factsDue = false;
  #generationApplied = 0;
  #sendFacts(generation = this.#generationApplied): void {
    this.#generationApplied = generation;
    if (this.#factsDue) return;
    this.#factsDue = true;
    this.#later(this.#world.random.below(200), () => {
      this.#factsDue = false;
      this.#learn({
        pods: podFacts({
          generation: this.#generationApplied,
          blocks: this.#allocator.facts(),
          outsideBlocks: this.#allocator.outsideBlocks(),
          fencedOutsideBlocks: this.#allocator.fencedOutsideBlocks(),
          fixedAddresses: this.#allocator.fixedAddresses(),
          demand: this.#demands.now(this.#world.clock.now()),
        }),
      });
    });
  }

  #learn(facts: Facts): void {
    this.#facts = { ...this.#facts, ...facts };
    this.#later(0, () => this.#decide());
  }

  /** One ADD, perhaps of a fixed address. */
  add(): void {
    if (!this.runs || this.#applied === undefined) return;
    const { random, fixed, clock } = this.#world;
    const addresses = random.unit() < 0.1 && fixed.length > 0 ? [random.pick(fixed)] : [];
    const key = { containerId: `${this.#machine.name}-${this.#pod++}`, interfaceName: 'eth0', networkHash: '' };
    const taken = this.#allocator.assign({ pools: undefined, addresses });
    if (taken.ok) for (const address of taken.value) this.#machine.held.set(address, 'used');
    else if (claimable(taken.error)) this.#demands.asked(key, taken.error, clock.now());
    this.#world.changed(this.#machine);
    this.#sendFacts();
  }

  /** One DEL: the address is fenced, and free when the veth is gone. */
  del(): void {
    if (!this.runs) return;
    const used = [...this.#machine.held].filter(([, state]) => state === 'used').map(([address]) => address);
    if (used.length === 0) return;
    const address = this.#world.random.pick(used);
    this.#allocator.fence(address);
    this.#machine.held.set(address, 'fenced');
    this.#sendFacts();
    this.#later(20 + this.#world.random.below(3000), () => this.#free(address));
  }

  #free(address: IpAddress): void {
    this.#allocator.free(address);
    this.#machine.held.delete(address);
    this.#world.changed(this.#machine);
    this.#sendFacts();
  }

  /** What was on its way out when the agent before was killed. */
  reap(): void {
    for (const [address, state] of this.#machine.held)
      if (state === 'fenced') this.#later(100, () => this.#free(address));
  }
}

const noKernel = {
  generation: 0,
  blackholes: [],
  learnedRoutes: { ipv4: 0, ipv6: 0 },
  routeConflicts: [],
  repairs: {},
  problems: [],
} as const;

export const nodeObject = (name: string, machineID: string): ApiObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name },
  spec: {},
  status: { nodeInfo: { machineID } },
});
