// What is planned from what is known: claims before the node is full, releases when there is enough, and why nothing is left.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capacityOf, candidate, Ground } from '#ipam/claims/ground.ts';
import { areaOf } from '#resources/ip-block.ts';
import type { ClaimIntent, ClaimPool, OwnBlock } from '#ipam/claims/intent.ts';
import { plan, type PlanInput } from '#ipam/claims/plan.ts';
import type { BlockFacts } from '#ipam/intent.ts';
import { contains, type IpAddress, type Prefix } from '#lib/ip.ts';
import { instant } from '#lib/time.ts';
import { blockName } from '#resources/ip-block.ts';

const pool = (name: string, cidr: string, changes: Partial<ClaimPool> = {}): ClaimPool => ({
  name,
  cidr: cidr as Prefix,
  blockSize: 26,
  use: 'everyPod',
  ...changes,
});
const main = pool('main', '10.60.0.0/16');
const vip = pool('vip', '10.62.0.0/24', { use: 'named' });
const block = (cidr: string, changes: Partial<OwnBlock> = {}): OwnBlock => ({
  name: blockName(cidr as Prefix),
  cidr: cidr as Prefix,
  state: 'Claimed',
  nodeUID: 'u1',
  machineID: 'm1',
  ...changes,
});
const facts = (cidr: string, used: number): BlockFacts => ({
  pool: 'main',
  cidr: cidr as Prefix,
  capacity: 62,
  used,
  fenced: 0,
});

interface Given {
  readonly intent?: Partial<ClaimIntent>;
  readonly pods?: Partial<PlanInput['pods']>;
  readonly rest?: Partial<PlanInput>;
}

function planned({ intent, pods, rest }: Given): { readonly steps: string[]; readonly problems: string[] } {
  const { steps, problems } = plan({
    nodeName: 'node-1',
    intent: { nodeUID: 'u1', machineID: 'm1', pools: [main], reserved: [], blocks: [], ...intent },
    pods: {
      blocks: [],
      outsideBlocks: [],
      fencedOutsideBlocks: [],
      demand: { choices: [], addresses: [] },
      ...pods,
    },
    withdrawn: new Set(),
    emptySince: new Map(),
    growth: [],
    ground: new Ground([]),
    now: instant(1_000_000),
    ...rest,
  });
  return {
    steps: steps.map((it) => `${it.kind} ${it.kind === 'claim' ? it.pool : it.block.cidr}`),
    problems: problems.map((it) => it.kind),
  };
}

const a = '10.60.1.0/26';
const b = '10.60.2.0/26';

test('a node claims its first block before a pod comes, and the next one before it is full', () => {
  assert.deepEqual(planned({}).steps, ['claim main']);
  const own = { blocks: [block(a)] };
  assert.deepEqual(planned({ intent: own, pods: { blocks: [facts(a, 40)] } }).steps, []);
  assert.deepEqual(planned({ intent: own, pods: { blocks: [facts(a, 47)] } }).steps, ['claim main']);
  const growth = [{ pool: 'main', family: 'ipv4', perHour: 600 } as const];
  assert.deepEqual(planned({ intent: own, pods: { blocks: [facts(a, 20)] }, rest: { growth } }).steps, ['claim main']);
});

test('an empty block goes back after ten minutes when enough is left without it, and the last one stays', () => {
  const emptySince = (cidr: string, at: number) => new Map([[cidr as Prefix, instant(at)]]);
  const two = { blocks: [block(a), block(b)] };
  const pods = { blocks: [facts(a, 5), facts(b, 0)] };
  assert.deepEqual(planned({ intent: two, pods, rest: { emptySince: emptySince(b, 0) } }).steps, [`release ${b}`]);
  assert.deepEqual(planned({ intent: two, pods, rest: { emptySince: emptySince(b, 900_000) } }).steps, []);
  const full = { blocks: [facts(a, 40), facts(b, 0)] };
  assert.deepEqual(planned({ intent: two, pods: full, rest: { emptySince: emptySince(b, 0) } }).steps, []);
  const one = { intent: { blocks: [block(a)] }, pods: { blocks: [facts(a, 0)] } };
  assert.deepEqual(planned({ ...one, rest: { emptySince: emptySince(a, 0) } }).steps, []);
  const byHand = { blocks: [block(a), block(b, { nodeUID: undefined })] };
  assert.deepEqual(planned({ intent: byHand, pods, rest: { emptySince: emptySince(b, 0) } }).steps, []);
});

test('a block of a pool that the node may not use any more goes back when its pods are gone', () => {
  const stray = '10.99.0.0/26';
  const intent = { blocks: [block(a), block(stray)] };
  const emptySince = new Map([[stray as Prefix, instant(0)]]);
  const pods = { blocks: [facts(a, 5), facts(stray, 0)] };
  assert.deepEqual(planned({ intent, pods, rest: { emptySince } }).steps, [`release ${stray}`]);
  const held = { blocks: [facts(a, 5), facts(stray, 1)] };
  assert.deepEqual(planned({ intent, pods: held, rest: { emptySince } }).steps, []);
});

