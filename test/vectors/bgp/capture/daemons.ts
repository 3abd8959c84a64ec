/**
 * How each daemon is made to speak for a capture: its configuration, how it is started, what makes it withdraw a route and
 * what makes it say goodbye. The daemon is 192.0.2.1 / 2001:db8::1, the recorder 192.0.2.2 / 2001:db8::2, AS 64512.
 */
import { mkdirSync, writeFileSync } from 'node:fs';

export interface Daemon {
  readonly name: string;
  readonly version: string;
  /** What is special about this capture. */
  readonly note: string;
  /** The recorder offers four-octet AS numbers. */
  readonly fourOctetAs: boolean;
  /** The recorder offers add-path, both ways. */
  readonly addPath?: boolean;
  /** Recorder's AS number; the daemon's own for an internal session. */
  readonly recorderAsn: number;
  readonly daemonAsn: number;
  /** Writes configuration into `directory`; answers the command that runs in the foreground. */
  start(directory: string): readonly string[];
  /** Commands once it runs, to originate routes. */
  announce(directory: string): readonly (readonly string[])[];
  withdraw(directory: string): readonly (readonly string[])[];
  shutdown(directory: string): readonly (readonly string[])[];
}

interface BirdOptions {
  readonly name: string;
  readonly note: string;
  readonly fourOctetAs: boolean;
  readonly addPath?: boolean;
  readonly recorderAsn: number;
  readonly daemonAsn: number;
  readonly protocol: string;
  readonly channel: string;
  readonly filter: string;
  /** More protocols. */
  readonly more?: string;
}

const birdControl = (directory: string, ...words: string[]): readonly string[] => [
  'birdc',
  '-s',
  `${directory}/bird.ctl`,
  ...words,
];

const bird = (options: BirdOptions): Daemon => ({
  name: options.name,
  version: 'BIRD 2.0.12',
  note: options.note,
  fourOctetAs: options.fourOctetAs,
  ...(options.addPath === undefined ? {} : { addPath: options.addPath }),
  recorderAsn: options.recorderAsn,
  daemonAsn: options.daemonAsn,
  start: (directory) => {
    writeFileSync(
      `${directory}/bird.conf`,
      `router id 192.0.2.1;
protocol device {}
protocol static four { ipv4; route 198.51.100.0/24 blackhole; route 203.0.113.128/25 blackhole; route 10.1.2.3/32 blackhole; }
protocol static gone { ipv4; route 10.99.0.0/16 blackhole; }
protocol static six { ipv6; route 2001:db8:100::/48 blackhole; route 2001:db8:200::1/128 blackhole; }
${options.more ?? ''}protocol bgp peer {
  local 192.0.2.1 as ${options.daemonAsn};
  neighbor 192.0.2.2 as ${options.recorderAsn};
  hold time 90;
  ${options.protocol}
  ipv4 { ${options.channel} import all; export filter { ${options.filter} accept; }; };
  ipv6 { ${options.addPath === true ? options.channel : ''} import all; export filter { ${options.filter} accept; }; };
}
`,
    );
    return ['bird', '-f', '-c', `${directory}/bird.conf`, '-s', `${directory}/bird.ctl`, '-P', `${directory}/bird.pid`];
  },
  announce: () => [],
  withdraw: (directory) => [birdControl(directory, 'disable', 'gone')],
  shutdown: (directory) => [birdControl(directory, 'disable', 'peer', '"maintenance until noon"')],
});

const external = { fourOctetAs: true, recorderAsn: 64512, daemonAsn: 64513 } as const;

