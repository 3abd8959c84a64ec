/**
 * What every scenario is played on: a node with flatroute, a router with the daemon that judges it, and a BIRD on the far
 * side of the node, so that what passes through flatroute is seen on both sides.
 *
 *   judge (65002) ──1── node (65001) ──2── far (65003)
 */
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { Family, IpAddress } from '#lib/ip.ts';
import { milliseconds } from '#lib/time.ts';
import { parseLine } from '#bgp/session/record.ts';
import type { Capability } from '#bgp/wire/messages.ts';
import { askByAdminApi } from '#cli/demo/ask.ts';
import type { EngineKind } from '#lab/gobgp-sidecar.ts';
import { Lab } from '#lab/lab.ts';
import type { PeerView } from '#lab/node-agent.ts';
import { BirdRouter } from '#lab/routers/bird.ts';
import type { DaemonRouter } from '#lab/routers/daemon.ts';
import { FlatrouteRouter } from '#lab/routers/flatroute.ts';
import type { DaemonKind } from '#lab/routers/make.ts';
import { makeDaemon } from '#lab/routers/make.ts';
import type { LabRouter, PathRow, RouterDescription, RouterPeer, SessionOptions } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { Side } from '../two-routers.ts';
import {
  addRouterHost,
  address,
  asn,
  DEADLINE,
  established,
  expectTable,
  left,
  linkAddress,
  linkHosts,
  prefixes,
  right,
} from '../two-routers.ts';

const beyond: Side = {
  asn: asn(65003),
  routerId: address('10.255.0.3'),
  announce: prefixes('10.3.0.0/24', 'fd03::/64'),
};

/** What differs from the plain rack. */
export interface Setup {
  readonly node?: Partial<RouterDescription>;
  readonly judge?: Partial<RouterDescription>;
  readonly far?: Partial<RouterDescription>;
  /** Of the session between node and judge: at the node, at the judge, at both. */
  readonly toJudge?: Partial<RouterPeer>;
  readonly toNode?: Partial<RouterPeer>;
  readonly both?: Partial<RouterPeer>;
  /** At both ends of the session between node and far. */
  readonly toFar?: Partial<RouterPeer>;
  /** Seconds, at node and judge; 9 if not given. */
  readonly holdTime?: number;
  /** `false`: the session is not waited for. */
  readonly up?: false;
}

/** All that a session can be asked for beside IPv4 and IPv6. */
export const everything: SessionOptions = {
  extendedMessages: true,
  enhancedRefresh: true,
  extendedNextHop: true,
  gracefulRestart: { restartTimeSeconds: 20 },
  notificationRestart: true,
  longLivedGracefulRestart: { staleTimeSeconds: 60 },
  addPath: { receive: true, send: 4 },
};

interface Descriptions {
  readonly node: RouterDescription;
  readonly judge: RouterDescription;
  readonly far: RouterDescription;
}

function describe(setup: Setup, engine: EngineKind): Descriptions {
  const common = { holdTimeSeconds: setup.holdTime ?? 9, multipath: true };
  const node = { ...left, ...common, engine, ...setup.node };
  const judge = { ...right, ...common, ...setup.judge };
  const far = { ...beyond, holdTimeSeconds: 9, multipath: true, ...setup.far };
  const peer = (name: string, n: number, end: 1 | 2, who: { readonly asn: RouterPeer['asn'] }): RouterPeer => ({
    name,
    address: linkAddress(n, end),
    asn: who.asn,
    families: ['ipv4', 'ipv6'],
  });
  return {
    node: {
      ...node,
      peers: [
        { ...peer('judge', 1, 2, judge), ...setup.both, ...setup.toJudge },
        { ...peer('far', 2, 2, far), ...setup.toFar },
      ],
    },
    judge: { ...judge, peers: [{ ...peer('node', 1, 1, node), ...setup.both, ...setup.toNode }] },
    far: { ...far, peers: [{ ...peer('node', 2, 1, node), ...setup.toFar }] },
  };
}

