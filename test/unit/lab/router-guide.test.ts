// docs/router-guide.md shows what the lab's own functions give, and the interop scenarios run the same functions: nothing
// on the page is a configuration that nobody has tried.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { families } from '#lib/ip.ts';
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';
import { bgpConfiguration, bgpPeer, node, passwords } from '#lab/manifests.ts';
import { birdConfiguration } from '#lab/routers/bird.ts';
import { frrConfiguration } from '#lab/routers/frr.ts';
import type { RouterDescription, RouterPeer } from '#lab/routers/router.ts';

const PASSWORD = 'a-long-secret';
const HOLD_TIME_SECONDS = 9;

const nodePeer: RouterPeer = {
  name: 'node-1',
  address: '192.0.2.11' as IpAddress,
  asn: 64601 as Asn,
  families,
  password: PASSWORD,
  accept: ['10.60.0.0/16', 'fd60::/16'] as unknown as readonly Prefix[],
  maxPrefixes: 1000,
};

/** AS 65100, default routes to the nodes, pods' prefixes from them. */
const rackRouter: RouterDescription = {
  asn: 65100 as Asn,
  routerId: '192.0.2.1' as IpAddress,
  peers: [nodePeer],
  announce: ['0.0.0.0/0', '::/0'] as unknown as readonly Prefix[],
  holdTimeSeconds: HOLD_TIME_SECONDS,
  multipath: true,
};

/** The same router where another rack's nodes or routers have its AS, too. */
const sharedAs: RouterDescription = {
  ...rackRouter,
  peers: [
    {
      name: 'spine-1',
      address: '192.0.2.129' as IpAddress,
      asn: 65200 as Asn,
      families,
      allowedOwnAsns: 1,
    },
  ],
  announce: [],
};

/** A router of the nodes' own AS that reflects between them. */
const reflector: RouterDescription = {
  ...rackRouter,
  asn: 64601 as Asn,
  clusterId: '192.0.2.1' as IpAddress,
  peers: [{ name: 'node-1', address: '192.0.2.11' as IpAddress, asn: 64601 as Asn, families, client: true }],
  announce: [],
};

/** A router whose ports to its nodes have no addresses. */
const unnumbered: RouterDescription = {
  ...rackRouter,
  peers: [
    {
      name: 'node-1',
      address: '::' as IpAddress,
      interface: 'swp1',
      asn: 64601 as Asn,
      families,
      accept: ['10.60.0.0/16', 'fd60::/16'] as unknown as readonly Prefix[],
    },
  ],
};

/** Each block of the page, by the name in its first line's comment. */
const blocks: Readonly<Record<string, string>> = {
  'bird.conf': birdConfiguration(rackRouter),
  'bgpd.conf': frrConfiguration(rackRouter),
  'bird.conf, one AS on every rack': birdConfiguration(sharedAs),
  'bgpd.conf, one AS on every rack': frrConfiguration(sharedAs),
  'bird.conf, route reflector': birdConfiguration(reflector),
  'bgpd.conf, route reflector': frrConfiguration(reflector),
  'peer-node-1.yaml, a client of a node that reflects': bgpPeer({
    name: 'node-1',
    address: '192.0.2.11' as IpAddress,
    asn: 64601 as Asn,
    families,
    holdTimeSeconds: HOLD_TIME_SECONDS,
    options: ['routeReflectorClient: true'],
  }),
  'bird.conf, unnumbered': birdConfiguration(unnumbered),
  'bgpd.conf, unnumbered': frrConfiguration(unnumbered),
  'peer-eth1.yaml, unnumbered': bgpPeer({
    name: 'eth1',
    address: '::' as IpAddress,
    interface: 'eth1',
    asn: 'External',
    families,
    holdTimeSeconds: HOLD_TIME_SECONDS,
  }),
  'peer-rack.yaml, dynamic': bgpPeer({
    name: 'rack',
    address: '::' as IpAddress,
    listenRange: { cidr: '192.0.2.0/24', limit: 4 },
    asn: 'External',
    families,
    holdTimeSeconds: HOLD_TIME_SECONDS,
    passwordKey: 'rack',
  }),
  'bgp.yaml': bgpConfiguration({ asn: 64601 as Asn, importPolicy: 'DefaultRoute', nodeAddresses: true }),
  'peer-tor-a.yaml': bgpPeer({
    name: 'tor-a',
    address: '192.0.2.1' as IpAddress,
    asn: 65100 as Asn,
    families,
    holdTimeSeconds: HOLD_TIME_SECONDS,
    passwordKey: 'tor-a',
  }),
  'passwords.yaml': passwords({ 'tor-a': PASSWORD }),
  'node.yaml': node({
    name: 'node-1',
    labels: { rack: 'a' },
    addresses: ['10.60.0.1' as IpAddress, 'fd60::1' as IpAddress],
    podCIDRs: ['10.60.1.0/26', 'fd60:1::/122'] as unknown as readonly Prefix[],
  }),
};

const page = readFileSync('docs/router-guide.md', 'utf8');
/** What stands between ``` fences, by its first line without the comment sign. */
const shown = new Map(
  [...page.matchAll(/^```\w*\n# (.+)\n([^]*?)^```$/gm)].map(([, name = '', text = '']): [string, string] => [
    name,
    text,
  ]),
);

describe('docs/router-guide.md', () => {
  for (const [name, text] of Object.entries(blocks)) {
    test(`shows ${name} as the lab writes it`, () => {
      assert.equal(shown.get(name), text, `the block that begins with "# ${name}" must be:\n${text}`);
    });
  }

  test('shows no configuration that the lab does not write', () => {
    assert.deepEqual([...shown.keys()].sort(), Object.keys(blocks).sort());
  });
});
