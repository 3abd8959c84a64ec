// Which addresses Services have, as a pure choice.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { planServices } from '#ipam/services/plan.ts';
import { explain } from '#ipam/services/refusals.ts';
import type { AddressClaim, ServicePool, ServicesInput, WantingService } from '#ipam/services/intent.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';

const pool = (name: string, cidr: string, more: Partial<ServicePool> = {}): ServicePool => ({
  name,
  cidr: cidr as Prefix,
  forServices: true,
  manual: false,
  disabled: false,
  closed: undefined,
  namespaces: undefined,
  ...more,
});

let created = 0;
const service = (name: string, more: Partial<WantingService> = {}): WantingService => ({
  namespace: 'shop',
  name,
  uid: `uid-${name}`,
  created: String((created += 1)).padStart(8, '0'),
  ports: [{ protocol: 'TCP', port: 80 }],
  policy: 'Cluster',
  selector: undefined,
  families: ['ipv4'],
  allFamilies: false,
  addresses: [],
  loadBalancerIP: undefined,
  pools: undefined,
  sharingKey: undefined,
  sharesWith: [],
  shown: [],
  leaving: false,
  ...more,
});

const four = pool('four', '192.0.2.0/29');
const six = pool('six', '2001:db8::/126');

/** `name: addresses; reason` of each, in the order of age. */
function plan(services: readonly WantingService[], more: Partial<ServicesInput> = {}): readonly string[] {
  const input: ServicesInput = {
    pools: [four, six],
    knownNamespaces: new Set(['shop', 'bank']),
    reserved: [],
    claims: [],
    elsewhere: new Map(),
    ...more,
    services,
  };
  return planServices(input).map(({ service: { name }, shows, refusal, without }) =>
    [
      `${name}: ${shows.join(' ')}`,
      ...(refusal === undefined ? [] : [explain(refusal).reason]),
      ...((without ?? '') ? [`no ${without}`] : []),
    ].join('; '),
  );
}

const dual: Partial<WantingService> = { families: ['ipv6', 'ipv4'] };
const port = (number: number): Partial<WantingService> => ({ ports: [{ protocol: 'TCP', port: number }] });
const claim = (address: string, ...services: readonly WantingService[]): AddressClaim => ({
  address: address as IpAddress,
  pool: 'four',
  sharingKey: services[0]?.sharingKey,
  services,
});

describe('an address', () => {
  test('is the lowest that is free, past what is reserved, had by others, the network and everybody', () => {
    const elsewhere = new Map([['192.0.2.3' as IpAddress, 'shop/other']]);
    const reserved = ['192.0.2.1/32' as Prefix];
    const wanting = ['a', 'b', 'c', 'd', 'e'].map((name) => service(name));
    assert.deepEqual(plan(wanting, { reserved, elsewhere }), [
      'a: 192.0.2.2',
      'b: 192.0.2.4',
      'c: 192.0.2.5',
      'd: 192.0.2.6',
      'e: ; PoolsFull',
    ]);
    assert.deepEqual(plan([service('a', { addresses: ['192.0.2.0'] })]), ['a: 192.0.2.0']);
  });

  test('is of a pool of the namespace, where there is one, and of no Manual pool that is not named', () => {
    const own = pool('own', '198.51.100.0/28', { namespaces: { selector: "name == 'shop'", names: ['shop'] } });
    const manual = pool('manual', '198.51.100.128/28', { manual: true });
    const wanting = [
      service('a'),
      service('b', { namespace: 'bank' }),
      service('c', { pools: ['manual', 'four'] }),
      service('d', { namespace: 'unknown' }),
    ];
    assert.deepEqual(plan(wanting, { pools: [manual, own, four] }), [
      'a: 198.51.100.1',
      'b: 192.0.2.1',
      'c: 198.51.100.129',
      'd: ; NamespaceUnknown',
    ]);
  });

  test('of each family, in the order of the Service; of one where there is no pool and it is not required', () => {
    assert.deepEqual(plan([service('a', dual)]), ['a: 2001:db8::1 192.0.2.1']);
    assert.deepEqual(plan([service('a', dual)], { pools: [four] }), ['a: 192.0.2.1; no ipv6']);
    assert.deepEqual(plan([service('a', { ...dual, allFamilies: true })], { pools: [four] }), ['a: ; NoPool']);
    const kept = service('a', { ...dual, allFamilies: true, shown: ['192.0.2.4' as IpAddress] });
    assert.deepEqual(plan([kept], { pools: [four], claims: [claim('192.0.2.4', kept)] }), ['a: 192.0.2.4; NoPool']);
  });

  test('stays whatever becomes of its pool, and of a Service that is being deleted', () => {
    const has = service('a', { shown: ['192.0.2.4' as IpAddress] });
    const claims = [claim('192.0.2.4', has)];
    for (const pools of [[], [{ ...four, disabled: true }], [{ ...four, closed: 'terminating' as const }]])
      assert.deepEqual(plan([has], { pools, claims }), ['a: 192.0.2.4']);
    assert.deepEqual(plan([{ ...has, leaving: true, addresses: ['nonsense'] }], { claims }), ['a: 192.0.2.4']);
  });
});

