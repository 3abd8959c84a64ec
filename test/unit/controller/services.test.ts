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
  await until('an Event', () => api.objects.all(events).length > 0);
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
    await until('an Event about each', () => told() === impossible.length + wishWorld.contented.length);
  });
});
