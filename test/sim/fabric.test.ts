/**
 * More than fifty speakers in one process and in virtual time. Links are cut, lose, are slow; agents crash, machines lose power;
 * announcements come and go. When everything is whole again and at rest, every kernel must hold what a breadth-first search
 * over the fabric says, and nothing else. FLATROUTE_SEED chooses the run; it is printed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Prefix } from '#lib/ip.ts';
import { seededRandom } from '../support/random.ts';
import { expectedTables } from './expected.ts';
import { Fabric, type Host } from './fabric.ts';

const firstSeed = Number(process.env['FLATROUTE_SEED'] ?? Date.now() % 1_000_000);
const runs = Number(process.env['FLATROUTE_SIM_RUNS'] ?? 2);
const size = { spines: 4, racks: 4, nodesPerRack: 10 };

/** Longer than any timer that keeps what is stale: hold, restart, stale time, idle hold. */
const restMilliseconds = 900_000;

function assertAtRest(fabric: Fabric, what: string): void {
  const wrong: string[] = [];
  for (const [host, table] of expectedTables(fabric)) {
    const kernel = new Map([...host.kernel].map(([prefix, { hops }]) => [prefix, hops.toSorted()]));
    for (const prefix of new Set([...table.keys(), ...kernel.keys()])) {
      const [wanted, has] = [table.get(prefix)?.join(' '), kernel.get(prefix)?.join(' ')];
      if (wanted !== has)
        wrong.push(`${host.name} ${prefix}: should be ${wanted ?? 'nothing'}, is ${has ?? 'nothing'}`);
    }
    const { rows } = host.speaker?.routes({ direction: 'received', limit: 100_000 }) ?? { rows: [] };
    for (const row of rows) if (row.stale) wrong.push(`${host.name} ${row.prefix} from ${row.peer} is stale`);
    for (const peer of host.facts?.peers ?? [])
      if (peer.state !== 'Established')
        wrong.push(`${host.name}: ${peer.name} is ${peer.state}, ${peer.lastError?.text}`);
  }
  assert.deepEqual(wrong.slice(0, 20), [], `${what}: ${wrong.length} differences`);
}

/** One misfortune, and how it ends by itself. */
function misfortune(fabric: Fabric, said: string[]): void {
  const { random, clock } = fabric;
  const link = fabric.links[random.below(fabric.links.length)];
  const host = fabric.hosts[random.below(fabric.hosts.length)];
  if (link === undefined || host === undefined) return;
  const name = link.hosts.map((end) => end.name).join('-');
  const lasts = random.below(2) === 0 ? random.below(3000) : random.below(200_000);
  const tell = (text: string): void => void said.push(`${Math.round(clock.now())} ${text} for ${lasts} ms`);
  switch (random.below(8)) {
    case 0:
    case 1:
      tell(`${name} is cut`);
      link.link.cut = true;
      return void fabric.clock.after(lasts, () => link.link.mend());
    case 2:
      tell(`${name} loses every third message`);
      link.link.loss = 0.3;
      return void fabric.clock.after(lasts, () => (link.link.loss = 0));
    case 3:
      tell(`${name} is slow`);
      link.link.delay = 1 + random.below(3000);
      return void fabric.clock.after(lasts, () => (link.link.delay = 1));
    case 4:
      tell(`${name} has no carrier`);
      return carrier(fabric, link, lasts);
    case 5:
    case 6:
      return die(fabric, host, random.below(3) === 0 ? 'power' : 'crash', lasts, tell);
    default:
      return change(fabric, host, said);
  }
}

function carrier(fabric: Fabric, { link, ends, hosts }: Fabric['links'][number], lasts: number): void {
  const set = (up: boolean): void => {
    for (const [i, end] of ends.entries()) {
      end.carrier = up;
      hosts[i]?.see();
    }
  };
  link.cut = true;
  set(false);
  fabric.clock.after(lasts, () => {
    link.mend();
    set(true);
  });
}

function die(fabric: Fabric, host: Host, how: 'crash' | 'power', lasts: number, tell: (text: string) => void): void {
  if (!host.alive) return;
  tell(`${host.name}: ${how}`);
  host.die(how);
  fabric.clock.after(lasts, () => host.boot(how === 'crash'));
}

/** A node announces more or less: something of its own, or what others announce as well. */
function change(fabric: Fabric, host: Host, said: string[]): void {
  if (host.role !== 'node') return;
  const { random, clock } = fabric;
  const which = random.below(4);
  const prefix = (which === 3 ? `198.51.100.${host.name.length}/32` : `198.51.101.${which}/32`) as Prefix;
  if (!host.announced.delete(prefix)) host.announced.add(prefix);
  said.push(
    `${Math.round(clock.now())} ${host.name} ${host.announced.has(prefix) ? 'announces' : 'withdraws'} ${prefix}`,
  );
  host.apply();
}

describe(`a fabric of 52 speakers, seeds from ${firstSeed}`, { concurrency: false }, () => {
  for (let run = 0; run < runs; run++) {
    const seed = firstSeed + run;
    test(`seed ${seed}: at rest every kernel holds what the shortest ways are`, { timeout: 600_000 }, async (t) => {
      const fabric = new Fabric(size, seededRandom(seed));
      assert.ok(fabric.hosts.length >= 50);
      for (const host of fabric.hosts) host.boot(false);
      await fabric.advance(60_000);
      assertAtRest(fabric, 'after the first start');
      const said: string[] = [];
      for (let i = 0; i < 80; i++) {
        misfortune(fabric, said);
        await fabric.advance(fabric.random.below(6000));
      }
      await fabric.advance(restMilliseconds);
      const sent = fabric.hosts.reduce(
        (sum, { facts }) => sum + (facts?.peers ?? []).reduce((n, p) => n + p.messages.sent, 0),
        0,
      );
      t.diagnostic(
        `${said.length} misfortunes in ${Math.round(fabric.clock.now() / 1000)} virtual seconds, ${sent} messages in the last sessions`,
      );
      assertAtRest(fabric, `seed ${seed}\n${said.join('\n')}\n`);
    });
  }

  test('the check sees a single missing next hop', async () => {
    const fabric = new Fabric({ spines: 2, racks: 2, nodesPerRack: 1 }, seededRandom(1));
    for (const host of fabric.hosts) host.boot(false);
    await fabric.advance(60_000);
    assertAtRest(fabric, 'small');
    const [first] = fabric.hosts;
    const [prefix, row] = [...(first?.kernel ?? [])][0] ?? [];
    assert.ok(prefix !== undefined && row !== undefined);
    row.hops = row.hops.slice(1);
    assert.throws(() => assertAtRest(fabric, 'small'), /1 differences/);
  });
});