describe('Services share an address', () => {
  const key = { sharingKey: 'k' };

  test('with one key and other ports, and otherwise have one each', () => {
    const wanting = [
      service('a', { ...key, ...port(1) }),
      service('b', { ...key, ...port(2) }),
      service('c', { ...key, ...port(1) }),
      service('d', { ...port(3) }),
      service('e', { sharingKey: 'other', ...port(4) }),
      service('f', { ...key, ports: [{ protocol: 'UDP', port: 1 }] }),
    ];
    assert.deepEqual(plan(wanting), [
      'a: 192.0.2.1',
      'b: 192.0.2.1',
      'c: 192.0.2.2',
      'd: 192.0.2.3',
      'e: 192.0.2.4',
      'f: 192.0.2.1',
    ]);
  });

  test('of two namespaces where both agree', () => {
    const bank = { ...key, ...port(2), namespace: 'bank' };
    const both = [
      service('a', { ...key, ...port(1), sharesWith: ['bank'] }),
      service('b', { ...bank, sharesWith: ['*'] }),
    ];
    assert.deepEqual(plan(both), ['a: 192.0.2.1', 'b: 192.0.2.1']);
    const one = [service('a', { ...key, ...port(1), sharesWith: ['bank'] }), service('b', bank)];
    assert.deepEqual(plan(one), ['a: 192.0.2.1', 'b: 192.0.2.2']);
  });

  test('that are Local where they have the same pods', () => {
    const local = (name: string, number: number, selector: string): WantingService =>
      service(name, { ...key, ...port(number), policy: 'Local', selector });
    assert.deepEqual(plan([local('a', 1, 'app=x'), local('b', 2, 'app=x'), local('c', 3, 'app=y')]), [
      'a: 192.0.2.1',
      'b: 192.0.2.1',
      'c: 192.0.2.2',
    ]);
  });

  test('and one that changes its policy stays, and is told', () => {
    const a = service('a', { ...key, ...port(1) });
    const b = service('b', { ...key, ...port(2) });
    const changed = { ...b, policy: 'Local' as const, selector: '' };
    assert.deepEqual(plan([a, changed], { claims: [claim('192.0.2.1', a, b)] }), [
      'a: 192.0.2.1',
      'b: 192.0.2.1; SharingPolicyDiffers',
    ]);
  });
});

test('a claim that is no more wanted is given back, and what a status shows is claimed first', () => {
  const old = service('old', { shown: ['192.0.2.1' as IpAddress] });
  const newer = { ...service('new'), created: '0' };
  const [first, second] = planServices({
    pools: [four],
    knownNamespaces: new Set(),
    reserved: [],
    claims: [claim('192.0.2.5', newer), claim('192.0.2.6', newer)],
    elsewhere: new Map(),
    services: [old, newer],
  });
  assert.deepEqual(
    [first?.assigned, first?.extra],
    [[{ address: '192.0.2.5', pool: 'four', claim: 'held' }], ['192.0.2.6']],
  );
  assert.deepEqual(second?.assigned, [{ address: '192.0.2.1', pool: 'four', claim: 'create' }]);
});
