/** BGPConfiguration: how this cluster's nodes speak BGP, as a whole (`default`) or one node (`node.<name>`). */
import { asNumber, countOrPercent, duration, ipv4Address, prefix } from './formats.ts';
import { secretKeyRef } from './bgp-peer.ts';
import { ownKind } from './kind.ts';
import { acceptedColumn, acceptedStatus, reasonColumn } from './object-status.ts';
import { gracefulRestart, importPolicy, restartTime } from './policy-fields.ts';
import { community } from './route-fields.ts';
import { boolean, integer, oneOf, string } from './scalars.ts';
import { list, object, optional, required } from './schema.ts';
import type { Infer } from './schema.ts';

const perNode = /^node\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

const readiness = object({
  minSessions: optional(integer(1, 128), {
    description:
      'Established sessions that a node needs before it takes pods. Those of the mesh do not count; a node that no BGPPeer selects needs none.',
    defaultText: '1',
    reset: 'none',
  }),
  delay: optional(duration({ from: 1, to: 3600, zero: true }), {
    description:
      'How long a tainted node must have its sessions and announce its blocks, without a break, before the taint goes: time for the routers to pass its routes on.',
    defaultText: '0s',
    reset: 'none',
  }),
  maxUnready: optional(countOrPercent, {
    description:
      'How many nodes may have the taint at once because they lost their sessions: `3`, or a share of the nodes whose agents report, `10%`, which is at least one. Further nodes keep taking pods, and their condition NetworkUnavailable says so. 0: nodes that were ready are never tainted. Only in `default`.',
    defaultText: '10%',
    reset: 'none',
  }),
});

const serviceRanges = list(object({ cidr: required(prefix, { description: 'A range: `198.51.100.0/24`.' }) }), {
  maxItems: 100,
  unique: { field: 'cidr' },
});

const gobgpAddress = string({
  type: 'the address of gobgpd',
  minLength: 1,
  maxLength: 107,
  rules: [
    {
      cel: "self.matches('^(unix://)?/[^ ]+$') || self.matches('^(127[.][0-9.]+|localhost|[[]::1[]]):[0-9]+$')",
      holds: (raw) => /^(unix:\/\/)?\/[^ ]+$/.test(raw) || /^(127\.[0-9.]+|localhost|\[::1\]):[0-9]+$/.test(raw),
      sentence:
        'gobgpd runs on this machine: a socket such as unix:///run/flatroute/gobgp.sock, or a loopback address such as 127.0.0.1:50051',
    },
  ],
});

