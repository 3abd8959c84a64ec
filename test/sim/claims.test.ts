// Nodes claim blocks, a controller collects them, and everything that can go wrong does, in virtual time. At no moment do two
// nodes use ranges that overlap; when the misfortunes are over nothing is left over.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockCollector } from '#controller/block-collection.ts';
import {
  addressToBigInt,
  contains,
  type IpAddress,
  networkAddress,
  overlaps,
  type Prefix,
  prefixSize,
} from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { kindLists } from '#resources/resource-set.ts';
import type { AnyResource } from '#resources/resource-set.ts';
import { liveBlock } from '#sources/kubernetes/ip-blocks.ts';
import { seededRandom } from '../support/random.ts';
import { Agent, fromPools, Machine, nodeObject, readAs, type World } from './claims-node.ts';
import { blocksType, nodesType, SimApi } from './claims-world.ts';
import { VirtualClock } from './clock.ts';

const minute = 60_000;
const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

let made = 0;
const pool = (name: string, spec: object, deleted = false): AnyResource =>
  readAs(kindLists.ipPools, {
    apiVersion: 'flatroute.io/v1alpha1',
    kind: 'IPPool',
    metadata: {
      name,
      uid: `pool-${++made}`,
      creationTimestamp: new Date(1_700_000_000_000 + made * 1000).toISOString(),
      ...(deleted ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec,
  });

const spans = new Map<Prefix, readonly [bigint, bigint]>();
function spanOf(cidr: Prefix): readonly [bigint, bigint] {
  const known = spans.get(cidr);
  if (known !== undefined) return known;
  const first = addressToBigInt(networkAddress(cidr));
  const span = [first, first + prefixSize(cidr) - 1n] as const;
  spans.set(cidr, span);
  return span;
}

class Simulation {
  readonly clock = new VirtualClock();
  readonly random;
  readonly api: SimApi;
  readonly machines = new Map<string, Machine>();
  /** Dead ones too. */
  readonly all: Machine[] = [];
  readonly world: World;
  readonly log: string[] = [];
  pools = new Map<string, AnyResource>();
  collector: BlockCollector | undefined;
  #machines = 0;
  #collectorRuns = true;
  troubled = true;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.api = new SimApi(this.clock, this.random);
    this.api.misfortune = 0.2;
    this.world = {
      clock: this.clock,
      random: this.random,
      store: (caller) => this.api.store(caller),
      watched: (name) => this.#watched(name),
      lag: () => this.random.below(this.random.unit() < 0.05 ? 5000 : 100),
      told: () => ({ resources: [fromPools, ...this.pools.values()] }),
      fixed: ['10.62.0.7', '10.62.0.8', '10.62.0.9'] as IpAddress[],
      changed: (machine) => this.#check(machine),
    };
    // Between two clients' reads the watch of each looks.
    this.api.objects.onChange((change) => {
      const object = change.after ?? change.before;
      const names = [change.before, change.after].map((it) =>
        change.type === nodesType ? it?.metadata.name : (it?.['spec'] as { node?: string } | undefined)?.node,
      );
      for (const name of new Set(names)) this.#machine(name)?.agent?.look();
      if (object !== undefined) this.#tellCollector();
    });
    this.startCollector();
  }

  #watched(name: string): ReturnType<World['watched']> {
    const { away, objects } = this.api;
    if (away) return undefined;
    const node = objects.get(nodesType, name);
    return {
      blocks: objects
        .all(blocksType)
        .filter((it) => liveBlock(it)?.node === name)
        .map((it) => readAs(kindLists.ipBlocks, it)),
      node: node === undefined ? undefined : readAs(kindLists.nodes, node),
    };
  }

  #machine(name: string | undefined): Machine | undefined {
    return name === undefined ? undefined : this.machines.get(name);
  }

  note(text: string): void {
    this.log.push(`${this.clock.now()}: ${text}`);
  }

  #check(machine: Machine): void {
    const mine = machine.uses().map(spanOf);
    for (const other of this.all) {
      if (other === machine) continue;
      for (const theirs of other.uses()) {
        const [first, last] = spanOf(theirs);
        const both = mine.find(([from, to]) => from <= last && first <= to);
        if (both === undefined) continue;
        this.note(`${machine.name} uses ${both.join(' to ')}, ${other.name} uses ${theirs}`);
        throw new Error(`two nodes use one range:\n${this.log.slice(-40).join('\n')}`);
      }
    }
  }

  startCollector(): void {
    const own: { alive: boolean } = { alive: true };
    const caller = { alive: () => own.alive, run: (work: () => void) => void (own.alive && work()) };
    const store = this.api.store(caller);
    this.collector = new BlockCollector(
      { absence: seconds(900), veto: seconds(120) },
      { store, clock: this.clock, log: (_, event, fields) => this.note(`${event} ${String(fields['block'])}`) },
    );
    this.#tellCollector();
  }

  restartCollector(): void {
    void this.collector?.stop();
    this.startCollector();
  }

  #tellCollector(): void {
    if (!this.#collectorRuns) return;
    const { collector } = this;
    this.clock.after(this.random.below(500), () => {
      if (collector !== this.collector || this.api.away) return;
      collector?.learn({
        blocks: this.api.objects.all(blocksType).flatMap((object) => {
          const block = liveBlock(object);
          return block === undefined
            ? []
            : [{ name: block.name, uid: object.metadata.uid ?? '', node: block.node, nodeUID: block.nodeUID }];
        }),
        nodeUIDs: new Set(this.api.objects.all(nodesType).map((it) => it.metadata.uid ?? '')),
      });
    });
  }

  addMachine(name: string): void {
    const machine = new Machine(name, `machine-${++this.#machines}`, this.world.told());
    this.machines.set(name, machine);
    this.all.push(machine);
    this.note(`${name} is ${machine.machineID}`);
    this.register(machine);
    this.boot(machine);
  }

  register(machine: Machine): void {
    if (this.api.objects.get(nodesType, machine.name) === undefined)
      this.api.objects.create(nodesType, nodeObject(machine.name, machine.machineID));
  }

  boot(machine: Machine): void {
    if (!machine.alive || machine.agent !== undefined) return;
    machine.agent = new Agent(machine, this.world);
    machine.agent.reap();
  }

  kill(machine: Machine, downFor: number): void {
    if (machine.agent === undefined) return;
    this.note(`agent of ${machine.name} killed for ${downFor}`);
    machine.agent.kill();
    machine.agent = undefined;
    this.clock.after(downFor, () => this.boot(machine));
  }

  reboot(machine: Machine): void {
    this.note(`${machine.name} reboots`);
    this.kill(machine, 20_000);
    machine.held.clear();
    machine.announced = [];
  }

  /** For good; the Node goes a while later, and another machine comes under the same name. */
  die(machine: Machine): void {
    this.note(`${machine.name} dies`);
    machine.agent?.kill();
    machine.agent = undefined;
    machine.alive = false;
    machine.held.clear();
    machine.announced = [];
    this.machines.delete(machine.name);
    this.clock.after(this.random.below(5 * minute), () => {
      if (this.api.objects.get(nodesType, machine.name) !== undefined) this.api.objects.remove(nodesType, machine.name);
    });
    this.clock.after(5 * minute + this.random.below(20 * minute), () => this.addMachine(machine.name));
  }

  /** By mistake: the kubelet registers it again. */
  deleteNode(machine: Machine): void {
    if (this.api.objects.get(nodesType, machine.name) === undefined) return;
    this.note(`Node ${machine.name} deleted`);
    this.api.objects.remove(nodesType, machine.name);
    this.clock.after(this.random.below(10 * minute), () => {
      if (machine.alive) this.register(machine);
    });
  }

  changePools(): void {
    const { random } = this;
    this.note('pools change');
    const choice = random.below(5);
    if (choice === 0) this.pools.set('over', pool('over', { cidr: '10.61.0.0/24', blockSize: 30 }));
    else if (choice === 1) this.pools.set('wide', pool('wide', { cidr: '10.60.0.0/14', blockSize: 28 }));
    else if (choice === 2) this.pools.delete(random.pick(['over', 'wide']));
    else if (choice === 3)
      this.pools.set('main', pool('main', { cidr: '10.61.0.0/23', blockSize: random.pick([27, 28, 29]) }));
    else this.pools.set('main', pool('main', { cidr: '10.61.0.0/23', blockSize: 28, disabled: random.unit() < 0.3 }));
    for (const machine of this.machines.values()) machine.agent?.look();
  }

  misfortune(): void {
    const { random } = this;
    const machine = random.pick([...this.machines.values()]);
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2:
        return this.kill(machine, random.below(minute));
      case 3:
      case 4:
        machine.agent?.pause(random.below(2 * minute));
        return;
      case 5:
        return this.reboot(machine);
      case 6:
        return this.machines.size > 4 ? this.die(machine) : undefined;
      case 7:
        return machine.agent?.runs === true ? this.deleteNode(machine) : undefined;
      case 8:
        return this.restartCollector();
      case 9:
        if (!this.api.away) {
          this.note('API away');
          this.api.away = true;
          this.clock.after(random.below(2 * minute), () => {
            this.api.away = false;
            for (const it of this.machines.values()) it.agent?.look();
            this.#tellCollector();
          });
        }
        return;
      default:
        return this.changePools();
    }
  }

  async run(until: number): Promise<void> {
    const every = (mean: number, work: () => void): void => {
      const again = (): void => {
        if (!this.troubled) return;
        work();
        this.clock.after(this.random.below(2 * mean), again);
      };
      again();
    };
    every(20_000, () => this.misfortune());
    every(2000, () => {
      const machine = this.random.pick([...this.machines.values()]);
      if (this.random.unit() < 0.52) for (let i = this.random.below(6); i >= 0; i--) machine.agent?.add();
      else for (let i = this.random.below(8); i >= 0; i--) machine.agent?.del();
    });
    await this.clock.runUntil(until, settle);
  }

  async rest(milliseconds: number): Promise<void> {
    this.troubled = false;
    this.api.misfortune = 0;
    await this.clock.runUntil(this.clock.now() + milliseconds, settle);
  }
}

