// Which addresses of Services a node announces: golden tables over views of Services, as resources say.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { compile } from '#intent/compile.ts';
import { conditions } from '#intent/conditions.ts';
import { gate } from '#intent/gate.ts';
import type { Compiled, Facts } from '#intent/node-intent.ts';
import { hostPrefix } from '#lib/ip.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { instant } from '#lib/time.ts';
import type { ServiceUse, ServiceView } from '#resources/service-view.ts';
import { nodeYaml, own, resources } from '../../support/resources.ts';
import { bgpFacts, peerFacts } from '../../support/snapshot.ts';

const node = nodeYaml('node-1', '192.0.2.11 2001:db8::11', '10.60.1.0/26, "fd60:1::/64"');
const excluded = nodeYaml(
  'node-1',
  '192.0.2.11 2001:db8::11',
  '10.60.1.0/26, "fd60:1::/64"',
  'node.kubernetes.io/exclude-from-external-load-balancers: ""',
);
const ranges = 'serviceLoadBalancerIPs: [{cidr: 198.51.100.0/24}]';
const peer = own('BGPPeer', 'tor', 'peerIP: 192.0.2.1, asNumber: 65100');

interface Wish {
  readonly address?: string;
  readonly use?: ServiceUse;
  readonly range?: string;
  readonly policy?: 'Cluster' | 'Local';
  readonly anywhere?: number;
  readonly here?: number;
  readonly name?: string;
}

function view({ name = 'web', anywhere = 0, here = 0, ...wish }: Wish): ServiceView {
  const endpoints = here > 0 ? 'here' : anywhere > 0 ? 'elsewhere' : 'none';
  const address = (wish.address ?? '198.51.100.7') as IpAddress;
  const range = (wish.range ?? '198.51.100.0/24') as Prefix;
  const { use = 'LoadBalancer', policy = 'Cluster' } = wish;
  return {
    service: `shop/${name}`,
    addresses: [{ prefix: hostPrefix(address), use, range, policy }],
    endpoints: address.includes(':') ? { ipv4: 'none', ipv6: endpoints } : { ipv4: endpoints, ipv6: 'none' },
  };
}

const compiled = (spec: string, services?: readonly ServiceView[], of = node): Compiled =>
  compile(resources(of, peer, own('BGPConfiguration', 'default', spec)), 'node-1', { services });

const servicesIn = (intent: { readonly bgp: Compiled['intent']['bgp'] }): readonly string[] =>
  (intent.bgp?.announcements ?? []).filter((it) => it.source === 'service').map((it) => it.prefix);
const announced = (result: Compiled): readonly string[] => servicesIn(result.intent);

