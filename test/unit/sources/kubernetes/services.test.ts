// Services and EndpointSlices for one node. The first table looks at endpoints as CategorizeEndpoints of kube-proxy 1.34 does;
// the rest runs against the fake API server.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { ApiError, ApiObject } from '#kubernetes/store.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { EndpointPlace, ServiceRange, ServiceView } from '#resources/service-view.ts';
import {
  endpointSliceType,
  keepService,
  keepSlice,
  ServiceWatch,
  serviceType,
  viewOf,
} from '#sources/kubernetes/services.ts';
import { fakeApi } from '../../../support/kubernetes/fake-api.ts';
import type { FakeApi } from '../../../support/kubernetes/fake-api.ts';

const range = (use: ServiceRange['use'], cidr: string): ServiceRange => ({
  use,
  cidr: cidr as Prefix,
  aggregated: false,
});
const loadBalancers = range('LoadBalancer', '198.51.100.0/24');

type Foreign = Readonly<Record<string, unknown>>;
const web = { name: 'web', port: 8080, protocol: 'TCP' };

function service(name: string, spec: Foreign = {}, ingress: readonly Foreign[] = [{ ip: '198.51.100.7' }]): ApiObject {
  return {
    metadata: { name, namespace: 'shop' },
    spec: { type: 'LoadBalancer', clusterIP: '10.96.0.7', ports: [{ ...web, port: 80 }], ...spec },
    status: { loadBalancer: { ingress } },
  };
}

/** One endpoint: `r`eady, `s`erving, `t`erminating in small letters; `@` for the node it is on. */
function endpoint(text: string): Foreign {
  const [conditions = '', nodeName] = text.split('@');
  const has = (letter: string): boolean => conditions.includes(letter);
  return {
    addresses: ['10.60.0.9'],
    conditions:
      conditions === 'silent' ? {} : { ready: has('r'), serving: has('s'), ...(has('t') ? { terminating: true } : {}) },
    ...(nodeName === undefined ? {} : { nodeName }),
  };
}

const slice = (name: string, of: string, endpoints: readonly string[], more: Foreign = {}): ApiObject => ({
  metadata: { name, namespace: 'shop', labels: { 'kubernetes.io/service-name': of } },
  addressType: 'IPv4',
  ports: [web],
  endpoints: endpoints.map(endpoint),
  ...more,
});

const seen = (
  one: ApiObject,
  slices: readonly ApiObject[],
  ranges: readonly ServiceRange[] = [loadBalancers],
): ServiceView | undefined => {
  const kept = keepService(one);
  const of = slices.flatMap((it) => keepSlice(it, 'here') ?? []);
  return kept === undefined ? undefined : viewOf('shop/web', kept, of, ranges);
};

