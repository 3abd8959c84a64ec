import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Allocator, type AddressFailure } from '#ipam/allocator.ts';
import type { IpamIntent, PoolIntent } from '#ipam/intent.ts';
import { type IpAddress, parseAddress, parsePrefix } from '#lib/ip.ts';

const address = (text: string): IpAddress => parseAddress(text) ?? assert.fail(text);
const pool = (name: string, blocks: readonly string[], more: Partial<PoolIntent> = {}): PoolIntent => ({
  name,
  blocks: blocks.map((text) => parsePrefix(text) ?? assert.fail(text)),
  assignmentMode: 'Automatic',
  disabled: false,
  ...more,
});
const intent = (pools: readonly PoolIntent[], reserved: readonly string[] = []): IpamIntent => ({
  pools,
  reserved: reserved.map((text) => parsePrefix(text) ?? assert.fail(text)),
});
const anything = { pools: undefined, addresses: [] };

function allocator(of: IpamIntent, random = 0): Allocator {
  const made = new Allocator(() => random);
  made.apply(of);
  return made;
}
function take(from: Allocator, wish: Parameters<Allocator['assign']>[0] = anything): readonly IpAddress[] {
  const taken = from.assign(wish);
  return taken.ok ? taken.value : assert.fail(JSON.stringify(taken.error));
}
function refusal(from: Allocator, wish: Parameters<Allocator['assign']>[0] = anything): AddressFailure {
  const taken = from.assign(wish);
  return taken.ok ? assert.fail(`gave ${taken.value.join()}`) : taken.error;
}
function drain(from: Allocator): string[] {
  const all: string[] = [];
  for (;;) {
    const taken = from.assign(anything);
    if (!taken.ok) return all;
    all.push(...taken.value);
  }
}

describe('which addresses a block gives', () => {
  const rows: readonly {
    readonly name: string;
    readonly block: string;
    readonly reserved?: readonly string[];
    readonly gives: readonly string[];
  }[] = [
    {
      name: 'an IPv4 block without network and broadcast',
      block: '10.0.0.0/29',
      gives: ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'],
    },
    { name: 'a /31 whole', block: '10.0.0.2/31', gives: ['10.0.0.2', '10.0.0.3'] },
    { name: 'a /32', block: '10.0.0.2/32', gives: ['10.0.0.2'] },
    {
      name: 'an IPv6 block without its anycast address',
      block: '2001:db8::/126',
      gives: ['2001:db8::1', '2001:db8::2', '2001:db8::3'],
    },
    { name: 'a /128', block: '2001:db8::/128', gives: ['2001:db8::'] },
    {
      name: 'nothing of what is reserved',
      block: '10.0.0.0/29',
      reserved: ['10.0.0.2/31', '10.0.0.5/32', '10.0.0.4/31'],
      gives: ['10.0.0.1', '10.0.0.6'],
    },
    { name: 'nothing when all of it is reserved', block: '10.0.0.0/29', reserved: ['10.0.0.0/8'], gives: [] },
    {
      name: 'a block with a half reserved, whatever its size',
      block: '2001:db8::/125',
      reserved: ['2001:db8::/126'],
      gives: ['2001:db8::4', '2001:db8::5', '2001:db8::6', '2001:db8::7'],
    },
  ];
  for (const { name, block, reserved, gives } of rows) {
    test(name, () => {
      const one = allocator(intent([pool('p', [block])], reserved));
      assert.equal(one.facts()[0]?.capacity, gives.length);
      assert.deepEqual(drain(one), gives);
      if (gives.length > 0) assert.equal(refusal(one).kind, 'full');
    });
  }

  test('a /64 with its upper half reserved gives at once', () => {
    const one = allocator(intent([pool('p', ['2001:db8::/64'])], ['2001:db8::8000:0:0:0/65']), 0.9);
    assert.equal(take(one).length, 1);
  });
});

test('the walk begins at a random place and goes once around', () => {
  const one = allocator(intent([pool('p', ['10.0.0.0/29'])]), 0.5);
  assert.deepEqual(drain(one), ['10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.1', '10.0.0.2', '10.0.0.3']);
});

test('the oldest free address comes first, the one that was just released last', () => {
  const one = allocator(intent([pool('p', ['10.0.0.0/29'])]));
  const [first, second] = [take(one)[0], take(one)[0]];
  one.free(second ?? address('0.0.0.0'));
  one.free(first ?? address('0.0.0.0'));
  assert.deepEqual(drain(one), ['10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.2', '10.0.0.1']);
});

test('a fenced address is not given, counts as fenced, and is told of when the pool is full', () => {
  const one = allocator(intent([pool('p', ['10.0.0.0/30'])]));
  const all = drain(one).map(address);
  for (const each of all) one.fence(each);
  assert.deepEqual(one.facts(), [{ pool: 'p', cidr: '10.0.0.0/30', capacity: 2, used: 0, fenced: 2 }]);
  assert.deepEqual(refusal(one), {
    kind: 'full',
    family: 'ipv4',
    pools: ['p'],
    capacity: 2,
    fenced: 2,
    claimable: false,
  });
  one.free(address('10.0.0.1'));
  assert.deepEqual(take(one), ['10.0.0.1']);
});

