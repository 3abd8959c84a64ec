import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type NodeState, planNode, type UplinkState } from '#dataplane/node-plan.ts';

const uplink: UplinkState = {
  name: 'eth0',
  inUse: true,
  forwarding: true,
  rpFilter: 0,
  acceptRa: 1,
  defaultByAdvertisement: false,
};
const chain = { family: 'ip', table: 'filter', name: 'FORWARD' };
const good: NodeState = {
  kernelRelease: '6.1.0-18-amd64',
  nexthopObjects: true,
  ipv4Forwarding: true,
  ipv4ForwardingOfNew: true,
  ipv6Forwarding: true,
  rpFilterAll: 0,
  uplinks: [uplink],
  droppingForwardChains: [],
  networkdManagesForeign: false,
};

describe('planNode', () => {
  test('a node that has all it needs gets no setting and no problem', () => {
    assert.deepEqual(planNode(good), { settings: [], problems: [] });
  });

  const rows: readonly (readonly [string, Partial<NodeState>, readonly string[], readonly string[]])[] = [
    ['no IPv4 forwarding', { ipv4Forwarding: false }, ['net/ipv4/ip_forward=1'], []],
    [
      'IPv4 forwarding for old interfaces alone',
      { ipv4ForwardingOfNew: false },
      ['net/ipv4/conf/default/forwarding=1'],
      [],
    ],
    [
      'one uplink that forwards nothing',
      { uplinks: [{ ...uplink, forwarding: false }] },
      ['net/ipv4/conf/eth0/forwarding=1'],
      [],
    ],
    [
      'no IPv6 forwarding, advertisements not read by the kernel',
      { ipv6Forwarding: false, uplinks: [{ ...uplink, acceptRa: 0, defaultByAdvertisement: true }] },
      ['net/ipv6/conf/all/forwarding=1'],
      [],
    ],
    [
      'an uplink without carrier that would have learned its default later',
      { ipv6Forwarding: false, uplinks: [{ ...uplink, inUse: false, rpFilter: 1, forwarding: false }] },
      ['net/ipv6/conf/eth0/accept_ra=2', 'net/ipv6/conf/all/forwarding=1'],
      [],
    ],
    ['forwarding before us, and no default: advertisements are not accepted as before', {}, [], []],
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
    ['a dropping forward chain', { droppingForwardChains: [chain] }, [], ['ForwardPolicyDrop']],
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

test('what to do about a dropping chain is in the words of whoever made it', () => {
  const text = (more: Partial<typeof chain>): string =>
    planNode({ ...good, droppingForwardChains: [{ ...chain, ...more }] }).problems[0]?.text ?? '';
  assert.match(text({}), /`iptables -I FORWARD -i fr\+ -j ACCEPT` and `iptables -I FORWARD -o fr\+ -j ACCEPT`/);
  assert.match(text({ family: 'ip6' }), /`ip6tables -I FORWARD -i fr\+/);
  assert.match(
    text({ family: 'inet', name: 'forward' }),
    /`nft insert rule inet filter forward iifgroup 2818 accept` and `nft insert rule inet filter forward oifgroup 2818/,
  );
});
