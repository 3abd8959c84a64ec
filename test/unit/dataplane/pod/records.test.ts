import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeAlias, encodeAlias } from '#dataplane/pod/alias.ts';
import {
  type Attachment,
  hostInterfaceName,
  isHostInterfaceName,
  networkHash,
  parseMac,
  podMac,
} from '#dataplane/pod/attachment.ts';
import { planReaping } from '#dataplane/pod/reap-plan.ts';
import { planMtu, podMtu, uplinkMtu } from '#dataplane/pod/mtu.ts';
import { rebuild } from '#dataplane/pod/rebuild.ts';
import { outgoingRules, podRules, serviceRules } from '#dataplane/pod/ruleset.ts';
import { LINK_GROUP } from '#dataplane/kernel-names.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import type { Link } from '#netlink/wire/link.ts';

const attachment: Attachment = {
  networkHash: networkHash('net'),
  containerId: 'c'.repeat(64),
  interfaceName: 'eth0',
  addresses: ['10.0.0.1', '2001:db8::1'] as IpAddress[],
  bootMilliseconds: 123_456_789,
  mtu: undefined,
  mac: undefined,
  namespace: 'default',
  pod: 'web-0',
};
const name = hostInterfaceName(attachment);
const encoded = encodeAlias(attachment);
const alias = encoded.ok ? encoded.value : '';

const link = (more: Partial<Link>): Link => ({
  index: 7,
  name,
  hardwareType: 1,
  flags: 1,
  mtu: 1500,
  address: 'ee:ee:ee:ee:ee:ee',
  alias,
  group: LINK_GROUP.live,
  kind: 'veth',
  master: undefined,
  link: 2,
  linkNamespace: 0,
  operationalState: 6,
  rpFilter: 1,
  addressGeneration: 1,
  ...more,
});

describe('names', () => {
  test('host interface names fit Linux, follow from the attachment and tell attachments apart', () => {
    assert.match(name, /^fr[0-9a-f]{12}$/);
    assert.ok(
      isHostInterfaceName(name) &&
        !isHostInterfaceName('fr0') &&
        !isHostInterfaceName('frzzzzzzzzzzzz') &&
        !isHostInterfaceName('eth0'),
    );
    for (const other of [{ networkHash: networkHash('other') }, { containerId: 'd' }, { interfaceName: 'net1' }])
      assert.notEqual(hostInterfaceName({ ...attachment, ...other }), name);
  });
  test('MAC addresses are unicast, locally administered and told apart', () => {
    const mac = podMac(attachment);
    assert.equal(parseMac(mac), mac);
    assert.equal(Number.parseInt(mac.slice(0, 2), 16) & 3, 2);
    assert.notEqual(podMac({ ...attachment, interfaceName: 'net1' }), mac);
  });
});

describe('the alias', () => {
  test('an ordinary attachment of containerd fits with its names', () => {
    assert.equal(alias.length < 255, true);
    assert.deepEqual(decodeAlias(alias), attachment);
  });
  test('what is not ours is not read', () => {
    for (const text of [
      '',
      'uplink to tor1',
      alias.replace('fr1', 'fr2'),
      alias.replace(' eth0', ''),
      `${alias} more`,
      alias.replace('0a000001', '0a0000'),
      alias.replace(' - ', ' 02 '),
    ])
      assert.equal(decodeAlias(text), undefined, text);
  });
});

describe('what links tell after a start', () => {
  const rows: readonly {
    readonly name: string;
    readonly link: Partial<Link>;
    readonly is: 'live' | 'building' | 'dying' | 'foreign' | 'nothing';
  }[] = [
    { name: 'live with its record', link: {}, is: 'live' },
    { name: 'building with its record', link: { group: LINK_GROUP.building }, is: 'building' },
    { name: 'building without a record yet', link: { group: LINK_GROUP.building, alias: '' }, is: 'building' },
    { name: 'dying', link: { group: LINK_GROUP.dying }, is: 'dying' },
    { name: 'reaping', link: { group: LINK_GROUP.reaping }, is: 'dying' },
    { name: 'live without a record', link: { alias: '' }, is: 'foreign' },
    { name: 'live with the record of another name', link: { name: 'fr000000000000' }, is: 'foreign' },
    { name: 'our name in no group of ours', link: { group: 0 }, is: 'foreign' },
    { name: 'our group under another name', link: { name: 'uplink' }, is: 'nothing' },
    { name: 'our name on a bridge', link: { kind: 'bridge' }, is: 'nothing' },
  ];
  for (const row of rows) {
    test(row.name, () => {
      const found = rebuild([link(row.link)]);
      const counts = {
        live: found.live.length,
        building: found.building.length,
        dying: found.dying.length,
        foreign: found.foreign.length,
      };
      assert.deepEqual(counts, {
        live: 0,
        building: 0,
        dying: 0,
        foreign: 0,
        ...(row.is === 'nothing' ? {} : { [row.is]: 1 }),
      });
    });
  }
});

test('the MTU of pods is the smallest of what may be an uplink', () => {
  const up = (): boolean => true;
  const links = [
    link({ name: 'lo', hardwareType: 772, kind: '', mtu: 1280 }),
    link({ mtu: 1300 }),
    link({ name: 'eth0', kind: '', mtu: 9000 }),
    link({ name: 'eth1', kind: '', mtu: 8900 }),
    link({ name: 'docker0', kind: 'bridge', mtu: 1400 }),
    link({ name: 'veth1', kind: 'veth', mtu: 1400, master: 5 }),
  ];
  assert.equal(uplinkMtu(links, up), 8900);
  assert.equal(uplinkMtu(links.slice(0, 2), up), 1500);
});