describe('what a node announces of a Service', () => {
  const disabled = `${ranges}, serviceLoadBalancerAggregation: Disabled`;
  const whole = '198.51.100.0/24';
  const one = '198.51.100.7/32';
  const rows: readonly (readonly [string, string, Wish | undefined, readonly string[]])[] = [
    ['nothing, without a range', 'importPolicy: All', { anywhere: 1, here: 1 }, []],
    ['the range as a whole, before Services are known', ranges, undefined, [whole]],
    ['the range as a whole, whoever has endpoints', ranges, { anywhere: 0 }, [whole]],
    [
      'of Local with an endpoint here also the address',
      ranges,
      { policy: 'Local', anywhere: 2, here: 1 },
      [whole, one],
    ],
    ['of Local without one here only the range', ranges, { policy: 'Local', anywhere: 2 }, [whole]],
    ['not aggregated: Cluster with an endpoint anywhere', disabled, { anywhere: 1 }, [one]],
    ['not aggregated: Cluster without an endpoint', disabled, {}, []],
    ['not aggregated: Local with an endpoint here', disabled, { policy: 'Local', anywhere: 1, here: 1 }, [one]],
    ['not aggregated: Local with endpoints elsewhere', disabled, { policy: 'Local', anywhere: 3 }, []],
    ['not aggregated: nothing before Services are known', disabled, undefined, []],
    [
      'a range of one address is never a whole',
      'serviceExternalIPs: [{cidr: 203.0.113.7/32}]',
      { address: '203.0.113.7', use: 'ExternalIP', range: '203.0.113.7/32' },
      [],
    ],
    [
      'a range of one address while there is an endpoint',
      'serviceExternalIPs: [{cidr: 203.0.113.7/32}]',
      { address: '203.0.113.7', use: 'ExternalIP', range: '203.0.113.7/32', anywhere: 1 },
      ['203.0.113.7/32'],
    ],
    [
      'cluster addresses: the range, whatever aggregation of load balancers is',
      'serviceClusterIPs: [{cidr: 10.96.0.0/16}], serviceLoadBalancerAggregation: Disabled',
      { address: '10.96.0.10', use: 'ClusterIP', range: '10.96.0.0/16', anywhere: 1 },
      ['10.96.0.0/16'],
    ],
    [
      'cluster addresses: Local also by itself',
      'serviceClusterIPs: [{cidr: "fd00:96::/112"}]',
      { address: 'fd00:96::a', use: 'ClusterIP', range: 'fd00:96::/112', policy: 'Local', anywhere: 1, here: 1 },
      ['fd00:96::/112', 'fd00:96::a/128'],
    ],
    ['a view of a range that is gone counts for nothing', disabled, { range: '203.0.113.0/24', anywhere: 1 }, []],
  ];
  for (const [name, spec, wish, expected] of rows) {
    test(name, () => {
      const result = compiled(spec, wish === undefined ? undefined : [view(wish)]);
      assert.deepEqual(announced(result), expected);
      const why = result.services.verdicts.filter((it) => it.reason === 'Announced').map((it) => it.prefix);
      assert.deepEqual([...why].sort(), [...expected].sort());
    });
  }
  test('the label of the Node keeps everything away, whatever its value', () => {
    const local = view({ policy: 'Local', anywhere: 1, here: 1 });
    assert.deepEqual(announced(compiled(ranges, [local], excluded)), []);
  });
  test('two Services that share an address announce it once, as long as one of them can', () => {
    const views = [view({ name: 'a' }), view({ name: 'b', anywhere: 1 })];
    assert.deepEqual(announced(compiled(disabled, views)), [one]);
  });
  test('communities of a prefix are also on the addresses in it', () => {
    const spec = `${disabled}, prefixAdvertisements: [{cidr: 198.51.100.0/24, communities: ["65000:7"]}]`;
    const [found] = compiled(spec, [view({ anywhere: 1 })]).intent.bgp?.announcements.filter(
      (it) => it.source === 'service',
    ) ?? [undefined];
    assert.deepEqual(found?.communities, [65000 * 65536 + 7]);
  });
  test('ranges of node.<name> stand before those of all', () => {
    const set = resources(
      node,
      own('BGPConfiguration', 'default', ranges),
      own('BGPConfiguration', 'node.node-1', 'serviceLoadBalancerIPs: []'),
    );
    assert.deepEqual(announced(compile(set, 'node-1')), []);
  });
});

