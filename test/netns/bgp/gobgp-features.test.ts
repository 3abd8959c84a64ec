// What the driver says GoBGP does as it is meant, with BIRD at the other end: a session for each feature, all at once.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PeerIntent } from '#bgp/engine.ts';
import { seconds } from '#lib/time.ts';
import { Driver, GobgpLab, inGobgp } from '../../support/gobgp.ts';
import { eventually } from '../../support/netns.ts';
import { asn, intent, ip, kernelView, peerIntent, prefix } from '../../unit/bgp/speaker/network.ts';

interface Feature {
  readonly name: string;
  /** Last octet of BIRD's address, and in the third of what it announces. */
  readonly n: number;
  readonly peer: Partial<PeerIntent>;
  /** Of BIRD's protocol, and of its channel. */
  readonly bird?: string;
  readonly channel?: string;
}

const ours = asn(65001);
const features: readonly Feature[] = [
  {
    name: 'range',
    n: 17,
    peer: { listenRange: { prefix: prefix('192.0.2.16/28'), limit: 4 }, address: ip('0.0.0.0') },
  },
  { name: 'gtsm', n: 3, peer: { ttlSecurity: 1 }, bird: 'ttl security on;' },
  { name: 'paths', n: 4, peer: { addPath: { receive: true, send: 2 } }, channel: 'add paths on;' },
  {
    name: 'longlived',
    n: 5,
    peer: { longLivedGracefulRestart: { staleTime: seconds(60), families: ['ipv4'] } },
    bird: 'graceful restart on; long lived graceful restart on;',
  },
  { name: 'client', n: 6, peer: { peerAsn: ours, routeReflectorClient: true }, bird: 'router id 10.255.0.6;' },
  { name: 'other', n: 7, peer: { peerAsn: ours, routeReflectorClient: true }, bird: 'router id 10.255.0.7;' },
];

const birdOf = ({ name, n, peer, bird = '', channel = '' }: Feature): string => `
protocol static s_${name} { ipv4; route 198.51.${100 + n}.0/24 blackhole; }
protocol bgp to_${name} {
  local 192.0.2.${n} as ${peer.peerAsn ?? 65002};
  neighbor 192.0.2.${100 + n} as 65001;
  error wait time 1,2;
  connect delay time 1;
  ${bird}
  ipv4 { import all; export where proto ~ "s_${name}*"; ${channel} };
}
`;

describe('features of a peer, with GoBGP', { timeout: 600_000 }, () => {
  let lab: GobgpLab;
  let driver: Driver;

  before(async () => {
    lab = await GobgpLab.create();
    // BIRD has one session with an address.
    for (const { n } of features) {
      await lab.router.run(['ip', 'addr', 'add', `192.0.2.${n}/24`, 'dev', 'eth0']);
      await lab.node.run(['ip', 'addr', 'add', `192.0.2.${100 + n}/24`, 'dev', 'eth0']);
    }
    await lab.startBird(
      `${features.map(birdOf).join('')}protocol static s_paths_too { ipv4; route 198.51.104.0/24 blackhole; }`,
    );
    lab.startGobgp();
    driver = new Driver();
    driver.engine.setKernelView(kernelView([['192.0.2.1/24', '2001:db8::1/64']]));
    const peers = features.map(({ name, n, peer }) =>
      peerIntent({
        name,
        address: ip(`192.0.2.${n}`),
        peerAsn: asn(65002),
        families: ['ipv4'],
        connectRetryTime: seconds(1),
        sourceAddress: ip(`192.0.2.${100 + n}`),
        ...peer,
      }),
    );
    driver.engine.apply(
      inGobgp(
        lab,
        intent({
          asn: ours,
          peers,
          clusterId: ip('10.99.0.1'),
          announcements: [{ prefix: prefix('10.60.1.0/26'), source: 'block' }],
        }),
      ),
      1,
    );
  });
  after(async () => {
    await driver.engine.stop('silent');
    await lab.dispose();
  });

  test('a peer comes from a listen range, and has its policy', async () => {
    await eventually('the session', () => driver.isUp('range/192.0.2.17'));
    await eventually('its route', () => driver.kernel.has('198.51.117.0/24'));
    await eventually('the block', async () => (await lab.learned('to_range')).includes('10.60.1.0/26'));
    await eventually('one of the range', () => driver.peer('range')?.range?.established === 1);
  });

  test('a session with GTSM is up: what GoBGP sends has a time-to-live of 255', async () => {
    await eventually('the session', () => driver.isUp('gtsm'));
  });

  test('several paths of a prefix come, and may go', async () => {
    await eventually('both ways', () => driver.peer('paths')?.addPath?.send.includes('ipv4') === true);
    assert.deepEqual(driver.peer('paths')?.addPath?.receive, ['ipv4']);
    await eventually('two paths', () => driver.peer('paths')?.received.ipv4 === 2);
    await eventually('both are counted', () => driver.peer('paths')?.accepted.ipv4 === 2);
  });

  test('long-lived graceful restart is agreed upon', async () => {
    await eventually('both ends', () => driver.peer('longlived')?.gracefulRestart?.longLived === true);
  });

  test('what one client says is reflected to the other, with our cluster', async () => {
    await eventually('the route', async () => (await lab.learned('to_other')).includes('198.51.106.0/24'));
    const text = await lab.birdc('show', 'route', '198.51.106.0/24', 'protocol', 'to_other', 'all');
    assert.match(text, /cluster_list: 10\.99\.0\.1/);
    assert.match(text, /originator_id: 10\.255\.0\.6/);
    assert.match(text, /next_hop: 192\.0\.2\.6/);
  });
});