test('both families come together or not at all', () => {
  const one = allocator(intent([pool('a', ['10.0.0.0/24']), pool('b', ['2001:db8::/127'])]));
  assert.deepEqual(take(one), ['10.0.0.1', '2001:db8::']);
  assert.deepEqual(take(one), ['10.0.0.2', '2001:db8::1']);
  const failed = refusal(one);
  assert.equal(failed.kind === 'full' && failed.family, 'ipv6');
  assert.equal(one.facts()[0]?.used, 2);
});

test('pools are used in their order, further blocks when the first is full', () => {
  const one = allocator(intent([pool('a', ['10.0.0.0/31', '10.0.1.0/31']), pool('b', ['10.0.2.0/31'])]));
  assert.deepEqual(drain(one), ['10.0.0.0', '10.0.0.1', '10.0.1.0', '10.0.1.1', '10.0.2.0', '10.0.2.1']);
});

describe('wishes', () => {
  const pools = [
    pool('auto', ['10.0.0.0/24', '2001:db8::/120']),
    pool('manual', ['10.1.0.7/32', '10.1.1.0/30'], { assignmentMode: 'Manual' }),
    pool('off', ['10.2.0.0/24'], { disabled: true }),
  ];
  test('a pool with manual assignment is used only by those who name it', () => {
    assert.deepEqual(take(allocator(intent(pools))), ['10.0.0.1', '2001:db8::1']);
    assert.deepEqual(take(allocator(intent(pools)), { pools: ['manual'], addresses: [] }), ['10.1.0.7']);
  });
  test('a fixed address, and the other family from the pools', () => {
    assert.deepEqual(take(allocator(intent(pools)), { pools: undefined, addresses: [address('10.1.1.2')] }), [
      '10.1.1.2',
      '2001:db8::1',
    ]);
  });
  const refused: readonly {
    readonly name: string;
    readonly wish: Parameters<Allocator['assign']>[0];
    readonly kind: AddressFailure['kind'];
  }[] = [
    { name: 'a pool that is not there', wish: { pools: ['nope'], addresses: [] }, kind: 'unknownPool' },
    { name: 'a disabled pool', wish: { pools: ['off'], addresses: [] }, kind: 'disabledPool' },
    {
      name: 'a fixed address of an automatic pool',
      wish: { pools: undefined, addresses: [address('10.0.0.9')] },
      kind: 'automaticPool',
    },
    {
      name: 'a fixed address of no block',
      wish: { pools: undefined, addresses: [address('192.0.2.1')] },
      kind: 'noBlock',
    },
    {
      name: "a fixed address that is a block's network address",
      wish: { pools: undefined, addresses: [address('10.1.1.0')] },
      kind: 'reserved',
    },
  ];
  for (const { name, wish, kind } of refused) {
    test(`refused: ${name}`, () => assert.equal(refusal(allocator(intent(pools)), wish).kind, kind));
  }
  test('refused: a fixed address that is taken; one that is fenced says so', () => {
    const one = allocator(intent(pools));
    const wish = { pools: undefined, addresses: [address('10.1.0.7')] };
    take(one, wish);
    assert.deepEqual(refusal(one, wish), { kind: 'taken', address: '10.1.0.7', fenced: false });
    one.fence(address('10.1.0.7'));
    assert.deepEqual(refusal(one, wish), { kind: 'taken', address: '10.1.0.7', fenced: true });
  });
  test('no pool at all is a failure of its own, and not servable', () => {
    const one = allocator(intent([]));
    assert.equal(refusal(one).kind, 'noPool');
    assert.equal(one.servable, false);
    assert.equal(allocator(intent(pools)).servable, true);
  });
});

test('in a pool of several blocks the oldest released address comes first, whatever its block', () => {
  const one = allocator(intent([pool('p', ['10.0.0.0/31', '10.0.1.0/31'])]));
  for (const text of drain(one).reverse()) one.free(address(text));
  assert.deepEqual(drain(one), ['10.0.1.1', '10.0.1.0', '10.0.0.1', '10.0.0.0']);
});

