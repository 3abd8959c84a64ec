// The allocator against a model that only remembers: never twice, never lost, whatever the order of events.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Allocator } from '#ipam/allocator.ts';
import type { IpamIntent } from '#ipam/intent.ts';
import { contains, type IpAddress, type Prefix, parsePrefix } from '#lib/ip.ts';

const prefix = (text: string): Prefix => parsePrefix(text) ?? assert.fail(text);
const blocks = ['10.0.0.0/29', '10.0.0.8/30', '10.0.1.0/31', '10.0.2.5/32', '2001:db8::/125', '2001:db8:1::/126'].map(
  prefix,
);
const reservations = ['10.0.0.2/32', '10.0.0.4/30', '2001:db8::4/126'].map(prefix);

const intents = fc.record({
  chosen: fc.subarray(blocks),
  reserved: fc.subarray(reservations),
  manual: fc.boolean(),
  disabled: fc.boolean(),
});
const steps = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('take' as const), manual: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('fence' as const), at: fc.nat(40) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('free' as const), at: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('apply' as const), intent: intents }) },
);

function toIntent({
  chosen,
  reserved,
  manual,
  disabled,
}: {
  chosen: Prefix[];
  reserved: Prefix[];
  manual: boolean;
  disabled: boolean;
}): IpamIntent {
  const half = Math.ceil(chosen.length / 2);
  return {
    pools: [
      { name: 'first', blocks: chosen.slice(0, half), assignmentMode: 'Automatic', disabled },
      { name: 'second', blocks: chosen.slice(half), assignmentMode: manual ? 'Manual' : 'Automatic', disabled: false },
    ],
    reserved,
  };
}

test('an address is never given twice, never outside the blocks, never reserved; what is free can be had', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      intents,
      fc.array(steps, { maxLength: 80 }),
      (random, first, sequence) => {
        const allocator = new Allocator(() => random);
        let current = toIntent(first);
        allocator.apply(current);
        const out = new Map<IpAddress, 'used' | 'fenced'>();
        for (const step of sequence) {
          if (step.kind === 'apply') {
            current = toIntent(step.intent);
            allocator.apply(current);
          } else if (step.kind === 'take') {
            const names = step.manual ? ['second'] : undefined;
            const taken = allocator.assign({ pools: names, addresses: [] });
            const eligible = current.pools.filter((pool) =>
              names === undefined ? !pool.disabled && pool.assignmentMode === 'Automatic' : names.includes(pool.name),
            );
            if (taken.ok) {
              assert.ok(taken.value.length > 0);
              for (const address of taken.value) {
                assert.ok(!out.has(address), `${address} twice`);
                assert.ok(
                  eligible.some((pool) => pool.blocks.some((block) => contains(block, address))),
                  `${address} of no block`,
                );
                assert.ok(!current.reserved.some((reserved) => contains(reserved, address)), `${address} is reserved`);
                out.set(address, 'used');
              }
            } else if (taken.error.kind === 'full') {
              const { family, fenced } = taken.error;
              const facts = allocator
                .facts()
                .filter(
                  (fact) =>
                    eligible.some((pool) => pool.name === fact.pool) &&
                    (fact.cidr.includes(':') ? 'ipv6' : 'ipv4') === family,
                );
              for (const fact of facts)
                assert.equal(fact.used + fact.fenced, fact.capacity, `${fact.cidr} is not full`);
              assert.equal(
                fenced,
                facts.reduce((sum, fact) => sum + fact.fenced, 0),
              );
            }
          } else {
            const address = [...out.keys()][step.at % Math.max(out.size, 1)];
            if (address === undefined) continue;
            if (step.kind === 'fence') {
              allocator.fence(address);
              out.set(address, 'fenced');
            } else {
              allocator.free(address);
              out.delete(address);
            }
          }
          for (const [address] of out) assert.ok(allocator.isTaken(address));
          const known = [...out].filter(([address]) =>
            current.pools.some((pool) => pool.blocks.some((block) => contains(block, address))),
          );
          const counted = allocator.facts().reduce((sum, fact) => sum + fact.used + fact.fenced, 0);
          assert.ok(counted <= known.length, 'facts count more than is out');
        }
        // Nothing is lost: with all given back, every block gives its whole capacity again.
        for (const address of out.keys()) allocator.free(address);
        const all = {
          ...current,
          pools: current.pools.map((pool) => ({ ...pool, assignmentMode: 'Automatic' as const, disabled: false })),
        };
        allocator.apply(all);
        const single = new Map<string, number>();
        for (const family of [':', '.']) {
          const only = {
            ...all,
            pools: all.pools.map((pool) => ({
              ...pool,
              blocks: pool.blocks.filter((block) => block.includes(family) && (family === ':' || !block.includes(':'))),
            })),
          };
          allocator.apply(only);
          for (;;) {
            const taken = allocator.assign({ pools: undefined, addresses: [] });
            if (!taken.ok) break;
            for (const address of taken.value) single.set(address, (single.get(address) ?? 0) + 1);
          }
          const capacity = allocator.facts().reduce((sum, fact) => sum + fact.capacity, 0);
          const given = [...single.keys()].filter((address) => address.includes(family));
          assert.equal(given.length, capacity);
          for (const address of given) allocator.free(address as IpAddress);
        }
        for (const times of single.values()) assert.equal(times, 1);
      },
    ),
    { numRuns: 300 },
  );
});
