// Addresses for Services, against the fake API server.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { ApiObject } from '#kubernetes/store.ts';
import {
  addresses,
  api,
  events,
  namespaces,
  of,
  pools,
  replica,
  reservations,
  services,
  until,
  statusOf as statusOfPool,
  writes,
} from '../../support/controller.ts';
import { impossible, serviceObject, type ServiceForm, wishWorld } from '../../support/service-wishes.ts';

const keyOf = ({ name, namespace = 'shop' }: ServiceForm): string => `${namespace}/${name}`;

function world(): void {
  for (const one of wishWorld.namespaces) api.put(namespaces, one);
  for (const one of wishWorld.pools) api.put(pools, one);
  for (const one of wishWorld.reservations) api.put(reservations, one);
}

const make = (form: ServiceForm): ApiObject => api.put(services, serviceObject(form));

interface Ingress {
  readonly ip: string;
  readonly ipMode: string;
}
interface Status {
  readonly loadBalancer?: { readonly ingress?: readonly Ingress[] };
  readonly conditions?: readonly { readonly type: string; readonly reason: string; readonly message: string }[];
}
const statusOf = (key: string): Status => (of(services, key)?.['status'] ?? {}) as Status;
const shown = (key: string): readonly string[] => (statusOf(key).loadBalancer?.ingress ?? []).map(({ ip }) => ip);
const said = (key: string): { readonly reason: string; readonly message: string } | undefined =>
  statusOf(key).conditions?.find(({ type }) => type === 'flatroute.io/AddressAssigned');
const claimed = (): readonly string[] =>
  api.objects.all(addresses).flatMap(({ spec }) => {
    const { address, services: all } = spec as { address: string; services: readonly { name: string }[] };
    return all.map(({ name }) => `${address} ${name}`);
  });

const has = async (key: string, ...wanted: readonly string[]): Promise<void> =>
  await until(`${key} to have ${wanted.join(' and ')}`, () => isDeepStrictEqual(shown(key), wanted));
test('a Service has an address once it is claimed, and not before', async () => {
  world();
  make({ name: 'a' });
  replica('one');
  await has('shop/a', '10.70.0.1');
  assert.deepEqual(statusOf('shop/a').loadBalancer, { ingress: [{ ip: '10.70.0.1', ipMode: 'VIP' }] });
  assert.deepEqual(claimed(), ['10.70.0.1 a']);
  const order = writes(({ type }) => type.kind === 'ServiceAddress' || type.kind === 'Service').map(({ verb }) => verb);
  assert.deepEqual(order, ['create', 'patch']);
  assert.equal(said('shop/a')?.message, 'Has 10.70.0.1 of IPPool vips.');
});

test('a hundred Services have their addresses, no two the same', async () => {
  world();
  api.put(pools, { metadata: { name: 'large' }, spec: { cidr: '10.80.0.0/16', allowedUses: ['LoadBalancer'] } });
  const names = Array.from({ length: 100 }, (_, i) => `many-${i}`);
  for (const name of names) make({ name, annotations: { 'flatroute.io/pool': 'large' } });
  replica('one');
  await until('all addresses', () => new Set(names.flatMap((name) => shown(`shop/${name}`))).size === names.length);
  assert.equal(claimed().length, names.length);
});

describe('what cannot be', async () => {
  test('is refused with a condition and an Event that say what to do', async () => {
    world();
    replica('one');
    for (const [form, wanted] of wishWorld.contented) {
      make(form);
      await has(keyOf(form), ...wanted);
    }
    for (const [index, [, form]] of impossible.entries()) make({ ...form, name: `wish-${index}` });
    for (const [index, [what, form, reason, sentence]] of impossible.entries()) {
      const key = keyOf({ ...form, name: `wish-${index}` });
      await until(`a word about ${what}`, () => said(key) !== undefined);
      assert.equal(said(key)?.reason, reason, what);
      assert.match(said(key)?.message ?? '', sentence, what);
      assert.deepEqual(shown(key), [], what);
    }
    for (const [form, wanted] of wishWorld.contented) assert.deepEqual(shown(keyOf(form)), wanted, keyOf(form));
    assert.equal(claimed().length, wishWorld.contented.flatMap(([, wanted]) => wanted).length);
    const told = (): number =>
      new Set(api.objects.all(events).map((it) => (it['regarding'] as { name: string }).name)).size;
    await until('an Event about each', () => told() === impossible.length);
  });
});

