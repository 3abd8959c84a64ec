import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { droppingForwardChains, networkdManagesForeign, type NodeState, planNode } from '#dataplane/node-plan.ts';

const good: NodeState = {
  kernelRelease: '6.1.0-18-amd64',
  nexthopObjects: true,
  ipv4Forwarding: true,
  ipv6Forwarding: true,
  rpFilterAll: 0,
  uplinks: [{ name: 'eth0', rpFilter: 0, acceptRa: 1, defaultByAdvertisement: false }],
  droppingForwardChains: [],
  networkdManagesForeign: false,
};
const uplink = { name: 'eth0', rpFilter: 0, acceptRa: 1, defaultByAdvertisement: false };

describe('planNode', () => {
  test('a node that has all it needs gets no setting and no problem', () => {
    assert.deepEqual(planNode(good), { settings: [], problems: [] });
  });

  const rows: readonly (readonly [string, Partial<NodeState>, readonly string[], readonly string[]])[] = [
    ['no IPv4 forwarding', { ipv4Forwarding: false }, ['net/ipv4/ip_forward=1'], []],
    ['no IPv6 forwarding', { ipv6Forwarding: false }, ['net/ipv6/conf/all/forwarding=1'], []],
    ['a kernel without IPv6', { ipv6Forwarding: undefined }, [], []],
    [
      'a default by advertisement: accept_ra first',
      { ipv6Forwarding: false, uplinks: [{ ...uplink, defaultByAdvertisement: true }] },
      ['net/ipv6/conf/eth0/accept_ra=2', 'net/ipv6/conf/all/forwarding=1'],
      [],
    ],
    ['accept_ra that is 2 already', { uplinks: [{ ...uplink, acceptRa: 2, defaultByAdvertisement: true }] }, [], []],
    ['a strict uplink', { uplinks: [{ ...uplink, rpFilter: 1 }] }, ['net/ipv4/conf/eth0/rp_filter=2'], []],
    ['strict by `all`', { rpFilterAll: 1 }, ['net/ipv4/conf/eth0/rp_filter=2'], []],
    ['loose by `all`', { rpFilterAll: 2, uplinks: [{ ...uplink, rpFilter: 1 }] }, [], []],
    ['Linux 5.14', { kernelRelease: '5.14.21-x' }, [], ['KernelTooOld']],
    ['Linux 4.19', { kernelRelease: '4.19.0' }, [], ['KernelTooOld']],
    ['Linux 5.15', { kernelRelease: '5.15.0-91-generic' }, [], []],
    ['no nexthop objects', { nexthopObjects: false }, [], ['NexthopObjectsMissing']],
    ['a dropping forward chain', { droppingForwardChains: ['ip filter FORWARD'] }, [], ['ForwardPolicyDrop']],
    ['systemd-networkd', { networkdManagesForeign: true }, [], ['NetworkdManagesForeignRoutes']],
  ];
  for (const [name, change, settings, problems] of rows) {
    test(name, () => {
      const plan = planNode({ ...good, ...change });
      assert.deepEqual(
        plan.settings.map((one) => `${one.name}=${one.value}`),
        settings,
      );
      assert.deepEqual(
        plan.problems.map((one) => one.code),
        problems,
      );
    });
  }
});

describe('droppingForwardChains', () => {
  const chain = (hook: string, policy: string): unknown => ({
    chain: { family: 'ip', table: 'filter', name: 'FORWARD', hook, policy },
  });
  const rows: readonly (readonly [string, string, readonly string[] | undefined])[] = [
    [
      'drop at forward',
      JSON.stringify({ nftables: [{ metainfo: {} }, chain('forward', 'drop')] }),
      ['ip filter FORWARD'],
    ],
    ['accept at forward', JSON.stringify({ nftables: [chain('forward', 'accept')] }), []],
    ['drop at input', JSON.stringify({ nftables: [chain('input', 'drop')] }), []],
    ['no JSON', 'Error: x', undefined],
    ['other JSON', '[]', undefined],
  ];
  for (const [name, json, expected] of rows) test(name, () => assert.deepEqual(droppingForwardChains(json), expected));
});

describe('networkdManagesForeign', () => {
  const rows: readonly (readonly [string, readonly string[], boolean])[] = [
    ['nothing set: it does', [], true],
    ['both off', ['[Network]\nManageForeignRoutes=no\nManageForeignNextHops = false\n'], false],
    ['one off', ['[Network]\nManageForeignRoutes=no\n'], true],
    ['off in two files', ['ManageForeignRoutes=0', 'ManageForeignNextHops=off'], false],
    ['a later file turns it on', ['ManageForeignRoutes=no\nManageForeignNextHops=no', 'ManageForeignRoutes=yes'], true],
    ['a comment', ['#ManageForeignRoutes=no\n;ManageForeignNextHops=no'], true],
  ];
  for (const [name, texts, expected] of rows) test(name, () => assert.equal(networkdManagesForeign(texts), expected));
});
