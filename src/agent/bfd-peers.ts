/**
 * BFD of the peers. In: the intent, what the threads say, what BFD's process sees. Out: the sessions that the process is told,
 * the failures that the speaker is told, and to the kernel's side which gateways are watched or failed.
 *
 * A path that failed stays out of the kernel until BFD is up again, an end says that it watches the path no more, or the BGP
 * session has come up since: BGP does not wait for BFD (RFC 5882 §4.1).
 */
import { isDeepStrictEqual } from 'node:util';
import type { ObservedBfdSession } from '#bgp/bfd/control-messages.ts';
import { diagnosticText, type BfdFacts } from '#bgp/bfd/facts.ts';
import type { BgpIntent, PeerFacts } from '#bgp/engine.ts';
import type { NextHop } from '#dataplane/fib/route.ts';
import { type BfdPlan, planBfd } from '#intent/bfd-sessions.ts';
import type { Facts } from '#intent/node-intent.ts';
import type { PathsCommand } from './messages.ts';

export interface BfdPeersModules {
  /** What BFD's process is to do. */
  readonly sessions: (plan: BfdPlan) => void;
  /** The path to a peer failed; one sentence. */
  readonly failed: (peer: string, text: string) => void;
  readonly paths: (paths: PathsCommand) => void;
}

/** A peer without a fixed address has this long, in milliseconds, to come back after the agent's start. */
const STARTING = 30_000;

interface Failure {
  readonly gateways: readonly NextHop[];
  /** Of the session that the failure ends; `undefined`: there was none. */
  readonly flaps: number | undefined;
}

export class BfdPeers {
  readonly #modules: BfdPeersModules;
  readonly #startTimer: NodeJS.Timeout;
  #starting = true;
  /** `undefined` until there is an intent: before that nothing is known to be wanted or not. */
  #intent: { readonly bgp: BgpIntent | undefined } | undefined;
  #facts: Facts = {};
  #bfd: BfdFacts = { daemon: { state: 'unwanted' }, sessions: [] };
  #pid: number | undefined;
  /** How often each session had failed when it was last looked at. */
  readonly #counts = new Map<string, number>();
  readonly #failures = new Map<string, Failure>();
  #plan: BfdPlan | undefined;
  #paths: PathsCommand = { kind: 'paths', watched: [], failed: [], isUp: false };

  constructor(modules: BfdPeersModules) {
    this.#modules = modules;
    this.#startTimer = setTimeout(() => {
      this.#starting = false;
      this.#review();
    }, STARTING).unref();
  }

  /** As it was last told; for a background thread that is new. */
  get paths(): PathsCommand {
    return this.#paths;
  }

  setIntent(bgp: BgpIntent | undefined): void {
    this.#intent = { bgp };
    this.#review();
  }

  learn(facts: Pick<Facts, 'bgp' | 'kernel'>): void {
    this.#facts = { ...this.#facts, ...facts };
    this.#review();
  }

  observed(bfd: BfdFacts): void {
    this.#bfd = bfd;
    if (bfd.daemon.state === 'running') {
      if (bfd.daemon.pid !== this.#pid) this.#counts.clear();
      this.#pid = bfd.daemon.pid;
      for (const session of bfd.sessions) this.#look(session);
    }
    const known = new Set(bfd.sessions.map(({ name }) => name));
    for (const name of this.#failures.keys()) if (!known.has(name)) this.#failures.delete(name);
    this.#review();
  }

  stop(): void {
    clearTimeout(this.#startTimer);
  }

  #look({ name, failed, failures, diagnostic, remote }: ObservedBfdSession): void {
    const before = this.#counts.get(name);
    this.#counts.set(name, failures);
    // A failure of before this agent has no session to end.
    const isNew = before !== undefined && failures > before;
    if (!failed) this.#failures.delete(name);
    else if (isNew || !this.#failures.has(name)) {
      const peer = this.#peer(name);
      const flaps = isNew && peer?.state === 'Established' ? peer.flaps : undefined;
      this.#failures.set(name, { gateways: peer?.path?.gateways ?? [], flaps });
    }
    if (isNew) this.#modules.failed(name, `BFD with ${remote} is down: ${diagnosticText(diagnostic)}`);
  }

  #peer(name: string): PeerFacts | undefined {
    return this.#facts.bgp?.peers.find((peer) => peer.name === name);
  }

  /** Failures after which the BGP session has come up. */
  #outlived(): ReadonlySet<string> {
    const found = new Set<string>();
    for (const [name, { flaps }] of this.#failures) {
      const peer = this.#peer(name);
      if (peer?.state === 'Established' && (flaps === undefined || peer.flaps > flaps)) found.add(name);
    }
    return found;
  }

  #review(): void {
    if (this.#intent === undefined) return;
    const outlived = this.#outlived();
    const plan = planBfd(this.#intent.bgp, this.#facts, { starting: this.#starting, outlived });
    if (!isDeepStrictEqual(plan, this.#plan)) {
      this.#plan = plan;
      this.#modules.sessions(plan);
    }
    const failed = [...this.#failures].flatMap(([name, { gateways }]) => (outlived.has(name) ? [] : gateways));
    const paths: PathsCommand = {
      kind: 'paths',
      watched: (this.#facts.bgp?.peers ?? []).flatMap((peer) => peer.path?.gateways ?? []),
      failed,
      isUp: this.#bfd.sessions.some(({ state }) => state === 'Up'),
    };
    if (isDeepStrictEqual(paths, this.#paths)) return;
    this.#paths = paths;
    this.#modules.paths(paths);
  }
}