describe('a change', async () => {
  const web: ServiceForm = { name: 'web' };
  const change = (form: ServiceForm): ApiObject => {
    const before = of(services, keyOf(form));
    const { metadata, spec } = serviceObject(form);
    return api.objects.replace(
      api.type(services),
      { ...before, metadata: { ...before?.metadata, ...metadata }, spec },
      undefined,
    );
  };
  const start = async (...forms: readonly ServiceForm[]): Promise<void> => {
    world();
    replica('one');
    for (const form of forms) {
      make(form);
      await until(`an address of ${form.name}`, () => shown(keyOf(form)).length > 0);
    }
  };

  test('of the address that is asked for moves the Service, and the old one is free again', async () => {
    await start(web);
    change({ name: 'web', annotations: { 'flatroute.io/addresses': '10.70.0.99' } });
    await has('shop/web', '10.70.0.99');
    await until('the old claim to go', () => isDeepStrictEqual(claimed(), ['10.70.0.99 web']));
    assert.equal(said('shop/web')?.reason, 'AddressAssigned');
  });

  test('to what cannot be takes nothing away', async () => {
    await start(web);
    change({ name: 'web', annotations: { 'flatroute.io/addresses': '192.0.2.1' } });
    await until('a word', () => said('shop/web')?.reason === 'OutsidePools');
    assert.match(said('shop/web')?.message ?? '', /^Keeps 10\.70\.0\.1\. 192\.0\.2\.1 lies in no IPPool/);
    assert.deepEqual([shown('shop/web'), claimed()], [['10.70.0.1'], ['10.70.0.1 web']]);
  });

  test('of the type, and a Service that is deleted, give their addresses back', async () => {
    await start(web, { name: 'api' });
    change({ name: 'web', spec: { type: 'ClusterIP' } });
    await until('its claim to go', () => isDeepStrictEqual(claimed(), ['10.70.0.2 api']));
    assert.deepEqual([shown('shop/web'), said('shop/web')], [[], undefined]);
    api.remove(services, 'shop/api');
    await until('the other claim to go', () => claimed().length === 0);
  });

  test('of the families adds an address and takes one away', async () => {
    await start(web);
    change({ name: 'web', spec: { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] } });
    await has('shop/web', '10.70.0.1', 'fd70::1');
    change({ name: 'web', spec: { ipFamilies: ['IPv6'] } });
    await has('shop/web', 'fd70::1');
    await until('its claim to go', () => isDeepStrictEqual(claimed(), ['fd70::1 web']));
  });

  test('to a port that another Service has on the address moves it away', async () => {
    const key = { 'flatroute.io/sharing-key': 'k' };
    const ports = (port: number): Readonly<Record<string, unknown>> => ({ ports: [{ protocol: 'TCP', port }] });
    await start({ name: 'web', annotations: key, spec: ports(80) });
    make({ name: 'dns', annotations: key, spec: ports(53) });
    await has('shop/dns', '10.70.0.1');
    change({ name: 'dns', annotations: key, spec: ports(5353) });
    const written = (): boolean => JSON.stringify(api.objects.all(addresses)).includes('5353');
    await until('the claim to say the new port', written);
    change({ name: 'dns', annotations: key, spec: ports(80) });
    await has('shop/dns', '10.70.0.2');
    await until('it to leave the other', () =>
      isDeepStrictEqual(claimed().toSorted(), ['10.70.0.1 web', '10.70.0.2 dns']),
    );
    // Alone on it, it may be of another key, and shares no more.
    change({ name: 'dns', spec: ports(80) });
    await until(
      'the key to go',
      () =>
        of(addresses, 'ipv4-0a460002')?.['spec'] !== undefined &&
        !JSON.stringify(of(addresses, 'ipv4-0a460002')).includes('sharingKey'),
    );
    assert.deepEqual(shown('shop/dns'), ['10.70.0.2']);
  });

  test('of a status by somebody else is undone', async () => {
    await start(web);
    const before = of(services, 'shop/web');
    const status = { loadBalancer: { ingress: [{ ip: '10.70.0.200', ipMode: 'VIP' }] } };
    api.objects.replace(
      api.type(services),
      { ...before, metadata: { name: 'web', namespace: 'shop' }, status },
      'status',
    );
    await has('shop/web', '10.70.0.1');
    assert.deepEqual(claimed(), ['10.70.0.1 web']);
  });

  test('of a pool takes no address away, and a pool that is deleted stays until its last one is gone', async () => {
    await start(web);
    await until('the count', () => statusOfPool(pools, 'vips').usedAddresses === 1);
    api.remove(pools, 'vips');
    make({ name: 'late', annotations: { 'flatroute.io/pool': 'vips' } });
    await until('a word', () => said('shop/late')?.reason === 'PoolGivesNone');
    assert.deepEqual(shown('shop/web'), ['10.70.0.1']);
    assert.ok(of(pools, 'vips') !== undefined);
    api.remove(services, 'shop/web');
    await until('the pool to go', () => of(pools, 'vips') === undefined);
  });

  test('that makes room is noticed', async () => {
    await start({ name: 'one', annotations: { 'flatroute.io/pool': 'small' } });
    make({ name: 'two', annotations: { 'flatroute.io/pool': 'small' } });
    await until('a word', () => said('shop/two')?.reason === 'PoolsFull');
    api.remove(services, 'shop/one');
    await has('shop/two', '10.70.3.0');
  });
});