const spec = object({
  asNumber: optional(asNumber, {
    description:
      'AS number of the nodes: `64512`, or dotted in quotes, `"1.10"`. A node takes the first that is set: `node.<name>`, its annotation `flatroute.io/as-number`, `default`.',
    defaultText: '64512',
    reset: 'reset',
  }),
  listenPort: optional(integer(0, 65535), {
    description: 'TCP port on which sessions are accepted. 0: no port, sessions are only opened from here.',
    defaultText: '179',
    reset: 'reset',
  }),
  routerID: optional(ipv4Address, {
    description:
      'BGP identifier, written as an IPv4 address. Only in `node.<name>`, since no two nodes may have the same.',
    defaultText: "the node's IPv4 address; without one, a number derived from the node's name",
    reset: 'reset',
  }),
  routeReflectorClusterID: optional(ipv4Address, {
    description:
      'CLUSTER_ID of a route reflector, written as an IPv4 address; reflectors that serve the same clients may share one. A node reflects when one of its BGPPeers has routeReflectorClient.',
    defaultText: 'the BGP identifier of each reflector',
    reset: 'refresh',
  }),
  nodeToNodeMeshEnabled: optional(boolean, {
    description:
      'Every node has a session with every other one, up to 200 nodes, but for route reflectors (annotation `flatroute.io/route-reflector-cluster-id`). For racks without a router that speaks BGP. Only in `default`.',
    defaultText: 'false',
    reset: 'none',
  }),
  nodeMeshPassword: optional(object({ secretKeyRef: required(secretKeyRef, { description: 'Where it is.' }) }), {
    description: 'TCP MD5 password of the sessions of the mesh. Only in `default`.',
    defaultText: 'none',
    reset: 'reset',
  }),
  nodeMeshMaxRestartTime: optional(restartTime, {
    description: 'gracefulRestart.restartTime of the sessions of the mesh. Only in `default`.',
    defaultText: 'that of gracefulRestart',
    reset: 'reset',
  }),
  importPolicy: optional(importPolicy, {
    description:
      'What is accepted of what peers announce when no filter has decided: nothing, 0.0.0.0/0 and ::/0 only, or all. BGPPeer can say otherwise for one peer.',
    defaultText: '`None` on external, `All` on internal sessions',
    reset: 'refresh',
  }),
  advertise: optional(
    object({
      nodeAddresses: optional(boolean, {
        description: "Announce the node's own addresses as /32 and /128.",
        defaultText: 'false',
        reset: 'refresh',
      }),
      prefixes: optional(list(prefix, { maxItems: 500, unique: 'entry' }), {
        description:
          'Further prefixes that the node announces as they stand, such as a loopback or a network behind it: `[192.0.2.0/24]`.',
        reset: 'refresh',
      }),
    }),
    { description: "What is announced beside the node's blocks." },
  ),
  communities: optional(
    list(
      object({
        name: required(string({ type: 'a name', minLength: 1, maxLength: 253 }), {
          description: 'Name for prefixAdvertisements.',
        }),
        value: required(community, {
          description:
            'Standard (`aa:nn`), large (`aa:nn:mm`) or extended (`rt:aa:nn`, `soo:aa:nn`, `0x…`) community, or a well-known one by name.',
        }),
      }),
      { maxItems: 500, unique: { field: 'name' } },
    ),
    { description: 'Communities by names of your own.', reset: 'refresh' },
  ),
  prefixAdvertisements: optional(
    list(
      object({
        cidr: required(prefix, { description: 'Prefix; it and everything inside it that the node announces itself.' }),
        communities: required(
          list(string({ type: 'a community or a name of one', minLength: 1, maxLength: 253 }), { maxItems: 50 }),
          { description: 'Communities that are added, or names from `communities`.' },
        ),
      }),
      { maxItems: 500, unique: { field: 'cidr' } },
    ),
    {
      description:
        'Communities on what the node announces itself, towards every peer and before export filters. What fits several entries gets those of all.',
      reset: 'refresh',
    },
  ),
  multipath: optional(
    object({
      maximumPaths: optional(integer(1, 64), {
        description: 'How many equally good paths to one prefix are used at the same time.',
        defaultText: '16',
        reset: 'refresh',
      }),
      relax: optional(boolean, {
        description: 'Paths of the same AS_PATH length are equally good, though they go through different ASes.',
        defaultText: 'true',
        reset: 'refresh',
      }),
    }),
    { description: 'Several paths to one prefix at the same time (ECMP).' },
  ),
  bestPath: optional(
    object({
      alwaysCompareMED: optional(boolean, {
        description:
          'The lowest MED is preferred between paths of different neighbour ASes too, not only within one. `bgp always-compare-med` of FRR.',
        defaultText: 'false',
        reset: 'refresh',
      }),
      missingMEDAsWorst: optional(boolean, {
        description:
          'A path without MED counts as the worst, not as MED 0. `bgp bestpath med missing-as-worst` of FRR.',
        defaultText: 'false',
        reset: 'refresh',
      }),
      preferOlder: optional(boolean, {
        description:
          'An external path that is the best is not replaced by one that only has a lower router id (RFC 5004): fewer changes, but the order in which paths came decides. `prefer older` of BIRD; FRR does so unless told otherwise.',
        defaultText: 'false',
        reset: 'refresh',
      }),
    }),
    { description: 'How the best of several paths is chosen, where the standard leaves a choice.' },
  ),
  serviceClusterIPs: optional(serviceRanges, {
    description:
      'Ranges of cluster addresses of Services. Each is announced as a whole by every node, and the address of a Service with `externalTrafficPolicy: Local` or `internalTrafficPolicy: Local` also by itself, by the nodes with an endpoint of it.',
    defaultText: 'none: they are not announced',
    reset: 'refresh',
  }),
  serviceExternalIPs: optional(serviceRanges, {
    description:
      'Ranges of `spec.externalIPs` of Services, announced like serviceClusterIPs. A range of a single address is announced only while its Service has an endpoint.',
    defaultText: 'none: they are not announced',
    reset: 'refresh',
  }),
  serviceLoadBalancerIPs: optional(serviceRanges, {
    description:
      'Ranges of the addresses that load balancers were given (`status.loadBalancer.ingress`), announced as serviceLoadBalancerAggregation says.',
    defaultText: 'none: they are not announced',
    reset: 'refresh',
  }),
  serviceLoadBalancerAggregation: optional(oneOf('Enabled', 'Disabled'), {
    description:
      'Enabled: ranges of serviceLoadBalancerIPs are announced like those of serviceClusterIPs. Disabled: never as a whole; each address is announced by itself while its Service has an endpoint (`externalTrafficPolicy: Local`: on this node).',
    defaultText: 'Enabled',
    reset: 'refresh',
  }),
  serviceProxy: optional(
    object({
      healthCheck: optional(boolean, {
        description:
          'Services are announced only while the proxy of the node answers `/healthz` with 200. `false` is for one that has no such port.',
        defaultText: 'true',
        reset: 'refresh',
      }),
      healthPort: optional(integer(1, 65535), {
        description:
          'Port of `/healthz`, as in healthzBindAddress of kube-proxy; of Cilium kubeProxyReplacementHealthzBindAddr.',
        defaultText: '10256',
        reset: 'refresh',
      }),
    }),
    { description: 'What translates the addresses of Services on a node: kube-proxy, or what stands for it.' },
  ),
  serviceAnnounceDelay: optional(duration({ from: 0, to: 600 }), {
    description:
      'How long an address of a Service that was withdrawn must be in use again before it is announced again. It is withdrawn, and announced the first time, without delay.',
    defaultText: '5s',
    reset: 'none',
  }),
  installRoutes: optional(boolean, {
    description:
      'Learned routes go into the kernel. `false` is for a machine that only passes them on, such as a route reflector: its own packets then follow whatever other routes it has.',
    defaultText: 'true',
    reset: 'refresh',
  }),
  addressSource: optional(oneOf('NodePodCIDR', 'IPPools'), {
    description: "Which blocks a node gives addresses from: those in its Node's spec.podCIDRs, or its IPBlocks.",
    defaultText: 'NodePodCIDR',
  }),
  engine: optional(oneOf('embedded', 'gobgp'), {
    description:
      'Which program speaks BGP: flatroute itself, or a GoBGP that runs beside it (docs/engines.md has what differs). A change hands over from one to the other: sessions are new.',
    defaultText: 'embedded',
    reset: 'reset',
  }),
  gobgp: optional(
    object({
      address: optional(gobgpAddress, {
        description:
          "Where gobgpd's gRPC interface is, on this machine: a socket (`unix:///run/flatroute/gobgp.sock`) or a loopback address (`127.0.0.1:50051`). The interface asks nobody who they are, and carries passwords.",
        defaultText: 'unix:///run/flatroute/gobgp.sock',
        reset: 'reset',
      }),
      foreign: optional(oneOf('Keep', 'Remove'), {
        description: 'Peers, paths and policies that somebody else gave GoBGP: left alone and reported, or removed.',
        defaultText: 'Keep',
        reset: 'none',
      }),
    }),
    { description: 'Of the engine gobgp.' },
  ),
  gracefulRestart: optional(gracefulRestart, {
    description: 'Graceful restart for all peers; BGPPeer can say otherwise for one.',
    reset: 'reset',
  }),
  readiness: optional(readiness, {
    description:
      'When the controller takes the taint `flatroute.io/routing-not-ready:NoSchedule` off a Node, and when it puts it on again.',
  }),
});