/** All but what a running daemon takes without a new session. */
const ofSession = (description: RouterDescription): RouterDescription => ({ ...description, announce: [] });

export class Rack {
  readonly node: FlatrouteRouter;
  readonly judge: DaemonRouter;
  readonly far: BirdRouter;
  /** Of the node. */
  readonly engine: EngineKind;
  readonly #lab: Lab;
  /** How long the agent's log was at the last set-up. */
  #logged = 0;

  private constructor(lab: Lab, engine: EngineKind, node: FlatrouteRouter, judge: DaemonRouter, far: BirdRouter) {
    this.#lab = lab;
    this.engine = engine;
    this.node = node;
    this.judge = judge;
    this.far = far;
  }

  /** Everything runs when it resolves. */
  static async create(kind: DaemonKind, engine: EngineKind): Promise<Rack> {
    const lab = await Lab.create(`rack-${kind}-${engine}`);
    try {
      const [a, b, c] = await Promise.all([
        addRouterHost(lab, 'node', left),
        addRouterHost(lab, 'judge', right),
        addRouterHost(lab, 'far', beyond),
      ]);
      await Promise.all([linkHosts(lab, 1, a, b), linkHosts(lab, 2, a, c)]);
      const plain = describe({}, engine);
      const rack = new Rack(
        lab,
        engine,
        new FlatrouteRouter(a, plain.node, askByAdminApi),
        makeDaemon(kind, b, plain.judge),
        new BirdRouter(c, plain.far),
      );
      await Promise.all([rack.startNode(), rack.judge.start(), rack.far.start()]);
      return rack;
    } catch (error) {
      await lab.dispose();
      throw error;
    }
  }

  /** Starts the agent; the log says everything, and the sessions are recorded. */
  async startNode(): Promise<void> {
    await this.node.start('--log-level', 'debug', '--record', '/run/record');
  }

  /** Waits for the next OPEN that comes from the judge, and answers what it offers. */
  async nextOpen(): Promise<readonly Capability[]> {
    const opens = async (): Promise<readonly (readonly Capability[])[]> => {
      const text = await this.node.host.readFile('/run/record/judge.jsonl');
      return text.split('\n').flatMap((row) => {
        const line = parseLine(row);
        if (!line.ok || line.value.kind !== 'step' || line.value.event.kind !== 'openReceived') return [];
        return [line.value.event.open.capabilities];
      });
    };
    const before = (await opens()).length;
    return await waitFor(
      `an OPEN of ${this.judge.kind}`,
      async () => {
        const now = await opens();
        return now.length > before ? found(now.at(-1) ?? []) : notYet(`${now.length} of them`);
      },
      { deadline: DEADLINE },
    );
  }

  async dispose(): Promise<void> {
    await this.#lab.dispose();
  }

  /**
   * Makes the rack as `setup` says, whatever it was before. A daemon whose session is another now is started again: what
   * each takes while it runs is not what is tried.
   */
  async setup(setup: Setup = {}): Promise<void> {
    this.#logged = (await this.node.speakerLog()).length;
    const { node, judge, far } = describe(setup, this.engine);
    const another = !isDeepStrictEqual(ofSession(judge), ofSession(this.judge.description));
    if (another) await this.judge.stop('SIGTERM');
    await Promise.all([this.node.reconfigure(node), this.#reconfigureFar(far)]);
    if (another) {
      // A session whose neighbour is still to be found has nothing behind it.
      if (setup.toJudge?.interface === undefined && setup.toJudge?.listenRange === undefined) await this.#beginAnew();
      await this.judge.restart(judge);
    }
    if (!isDeepStrictEqual(judge, this.judge.description)) await this.judge.reconfigure(judge);
    if (setup.up !== false) await this.up();
  }

  /** Stops the daemon and starts it with the description that it has. */
  async restartJudge(): Promise<void> {
    await this.judge.stop('SIGTERM');
    await this.#beginAnew();
    await this.judge.restart(this.judge.description);
    await this.up();
  }

  /** What went down often is tried again later and later, unless it is told to begin anew. */
  async #beginAnew(): Promise<void> {
    await waitFor(
      'the session to begin anew',
      async () => found(await this.node.resetSession(this.node.description.peers[0]?.address ?? judgeAddress)),
      {
        deadline: DEADLINE,
      },
    );
  }

  async #reconfigureFar(far: RouterDescription): Promise<void> {
    if (!isDeepStrictEqual(far, this.far.description)) await this.far.reconfigure(far);
  }

