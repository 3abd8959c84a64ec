import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatAddResult, readPreviousResult } from '#cni/result.ts';
import { formatFailure, specVersions } from '#cni/spec.ts';
import { type IpAddress, type Prefix } from '#lib/ip.ts';

const result = {
  hostInterface: 'fr0123456789ab',
  interfaceName: 'eth0',
  netns: '/run/netns/a',
  mac: '02:00:00:00:00:01',
  mtu: 1500,
  addresses: ['10.0.0.1', '2001:db8::1'] as IpAddress[],
  routes: ['0.0.0.0/0', '::/0'] as Prefix[],
  dns: { nameservers: ['192.0.2.53'] },
};

describe('the result of ADD', () => {
  for (const version of specVersions) {
    test(`in version ${version}`, () => {
      const old = version === '0.3.1' || version === '0.4.0';
      const mtu = version === '1.1.0' ? { mtu: 1500 } : {};
      assert.deepEqual(JSON.parse(formatAddResult(version, result)), {
        cniVersion: version,
        interfaces: [
          { name: 'fr0123456789ab', mac: 'ee:ee:ee:ee:ee:ee', ...mtu },
          { name: 'eth0', mac: '02:00:00:00:00:01', ...mtu, sandbox: '/run/netns/a' },
        ],
        ips: [
          { ...(old ? { version: '4' } : {}), address: '10.0.0.1/32', gateway: '169.254.1.1', interface: 1 },
          {
            ...(old ? { version: '6' } : {}),
            address: '2001:db8::1/128',
            gateway: 'fe80::ecee:eeff:feee:eeee',
            interface: 1,
          },
        ],
        routes: [
          { dst: '0.0.0.0/0', gw: '169.254.1.1' },
          { dst: '::/0', gw: 'fe80::ecee:eeff:feee:eeee' },
        ],
        dns: { nameservers: ['192.0.2.53'] },
      });
    });
    test(`comes back from a later plugin in version ${version}`, () => {
      const previous = readPreviousResult(JSON.parse(formatAddResult(version, result)), 'eth0');
      assert.deepEqual(previous, {
        ok: true,
        value: {
          mac: '02:00:00:00:00:01',
          hostInterface: 'fr0123456789ab',
          addresses: ['10.0.0.1', '2001:db8::1'],
          routes: ['0.0.0.0/0', '::/0'],
        },
      });
    });
  }
});

test('addresses of other interfaces in a previous result are not ours', () => {
  const previous = readPreviousResult(
    {
      interfaces: [
        { name: 'eth0', sandbox: '/n' },
        { name: 'net1', sandbox: '/n' },
      ],
      ips: [
        { address: '10.0.0.1/32', interface: 0 },
        { address: '10.0.0.2/24', interface: 1 },
        { address: '10.0.0.3/32' },
      ],
    },
    'eth0',
  );
  assert.deepEqual(previous.ok && previous.value.addresses, ['10.0.0.1', '10.0.0.3']);
});

test('a previous result that does not tell of the interface is refused', () => {
  for (const value of [
    undefined,
    7,
    {},
    { interfaces: [{ name: 'eth0' }] },
    { interfaces: [{ name: 'eth0', sandbox: '/n' }], ips: [{ address: 'x' }] },
  ])
    assert.ok(!readPreviousResult(value, 'eth0').ok, JSON.stringify(value));
});

test('a failure has version, code, message and details', () => {
  assert.deepEqual(JSON.parse(formatFailure('0.4.0', { code: 11, msg: 'm', details: 'd' })), {
    cniVersion: '0.4.0',
    code: 11,
    msg: 'm',
    details: 'd',
  });
});