describe('endpoints that a proxy of this node uses', () => {
  const rows: readonly (readonly [string, readonly (readonly string[])[], EndpointPlace])[] = [
    ['none', [], 'none'],
    ['ready ones, here and elsewhere', [['rs@here', 'rs@there', 'rs@there']], 'here'],
    ['of several slices', [['rs@here'], ['rs@there']], 'here'],
    ['what a slice does not say counts as ready', [['silent@here']], 'here'],
    ['one without a node is nowhere in particular', [['rs']], 'elsewhere'],
    ['not ready and not terminating: not used', [['s@here', '@here']], 'none'],
    ['all serving and terminating: used', [['st@here', 'st@there']], 'here'],
    ['terminating and not serving: not used', [['t@here']], 'none'],
    ['a ready one and a terminating one elsewhere', [['rs@there', 'st@there']], 'elsewhere'],
    ['here and everywhere each fall back by themselves', [['rs@there', 'st@here']], 'here'],
    ['a ready one here, one terminating elsewhere', [['rs@here', 'st@there']], 'here'],
  ];
  for (const [name, slices, expected] of rows) {
    test(name, () => {
      const objects = slices.map((endpoints, i) => slice(`s${i}`, 'web', endpoints));
      assert.deepEqual(seen(service('web'), objects)?.endpoints.ipv4, expected);
    });
  }
  test('are of the port of the same name and protocol; any port counts', () => {
    const two = service('web', { ports: [web, { name: 'dns', port: 53, protocol: 'UDP' }] });
    const dns = (protocol: string): ApiObject =>
      slice('a', 'web', ['rs@here'], { ports: [{ name: 'dns', port: 53, protocol }] });
    assert.deepEqual(seen(two, [dns('UDP')])?.endpoints.ipv4, 'here');
    assert.deepEqual(seen(two, [dns('TCP')])?.endpoints.ipv4, 'none');
    const ports: readonly Foreign[] = [{ port: 8080 }, { name: 'web' }, { name: 'web', port: 0 }];
    for (const port of ports)
      assert.deepEqual(seen(two, [slice('a', 'web', ['rs@here'], { ports: [port] })])?.endpoints.ipv4, 'none');
    const both = slice('a', 'web', ['rs@here', 'rs@there'], {
      ports: [web, { name: 'dns', port: 53, protocol: 'UDP' }],
    });
    assert.deepEqual(seen(two, [both])?.endpoints.ipv4, 'here');
  });
  test('a Service without a name for its only port has slices without one', () => {
    const unnamed = service('web', { ports: [{ port: 80 }] });
    assert.equal(
      seen(unnamed, [slice('a', 'web', ['rs@here'], { ports: [{ name: '', port: 8080, protocol: 'TCP' }] })])?.endpoints
        .ipv4,
      'here',
    );
  });
  test('are looked at by family, and those of other address types not at all', () => {
    const dual = service('web', {}, [{ ip: '198.51.100.7' }, { ip: '2001:db8:5::7' }]);
    const slices = [
      slice('four', 'web', ['rs@there']),
      slice('six', 'web', ['rs@here'], { addressType: 'IPv6' }),
      slice('name', 'web', ['rs@here'], { addressType: 'FQDN' }),
    ];
    const ranges = [loadBalancers, range('LoadBalancer', '2001:db8:5::/112')];
    assert.deepEqual(seen(dual, slices, ranges)?.endpoints, { ipv4: 'elsewhere', ipv6: 'here' });
  });
});

describe('addresses of a Service', () => {
  const addresses = (one: ApiObject, ...ranges: readonly ServiceRange[]): readonly string[] | undefined =>
    seen(one, [], ranges)?.addresses.map((it) => `${it.prefix} ${it.use} ${it.policy} ${it.range}`);
  const clusters = range('ClusterIP', '10.96.0.0/16');
  const externals = range('ExternalIP', '203.0.113.0/24');
  const rows: readonly (readonly [string, ApiObject, readonly ServiceRange[], readonly string[] | undefined])[] = [
    ['of a load balancer', service('web'), [loadBalancers], ['198.51.100.7/32 LoadBalancer Cluster 198.51.100.0/24']],
    ['outside every range: none of ours', service('web', {}, [{ ip: '192.0.2.7' }]), [loadBalancers], undefined],
    ['in a range of another use', service('web'), [range('ExternalIP', '198.51.100.0/24')], undefined],
    [
      'of a load balancer that translates itself',
      service('web', {}, [{ ip: '198.51.100.7', ipMode: 'Proxy' }]),
      [loadBalancers],
      undefined,
    ],
    ['of a load balancer by name', service('web', {}, [{ hostname: 'lb.example.com' }]), [loadBalancers], undefined],
    ['headless', service('web', { clusterIP: 'None' }), [loadBalancers], undefined],
    ['a name outside the cluster', service('web', { type: 'ExternalName', clusterIP: '' }), [loadBalancers], undefined],
    [
      'external ones with the policy of traffic from outside',
      service('web', { externalIPs: ['203.0.113.9', 'wrong'], externalTrafficPolicy: 'Local' }),
      [externals],
      ['203.0.113.9/32 ExternalIP Local 203.0.113.0/24'],
    ],
    [
      'in the smallest of several ranges',
      service('web'),
      [range('LoadBalancer', '198.51.0.0/16'), loadBalancers],
      ['198.51.100.7/32 LoadBalancer Cluster 198.51.100.0/24'],
    ],
    ['cluster addresses', service('web'), [clusters], ['10.96.0.7/32 ClusterIP Cluster 10.96.0.0/16']],
    [
      'cluster addresses of both families',
      service('web', { clusterIPs: ['10.96.0.7', 'fd00:96::7'] }),
      [clusters, range('ClusterIP', 'fd00:96::/112')],
      ['10.96.0.7/32 ClusterIP Cluster 10.96.0.0/16', 'fd00:96::7/128 ClusterIP Cluster fd00:96::/112'],
    ],
    [
      'cluster addresses are Local by either policy',
      service('web', { internalTrafficPolicy: 'Local' }),
      [clusters],
      ['10.96.0.7/32 ClusterIP Local 10.96.0.0/16'],
    ],
    [
      'a policy of inside says nothing of outside',
      service('web', { internalTrafficPolicy: 'Local' }),
      [loadBalancers],
      ['198.51.100.7/32 LoadBalancer Cluster 198.51.100.0/24'],
    ],
  ];
  for (const [name, one, ranges, expected] of rows)
    test(name, () => assert.deepEqual(addresses(one, ...ranges), expected));
});