describe('what stands in a status', async () => {
  const withStatus = (form: ServiceForm, ...ips: readonly string[]): void => {
    make(form);
    const before = of(services, keyOf(form));
    const status = { loadBalancer: { ingress: ips.map((ip) => ({ ip })) } };
    api.objects.replace(
      api.type(services),
      { ...before, metadata: { name: form.name, namespace: 'shop' }, status },
      'status',
    );
  };

  test('is claimed for its Service before anything new is given', async () => {
    world();
    make({ name: 'new', annotations: { 'flatroute.io/addresses': '10.70.0.1' } });
    make({ name: 'newer' });
    withStatus({ name: 'old' }, '10.70.0.1');
    withStatus(
      { name: 'old-two', spec: { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] } },
      '10.70.0.2',
      'fd70::2',
    );
    replica('one');
    await has('shop/newer', '10.70.0.3');
    await until('a word', () => said('shop/new')?.reason === 'AddressTaken');
    await until('all claims', () => claimed().length === 4);
    assert.deepEqual([...shown('shop/old'), ...shown('shop/old-two')], ['10.70.0.1', '10.70.0.2', 'fd70::2']);
  });

  test('twice stays with the one that was there first', async () => {
    world();
    withStatus({ name: 'a' }, '10.70.0.1');
    withStatus({ name: 'b' }, '10.70.0.1');
    replica('one');
    await until('two claims', () => claimed().length === 2);
    await until('two addresses', () => shown('shop/a')[0] !== shown('shop/b')[0]);
    assert.deepEqual([...shown('shop/a'), ...shown('shop/b')].sort(), ['10.70.0.1', '10.70.0.2']);
  });

  test('and lies in no pool stays there, and is said', async () => {
    world();
    withStatus({ name: 'a' }, '192.0.2.7');
    replica('one');
    await until('a word', () => said('shop/a')?.reason === 'OutsidePools');
    assert.deepEqual([shown('shop/a'), claimed()], [['192.0.2.7'], []]);
    api.put(pools, { metadata: { name: 'mine' }, spec: { cidr: '192.0.2.0/24', allowedUses: ['LoadBalancer'] } });
    await until('the claim', () => isDeepStrictEqual(claimed(), ['192.0.2.7 a']));
    await until('no more words', () => said('shop/a')?.reason === 'AddressAssigned');
  });
});