async function simulate(seed: number): Promise<void> {
  const simulation = new Simulation(seed);
  const { api } = simulation;
  simulation.pools.set('main', pool('main', { cidr: '10.61.0.0/23', blockSize: 28 }));
  simulation.pools.set('vip', pool('vip', { cidr: '10.62.0.0/24', assignmentMode: 'Manual' }));
  for (let i = 0; i < 8; i++) simulation.addMachine(`node-${i}`);
  await simulation.run(40 * minute);
  await simulation.rest(60 * minute);
  const why = (text: string): string => `seed ${seed}: ${text}\n${simulation.log.slice(-30).join('\n')}`;
  const alive = [...simulation.machines.values()];
  const blocks = api.objects.all(blocksType).flatMap((it) => liveBlock(it) ?? []);
  for (const block of blocks) {
    const machine = simulation.machines.get(block.node);
    const uid = api.objects.get(nodesType, block.node)?.metadata.uid;
    assert.ok(machine?.alive, why(`${block.cidr} leaked by ${block.node}`));
    assert.equal(block.nodeUID, uid, why(`${block.cidr} is of an earlier ${block.node}`));
    assert.equal(block.state, 'Claimed', why(`${block.cidr} of ${block.node} is ${block.state}`));
    for (const other of blocks)
      assert.ok(other === block || !overlaps(other.cidr, block.cidr), why(`${block.cidr} overlaps ${other.cidr}`));
  }
  for (const machine of alive) {
    const own = blocks.filter((it) => it.node === machine.name);
    for (const address of machine.held.keys())
      assert.ok(
        own.some((it) => contains(it.cidr, address)),
        why(`${address} of ${machine.name} lies in none of its blocks`),
      );
    const main = simulation.pools.get('main');
    if (main === undefined || ('spec' in main && Reflect.get(main.spec ?? {}, 'disabled') === true)) continue;
    const has = own.some((it) => contains('10.60.0.0/14' as Prefix, it.cidr));
    assert.ok(has || machine.agent?.problems !== '', why(`${machine.name} has no block and no word why`));
  }
  api.writes = 0;
  api.reads = 0;
  const wanting = alive.filter((it) => it.agent?.problems !== '').length;
  await simulation.rest(30 * minute);
  assert.equal(api.writes, 0, why('writes at rest'));
  if (wanting === 0) assert.equal(api.reads, 0, why('reads at rest'));
}

const given = process.env['FLATROUTE_SEED'];
const seed = given === undefined ? Date.now() % 1_000_000 : Number(given);

test(`no two nodes use overlapping blocks, and nothing is left over at rest (FLATROUTE_SEED=${seed})`, async () => {
  await simulate(seed);
});