describe('pools and namespaces', () => {
  const limited = (selector: string, ...names: string[]): Partial<PoolIntent> => ({ namespaces: { selector, names } });
  const pools = [
    pool('all', ['10.0.0.0/24', '2001:db8::/120']),
    pool('shop', ['10.1.0.0/31'], limited("team == 'shop'", 'shop', 'both')),
    pool('more', ['10.2.0.0/24'], limited('has(more)', 'both')),
    pool('vip', ['10.3.0.7/32', '10.3.0.0/30'], { assignmentMode: 'Manual', ...limited('has(vip)', 'shop') }),
  ];
  const known = { ...intent(pools), knownNamespaces: ['shop', 'both', 'other'] };
  const wish = (namespace: string, more: object = {}): Parameters<Allocator['assign']>[0] => ({
    pools: undefined,
    addresses: [],
    namespace,
    ...more,
  });
  const rows: readonly (readonly [string, Parameters<Allocator['assign']>[0], readonly string[] | string])[] = [
    [
      'a namespace that a pool selects gets that family from it, the other from the rest',
      wish('shop'),
      ['10.1.0.0', '2001:db8::1'],
    ],
    ['a namespace that no pool selects gets both from the rest', wish('other'), ['10.0.0.1', '2001:db8::1']],
    ['outside Kubernetes there is no namespace to select', wish(''), ['10.0.0.1', '2001:db8::1']],
    ['a namespace whose labels are not known may be anybody', wish('new'), 'unknownNamespace'],
    ['naming a pool for everybody needs no labels', wish('new', { pools: ['all'] }), ['10.0.0.1', '2001:db8::1']],
    ['a pool of other namespaces is not had by naming it', wish('other', { pools: ['shop'] }), 'otherNamespace'],
    ['nor one of its addresses', wish('other', { addresses: [address('10.3.0.7')] }), 'otherNamespace'],
    ['nor without a namespace', wish('', { pools: ['vip'] }), 'otherNamespace'],
    ['who may name it gets it', wish('shop', { addresses: [address('10.3.0.7')] }), ['10.3.0.7', '2001:db8::1']],
    [
      'an unknown namespace gets no address of it',
      wish('new', { addresses: [address('10.3.0.7')] }),
      'unknownNamespace',
    ],
    ['fixed addresses of both families ask for no pool', wish('new', { addresses: [address('10.9.0.1')] }), 'noBlock'],
  ];
  for (const [name, asked, expected] of rows) {
    test(name, () => {
      const outcome = allocator(known).assign(asked);
      assert.deepEqual(outcome.ok ? outcome.value : outcome.error.kind, expected);
    });
  }
  test('full is full: a namespace that has pools of its own does not go on to the others', () => {
    const one = allocator(known);
    for (const expected of ['10.1.0.0', '10.1.0.1']) assert.equal(take(one, wish('shop'))[0], expected);
    assert.deepEqual(refusal(one, wish('shop')), {
      kind: 'full',
      family: 'ipv4',
      pools: ['shop'],
      capacity: 2,
      fenced: 0,
      claimable: false,
    });
    assert.equal(take(one, wish('both'))[0], '10.2.0.1');
  });
  test('single addresses of manual pools are fixed addresses while they are in use', () => {
    const one = allocator(known);
    assert.deepEqual(one.fixedAddresses(), []);
    take(one, wish('shop', { addresses: [address('10.3.0.7'), address('10.3.0.1')] }));
    assert.deepEqual(one.fixedAddresses(), ['10.3.0.7']);
    assert.deepEqual([one.isFixed(address('10.3.0.7')), one.isFixed(address('10.3.0.1'))], [true, false]);
    one.fence(address('10.3.0.7'));
    assert.deepEqual(one.fixedAddresses(), []);
  });
});

test('an address that is reserved while a pod has it stays in its block, and is not given again', () => {
  const one = allocator(intent([pool('p', ['10.0.0.0/30'])]));
  take(one);
  one.apply(intent([pool('p', ['10.0.0.0/30'])], ['10.0.0.1/32']));
  assert.deepEqual(one.outsideBlocks(), []);
  assert.deepEqual(one.facts()[0], { pool: 'p', cidr: '10.0.0.0/30', capacity: 2, used: 1, fenced: 0 });
  one.free(address('10.0.0.1'));
  assert.deepEqual(drain(one), ['10.0.0.2']);
});

describe('a change of the intent', () => {
  test('keeps addresses in use and the order of release in blocks that stay', () => {
    const one = allocator(intent([pool('p', ['10.0.0.0/30'])]));
    one.free(take(one)[0] ?? address('0.0.0.0'));
    one.apply(intent([pool('p', ['10.0.0.0/30', '10.0.1.0/30'])]));
    assert.deepEqual(drain(one), ['10.0.0.2', '10.0.1.1', '10.0.1.2', '10.0.0.1']);
  });
  test('addresses whose block went stay in use, and count again when it comes back', () => {
    const one = allocator(intent([pool('p', ['10.0.0.0/30'])]));
    take(one);
    one.apply(intent([]));
    assert.ok(one.isTaken(address('10.0.0.1')));
    assert.deepEqual(one.outsideBlocks(), ['10.0.0.1']);
    one.apply(intent([pool('p', ['10.0.0.0/30'])]));
    assert.deepEqual(one.outsideBlocks(), []);
    assert.equal(one.facts()[0]?.used, 1);
    assert.deepEqual(drain(one), ['10.0.0.2']);
  });
  test('what was adopted before the first intent is never given', () => {
    const one = new Allocator(() => 0);
    one.adopt(address('10.0.0.1'), 'used');
    one.adopt(address('10.0.0.2'), 'fenced');
    one.apply(intent([pool('p', ['10.0.0.0/29'])]));
    assert.deepEqual(drain(one), ['10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']);
    assert.deepEqual(one.facts()[0], { pool: 'p', cidr: '10.0.0.0/29', capacity: 6, used: 5, fenced: 1 });
  });
});
