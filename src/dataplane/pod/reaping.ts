/**
 * What the pods thread and the background thread say to each other about veths whose pod is gone. Plain data: it crosses
 * threads by structured clone. The pods thread has already answered DEL; the addresses stay fenced until a `reaped` report
 * names them.
 */
import type { IpAddress } from '#lib/ip.ts';

/** One host end on its way out. */
export interface DyingLink {
  readonly index: number;
  readonly name: string;
  /** As the kernel has it; empty when the link never got one. The reaper deletes only a link that still carries it. */
  readonly alias: string;
  readonly addresses: readonly IpAddress[];
}

export type ReaperRequest = {
  readonly kind: 'reap';
  readonly links: readonly DyingLink[];
  /** Somebody waits for it (an ADD of the same attachment, or a block that is full): do not collect a larger group first. */
  readonly urgent: boolean;
};

export type ReaperReport =
  /** These links are gone and the conntrack entries of their addresses too. */
  | { readonly kind: 'reaped'; readonly links: readonly DyingLink[] }
  /** A link that does not look like ours any more, or that the kernel will not delete: left alone, its addresses stay fenced. */
  | { readonly kind: 'kept'; readonly links: readonly DyingLink[]; readonly reason: string };