export const bgpConfiguration = ownKind(
  'BGPConfiguration',
  {
    shortNames: ['frbgpconf'],
    columns: [
      { name: 'AS', type: 'string', jsonPath: '.spec.asNumber' },
      { name: 'Addresses', type: 'string', jsonPath: '.spec.addressSource' },
      { name: 'Import', type: 'string', jsonPath: '.spec.importPolicy' },
      acceptedColumn,
      reasonColumn,
      { name: 'Router ID', type: 'string', jsonPath: '.spec.routerID', wide: true },
      { name: 'Port', type: 'integer', jsonPath: '.spec.listenPort', wide: true },
    ],
    status: acceptedStatus,
    description:
      'How the nodes speak BGP. The object named `default` holds for every node; a field set in `node.<name>` stands instead of it on that node. No other names are allowed. With neither, the defaults below hold.',
  },
  spec,
  [
    {
      cel: "self.metadata.name == 'default' || self.metadata.name.matches('^node[.][a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
      holds: (it) => it.metadata.name === 'default' || perNode.test(it.metadata.name),
      sentence: 'a BGPConfiguration is named default, or node. and the name of a node',
      path: ['metadata', 'name'],
    },
    {
      cel: "!has(self.spec.routerID) || self.metadata.name != 'default'",
      holds: (it) => it.spec.routerID === undefined || it.metadata.name !== 'default',
      sentence: 'no two nodes may have the same BGP identifier (RFC 6286); set it in node.<name>',
      path: ['spec', 'routerID'],
    },
    {
      cel: "!(has(self.spec.nodeToNodeMeshEnabled) || has(self.spec.nodeMeshPassword) || has(self.spec.nodeMeshMaxRestartTime)) || self.metadata.name == 'default'",
      holds: ({ spec, metadata }) =>
        (spec.nodeToNodeMeshEnabled === undefined &&
          spec.nodeMeshPassword === undefined &&
          spec.nodeMeshMaxRestartTime === undefined) ||
        metadata.name === 'default',
      sentence: 'a mesh is of all nodes; set what is said of it in default',
      path: ['spec', 'nodeToNodeMeshEnabled'],
    },
    {
      cel: "!has(self.spec.readiness) || !has(self.spec.readiness.maxUnready) || self.metadata.name == 'default'",
      holds: (it) => it.spec.readiness?.maxUnready === undefined || it.metadata.name === 'default',
      sentence: 'readiness.maxUnready is counted over all nodes; set it in default',
      path: ['spec', 'readiness', 'maxUnready'],
    },
  ],
);

export type BGPConfiguration = Infer<typeof bgpConfiguration.schema>;