export const daemons: readonly Daemon[] = [
  bird({
    name: 'bird-external',
    note: 'default options; communities of all three kinds, MED, a prepended path',
    ...external,
    protocol: '',
    channel: '',
    filter:
      'bgp_med = 50; bgp_path.prepend(4200000001); bgp_community.add((64513,100)); bgp_ext_community.add((rt,64513,7)); bgp_large_community.add((64513,1,2));',
  }),
  bird({
    name: 'bird-internal',
    note: 'internal session with every capability that BIRD has: add-path, extended messages and next hops, graceful restart',
    fourOctetAs: true,
    recorderAsn: 64513,
    daemonAsn: 64513,
    protocol: 'enable extended messages on; graceful restart on; long lived graceful restart on;',
    channel: 'add paths on; extended next hop on;',
    filter: 'bgp_local_pref = 150;',
  }),
  bird({
    name: 'bird-add-path',
    note: 'add paths on at both ends: two paths of three prefixes',
    ...external,
    addPath: true,
    protocol: '',
    channel: 'add paths on;',
    filter: 'bgp_med = preference;',
    more: `protocol static second4 { ipv4 { preference 150; }; route 198.51.100.0/24 blackhole; route 10.99.0.0/16 blackhole; }
protocol static second6 { ipv6 { preference 150; }; route 2001:db8:100::/48 blackhole; }
`,
  }),
  bird({
    name: 'bird-two-octet',
    note: 'the recorder offers no four-octet AS numbers: AS_TRANS, AS4_PATH',
    fourOctetAs: false,
    recorderAsn: 64512,
    daemonAsn: 4200000001,
    protocol: '',
    channel: '',
    filter: 'bgp_path.prepend(64999);',
  }),
  {
    name: 'frr-external',
    version: 'FRR 8.4.4',
    note: 'default options; communities of all three kinds, MED, AGGREGATOR by aggregate-address; its IPv6 next hop is IPv4-mapped, for without zebra it knows no other',
    ...external,
    start: (directory) => {
      writeFileSync(
        `${directory}/bgpd.conf`,
        `hostname capture
router bgp 64513
 bgp router-id 192.0.2.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 192.0.2.2 remote-as 64512
 neighbor 192.0.2.2 timers connect 1
 neighbor 192.0.2.2 advertisement-interval 0
 address-family ipv4 unicast
  network 198.51.100.0/24
  network 203.0.113.128/25
  network 10.1.2.3/32
  aggregate-address 203.0.113.0/24
  neighbor 192.0.2.2 route-map OUT out
 address-family ipv6 unicast
  network 2001:db8:100::/48
  network 2001:db8:200::1/128
  neighbor 192.0.2.2 activate
  neighbor 192.0.2.2 route-map OUT out
route-map OUT permit 10
 set metric 50
 set community 64513:100 no-export
 set extcommunity rt 64513:7
 set large-community 64513:1:2
 set as-path prepend 4200000001
`,
      );
      return frrCommand(directory);
    },
    announce: (directory) => [
      vtysh(directory, 'router bgp 64513', 'address-family ipv4 unicast', 'network 10.99.0.0/16'),
    ],
    withdraw: (directory) => [
      vtysh(directory, 'router bgp 64513', 'address-family ipv4 unicast', 'no network 10.99.0.0/16'),
    ],
    shutdown: (directory) => [
      vtysh(directory, 'router bgp 64513', 'neighbor 192.0.2.2 shutdown message maintenance until noon'),
    ],
  },
  {
    name: 'gobgp-external',
    version: 'GoBGP 3.10.0',
    note: 'default options, routes added by its command line',
    ...external,
    start: (directory) => {
      writeFileSync(
        `${directory}/gobgpd.toml`,
        `[global.config]
  as = 64513
  router-id = "192.0.2.1"
  port = 1790
[[neighbors]]
  [neighbors.config]
    neighbor-address = "192.0.2.2"
    peer-as = 64512
  [neighbors.timers.config]
    connect-retry = 5
    idle-hold-time-after-reset = 5
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv6-unicast"
`,
      );
      return ['gobgpd', '-t', 'toml', '-f', `${directory}/gobgpd.toml`, '--pprof-disable'];
    },
    announce: () => [
      gobgp(
        'add',
        'ipv4',
        '198.51.100.0/24',
        'origin',
        'egp',
        'med',
        '50',
        'community',
        '64513:100,no-export',
        'large-community',
        '64513:1:2',
        'rt',
        '64513:7',
      ),
      gobgp('add', 'ipv4', '203.0.113.128/25', 'aspath', '4200000001', 'aggregator', '4200000001:192.0.2.9'),
      gobgp('add', 'ipv4', '10.99.0.0/16'),
      gobgp('add', 'ipv6', '2001:db8:100::/48', 'nexthop', '2001:db8::1'),
    ],
    withdraw: () => [gobgp('del', 'ipv4', '10.99.0.0/16')],
    shutdown: () => [['gobgp', 'neighbor', '192.0.2.2', 'shutdown', 'maintenance until noon']],
  },
  {
    name: 'openbgpd-external',
    version: 'OpenBGPD 7.7',
    note: 'default options; communities of all three kinds, MED; over IPv4 its IPv6 next hop is ::1',
    ...external,
    start: (directory) => {
      mkdirSync('/run/openbgpd', { recursive: true });
      writeFileSync(
        `${directory}/bgpd.conf`,
        `AS 64513
router-id 192.0.2.1
fib-update no
socket "${directory}/bgpd.sock"
network 198.51.100.0/24 set { community 64513:100 large-community 64513:1:2 ext-community rt 64513:7 metric 50 }
network 203.0.113.128/25 set prepend-self 2
network 10.99.0.0/16
network 2001:db8:100::/48
neighbor 192.0.2.2 {
  remote-as 64512
  local-address 192.0.2.1
  announce IPv4 unicast
  announce IPv6 unicast
}
allow to any
allow from any
`,
        { mode: 0o600 },
      );
      return ['bgpd', '-d', '-f', `${directory}/bgpd.conf`];
    },
    announce: () => [],
    withdraw: (directory) => [['bgpctl', '-s', `${directory}/bgpd.sock`, 'network', 'delete', '10.99.0.0/16']],
    shutdown: (directory) => [
      ['bgpctl', '-s', `${directory}/bgpd.sock`, 'neighbor', '192.0.2.2', 'down', 'maintenance until noon'],
    ],
  },
  {
    name: 'frr-add-path',
    version: 'FRR 8.4.4',
    note: 'addpath-tx-all-paths at both families; without zebra it has one path for a prefix',
    ...external,
    addPath: true,
    start: (directory) => {
      writeFileSync(
        `${directory}/bgpd.conf`,
        `hostname capture
router bgp 64513
 bgp router-id 192.0.2.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 192.0.2.2 remote-as 64512
 neighbor 192.0.2.2 timers connect 1
 neighbor 192.0.2.2 advertisement-interval 0
 address-family ipv4 unicast
  network 198.51.100.0/24
  neighbor 192.0.2.2 addpath-tx-all-paths
 address-family ipv6 unicast
  network 2001:db8:100::/48
  neighbor 192.0.2.2 activate
  neighbor 192.0.2.2 addpath-tx-all-paths
`,
      );
      return frrCommand(directory);
    },
    announce: (directory) => [
      vtysh(directory, 'router bgp 64513', 'address-family ipv4 unicast', 'network 10.99.0.0/16'),
    ],
    withdraw: (directory) => [
      vtysh(directory, 'router bgp 64513', 'address-family ipv4 unicast', 'no network 10.99.0.0/16'),
    ],
    shutdown: (directory) => [
      vtysh(directory, 'router bgp 64513', 'neighbor 192.0.2.2 shutdown message maintenance until noon'),
    ],
  },
  {
    name: 'gobgp-add-path',
    version: 'GoBGP 3.10.0',
    note: 'add-paths receive and send-max 8: two paths for a prefix, with identifiers of its own',
    ...external,
    addPath: true,
    start: (directory) => {
      writeFileSync(
        `${directory}/gobgpd.toml`,
        `[global.config]
  as = 64513
  router-id = "192.0.2.1"
  port = 1790
[[neighbors]]
  [neighbors.config]
    neighbor-address = "192.0.2.2"
    peer-as = 64512
  [neighbors.timers.config]
    connect-retry = 5
    idle-hold-time-after-reset = 5
  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
    [neighbors.afi-safis.add-paths.config]
      receive = true
      send-max = 8
`,
      );
      return ['gobgpd', '-t', 'toml', '-f', `${directory}/gobgpd.toml`, '--pprof-disable'];
    },
    announce: () => [
      gobgp('add', 'ipv4', '198.51.100.0/24', 'identifier', '10', 'med', '50'),
      gobgp('add', 'ipv4', '198.51.100.0/24', 'identifier', '20', 'med', '60'),
      gobgp('add', 'ipv4', '10.99.0.0/16'),
    ],
    withdraw: () => [gobgp('del', 'ipv4', '198.51.100.0/24', 'identifier', '20')],
    shutdown: () => [['gobgp', 'neighbor', '192.0.2.2', 'shutdown', 'maintenance until noon']],
  },
];

const frrCommand = (directory: string): readonly string[] => [
  '/usr/lib/frr/bgpd',
  '--skip_runas',
  '--no_kernel',
  '--no_zebra',
  '-f',
  `${directory}/bgpd.conf`,
  '-i',
  `${directory}/bgpd.pid`,
  '--vty_socket',
  directory,
  '-A',
  '127.0.0.1',
  '-P',
  '2605',
];

function vtysh(directory: string, ...lines: string[]): readonly string[] {
  return ['vtysh', '--vty_socket', directory, ...['configure terminal', ...lines].flatMap((line) => ['-c', line])];
}

function gobgp(verb: string, family: string, ...words: string[]): readonly string[] {
  return ['gobgp', 'global', 'rib', '-a', family, verb, ...words];
}
