/** What the rest of the agent needs to know of the kernel: links, addresses and routes that are not learned by us. */
import type { IpAddress, Prefix } from '#lib/ip.ts';

export interface KernelInterface {
  readonly index: number;
  readonly name: string;
  /** Administratively up and with carrier. */
  readonly up: boolean;
  readonly mtu: number;
  /** One of our pod veths: BGP connections from it are refused, nothing is resolved through it. */
  readonly pod: boolean;
  readonly addresses: readonly { readonly address: IpAddress; readonly prefixLength: number }[];
}

/** A connected or static route of the main table, never one of ours; default routes are listed too (the resolver leaves them out). */
export interface KernelRoute {
  readonly prefix: Prefix;
  readonly gateway: IpAddress | undefined;
  readonly interfaceIndex: number;
  readonly metric: number;
  readonly protocol: number;
}

export interface KernelView {
  readonly interfaces: readonly KernelInterface[];
  readonly routes: readonly KernelRoute[];
}
