/**
 * What the engine does of our own start as a restarting speaker (RFC 4724 §4.1): R and F of our OPENs, inherited next hops that are
 * let go of, `complete` to the kernel, learned routes released to be announced. When each is due `restart.ts` knows.
 */
import { families } from '#lib/ip.ts';
import type { Family } from '#lib/ip.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { type BgpIntent, wantsSession } from '../engine.ts';
import type { LocalGracefulRestart } from '../io/session-runner.ts';
import type { Core } from './core.ts';
import { type ExpectedPeer, isHoped } from './inheritance.ts';
import type { EngineModules, SpeakerOptions } from './modules.ts';
import type { Peer } from './peer.ts';
import { StartWatch } from './restart.ts';
import type { Work } from './work.ts';

export interface OwnStartContext {
  readonly core: Core;
  readonly modules: EngineModules;
  readonly work: Work;
  readonly peers: () => Iterable<Peer>;
  readonly view: () => KernelView;
}

export class OwnStart {
  readonly #options: SpeakerOptions;
  readonly #context: OwnStartContext;
  readonly #watch = new StartWatch();
  #cancelTimer: (() => void) | undefined;

  constructor(options: SpeakerOptions, context: OwnStartContext) {
    this.#options = options;
    this.#context = context;
    const { groups, ribs } = context.core;
    groups.learned = !options.restarted;
    // After a reboot the kernel has nothing, and what it has all the same is not ours to keep.
    const inherited = options.restarted ? options.inherited : undefined;
    if (inherited !== undefined) for (const rib of Object.values(ribs)) rib.inherit(inherited);
  }

  /** The engine began where another life or engine had spoken. */
  get restarted(): boolean {
    return this.#options.restarted;
  }

  begin(desired: BgpIntent): void {
    // Who comes from a range is not known; only what they said in an earlier life is worth waiting for.
    const awaited = desired.peers.filter(
      (peer) => wantsSession(peer) && (peer.listenRange === undefined || this.#options.restarted),
    );
    this.#watch.begin(awaited, this.#context.modules.clock.now());
    this.#armTimer();
    this.#reviewInherited();
  }

  /** Somebody came from the range of `parent`. */
  joins(parent: string, peer: string, expected: readonly Family[]): void {
    this.#watch.joins(parent, peer, expected);
  }

  /** What the peer had to say of the family, or at all, is said. */
  heard(peer: string, family?: Family): void {
    this.#watch.heard(peer, family);
    this.#reviewInherited();
    this.#context.work.wake();
  }

  kernelSeen(): void {
    this.#watch.kernelSeen();
    this.#reviewInherited();
  }

  /** Inherited next hops go when nobody is left who may name them, each peer's by themselves. */
  #reviewInherited(): void {
    if (!this.#watch.begun || this.#watch.phase !== 'waiting') return;
    const { core, work, peers, view } = this.#context;
    const { nextHops, ribs } = core;
    const links = new Map(view().interfaces.map(({ name, index }) => [name, index]));
    for (const family of families) {
      if (!ribs[family].isInheriting) continue;
      const expected = [...peers()].map(({ intent, endpoint }): ExpectedPeer => {
        const address = endpoint?.address ?? intent.address;
        const scope = intent.interface === undefined ? undefined : links.get(intent.interface);
        const way = nextHops.resolve(address, scope);
        return {
          address,
          range: intent.listenRange?.prefix,
          interfaceIndex: scope ?? (way.ok ? way.hop.interfaceIndex : undefined),
          awaited: this.#watch.awaits(intent.name, family),
        };
      });
      const slice = ribs[family].reviewInherited((hop) => {
        const way = nextHops.resolve(hop.gateway, hop.interfaceIndex);
        return way.ok && way.hop.interfaceIndex === hop.interfaceIndex && isHoped(hop, expected);
      });
      if (slice !== undefined) work.later(slice);
    }
  }

  #armTimer(): void {
    this.stop();
    const { deadline } = this.#watch;
    if (deadline === undefined || this.#watch.phase === 'done') return;
    const { clock } = this.#context.modules;
    this.#cancelTimer = clock.at(deadline, () => {
      if (this.#watch.expire(clock.now())) this.#reviewInherited();
      this.confirm(undefined);
      this.#context.work.wake();
    });
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** All that was heard is decided: the moment to say `complete`, if it is due. */
  complete(): void {
    const { core, modules } = this.#context;
    const now = modules.clock.now();
    if (!this.#watch.ready(now)) return;
    this.#watch.completed(core.fib.sequence, now);
    this.#armTimer();
    modules.outputs.event('info', 'routes.complete', { sequence: core.fib.sequence });
    core.fib.flush(true);
  }

  /** The kernel has the update, or is out of time. */
  confirm(sequence: number | undefined): void {
    if (!this.#watch.confirmed(sequence, this.#context.modules.clock.now())) return;
    this.stop();
    if (this.#options.restarted) this.#context.core.groups.releaseLearned();
  }

  /** What our OPEN says to the peer. */
  gracefulRestart({ intent, seen }: Peer): LocalGracefulRestart | undefined {
    const { gracefulRestart, bfd, longLivedGracefulRestart, families: offered } = intent;
    if (!gracefulRestart.enabled) return undefined;
    return {
      restartTimeSeconds: Math.round(gracefulRestart.restartTime / 1000),
      // RFC 4724 §3: R is about the speaker, F about what its kernel kept; a session that merely broke kept everything.
      restarted: this.#options.restarted && this.#watch.phase !== 'done',
      notification: intent.notificationRestart ?? bfd !== undefined,
      families: offered.map((family) => ({
        family,
        forwarding: seen || this.#options.forwardingPreserved.includes(family),
      })),
      longLived: longLivedGracefulRestart && {
        staleTimeSeconds: Math.round(longLivedGracefulRestart.staleTime / 1000),
        families: longLivedGracefulRestart.families,
      },
    };
  }
}
