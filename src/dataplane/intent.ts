/** What intent asks of the kernel, apart from learned routes and pods. */
import type { IpAddress, Prefix } from '#lib/ip.ts';
import type { NexthopId } from './fib/route.ts';

export interface DataplaneIntent {
  /** Blocks of this node; each has a blackhole route of the highest metric, so that traffic for free addresses never loops. */
  readonly blocks: readonly Prefix[];
  /** The node's routed addresses: preferred source of pod and learned routes. */
  readonly nodeAddresses: { readonly ipv4: IpAddress | undefined; readonly ipv6: IpAddress | undefined };
  /** Sources that are translated to the node's address when they talk to anything outside `poolPrefixes`. */
  readonly natOutgoing: readonly Prefix[];
  readonly poolPrefixes: readonly Prefix[];
  /** Addresses of Services: what is forwarded to one of them was translated by nobody, and is dropped. */
  readonly serviceRanges: readonly Prefix[];
}

/** What the kernel's side reports. */
export interface KernelFacts {
  readonly generation: number;
  readonly blackholes: readonly Prefix[];
  /** Learned routes in the kernel. */
  readonly learnedRoutes: { readonly ipv4: number; readonly ipv6: number };
  /** Foreign routes that stand where a route of ours should be (condition RouteConflict). */
  readonly routeConflicts: readonly { readonly prefix: Prefix; readonly protocol: number }[];
  /** Repairs since the start, by what was repaired. */
  readonly repairs: Readonly<Record<string, number>>;
  /** Checked, never assumed: forwarding sysctls, rp_filter of uplinks, FORWARD policy; a sentence each, empty when all is well. */
  readonly problems: readonly { readonly code: string; readonly text: string }[];
  /** Of the gateways that BFD watches those that are in the kernel. */
  readonly nexthops?: readonly NexthopId[];
}