test('a pod has the MTU of the uplinks, with IPv6 not less than IPv6 needs', () => {
  assert.equal(podMtu(9000, attachment.addresses), 9000);
  assert.equal(podMtu(1200, attachment.addresses), 1280);
  assert.equal(podMtu(1200, attachment.addresses.slice(0, 1)), 1200);
});

test("both ends follow; a pod's end that somebody set is only cut", () => {
  assert.deepEqual(planMtu(1400, 1500, 1500), { host: 1400, pod: 1400 });
  assert.deepEqual(planMtu(9000, 1500, 1500), { host: 9000, pod: 9000 });
  assert.deepEqual(planMtu(9000, 1500, 1300), { host: 9000, pod: 1300 });
  assert.deepEqual(planMtu(1280, 1500, 1300), { host: 1280, pod: 1280 });
  assert.deepEqual(planMtu(1400, 1500, 1400), { host: 1400, pod: 1400 }, 'half done before');
});

describe('what the reaper may delete', () => {
  const dying = { index: 7, name, alias, addresses: attachment.addresses };
  const rows: readonly {
    readonly name: string;
    readonly observed: readonly Partial<Link>[];
    readonly is: 'remove' | 'gone' | 'keep';
    readonly asGroup?: boolean;
  }[] = [
    { name: 'ours, dying', observed: [{ group: LINK_GROUP.dying }], is: 'remove' },
    { name: 'ours, building', observed: [{ group: LINK_GROUP.building }], is: 'remove' },
    { name: 'ours, left in reaping', observed: [{ group: LINK_GROUP.reaping }], is: 'remove' },
    { name: 'not there', observed: [], is: 'gone' },
    {
      name: 'another pod of ours under the index',
      observed: [{ name: 'fr000000000000', alias: 'fr1 other' }],
      is: 'gone',
    },
    { name: 'live again', observed: [{ group: LINK_GROUP.live }], is: 'keep' },
    { name: 'renamed by somebody', observed: [{ name: 'mine', group: LINK_GROUP.dying }], is: 'keep' },
    { name: 'with another record', observed: [{ alias: 'x', group: LINK_GROUP.dying }], is: 'keep' },
    { name: 'no veth', observed: [{ kind: 'bridge', group: LINK_GROUP.dying }], is: 'keep' },
    {
      name: 'ours beside a foreign link in the group',
      observed: [{ group: LINK_GROUP.dying }, { index: 9, name: 'eth9', group: LINK_GROUP.reaping }],
      is: 'remove',
      asGroup: false,
    },
    {
      name: 'ours beside another of ours in the group',
      observed: [{ group: LINK_GROUP.dying }, { index: 9, name: 'fr000000000000', group: LINK_GROUP.reaping }],
      is: 'remove',
    },
  ];
  for (const row of rows) {
    test(row.name, () => {
      const plan = planReaping([dying], row.observed.map(link));
      assert.deepEqual(
        [plan.remove.length, plan.gone.length, plan.keep.length],
        [Number(row.is === 'remove'), Number(row.is === 'gone'), Number(row.is === 'keep')],
      );
      assert.equal(plan.asGroup, row.asGroup ?? true);
    });
  }
});

describe('the ruleset', () => {
  const text = (value: object): string => JSON.stringify(value);
  const nat = {
    blocks: [],
    nodeAddresses: { ipv4: '192.0.2.1' as IpAddress, ipv6: undefined },
    natOutgoing: ['10.0.0.0/24', '10.0.0.0/25', '2001:db8::/64'] as Prefix[],
    poolPrefixes: ['10.0.0.0/8'] as Prefix[],
    serviceRanges: [],
  };
  test('rules against spoofing know groups and no pod', () => {
    const rules = text(podRules());
    for (const group of Object.values(LINK_GROUP)) assert.ok(rules.includes(String(group)));
    assert.ok(!rules.includes('iifname'));
  });
  test('translation is towards everything outside the pools, per family that has a node address, without overlap', () => {
    const rules = text(outgoingRules(nat));
    assert.ok(rules.includes('"snat":{"family":"ip","addr":"192.0.2.1"}'));
    assert.ok(rules.includes('"op":"!=","left":{"payload":{"protocol":"ip","field":"daddr"}}'));
    assert.ok(!rules.includes('10.0.0.0","len":25'));
    assert.ok(!rules.includes('ip6'));
  });
  test('what goes to a range of Services is dropped where it is forwarded, behind the filters of others', () => {
    const { json, rules } = serviceRules({ serviceRanges: ['198.51.100.0/24', '2001:db8:5::/112'] as Prefix[] });
    assert.equal(rules, 2);
    assert.match(text(json), /"hook":"forward","prio":10/);
    for (const it of ['"addr":"198.51.100.0","len":24', '"addr":"2001:db8:5::","len":112', '"field":"daddr"'])
      assert.ok(text(json).includes(it), it);
    assert.equal(serviceRules({ serviceRanges: [] }).rules, 0);
  });
  test('without natOutgoing the chain is empty, not absent', () => {
    const rules = text(outgoingRules({ ...nat, natOutgoing: [] }));
    assert.ok(rules.includes('"flush"') && !rules.includes('snat"'));
  });
});