test('a block on its way back is deleted when it is withdrawn, and kept when pods have it or it is needed', () => {
  const going = block(b, { state: 'Releasing' });
  const intent = { blocks: [block(a), going] };
  const idle = { blocks: [facts(a, 5), facts(b, 0)] };
  assert.deepEqual(planned({ intent, pods: idle }).steps, []);
  assert.deepEqual(planned({ intent, pods: idle, rest: { withdrawn: new Set([b as Prefix]) } }).steps, [`remove ${b}`]);
  assert.deepEqual(planned({ intent, pods: { blocks: [facts(a, 5), facts(b, 1)] } }).steps, [`keep ${b}`]);
  assert.deepEqual(planned({ intent: { blocks: [going] }, pods: { blocks: [facts(b, 0)] } }).steps, [`keep ${b}`]);
  // Somebody deleted the Node: what pods have is kept, and nothing else is done.
  const gone = { nodeUID: undefined, machineID: undefined, blocks: [going] };
  const used = { blocks: [facts(b, 1)] };
  assert.deepEqual(planned({ intent: gone, pods: used }), { steps: [`keep ${b}`], problems: ['noNode'] });
});

test('what an earlier Node of this machine had is adopted, another machine’s is left alone', () => {
  const earlier = block(a, { nodeUID: 'u0' });
  assert.deepEqual(planned({ intent: { blocks: [earlier] } }).steps, [`adopt ${a}`, 'claim main']);
  const foreign = block(a, { nodeUID: 'u0', machineID: 'm0' });
  assert.deepEqual(planned({ intent: { blocks: [foreign] } }).steps, ['claim main']);
});

test('a fixed address is claimed when a pod asks for it, unless another node has it', () => {
  const asked = { choices: [], addresses: ['10.62.0.7' as IpAddress] };
  const intent = { pools: [vip] };
  assert.deepEqual(planned({ intent, pods: { demand: asked } }).steps, ['claim vip']);
  const ground = new Ground(['10.62.0.0/28' as Prefix]);
  assert.deepEqual(planned({ intent, pods: { demand: asked }, rest: { ground } }), { steps: [], problems: ['taken'] });
});

test('a pool that is full, or reserved as a whole, is told of', () => {
  const small = pool('main', '10.60.0.0/25');
  const ground = new Ground(['10.60.0.0/27', '10.60.0.64/26'] as Prefix[]);
  assert.deepEqual(planned({ intent: { pools: [small] }, rest: { ground } }), { steps: [], problems: ['exhausted'] });
  const reserved = ['10.60.0.0/16' as Prefix];
  assert.deepEqual(planned({ intent: { reserved } }), { steps: [], problems: ['exhausted'] });
});

test('candidates come once each, and none that overlaps or is reserved', () => {
  const small = { cidr: '10.60.0.0/22' as Prefix, blockSize: 26 };
  const reserved = ['10.60.1.0/24'] as Prefix[];
  let ground = new Ground(['10.60.2.0/28', '10.60.3.0/25'] as Prefix[]);
  const found: Prefix[] = [];
  for (;;) {
    const next = candidate('node-1', small, ground, reserved);
    if (next === undefined) break;
    found.push(next);
    ground = ground.with([next]);
  }
  assert.deepEqual([...found].sort(), [
    '10.60.0.0/26',
    '10.60.0.128/26',
    '10.60.0.192/26',
    '10.60.0.64/26',
    '10.60.2.128/26',
    '10.60.2.192/26',
    '10.60.2.64/26',
    '10.60.3.128/26',
    '10.60.3.192/26',
  ]);
  const inOrder = (() => {
    const pool = { cidr: '10.60.0.0/16' as Prefix, blockSize: 26 };
    const all: Prefix[] = [];
    for (let at = new Ground([]); all.length < 1024; at = at.with(all.slice(-1))) {
      const next = candidate('node-1', pool, at, []);
      assert.ok(next !== undefined);
      all.push(next);
    }
    return all;
  })();
  assert.equal(new Set(inOrder).size, 1024);
  // Ranges of 64 blocks, one after the other: those of one area.
  const areas = inOrder.map(areaOf);
  assert.equal(areas.filter((it, at) => it !== areas[at - 1]).length, 16);
  const wide = candidate('node-1', { cidr: '2001:db8::/32' as Prefix, blockSize: 122 }, new Ground([]), []);
  assert.ok(wide !== undefined && contains('2001:db8::/32' as Prefix, wide) && capacityOf(wide, []) === 63);
});
