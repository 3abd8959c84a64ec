/** Numbers of netlink and rtnetlink, by the kernel's own names without their prefix (uapi/linux/netlink.h, rtnetlink.h, if_link.h, nexthop.h). */

export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

export const NLM_F = {
  REQUEST: 0x01,
  MULTI: 0x02,
  ACK: 0x04,
  ECHO: 0x08,
  DUMP_INTR: 0x10,
  DUMP_FILTERED: 0x20,
  /** Requests that create. */
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  /** Requests that read. */
  DUMP: 0x300,
  /** Answers of kind NLMSG_ERROR. */
  CAPPED: 0x100,
  ACK_TLVS: 0x200,
} as const;

export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  SETLINK: 19,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
  NEWNEIGH: 28,
  DELNEIGH: 29,
  GETNEIGH: 30,
  NEWNSID: 88,
  GETNSID: 90,
  NEWNEXTHOP: 104,
  DELNEXTHOP: 105,
  GETNEXTHOP: 106,
} as const;

/** Multicast groups of NETLINK_ROUTE. */
export const RTNLGRP = {
  LINK: 1,
  NEIGH: 3,
  IPV4_IFADDR: 5,
  IPV4_ROUTE: 7,
  IPV6_IFADDR: 9,
  IPV6_ROUTE: 11,
  NEXTHOP: 32,
} as const;

export const AF = { UNSPEC: 0, INET: 2, INET6: 10 } as const;

export const IFF = { UP: 0x1, LOOPBACK: 0x8, RUNNING: 0x40, LOWER_UP: 0x10000 } as const;

export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  OPERSTATE: 16,
  LINKINFO: 18,
  NET_NS_PID: 19,
  IFALIAS: 20,
  AF_SPEC: 26,
  GROUP: 27,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
  CARRIER: 33,
  LINK_NETNSID: 37,
  TARGET_NETNSID: 46,
} as const;
export const IFLA_INFO = { KIND: 1, DATA: 2 } as const;
export const VETH_INFO_PEER = 1;
export const IFLA_INET_CONF = 1;
/** Members of IFLA_INET_CONF: the IPV4_DEVCONF numbers. */
export const IPV4_DEVCONF = { FORWARDING: 1, PROXY_ARP: 3, RP_FILTER: 8, ARP_IGNORE: 19 } as const;
export const IFLA_INET6_ADDR_GEN_MODE = 8;
export const IN6_ADDR_GEN_MODE = { EUI64: 0, NONE: 1 } as const;
/** In a dump of links: leave out the statistics, which are most of its bytes. */
export const RTEXT_FILTER_SKIP_STATS = 1 << 3;

export const NETNSA = { NSID: 1, FD: 3 } as const;

export const IFA = { ADDRESS: 1, LOCAL: 2, LABEL: 3, CACHEINFO: 6, FLAGS: 8, PROTO: 11 } as const;
export const IFA_F = {
  SECONDARY: 0x01,
  NODAD: 0x02,
  DADFAILED: 0x08,
  DEPRECATED: 0x20,
  TENTATIVE: 0x40,
  PERMANENT: 0x80,
  NOPREFIXROUTE: 0x200,
} as const;

export const RTA = {
  DST: 1,
  SRC: 2,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
  NH_ID: 30,
} as const;
export const RTN = { UNSPEC: 0, UNICAST: 1, LOCAL: 2, BLACKHOLE: 6, UNREACHABLE: 7, PROHIBIT: 8 } as const;
export const RT_SCOPE = { UNIVERSE: 0, LINK: 253, HOST: 254, NOWHERE: 255 } as const;
export const RT_TABLE = { DEFAULT: 253, MAIN: 254, LOCAL: 255 } as const;
export const RTPROT = { UNSPEC: 0, REDIRECT: 1, KERNEL: 2, BOOT: 3, STATIC: 4, RA: 9 } as const;
export const RTNH_F = { DEAD: 1, ONLINK: 4, LINKDOWN: 16 } as const;
export const RTM_F_CLONED = 0x200;

export const NDA = { DST: 1, LLADDR: 2 } as const;
export const NUD = { REACHABLE: 0x02, STALE: 0x04, FAILED: 0x20, NOARP: 0x40, PERMANENT: 0x80 } as const;
export const NTF_ROUTER = 0x80;

export const NHA = { ID: 1, GROUP: 2, GROUP_TYPE: 3, BLACKHOLE: 4, OIF: 5, GATEWAY: 6, FDB: 11 } as const;

export const NLMSGERR_ATTR = { MSG: 1, OFFS: 2, MISS_TYPE: 5, MISS_NEST: 6 } as const;
