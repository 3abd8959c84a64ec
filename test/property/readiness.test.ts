// Nodes boot, lose their sessions and get them back at random, controllers come and go: what must hold at every moment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decideReadiness,
  hasRebooted,
  type SeenNode,
  type SeenReport,
  type Since,
  unreadyLimit,
} from '#controller/readiness.ts';
import { isFit, routingVerdict } from '#intent/readiness.ts';
import { after, type Instant, instant, milliseconds, seconds } from '#lib/time.ts';
import { type Random, seededRandom } from '../support/random.ts';

const seed = Number(process.env['FLATROUTE_SEED'] ?? 7);
const RUNS = 40;
const STEPS = 100;

interface World {
  readonly nodes: Map<string, SeenNode>;
  readonly reports: Map<string, SeenReport>;
  /** Nodes that were ready once, and that BGPPeers have selected since. */
  readonly settled: Set<string>;
}

function happens({ nodes, reports }: World, random: Random, fabricUp: boolean): void {
  const name = `node-${random.below(20)}`;
  const node = nodes.get(name);
  const report = reports.get(name);
  const session = (): number => (fabricUp ? 1 + random.below(2) : 0);
  switch (random.below(8)) {
    case 0:
      if (node === undefined)
        nodes.set(name, { tainted: random.below(2) === 0, bootID: 'boot-0', silent: false, network: undefined });
      break;
    case 1:
      if (node !== undefined && random.below(10) === 0) {
        nodes.delete(name);
        reports.delete(name);
      }
      break;
    case 2:
      if (node !== undefined && random.below(3) === 0)
        nodes.set(name, { ...node, bootID: `boot-${Number(node.bootID.slice(5)) + 1}` });
      break;
    case 3:
      if (report !== undefined) reports.set(name, { ...report, peers: random.below(8) === 0 ? 0 : 2 });
      break;
    default:
      // Its agent reports.
      if (node !== undefined)
        reports.set(name, {
          peers: report?.peers ?? 2,
          established: session(),
          unannounced: random.below(5) === 0 ? 1 : 0,
          bootID: node.bootID,
        });
  }
}

test('taints are what is allowed, wanted and at rest, whatever happens', () => {
  for (let run = 0; run < RUNS; run++) {
    const random = seededRandom(seed * 1000 + run);
    const world: World = { nodes: new Map(), reports: new Map(), settled: new Set() };
    const minSessions = 1 + random.below(2);
    const delay = seconds(random.below(2) * 5);
    const maxUnready = random.below(2) === 0 ? { percent: random.below(50) } : { count: random.below(4) };
    const settings = () => ({ minSessions, delay });
    let since: ReadonlyMap<string, Since> = new Map();
    let now: Instant = instant(0);
    let fabricUp = true;
    for (let step = 0; step < STEPS; step++) {
      const where = `seed ${seed}, run ${run}, step ${step}`;
      if (random.below(12) === 0) fabricUp = !fabricUp;
      if (!fabricUp && random.below(3) === 0)
        for (const [name, report] of world.reports) world.reports.set(name, { ...report, established: 0 });
      for (let i = random.below(4); i >= 0; i--) happens(world, random, fabricUp);
      now = after(now, milliseconds(random.below(4000)));
      // Another controller knows nothing but what stands in the API.
      if (random.below(20) === 0) since = new Map();
      const input = { ...world, away: new Set<string>(), settings, maxUnready, since, now };
      const decision = decideReadiness(input);
      ({ since } = decision);

      const limit = unreadyLimit(maxUnready, [...world.nodes.keys()].filter((it) => world.reports.has(it)).length);
      assert.equal(decision.limit, limit, where);
      let lost = 0;
      let leaving = 0;
      for (const [name, node] of world.nodes) {
        const report = world.reports.get(name);
        const decided = decision.nodes.get(name);
        const what = `${where}, ${name}`;
        if (report === undefined) {
          assert.equal(decided, undefined, what);
          continue;
        }
        assert.ok(decided !== undefined, what);
        const rebooted = hasRebooted(node, report);
        const verdict = routingVerdict(report, minSessions);
        const fit = !rebooted && isFit(verdict);
        const added = decided.tainted && !node.tainted;
        if (fit) assert.ok(!added, `${what} is fit and gets the taint`);
        if (fit && (delay === 0 || verdict === 'NoPeers'))
          assert.ok(!decided.tainted, `${what} is fit and has the taint`);
        if (added) assert.ok(world.settled.has(name), `${what} was never ready and gets the taint`);
        if (added) assert.ok(limit > 0, `${what} gets a taint that nobody wants`);
        if (rebooted && world.settled.has(name) && limit > 0) assert.ok(decided.tainted, `${what} booted`);
        if (decided.network !== undefined)
          assert.equal(decided.network.unavailable, decided.tainted, `${what}: taint and condition differ`);
        if (decided.tainted && decided.network?.reason === 'RoutingLost') lost++;
        else if (fit && node.tainted && node.network !== undefined) leaving++;
        if (!node.tainted && !decided.tainted && !fit && world.settled.has(name) && limit > 0)
          assert.ok(decision.beyond.includes(name), `${what} is unready and nothing is said`);
      }
      assert.ok(lost <= limit, `${where}: ${lost} tainted of ${limit}`);
      if (decision.beyond.length > 0) assert.ok(lost + leaving >= limit, `${where}: room is left`);

      // Written, some of it later or never: the next decision goes on from there.
      const halfway = random.below(4) === 0;
      for (const [name, decided] of decision.nodes) {
        const node = world.nodes.get(name);
        if (node === undefined || (halfway && random.below(2) === 0)) continue;
        const network = decided.network ?? node.network;
        world.nodes.set(name, { ...node, tainted: decided.tainted, network });
        if (network?.reason === 'RoutingReady') world.settled.add(name);
        if (network?.reason === 'NoPeers') world.settled.delete(name);
      }
      for (const name of world.settled) if (!world.nodes.has(name)) world.settled.delete(name);
      if (halfway || leaving > 0) continue;
      const again = decideReadiness({ ...input, since });
      for (const [name, decided] of again.nodes) {
        const node = world.nodes.get(name);
        assert.equal(decided.tainted, node?.tainted, `${where}, ${name}: a decision that was written is not at rest`);
        if (decided.network !== undefined)
          assert.equal(decided.network.reason, node?.network?.reason, `${where}, ${name}: reason`);
      }
    }
  }
});
