/**
 * What the contract of the engine port is tried on: an engine between two routers that judge it, with real TCP and both
 * families over each session. Made once for each engine; every scenario begins with `begin`.
 *
 *   first (65002, BIRD) ──1── node (65001) ──2── second (65003, BIRD)
 */
import { isDeepStrictEqual } from 'node:util';
import type { BgpIntent, PeerIntent } from '#bgp/engine.ts';
import type { KernelView } from '#dataplane/kernel-view.ts';
import { type EngineKind, GobgpSidecar } from '#lab/gobgp-sidecar.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { BirdRouter } from '#lab/routers/bird.ts';
import type { RouterDescription } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import type { Side } from '../../interop/two-routers.ts';
import {
  addRouterHost,
  address,
  asn,
  description,
  left,
  linkAddress,
  linkHosts,
  peerOf,
  prefixes,
  right,
} from '../../interop/two-routers.ts';
import { intent, kernelView, peerIntent, prefix } from '../../unit/bgp/speaker/network.ts';
import { RemoteEngine } from './remote.ts';
import type { EngineStart } from './words.ts';

export const blocks = { ipv4: prefix('10.60.1.0/26'), ipv6: prefix('fd60:1::/112') } as const;
const HOLD_SECONDS = 90;
const other: Side = {
  asn: asn(65003),
  routerId: address('10.255.0.3'),
  announce: prefixes('10.3.0.0/24', 'fd03::/64'),
};

/** What each router announces unless a scenario says otherwise, as the engine puts it into the kernel. */
export const plain = {
  first: { '10.2.0.0/24': [linkAddress(1, 2)], 'fd02::/64': [linkAddress(1, 2, 'ipv6')] },
  second: { '10.3.0.0/24': [linkAddress(2, 2)], 'fd03::/64': [linkAddress(2, 2, 'ipv6')] },
} as const;

const addressesOf = (n: number): readonly string[] => [`${linkAddress(n, 1)}/30`, `${linkAddress(n, 1, 'ipv6')}/64`];
export const view: KernelView = kernelView([addressesOf(1), addressesOf(2)]);

export function peer(name: 'first' | 'second', more: Partial<PeerIntent> = {}): PeerIntent {
  const n = name === 'first' ? 1 : 2;
  return peerIntent({
    name,
    address: linkAddress(n, 2),
    sourceAddress: linkAddress(n, 1),
    peerAsn: name === 'first' ? right.asn : other.asn,
    // A machine that stands still for a while ends no session: scenarios say that one is still the same.
    holdTime: seconds(HOLD_SECONDS),
    connectRetryTime: seconds(1),
    ...more,
  });
}

/** Both routers, and the blocks of the node. */
export const wanted = (more: Partial<BgpIntent> = {}): BgpIntent =>
  intent({
    peers: [peer('first'), peer('second')],
    announcements: [
      { prefix: blocks.ipv4, source: 'block' },
      { prefix: blocks.ipv6, source: 'block' },
    ],
    ownPrefixes: [blocks.ipv4, blocks.ipv6],
    ...more,
  });

/** With one peer that differs, and the other as it is. */
export const wantedWith = (first: Partial<PeerIntent>, more: Partial<BgpIntent> = {}): BgpIntent =>
  wanted({ peers: [peer('first', first), peer('second')], ...more });

type Routers = { readonly [name in 'first' | 'second']?: Partial<RouterDescription> };

const fresh: Omit<EngineStart, 'kind'> = { restarted: false, forwardingPreserved: [] };

export class Scene {
  readonly kind: EngineKind;
  readonly first: BirdRouter;
  readonly second: BirdRouter;
  readonly #lab: Lab;
  readonly #node: Host;
  readonly sidecar: GobgpSidecar | undefined;
  readonly #plain: Readonly<Record<'first' | 'second', RouterDescription>>;
  #engine: RemoteEngine | undefined;
  /** How long the first router's log was when the scenario began. */
  #logged = 0;

