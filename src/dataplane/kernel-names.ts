/**
 * Every number and name that flatroute puts into a kernel. `docs/kernel.md` is the same list for operators, and a
 * test compares the two.
 */

/** Route protocol of every route of ours (80 is Calico's, 30 Coil's, 186 FRR's). */
export const ROUTE_PROTOCOL = 179;
/**
 * Metric of learned routes: behind the kernel's own connected routes (0 in IPv4, 256 in IPv6), before a default route that
 * came by DHCP (100 and more) or by router advertisement (1024).
 */
export const LEARNED_ROUTE_METRIC = { ipv4: 20, ipv6: 512 } as const;
/** Metric of the blackhole that covers a block: the worst there is. */
export const BLACKHOLE_METRIC = 0xfffffffe;
/** Ids of nexthop objects and groups: FIRST .. FIRST + 2^24 - 1 are ours. */
export const NEXTHOP_ID_FIRST = 0x0b000000;
export const NEXTHOP_ID_COUNT = 1 << 24;

/** Link groups of pod veths. nftables rules match on them, so no rule is needed per pod. */
export const LINK_GROUP = { building: 0x0b01, live: 0x0b02, dying: 0x0b03, reaping: 0x0b04 } as const;
/** Host ends are called by this prefix and 12 hex digits of a hash of network, container id and interface. */
export const INTERFACE_PREFIX = 'fr';
/** MAC of every host end; pods have a permanent neighbour entry for it. */
export const HOST_MAC = 'ee:ee:ee:ee:ee:ee';
export const GATEWAY_IPV4 = '169.254.1.1';
export const GATEWAY_IPV6 = 'fe80::ecee:eeff:feee:eeee';
/** nftables tables (families inet and arp) that hold the spoofing and masquerading rules. */
export const NFT_TABLE = 'flatroute';
/** Abstract unix socket that is the lock: one agent per network namespace. */
export const LOCK_SOCKET = '\0flatroute-agent';
/** The same for BFD's process. */
export const BFD_LOCK_SOCKET = '\0flatroute-bfd';
/** Where a node's plugin, admin API and spool live; 0700, root. */
export const RUN_DIRECTORY = '/run/flatroute';
export const CNI_SOCKET = '/run/flatroute/cni.sock';
export const ADMIN_SOCKET = '/run/flatroute/admin.sock';
export const BFD_SOCKET = '/run/flatroute/bfd.sock';
export const SPOOL_DIRECTORY = '/run/flatroute/spool';

/** Inside a pod, for every interface but the first: metric of its gateway route and number of its own table, each plus the interface's index there. */
export const POD_FURTHER_METRIC = 1000;
export const POD_FURTHER_TABLE = 0x0b000000;
/** Priority of the rule that sends answers out by the interface whose address they carry. */
export const POD_RULE_PRIORITY = 2816;
