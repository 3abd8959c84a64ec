/**
 * Tells that somebody changed nftables rules of this namespace. The kernel tells each object of a transaction and at its
 * end the new generation with the program that made it; only the latter passes the socket's filter, so that a large
 * transaction of another program costs one message. Nothing is told of iptables-legacy, which is no nftables.
 */
import { AppError } from '#lib/result.ts';
import { after, type Clock, type Instant, milliseconds } from '#lib/time.ts';
import { NETLINK_NETFILTER } from '#linux/socket.ts';
import { NetlinkMonitor } from '#netlink/io/monitor.ts';
import type { NamespaceTarget } from '#netlink/io/datagram-port.ts';
import { decodeRulesetChange, NFNLGRP_NFTABLES, RULESET_CHANGED } from '#netlink/wire/ruleset.ts';

/** The first change is told at once, what follows it this much later. */
const rest = milliseconds(200);

export interface RulesetMonitorOptions {
  readonly namespace?: NamespaceTarget;
}

export interface RulesetMonitorCallbacks {
  /** `by`: name of a program that did it, `?` when the kernel does not say. */
  changed(by: string): void;
  /** The monitor is broken and has stopped. */
  failed(error: AppError): void;
}

export class RulesetMonitor {
  readonly #clock: Clock;
  readonly #callbacks: RulesetMonitorCallbacks;
  readonly #monitor: NetlinkMonitor;
  #notBefore: Instant;
  #by: string | undefined;
  #cancelTimer: (() => void) | undefined;

  /** `undefined` where the kernel has no nftables. Errors: AppError `OS_*`. */
  static open(
    options: RulesetMonitorOptions,
    modules: { readonly clock: Clock },
    callbacks: RulesetMonitorCallbacks,
  ): RulesetMonitor | undefined {
    try {
      return new RulesetMonitor(options, modules, callbacks);
    } catch (error) {
      if (error instanceof AppError && error.code === 'OS_EPROTONOSUPPORT') return undefined;
      throw error;
    }
  }

  private constructor(
    options: RulesetMonitorOptions,
    modules: { readonly clock: Clock },
    callbacks: RulesetMonitorCallbacks,
  ) {
    this.#clock = modules.clock;
    this.#callbacks = callbacks;
    this.#notBefore = modules.clock.now();
    this.#monitor = NetlinkMonitor.open(
      {
        protocol: NETLINK_NETFILTER,
        groups: [NFNLGRP_NFTABLES],
        namespace: options.namespace,
        onlyType: RULESET_CHANGED,
        receiveBufferBytes: 1024 * 1024,
      },
      {
        message: (reader, message) => this.#changed(decodeRulesetChange(reader, message)?.program ?? '?'),
        observeAgain: () => this.#changed('?'),
        failed: (error) => callbacks.failed(error),
      },
    );
  }

  start(): void {
    this.#monitor.start();
  }

  /** Must be awaited before the thread ends. */
  close(): Promise<void> {
    this.#cancelTimer?.();
    return this.#monitor.close();
  }

  #changed(by: string): void {
    this.#by ??= by;
    if (this.#cancelTimer !== undefined) return;
    if (this.#clock.now() >= this.#notBefore) this.#tell();
    else this.#cancelTimer = this.#clock.at(this.#notBefore, () => this.#tell());
  }

  #tell(): void {
    const by = this.#by ?? '?';
    this.#by = undefined;
    this.#cancelTimer = undefined;
    this.#notBefore = after(this.#clock.now(), rest);
    this.#callbacks.changed(by);
  }
}