  private constructor(kind: EngineKind, lab: Lab, hosts: readonly [node: Host, first: Host, second: Host]) {
    const [node, first, second] = hosts;
    this.kind = kind;
    this.#lab = lab;
    this.#node = node;
    this.sidecar = kind === 'gobgp' ? new GobgpSidecar(node) : undefined;
    const gracefulRestart = { restartTimeSeconds: 20 };
    this.#plain = {
      first: description(right, [peerOf(1, 1, 'node', left.asn, { gracefulRestart })], HOLD_SECONDS),
      second: description(other, [peerOf(2, 1, 'node', left.asn, { gracefulRestart })], HOLD_SECONDS),
    };
    this.first = new BirdRouter(first, this.#plain.first);
    this.second = new BirdRouter(second, this.#plain.second);
  }

  static async create(kind: EngineKind): Promise<Scene> {
    const lab = await Lab.create(`contract-${kind}`);
    try {
      const [node, first, second] = await Promise.all([
        addRouterHost(lab, 'node', left),
        addRouterHost(lab, 'first', right),
        addRouterHost(lab, 'second', other),
      ]);
      await Promise.all([linkHosts(lab, 1, node, first), linkHosts(lab, 2, node, second)]);
      const scene = new Scene(kind, lab, [node, first, second]);
      await Promise.all([scene.first.start(), scene.second.start(), scene.sidecar?.start()]);
      scene.startEngine();
      return scene;
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  get engine(): RemoteEngine {
    if (this.#engine === undefined) throw new Error('no engine runs');
    return this.#engine;
  }

  /** An engine that was never there before, or the next life of the one that was. */
  startEngine(start: Partial<EngineStart> = {}): RemoteEngine {
    this.#engine = new RemoteEngine(this.#node, { ...fresh, ...start, kind: this.kind });
    this.#engine.setKernelView(view);
    return this.#engine;
  }

  /** The intent as this engine is given it. */
  #asGiven(desired: BgpIntent, foreign: 'Keep' | 'Remove' = 'Keep'): BgpIntent {
    if (this.kind === 'embedded') return desired;
    return { ...desired, engine: { kind: 'gobgp', address: GobgpSidecar.address, foreign } };
  }

  /** `foreign`: what becomes of what others gave an engine that is another program. */
  async apply(desired: BgpIntent, foreign?: 'Keep' | 'Remove'): Promise<void> {
    await this.engine.apply(this.#asGiven(desired, foreign));
  }

  applyOnly(desired: BgpIntent): void {
    this.engine.applyOnly(this.#asGiven(desired));
  }

  async #firstLog(): Promise<string> {
    return await this.first.log(Number.MAX_SAFE_INTEGER);
  }

  async routers(described: Routers = {}): Promise<void> {
    for (const name of ['first', 'second'] as const) {
      const next = { ...this.#plain[name], ...described[name] };
      if (!isDeepStrictEqual(next, this[name].description)) await this[name].reconfigure(next);
    }
  }

  /** Routers as they are described, the intent in force, both sessions up; what was before does not matter. */
  async begin(described: Routers = {}, desired: BgpIntent = wanted()): Promise<RemoteEngine> {
    this.#logged = (await this.#firstLog()).length;
    await this.routers(described);
    this.engine.setKernelView(view);
    await this.apply(desired);
    await this.engine.established(...desired.peers.map(({ name }) => name));
    return this.engine;
  }

  /** Waits until the first router has logged that it received this since the scenario began; what it shows is soon another error. */
  async firstReceived(what: RegExp): Promise<void> {
    await waitFor(
      `first to receive ${String(what)}`,
      async () => {
        const said = (await this.#firstLog()).slice(this.#logged);
        const isReceived = said.split('\n').some((line) => line.includes('Received: ') && what.test(line));
        return isReceived ? found(undefined) : notYet(said.slice(-2000));
      },
      { deadline: seconds(60) },
    );
  }

  async dispose(): Promise<void> {
    await this.#engine?.dispose();
    await this.#lab.dispose();
  }
}