describe('ranges', () => {
  test('are never imported, and dropped where nobody translates them', () => {
    const { intent } = compiled(`${ranges}, serviceClusterIPs: [{cidr: 10.96.0.0/16}]`);
    assert.deepEqual(intent.dataplane.serviceRanges, ['10.96.0.0/16', '198.51.100.0/24']);
    for (const range of intent.dataplane.serviceRanges) assert.ok(intent.bgp?.ownPrefixes.includes(range), range);
  });
  const pool = (uses: string): string => own('IPPool', 'pods', `cidr: 10.61.0.0/16, allowedUses: [${uses}]`);
  const refused: readonly (readonly [string, string, readonly string[], RegExp])[] = [
    [
      'over a pool of pods',
      '10.0.0.0/8',
      [pool('Workload')],
      /10\.0\.0\.0\/8 overlaps IPPool pods \(10\.61\.0\.0\/16\)/,
    ],
    ['inside a pool of pods', '10.61.3.0/24', [pool('Workload')], /overlaps IPPool pods/],
    ["over the node's block", '10.60.0.0/16', [], /overlaps the node's block 10\.60\.1\.0\/26/],
    ["with the node's address", '192.0.2.0/24', [], /overlaps the node's address 192\.0\.2\.11/],
  ];
  for (const [name, cidr, more, message] of refused) {
    test(`${name} are left out, with a sentence`, () => {
      const set = resources(node, ...more, own('BGPConfiguration', 'default', `serviceExternalIPs: [{cidr: ${cidr}}]`));
      const result = compile(set, 'node-1');
      assert.deepEqual(announced(result), []);
      assert.deepEqual(result.intent.dataplane.serviceRanges, []);
      const about = result.conditions.find((it) => it.kind === 'BGPConfiguration');
      assert.equal(`${about?.status} ${about?.reason}`, 'False CIDROverlap');
      assert.match(about?.message ?? '', message);
    });
  }
  test('inside a pool for load balancers are what such a pool is for', () => {
    const set = resources(
      node,
      pool('LoadBalancer'),
      own('BGPConfiguration', 'default', 'serviceLoadBalancerIPs: [{cidr: 10.61.3.0/24}]'),
    );
    assert.deepEqual(announced(compile(set, 'node-1')), ['10.61.3.0/24']);
  });
});

describe('the proxy of the node', () => {
  const asked = compiled(ranges, [view({ policy: 'Local', anywhere: 1, here: 1 })]);
  const healthy = { healthy: true, problem: undefined };
  const dead = { healthy: false, problem: 'nobody answers on port 10256 of this host (refused)' };
  const shown = (facts: Facts, of = asked): readonly string[] => servicesIn(gate(of, facts));
  const condition = (facts: Facts, of = asked): string => {
    const found = conditions(of, facts).find((it) => it.type === 'ServicesAnnounced');
    return `${found?.status} ${found?.reason}`;
  };
  test('nothing is announced before it answered, nor while it does not work', () => {
    assert.deepEqual(shown({}), []);
    assert.deepEqual(shown({ proxy: dead }), []);
    assert.deepEqual(shown({ proxy: healthy }), ['198.51.100.0/24', '198.51.100.7/32']);
    assert.deepEqual([condition({}), condition({ proxy: dead })], ['Unknown Pending', 'False ProxyNotHealthy']);
  });
  test('is not asked where the configuration says so', () => {
    const trusting = compiled(`${ranges}, serviceProxy: {healthCheck: false}`, []);
    assert.deepEqual(shown({}, trusting), ['198.51.100.0/24']);
  });
  test('what waits is held back, and the condition counts it', () => {
    const delayed = new Map([['198.51.100.7/32' as Prefix, instant(7)]]);
    const facts = { proxy: healthy, delayed };
    assert.deepEqual(shown(facts), ['198.51.100.0/24']);
    const found = conditions(asked, facts).find((it) => it.type === 'ServicesAnnounced');
    assert.match(found?.message ?? '', /^1 addresses and ranges of Services are announced\. 1 more, .* wait/);
  });
  test('what was written to no session is a problem, what the speaker has not heard of yet is none', () => {
    const announcedTo = (peers: readonly string[]): Facts => {
      const prefixes = ['198.51.100.0/24', '198.51.100.7/32'] as Prefix[];
      const bgp = { ...bgpFacts([peerFacts('tor')]), announced: prefixes.map((prefix) => ({ prefix, peers })) };
      return { proxy: healthy, bgp };
    };
    assert.equal(condition(announcedTo(['tor'])), 'True ServicesAnnounced');
    assert.equal(condition(announcedTo([])), 'False NotAnnounced');
    assert.equal(condition({ proxy: healthy, bgp: bgpFacts([peerFacts('tor')]) }), 'True ServicesAnnounced');
  });
  test('Services that cannot be read are a problem, an excluded node is none, and without ranges nothing is said', () => {
    const unread = compiled(ranges);
    assert.equal(condition({ proxy: healthy, servicesProblem: 'forbidden.' }, unread), 'False ServicesNotRead');
    assert.equal(condition({ proxy: healthy }, unread), 'Unknown Pending');
    assert.equal(condition({ proxy: dead }, compiled(ranges, [], excluded)), 'True NodeExcluded');
    assert.equal(condition({ proxy: healthy }, compiled('importPolicy: All', [])), 'undefined undefined');
  });
});