describe('a Service of somebody else', async () => {
  test('is left alone, and what it has is given to nobody', async () => {
    world();
    make({ name: 'other', spec: { loadBalancerClass: 'example.com/lb' } });
    make({ name: 'none', spec: { loadBalancerClass: undefined } });
    make({ name: 'out', spec: { type: 'ClusterIP', loadBalancerClass: undefined, externalIPs: ['10.70.0.1'] } });
    make({ name: 'wants', annotations: { 'flatroute.io/addresses': '10.70.0.1' } });
    make({ name: 'web' });
    replica('one');
    await has('shop/web', '10.70.0.2');
    await until('a word', () => said('shop/wants')?.reason === 'AddressElsewhere');
    assert.match(said('shop/wants')?.message ?? '', /^Service shop\/out has 10\.70\.0\.1, and not from flatroute/);
    for (const name of ['other', 'none', 'out']) assert.equal(of(services, `shop/${name}`)?.['status'], undefined);
  });

  test('without a class gets addresses where the controller has the default class', async () => {
    world();
    make({ name: 'none', spec: { loadBalancerClass: undefined } });
    replica('one', { ownsDefaultClass: true });
    await has('shop/none', '10.70.0.1');
  });
});

describe('what an earlier leader left', async () => {
  const claim = (address: string, name: string, uid: string): ApiObject =>
    api.put(addresses, {
      apiVersion: 'flatroute.io/v1alpha1',
      kind: 'ServiceAddress',
      metadata: { name },
      spec: { address, pool: 'vips', services: [{ namespace: 'shop', name: 'web', uid, ports: [] }] },
    });
  const calls = (): readonly string[] =>
    api.requests
      .filter(({ verb, type }) => /^(Service|ServiceAddress)$/.test(type.kind) && verb !== 'list' && verb !== 'watch')
      .map(({ verb, type, body }) => `${verb} ${type.kind}${body.includes('AddressReturned') ? ' returned' : ''}`);

  test('is shown once the API server has said that it is still there', async () => {
    world();
    const { uid = '' } = make({ name: 'web' }).metadata;
    claim('10.70.0.50', 'ipv4-0a460032', uid);
    replica('one');
    await has('shop/web', '10.70.0.50');
    const [amended, written] = [calls().indexOf('update ServiceAddress'), calls().indexOf('patch Service')];
    assert.equal(calls()[0], 'get ServiceAddress');
    assert.ok(amended >= 0 && amended < written, calls().join());
  });

  test('and is too much goes back after a write of the Service, so that no older one counts', async () => {
    world();
    const { uid = '' } = make({ name: 'web' }).metadata;
    const first = replica('one');
    await has('shop/web', '10.70.0.1');
    await first.controller.stop();
    claim('10.70.0.50', 'ipv4-0a460032', uid);
    api.requests.length = 0;
    replica('two');
    await until('it to go', () => isDeepStrictEqual(claimed(), ['10.70.0.1 web']));
    assert.deepEqual(calls().slice(0, 3), ['patch Service returned', 'get ServiceAddress', 'delete ServiceAddress']);
    await until('the condition', () => said('shop/web')?.reason === 'AddressAssigned');
    assert.deepEqual(shown('shop/web'), ['10.70.0.1']);
  });

  test('of a Service that is gone goes back once the API server has said so', async () => {
    world();
    claim('10.70.0.50', 'ipv4-0a460032', 'of nobody');
    replica('one');
    await until('it to go', () => claimed().length === 0);
    assert.deepEqual(calls().slice(0, 3), ['get Service', 'get ServiceAddress', 'delete ServiceAddress']);
  });
});
