/**
 * What an engine in a process of its own is told and says, one JSON line each: the port of `src/bgp/engine.ts`, call by call.
 * A question has a number, which its answer repeats.
 */
import type { BgpEngine, BgpEngineOutputs, BgpFacts, BgpIntent, RouteQuery } from '#bgp/engine.ts';
import type { NextHop, NextHopGroup } from '#dataplane/fib/route.ts';
import type { EngineKind } from '#lab/gobgp-sidecar.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import type { Family } from '#lib/ip.ts';

export interface EngineStart {
  readonly kind: EngineKind;
  readonly restarted: boolean;
  readonly forwardingPreserved: readonly Family[];
  /** What the kernel has of an earlier life, by prefix. */
  readonly inherited?: Readonly<Record<string, readonly NextHop[]>>;
}

export type Call =
  | { readonly call: 'setKernelView'; readonly view: KernelView }
  | { readonly call: 'apply'; readonly intent: BgpIntent; readonly generation: number }
  | { readonly call: 'fibApplied'; readonly sequence: number }
  /** kill -9. */
  | { readonly call: 'die' }
  | (Question & { readonly ask: number });

export type Question =
  | { readonly call: 'routes'; readonly query: RouteQuery }
  | { readonly call: 'reset'; readonly peer: string; readonly how: Parameters<BgpEngine['reset']>[1] }
  | { readonly call: 'pathFailed'; readonly peer: string; readonly text: string }
  | { readonly call: 'stop'; readonly how: Parameters<BgpEngine['stop']>[0] };

/** A FibUpdate with readable rows. */
export interface SaidUpdate {
  readonly sequence: number;
  readonly groups: readonly NextHopGroup[];
  readonly releasedGroups: readonly number[];
  /** Group 0 withdraws. */
  readonly rows: readonly { readonly prefix: string; readonly group: number }[];
  readonly complete: boolean;
}

export interface SaidEvent {
  readonly level: Parameters<BgpEngineOutputs['event']>[0];
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type Said =
  | { readonly said: 'fib'; readonly update: SaidUpdate }
  | { readonly said: 'facts'; readonly facts: BgpFacts }
  | { readonly said: 'event'; readonly event: SaidEvent }
  | { readonly said: 'answer'; readonly ask: number; readonly value: unknown };