describe('the watch', () => {
  let api: FakeApi;
  let watch: ServiceWatch;
  let told: { readonly views: readonly ServiceView[] | undefined; readonly error: ApiError | undefined }[];
  beforeEach(async () => {
    api = await fakeApi([serviceType, endpointSliceType]);
    told = [];
    watch = new ServiceWatch({
      node: 'here',
      store: api.store(),
      changed: (views, error) => void told.push({ views, error }),
    });
  });
  afterEach(async () => {
    await watch.stop();
    await api.close();
  });
  const last = (): string | undefined =>
    told
      .at(-1)
      ?.views?.map((it) => `${it.service} ${it.endpoints.ipv4}`)
      .join(', ');
  const until = (expected: string): Promise<void> =>
    waitFor(
      `the views ${expected}`,
      () => Promise.resolve(last() === expected ? found(undefined) : notYet(last() ?? '')),
      {
        deadline: seconds(20),
      },
    );

  test('there is none without a range, and none any more when the last range is gone', async () => {
    api.put(serviceType, service('web'));
    watch.setRanges([]);
    assert.deepEqual([api.requests.length, told.length], [0, 0]);
    watch.setRanges([loadBalancers]);
    await until('shop/web none');
    await waitFor('both watches', () => Promise.resolve(api.watches() === 2 ? found(undefined) : notYet('')), {
      deadline: seconds(20),
    });
    watch.setRanges([]);
    assert.equal(told.at(-1)?.views, undefined);
    await waitFor('no watch', () => Promise.resolve(api.watches() === 0 ? found(undefined) : notYet('')), {
      deadline: seconds(20),
    });
  });
  test('asks for nothing headless and nothing of another proxy', async () => {
    api.put(endpointSliceType, slice('a', 'web', ['rs@here']));
    const hidden = (label: string): Readonly<Record<string, string>> => ({
      [label]: '',
      'kubernetes.io/service-name': 'web',
    });
    for (const label of ['service.kubernetes.io/headless', 'service.kubernetes.io/service-proxy-name'])
      api.put(endpointSliceType, {
        ...slice(label.replaceAll(/\W/g, '-'), 'web', ['rs@here']),
        metadata: { name: label.replaceAll(/\W/g, '-'), namespace: 'shop', labels: hidden(label) },
      });
    api.put(serviceType, service('web'));
    watch.setRanges([loadBalancers]);
    await until('shop/web here');
    for (const { query } of api.requests)
      assert.equal(
        query.get('labelSelector'),
        '!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name',
      );
  });
  test('nothing is said before both are listed; then each change that counts is, and no other', async () => {
    for (const name of ['a', 'b']) {
      api.put(serviceType, service(name));
      api.put(endpointSliceType, slice(`${name}-1`, name, ['rs@here', 'rs@there']));
    }
    watch.setRanges([loadBalancers]);
    await until('shop/a here, shop/b here');
    assert.equal(told.length, 1);
    // There are more of them elsewhere, and others: nothing that counts.
    api.put(endpointSliceType, slice('a-1', 'a', ['rs@here', 'rs@elsewhere', 'rs@there']));
    api.put(endpointSliceType, slice('b-1', 'b', ['rs@there']));
    await until('shop/a here, shop/b elsewhere');
    assert.equal(told.length, 2);
    api.put(endpointSliceType, slice('b-2', 'b', ['rs@here']));
    await until('shop/a here, shop/b here');
    // A slice may become another Service's.
    api.put(endpointSliceType, slice('b-2', 'a', ['rs@here']));
    await until('shop/a here, shop/b elsewhere');
    api.remove(endpointSliceType, 'shop/a-1');
    api.remove(serviceType, 'shop/b');
    await until('shop/a here');
  });
  test('other ranges are looked at with what is known, without asking again', async () => {
    api.put(serviceType, service('web', { externalIPs: ['203.0.113.9'] }));
    watch.setRanges([loadBalancers]);
    await until('shop/web none');
    const asked = api.requests.filter((it) => it.verb === 'list').length;
    watch.setRanges([range('ExternalIP', '203.0.113.0/24')]);
    assert.deepEqual(told.at(-1)?.views?.[0]?.addresses[0]?.use, 'ExternalIP');
    watch.setRanges([range('ExternalIP', '192.0.2.0/24')]);
    assert.deepEqual(told.at(-1)?.views, []);
    assert.equal(api.requests.filter((it) => it.verb === 'list').length, asked);
  });
  test('why they cannot be listed is told; what was learned stays when the API goes away', async () => {
    api.misfortune = (request) =>
      request.type.kind === 'EndpointSlice'
        ? { status: 403, reason: 'Forbidden', message: 'endpointslices is forbidden' }
        : undefined;
    api.put(serviceType, service('web'));
    watch.setRanges([loadBalancers]);
    await waitFor(
      'the refusal',
      () => Promise.resolve(told.at(-1)?.error?.code === 'API_FORBIDDEN' ? found(undefined) : notYet('')),
      { deadline: seconds(20) },
    );
    api.misfortune = undefined;
    await until('shop/web none');
    const before = told.length;
    await api.stop();
    await api.start();
    api.put(endpointSliceType, slice('a', 'web', ['rs@here']));
    await until('shop/web here');
    assert.equal(told.length, before + 1);
  });
  test('nothing is said while slices are still to be listed, though Services are watched', async () => {
    api.misfortune = ({ type, verb }) => (type.kind === 'EndpointSlice' && verb === 'list' ? 'drop-before' : undefined);
    api.put(serviceType, service('web'));
    watch.setRanges([loadBalancers]);
    const slicesAsked = (): number => api.requests.filter(({ type }) => type.kind === 'EndpointSlice').length;
    await waitFor(
      'a watch of Services, and slices asked for again',
      () => Promise.resolve(api.watches() === 1 && slicesAsked() > 1 ? found(undefined) : notYet('')),
      { deadline: seconds(20) },
    );
    // What was known before, from an earlier life of the agent, stays until it is known better.
    assert.deepEqual([...new Set(told.map(({ views, error }) => views ?? error?.code))], ['API_UNREACHABLE']);
    api.misfortune = undefined;
    await until('shop/web none');
  });
  test('slices come in pages of a hundred, since each may be large', async () => {
    for (let i = 0; i < 101; i++) api.put(endpointSliceType, slice(`s${i}`, 'web', ['rs@there']));
    api.put(serviceType, service('web'));
    watch.setRanges([loadBalancers]);
    await until('shop/web elsewhere');
    const pages = api.requests.filter((it) => it.verb === 'list' && it.type.kind === 'EndpointSlice');
    assert.deepEqual(
      pages.map((it) => it.query.get('limit')),
      ['100', '100'],
    );
  });
});
