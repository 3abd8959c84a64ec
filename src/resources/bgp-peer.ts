/** BGPPeer: one router, and which nodes have a session with it. */
import { asNumber, duration, endpoint, interfaceName, objectName, prefix, selector } from './formats.ts';
import { dataKey, labelSelector } from './labels.ts';
import { ownKind } from './kind.ts';
import { acceptedColumn, peerStatus } from './object-status.ts';
import { gracefulRestart, importPolicy, restartTime } from './policy-fields.ts';
import { boolean, integer, oneOf, string } from './scalars.ts';
import { defaulted, list, object, optional, required } from './schema.ts';
import type { Infer } from './schema.ts';

/** Rows of a received table before the session goes down; far above a rack's own routes, far below a full table. */
export const defaultMaxPrefixes = 10_000;
/** As common routers have it. */
export const defaultWarningPercent = 75;
/** A leak is mended by people: a session that comes back at once would only take it in again and again. */
export const defaultRestartAfter = '5m';

/** RFC 9003 §2: at most 255 octets of UTF-8; RFC 9003 §4: nothing that a terminal takes for an order. */
const shutdownText = string({
  type: 'a text',
  minLength: 1,
  maxLength: 255,
  rules: [
    {
      cel: 'size(bytes(self)) <= 255',
      holds: (it) => Buffer.byteLength(it) <= 255,
      sentence: 'is longer than 255 octets in UTF-8, which is all that a NOTIFICATION holds (RFC 9003)',
    },
    {
      cel: String.raw`!self.matches(r'\p{Cc}')`,
      holds: (it) => !/\p{Cc}/u.test(it),
      sentence: 'holds a control character or a line break; write one line of text',
    },
  ],
});

const families = list(oneOf('ipv4', 'ipv6'), {
  minItems: 1,
  maxItems: 2,
  unique: 'entry',
});

export const secretKeyRef = object(
  {
    name: required(objectName, { description: 'Name of the Secret, in namespace `flatroute-system`.' }),
    key: required(string({ type: 'a key', minLength: 1, maxLength: 253, rules: [dataKey] }), {
      description: 'Key in the Secret.',
    }),
  },
  { atomic: true },
);

/** RFC 5925 §3.1: a Master Key Tuple without its connection, which is the session. */
const tcpAoKey = object({
  sendID: required(integer(0, 255), {
    description: "KeyID of what the node sends; the router's receive id.",
    reset: 'reset',
  }),
  receiveID: required(integer(0, 255), {
    description: 'KeyID of what the router sends; its send id.',
    reset: 'reset',
  }),
  algorithm: required(oneOf('HMACSHA1', 'AES128CMAC', 'HMACSHA256'), {
    description: 'MAC and key derivation: one of the two of RFC 5926, or HMAC-SHA-256; cut to 96 bits.',
    reset: 'reset',
  }),
  secretKeyRef: required(secretKeyRef, { description: 'Where the key is, 1 to 80 bytes.', reset: 'reset' }),
});

const tcpAoKeys = list(tcpAoKey, {
  minItems: 1,
  maxItems: 8,
  unique: { field: 'sendID' },
  rules: [
    {
      cel: 'self.all(x, self.exists_one(y, x.receiveID == y.receiveID))',
      holds: (it) => new Set(it.map(({ receiveID }) => receiveID)).size === it.length,
      sentence: 'a receiveID is there twice',
    },
  ],
});