  /** All sessions are established, on all sides. */
  async up(): Promise<void> {
    await established(this.judge, this.node, this.far);
  }

  /** The session between node and judge, as flatroute shows it. */
  async session(): Promise<PeerView> {
    const peer = (await this.node.agent.questions.peers()).find(({ name }) => name === 'judge');
    assert.ok(peer !== undefined, 'flatroute knows its peer');
    return peer;
  }

  /** Waits until what flatroute shows of the session fits. */
  async sessionIs(what: string, fits: (peer: PeerView) => boolean): Promise<PeerView> {
    return await waitFor(
      `flatroute to show ${what} of its session with ${this.judge.kind}`,
      async () => {
        const peer = await this.session();
        return fits(peer) ? found(peer) : notYet(JSON.stringify(peer));
      },
      { deadline: DEADLINE },
    );
  }

  /** Waits until the peers that flatroute shows fit. */
  async peersAre(what: string, fits: (peers: readonly PeerView[]) => boolean): Promise<void> {
    await waitFor(
      `flatroute to show ${what} beside ${this.judge.kind}`,
      async () => {
        const peers = await this.node.agent.questions.peers();
        return fits(peers) ? found(undefined) : notYet(JSON.stringify(peers));
      },
      { deadline: DEADLINE },
    );
  }

  /**
   * Waits until the session is down and flatroute says why. Version 3 of GoBGP tells nobody why a session has ended, nor which
   * segments the kernel has dropped for it (docs/engines.md); then it is what `otherwise` looks at that says so.
   */
  async endedBy(
    fits: (error: NonNullable<PeerView['lastError']>) => boolean,
    otherwise: RegExp | KernelCounter,
  ): Promise<void> {
    if (this.engine === 'embedded') {
      await this.sessionIs('the end', ({ lastError }) => lastError !== undefined && fits(lastError));
      return;
    }
    if (typeof otherwise === 'string') {
      const counted = async (): Promise<number> => await kernelCounter(this.node, otherwise);
      const before = await counted();
      await waitFor(
        `${otherwise} of the node to grow`,
        async () => {
          const now = await counted();
          return now > before ? found(undefined) : notYet(`${before}, now ${now}`);
        },
        { deadline: DEADLINE },
      );
    } else await this.speakerLogs(otherwise);
    await this.sessionIs('no session', ({ state }) => state !== 'Established');
  }

