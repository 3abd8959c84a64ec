// Plays what 5,000 nodes go through and prints who wrote when, as JSON. A process of its own: the test runner's hooks on
// promises take longer than the simulation.
import { type Story, StatusWorld } from './status-world.ts';

const [, , nodes, seed] = process.argv;
const world = new StatusWorld({ nodes: Number(nodes), nodesOfRack: 40, seed: Number(seed) });
const minutes = (n: number): number => n * 60_000;
const told: Story[] = [];

async function play(name: string, run: () => Promise<void>): Promise<void> {
  const from = world.clock.now();
  await run();
  told.push({ name, minutes: (world.clock.now() - from) / 60_000, ...world.since(from) });
}

await play('all agents and the controller begin', async () => {
  world.facts();
  await world.runUntil(minutes(30));
});

await play('an hour of facts that change nothing', async () => {
  for (const time of [30, 60]) {
    world.facts();
    await world.runUntil(minutes(30 + time));
  }
});

await play('one router flaps for ten minutes', async () => {
  const from = world.clock.now();
  for (let time = 0; time < 600; time += 10) {
    for (const node of world.rack(3)) world.session(node, 0, time % 20 !== 0);
    await world.runUntil(from + time * 1000);
  }
  await world.runUntil(from + minutes(30));
});

await play('both routers of all racks reload', async () => {
  const from = world.clock.now();
  for (const up of [false, true]) {
    for (let rack = 0; rack < world.racks; rack++)
      for (const node of world.rack(rack)) for (const side of [0, 1] as const) world.session(node, side, up);
    await world.runUntil(from + minutes(up ? 30 : 2));
  }
});

console.log(JSON.stringify({ told, atTheEnd: world.established(3) }));