const spec = object(
  {
    node: optional(objectName, {
      description:
        'The one node that has this session. Without node, nodeSelector and nodeLabelSelector every node has it.',
      reset: 'none',
    }),
    nodeSelector: optional(selector, {
      description:
        "The nodes that have this session, as a selector expression over their labels: `rack == 'a' && !has(retired)`.",
      reset: 'none',
    }),
    nodeLabelSelector: optional(labelSelector, {
      description: 'The nodes that have this session, as a Kubernetes label selector.',
      reset: 'none',
    }),
    peerIP: optional(endpoint, {
      description:
        "The peer's address, with a port where it is not 179: `192.0.2.1`, `192.0.2.1:1179`, `[2001:db8::1]:1179`.",
      defaultText: '**this, interface, listenRange or peerSelector**',
      reset: 'reset',
    }),
    interface: optional(interfaceName, {
      description:
        'Instead of peerIP: the interface of the node that leads to the peer (unnumbered). Its neighbour is found by IPv6 router advertisements, which both ends send, and the session goes over link-local addresses; IPv4 routes go by IPv6 next hops (RFC 8950). The link needs no addresses. `sourceAddress` does nothing here.',
      defaultText: '**this, peerIP, listenRange or peerSelector**',
      reset: 'reset',
    }),
    listenRange: optional(
      object({
        cidr: required(prefix, {
          description:
            'Where they may connect from. A peer of its own with an address in it comes before it, and needs a password of its own where the range has one. Sessions from addresses that another prefix does not hold any more end.',
          reset: 'none',
        }),
        limit: defaulted(integer(1, 1024), 16, {
          description:
            'How many there may be at a time; connections beyond it are closed. Whoever connects and says nothing counts until the time for its OPEN is up.',
          reset: 'none',
        }),
        insecure: defaulted(boolean, false, {
          description: 'Whoever has an address in the range may connect without a password.',
          reset: 'none',
        }),
      }),
      {
        description:
          'Instead of peerIP: routers that connect from any address of a prefix (dynamic neighbours), each a session of its own named `NAME/ADDRESS` that goes when it ends and nothing is kept of its routes. The node never connects there itself. A password is needed, or `insecure: true`.',
        defaultText: '**this, peerIP, interface or peerSelector**',
        reset: 'none',
      },
    ),
    peerSelector: optional(selector, {
      description:
        "Instead of peerIP: other nodes, as a selector expression over their labels. One session named `NAME/NODE` with each, over IPv4 where both have it, with the AS number, address and port of that node: `flatroute.io/bgp-address-ipv4` or `-ipv6` of its Node's annotations. With a node that is a route reflector (annotation `flatroute.io/route-reflector-cluster-id`) those of another cluster are its clients.",
      defaultText: '**this, peerIP, interface or listenRange**',
      reset: 'none',
    }),
    peerLabelSelector: optional(labelSelector, {
      description: 'peerSelector as a Kubernetes label selector; one or the other.',
      reset: 'none',
    }),
    reversePeering: defaulted(oneOf('Auto', 'Manual'), 'Auto', {
      description:
        'Auto: the nodes that peerSelector selects have their half of the session from this object. Manual: they have it from one of their own.',
      reset: 'none',
    }),
    asNumber: optional(asNumber, {
      description:
        'The peer\'s AS number: `65100`, or dotted in quotes, `"1.10"`. Equal to the node\'s own: an internal session.',
      defaultText: '**this or dynamicASN**, without peerSelector',
      reset: 'reset',
    }),
    dynamicASN: optional(oneOf('External', 'Internal'), {
      description:
        "Instead of asNumber: the peer's AS number is whatever it says, as long as it is not the node's own (External), or is (Internal).",
      defaultText: '**this or asNumber**, without peerSelector',
      reset: 'reset',
    }),
    localASNumber: optional(asNumber, {
      description: "The node's AS number towards this peer.",
      defaultText: "the node's AS number",
      reset: 'reset',
    }),
    localASOptions: optional(
      object({
        noPrepend: optional(boolean, {
          description:
            '`false`: localASNumber stands in front of the paths that the peer announces, as routers have it by default (RFC 7705).',
          defaultText: 'true',
          reset: 'reset',
        }),
        replaceAS: optional(boolean, {
          description:
            "`false`: the node's own AS number stands behind localASNumber in what the peer is told, as routers have it by default.",
          defaultText: 'true',
          reset: 'reset',
        }),
      }),
      {
        description:
          'Which AS numbers are in the paths of a peer with localASNumber. `local-as N no-prepend replace-as` of FRR is the default here.',
        reset: 'reset',
      },
    ),
    password: optional(
      object({
        secretKeyRef: required(secretKeyRef, { description: 'Where the password is.' }),
      }),
      {
        description:
          'TCP MD5 password (RFC 2385), 1 to 80 bytes. When the Secret or the key is missing, the session stays down; it is never opened without the password. Another password is put onto the live session: changed at the router too within the hold time, nothing goes down. The first one, and taking it away, resets.',
        reset: 'none',
      },
    ),
    authentication: optional(
      object({
        tcpAO: required(
          object({
            keys: required(tcpAoKeys, {
              description:
                'Keys that the router may sign with, all valid at once. The node signs with the first of them when it connects.',
              reset: 'reset',
            }),
          }),
          { description: 'TCP-AO (RFC 5925).', reset: 'reset' },
        ),
      }),
      {
        description:
          'Instead of password: TCP-AO, which needs Linux 6.7 or later with CONFIG_TCP_AO. Where the kernel has it not, or a Secret or key is missing, the session stays down; it is never opened without. Not tried against a kernel that has it.',
        defaultText: 'none',
        reset: 'reset',
      },
    ),
    sourceAddress: defaulted(oneOf('UseNodeIP', 'None'), 'UseNodeIP', {
      description: "Local address of the session: the node's address of that family, or what the kernel chooses.",
      reset: 'reset',
    }),
    holdTime: defaulted(duration({ from: 3, to: 65535, zero: true }), '90s', {
      description:
        'How long the session lives without a sign of the peer; the smaller of both ends counts, and a third of it is the keepalive interval. 0s: neither is watched.',
      reset: 'reset',
    }),
    keepaliveTime: optional(duration({ from: 1, to: 21845 }), {
      description:
        'Time between two KEEPALIVEs, at most a third of the hold time that both ends agree upon (a longer one counts as that).',
      defaultText: 'a third of the hold time',
      reset: 'reset',
    }),
    connectTime: defaulted(duration({ from: 1, to: 65535 }), '10s', {
      description:
        'Time between two tries to connect (ConnectRetryTime; RFC 4271 suggests 120 s, which a rack would wait for its router).',
      reset: 'reset',
    }),
    passive: defaulted(boolean, false, {
      description: 'Wait for the peer to connect.',
      reset: 'reset',
    }),
    ebgpMultihop: defaulted(integer(1, 255), 1, {
      description: 'Hops that an external peer may be away: the time-to-live of our packets.',
      reset: 'reset',
    }),
    ttlSecurity: optional(integer(0, 254), {
      description:
        'Hops that the peer may be away at most, checked (GTSM, RFC 5082): what arrives with a time-to-live below 256 less this is dropped by the kernel; we send with 255. 1: directly connected. The router needs it too. 0: off.',
      defaultText: 'off',
      reset: 'reset',
    }),
    filters: defaulted(list(objectName, { maxItems: 32 }), [], {
      description:
        'Names of BGPFilters, in order. The first rule that matches decides. When one of them does not exist, the session stays down.',
      reset: 'refresh',
    }),
    importPolicy: optional(importPolicy, {
      description: 'What is accepted when no filter has decided: nothing, 0.0.0.0/0 and ::/0 only, or all.',
      defaultText: "BGPConfiguration's; without one `None` on external, `All` on internal sessions",
      reset: 'refresh',
    }),
    nextHopMode: defaulted(oneOf('Auto', 'Self', 'Keep'), 'Auto', {
      description:
        "Next hop of learned routes that are announced to this peer. Auto: this node's own address, but what is reflected keeps its next hop (RFC 4456). Self: always this node's own. Keep: as it was learned wherever the peer can use it: unchanged to an internal peer, and to an external one only if the next hop is on a subnet that both share, or if the peer is more hops away (RFC 4271 §5.1.3); otherwise this node's own.",
      reset: 'refresh',
    }),
    transit: defaulted(boolean, false, {
      description: "A router's role: what was learned from other peers is announced to this one.",
      reset: 'refresh',
    }),
    role: optional(oneOf('Provider', 'RouteServer', 'RouteServerClient', 'Customer', 'Peer'), {
      description:
        "The node's role towards this external peer (RFC 9234), which must have the other one: Provider and Customer, RouteServer and RouteServerClient, Peer and Peer. Routes that the roles forbid are leaks: they are not used and not announced.",
      reset: 'reset',
    }),
    roleRequired: optional(boolean, {
      description:
        'The peer must say its role; otherwise one that says none is taken for the right one. Only with role.',
      defaultText: 'false',
      reset: 'reset',
    }),
    enforceFirstAS: defaulted(boolean, true, {
      description:
        'The AS path of an external peer must begin with its AS (RFC 4271). `false` for a route server, which leaves its AS out (RFC 7947).',
      reset: 'reset',
    }),
    routeReflectorClient: defaulted(boolean, false, {
      description:
        'The node is a route reflector (RFC 4456) and this internal peer its client: what internal peers announce is passed on to it, and what it announces to all internal peers, with the next hop unchanged. External peers cannot be clients.',
      reset: 'refresh',
    }),
    maxPrefixes: optional(
      object({
        limit: defaulted(integer(1, 10_000_000), defaultMaxPrefixes, {
          description:
            'Prefixes of one family that the peer may announce, counted before any filter; with addPath each path counts.',
          reset: 'refresh',
        }),
        warningPercent: defaulted(integer(1, 100), defaultWarningPercent, {
          description:
            'Percent of the limit from which on there is a warning: an event, and the condition PrefixLimit.',
          reset: 'none',
        }),
        restartAfter: defaulted(duration({ from: 1, to: 604_800, zero: true }), defaultRestartAfter, {
          description:
            'How long the session then stays down. 0s: until `flatroute reset PEER`, which brings it back at once in any case, as does another limit.',
          reset: 'none',
        }),
      }),
      {
        description: 'Above its limit the session goes down with Cease/1 (RFC 4486) and stays down for a while.',
        defaultText: `limit: ${defaultMaxPrefixes}, warningPercent: ${defaultWarningPercent}, restartAfter: ${defaultRestartAfter}`,
        reset: 'refresh',
      },
    ),
    addPath: optional(
      object(
        {
          receive: defaulted(boolean, false, {
            description: 'The peer may announce several paths of a prefix; all of them are candidates for multipath.',
            reset: 'reset',
          }),
          send: defaulted(integer(1, 32), 1, {
            description:
              'Paths of a prefix that are announced to the peer at most: the best and those next in order that differ from it. 1: the best alone.',
            reset: 'reset',
          }),
        },
        {
          rules: [
            {
              cel: '(has(self.receive) && self.receive) || (has(self.send) && self.send > 1)',
              holds: (it) => it.receive || it.send > 1,
              sentence: 'nothing is asked for; set receive: true, or send above 1, or leave addPath out',
            },
          ],
        },
      ),
      {
        description:
          'Several paths of a prefix in one session (RFC 7911), for both families, where the peer offers it too.',
        defaultText: 'off',
        reset: 'reset',
      },
    ),
    maxAnnounced: optional(integer(1, 10_000_000), {
      description:
        'Budget of what is announced to the peer: routes of one family at most. Beyond it nothing more is said, and condition RoutesAnnounced names what is left out, instead of the router ending the session for too many.',
      defaultText: 'no budget',
      reset: 'refresh',
    }),
    families: defaulted(families, ['ipv4', 'ipv6'], {
      description: 'Address families that the session carries (RFC 4760), whatever the family of its own addresses.',
      reset: 'reset',
    }),
    numAllowedLocalASNumbers: defaulted(integer(0, 10), 0, {
      description: 'How often our own AS may stand in a received AS_PATH, for fabrics in which racks share one AS.',
      reset: 'refresh',
    }),
    gracefulRestart: optional(gracefulRestart, {
      description: 'Graceful restart with this peer.',
      defaultText: "BGPConfiguration's",
      reset: 'reset',
    }),
    longLivedGracefulRestart: optional(
      object({
        enabled: defaulted(boolean, true, { description: 'false: as if it were not there.', reset: 'reset' }),
        staleTime: required(duration({ from: 1, to: 16_777_215 }), {
          description:
            'Asked of the peer for our routes, and the most that the node grants for those of the peer; counted from the end of the restart time on.',
          reset: 'reset',
        }),
        families: optional(families, {
          description: 'Families for which it holds.',
          defaultText: "the session's",
          reset: 'reset',
        }),
      }),
      {
        description:
          'Long-lived graceful restart (RFC 9494), where the peer has it too: routes of a peer that does not come back within the restart time stay as the last choice, marked LLGR_STALE. Traffic may follow routes that are hours old, so it is for routers whose forwarding does not depend on their BGP.',
        defaultText: 'off',
        reset: 'reset',
      },
    ),
    maxRestartTime: optional(restartTime, {
      description: "Calico's name for gracefulRestart.restartTime; one or the other.",
      reset: 'reset',
    }),
    bfd: optional(
      object({
        profile: optional(objectName, {
          description: 'Name of a BFDProfile.',
          defaultText: "a profile's defaults",
          reset: 'none',
        }),
        multihop: optional(boolean, {
          description:
            'Whether the peer speaks multi hop BFD (RFC 5883) or single hop (RFC 5881). BIRD speaks multi hop on every internal session that is not `direct`.',
          defaultText:
            'external: whether `ebgpMultihop` is above 1; internal: whether the peer is on no subnet of this node',
          reset: 'none',
        }),
      }),
      {
        description:
          'BFD with this peer, one session for all its families: when it fails the BGP session ends at once (RFC 5882), whatever graceful restart would keep. `{}` is BFD with the defaults of a profile. The BGP session does not wait for BFD to come up. When the profile does not exist, the session is up without BFD and condition BFDUp says so.',
        defaultText: 'no BFD',
        reset: 'none',
      },
    ),
    bfdProfile: optional(objectName, {
      description: "MetalLB's name for bfd.profile; one or the other.",
      reset: 'none',
    }),
    adminState: defaulted(oneOf('Up', 'Down'), 'Up', {
      description: 'Down holds the session down with an administrative shutdown (Cease/2).',
      reset: 'reset',
    }),
    adminStateMessage: optional(shutdownText, {
      description:
        "Said to the peer when adminState goes Down (RFC 9003), for the people there: `router swap, back at 14:00`. What the peer's people say is shown by `flatroute peers`.",
      reset: 'none',
    }),
  },
  {
    rules: [
      {
        cel: '[has(self.node), has(self.nodeSelector), has(self.nodeLabelSelector)].filter(x, x).size() <= 1',
        holds: (it) =>
          [it.node, it.nodeSelector, it.nodeLabelSelector].filter((value) => value !== undefined).length <= 1,
        sentence: 'node, nodeSelector and nodeLabelSelector exclude each other; keep one',
      },
      {
        cel: '[has(self.peerIP), has(self.interface), has(self.listenRange), has(self.peerSelector), has(self.peerLabelSelector)].filter(x, x).size() == 1',
        holds: (it) =>
          [it.peerIP, it.interface, it.listenRange, it.peerSelector, it.peerLabelSelector].filter(
            (value) => value !== undefined,
          ).length === 1,
        sentence:
          'peerIP, interface, listenRange, peerSelector or peerLabelSelector must be there, and only one of them',
      },
      {
        cel: '!has(self.listenRange) || has(self.password) || (has(self.listenRange.insecure) && self.listenRange.insecure)',
        holds: (it) => it.listenRange === undefined || it.password !== undefined || it.listenRange.insecure,
        sentence: 'lets anyone connect who has an address in it; set password, or insecure: true if that is meant',
        path: ['listenRange'],
      },
      {
        cel: 'has(self.peerSelector) || has(self.peerLabelSelector) || has(self.asNumber) != has(self.dynamicASN)',
        holds: (it) =>
          it.peerSelector !== undefined ||
          it.peerLabelSelector !== undefined ||
          (it.asNumber === undefined) !== (it.dynamicASN === undefined),
        sentence: 'asNumber or dynamicASN must be there, and only one of them',
      },
      {
        cel: '!(has(self.peerSelector) || has(self.peerLabelSelector)) || !(has(self.asNumber) || has(self.dynamicASN))',
        holds: (it) =>
          (it.peerSelector === undefined && it.peerLabelSelector === undefined) ||
          (it.asNumber === undefined && it.dynamicASN === undefined),
        sentence:
          'the AS numbers of nodes that peerSelector or peerLabelSelector selects are known; leave asNumber and dynamicASN out',
        path: ['peerSelector'],
      },
      {
        cel: '!has(self.ttlSecurity) || self.ttlSecurity == 0 || !has(self.ebgpMultihop) || self.ebgpMultihop == 1',
        holds: (it) => (it.ttlSecurity ?? 0) === 0 || it.ebgpMultihop === 1,
        sentence: 'ttlSecurity says how many hops the peer may be away, so ebgpMultihop must not; keep one',
        path: ['ttlSecurity'],
      },
      {
        cel: '!(has(self.password) && has(self.authentication))',
        holds: (it) => it.password === undefined || it.authentication === undefined,
        sentence: 'TCP MD5 and TCP-AO exclude each other; keep password or authentication',
        path: ['authentication'],
      },
      {
        cel: '!(has(self.listenRange) && has(self.authentication))',
        holds: (it) => it.listenRange === undefined || it.authentication === undefined,
        sentence: 'TCP-AO is not there for a listenRange; use password',
        path: ['authentication'],
      },
      {
        cel: '!has(self.localASOptions) || has(self.localASNumber)',
        holds: (it) => it.localASOptions === undefined || it.localASNumber !== undefined,
        sentence: 'says what becomes of localASNumber in paths; set localASNumber too',
        path: ['localASOptions'],
      },
      {
        cel: '!has(self.roleRequired) || has(self.role)',
        holds: (it) => it.roleRequired === undefined || it.role !== undefined,
        sentence: 'says that the peer must have the other role; set role too',
        path: ['roleRequired'],
      },
      {
        cel: '!(has(self.maxRestartTime) && has(self.gracefulRestart) && has(self.gracefulRestart.restartTime))',
        holds: (it) => it.maxRestartTime === undefined || it.gracefulRestart?.restartTime === undefined,
        sentence: 'says the same as gracefulRestart.restartTime; keep one',
        path: ['maxRestartTime'],
      },
      {
        cel: '!(has(self.longLivedGracefulRestart) && self.longLivedGracefulRestart.enabled && has(self.gracefulRestart) && has(self.gracefulRestart.enabled) && !self.gracefulRestart.enabled)',
        holds: (it) => it.longLivedGracefulRestart?.enabled !== true || it.gracefulRestart?.enabled !== false,
        sentence: 'goes only with graceful restart, which gracefulRestart.enabled turns off (RFC 9494)',
        path: ['longLivedGracefulRestart'],
      },
      {
        cel: '!(has(self.longLivedGracefulRestart) && has(self.longLivedGracefulRestart.families)) || self.longLivedGracefulRestart.families.all(x, x in self.families)',
        holds: (it) => it.longLivedGracefulRestart?.families?.every((family) => it.families.includes(family)) ?? true,
        sentence: 'names a family that the session does not carry',
        path: ['longLivedGracefulRestart', 'families'],
      },
      {
        cel: '!(has(self.bfdProfile) && has(self.bfd) && has(self.bfd.profile))',
        holds: (it) => it.bfdProfile === undefined || it.bfd?.profile === undefined,
        sentence: 'says the same as bfd.profile; keep one',
        path: ['bfdProfile'],
      },
    ],
  },
);