  /** Waits until whoever speaks for the node has logged this since it was last set up; `provoke` is done again before each look. */
  async speakerLogs(text: RegExp, provoke?: () => Promise<void>): Promise<void> {
    await waitFor(
      `the node to log ${String(text)}`,
      async () => {
        await provoke?.();
        const log = (await this.node.speakerLog()).slice(this.#logged);
        return text.test(log) ? found(undefined) : notYet(log.slice(-1000));
      },
      { deadline: DEADLINE, ...(provoke && { every: milliseconds(200) }) },
    );
  }

  /** Waits until the judge's paths of a prefix have come to the node, whose own speaker logs why they are refused. */
  async arrived(prefix: string, refusal: RegExp): Promise<void> {
    if (this.engine === 'embedded') return await this.speakerLogs(refusal);
    await waitFor(
      `gobgpd to have ${prefix} from the judge`,
      async () => {
        const heard = await this.node.askGobgp('neighbor', judgeAddress, 'adj-in');
        return heard.includes(prefix) ? found(undefined) : notYet(heard);
      },
      { deadline: DEADLINE },
    );
  }

  /** Waits until the node has heard the judge ask for all routes; `provoke` is done again before each look. */
  async refreshRequested(provoke: () => Promise<void>): Promise<void> {
    if (this.engine === 'embedded') return await this.speakerLogs(/session\.refreshRequested/, provoke);
    const heard = async (): Promise<number> => {
      const shown = JSON.parse(await this.node.askGobgp('neighbor', judgeAddress, '-j')) as GobgpNeighbor;
      return shown.state.messages.received.refresh ?? 0;
    };
    const before = await heard();
    await waitFor(
      'gobgpd to hear a request for all routes',
      async () => {
        await provoke();
        const now = await heard();
        return now > before ? found(undefined) : notYet(`${before}, now ${now}`);
      },
      { deadline: DEADLINE, every: milliseconds(200) },
    );
  }

  /** Waits until what the judge says about its session with the node fits. */
  async judgeSays(what: RegExp): Promise<void> {
    await waitFor(
      `${this.judge.kind} to say ${String(what)}`,
      async () => {
        const said = await this.judge.about(linkAddress(1, 1));
        return what.test(said) ? found(undefined) : notYet(said.slice(-2000));
      },
      { deadline: DEADLINE },
    );
  }

  /** The whole table of each of both families, at node and judge, of a plain rack. */
  async expectPlainTables(): Promise<void> {
    for (const family of ['ipv4', 'ipv6'] as const) {
      const at = (n: number, end: 1 | 2): readonly string[] => [linkAddress(n, end, family)];
      const [own, judged, distant] = [left, right, beyond].map((side) => announcedBy(side, family));
      await expectTable(this.node, family, {
        [own ?? '']: ['local'],
        [judged ?? '']: at(1, 2),
        [distant ?? '']: at(2, 2),
      });
      await expectTable(this.judge, family, {
        [own ?? '']: at(1, 1),
        [judged ?? '']: ['local'],
        [distant ?? '']: at(1, 1),
      });
    }
  }
}

/** What `gobgp neighbor -j` says. */
interface GobgpNeighbor {
  readonly state: { readonly messages: { readonly received: { readonly refresh?: number } } };
}

/** A counter of /proc/net/netstat. */
export type KernelCounter = 'TCPMD5Failure' | 'TCPMinTTLDrop';

async function kernelCounter({ host }: LabRouter, name: KernelCounter): Promise<number> {
  const [names, values] = (await host.run(['grep', '^TcpExt:', '/proc/net/netstat'])).split('\n');
  return Number(values?.split(' ')[names?.split(' ').indexOf(name) ?? -1]);
}

const announcedBy = (side: Side, family: Family): string =>
  side.announce.find((prefix) => prefix.includes(':') === (family === 'ipv6')) ?? '';

export const judgeAddress: IpAddress = linkAddress(1, 2);
export const nodeAddress: IpAddress = linkAddress(1, 1);

/** Waits until the paths of a prefix, by next hop, have these fields; the others are not looked at. */
export async function expectPaths(
  router: LabRouter,
  prefix: string,
  expected: readonly Partial<PathRow>[],
): Promise<void> {
  const family: Family = prefix.includes(':') ? 'ipv6' : 'ipv4';
  let seen: readonly Partial<PathRow>[] = [];
  await waitFor(
    `the paths of ${prefix} at ${router.host.name} (${router.kind})`,
    async () => {
      const rows = (await router.paths(family)).filter((row) => row.prefix === prefix);
      // Only the fields that are asked for, so that a failure shows what differs.
      seen = rows.map((row, n) => {
        const fields = Object.keys(expected[n] ?? row);
        return Object.fromEntries(Object.entries(row).filter(([name]) => fields.includes(name)));
      });
      return isDeepStrictEqual(seen, expected) ? found(undefined) : notYet(JSON.stringify(rows));
    },
    { deadline: DEADLINE },
  ).catch(async (error: unknown) => {
    assert.deepEqual(seen, expected, `${String(error)}\nlog of ${router.host.name}:\n${await router.log()}`);
    throw error;
  });
}