export const bgpPeer = ownKind(
  'BGPPeer',
  {
    shortNames: ['frpeer'],
    description: 'A router, and the nodes that have a session with it.',
    columns: [
      { name: 'Peer', type: 'string', jsonPath: ".spec['peerIP','interface']" },
      { name: 'AS', type: 'string', jsonPath: ".spec['asNumber','dynamicASN']" },
      { name: 'Node', type: 'string', jsonPath: ".spec['node','nodeSelector']" },
      { name: 'Admin', type: 'string', jsonPath: '.spec.adminState' },
      { name: 'Up', type: 'integer', jsonPath: '.status.established' },
      { name: 'Of', type: 'integer', jsonPath: '.status.nodes' },
      acceptedColumn,
      {
        name: 'Reason',
        type: 'string',
        jsonPath: '.status.conditions[?(@.type=="Established")].reason',
      },
      { name: 'Range', type: 'string', jsonPath: '.spec.listenRange.cidr', wide: true },
      { name: 'Filters', type: 'string', jsonPath: '.spec.filters', wide: true },
      { name: 'Import', type: 'string', jsonPath: '.spec.importPolicy', wide: true },
    ],
    status: peerStatus,
  },
  spec,
);

export type BGPPeer = Infer<typeof bgpPeer.schema>;
