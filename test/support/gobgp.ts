/**
 * A real gobgpd beside a real BIRD, each in a namespace of its own, and the driver in the test's process: GoBGP's interface is
 * a socket in the file system, so that only GoBGP itself has to be in the namespace.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BgpEngine, BgpFacts, BgpIntent, PeerFacts } from '#bgp/engine.ts';
import { createGobgpEngine } from '#bgp/gobgp/engine.ts';
import type { GobgpModules } from '#bgp/gobgp/modules.ts';
import type { SpeakerOptions } from '#bgp/speaker/modules.ts';
import { systemClock } from '#lib/time.ts';
import { rowsOf } from '../unit/bgp/speaker/network.ts';
import { type TestNamespace, createNamespace, eventually, execute } from './netns.ts';

export const protoFolder = fileURLToPath(new URL('../../proto/', import.meta.url));

/** The driver, and what it last said. The kernel is played: every update is confirmed at once, unless told otherwise. */
export class Driver {
  facts: BgpFacts | undefined;
  /** Gateways by prefix. */
  readonly kernel = new Map<string, readonly string[]>();
  readonly events: { readonly level: string; readonly event: string; readonly fields: object }[] = [];
  complete = false;
  confirms = true;
  readonly unconfirmed: number[] = [];
  mostRows = 0;
  readonly engine: BgpEngine;
  readonly #groups = new Map<number, readonly string[]>();

  /** Told of each event, as it happens. */
  onEvent: ((event: string, fields: { readonly [name: string]: unknown }) => void) | undefined;
  /** Told of each prefix that is withdrawn. */
  onWithdraw: ((prefix: string) => void) | undefined;

  constructor(options: Partial<SpeakerOptions> = {}, more: Partial<GobgpModules> = {}) {
    this.engine = createGobgpEngine(
      { restarted: false, forwardingPreserved: [], ...options },
      {
        clock: systemClock,
        wallClock: () => Date.now(),
        random: Math.random,
        protoFolder,
        ...more,
        outputs: {
          fib: (update) => {
            for (const { id, members } of update.groups)
              this.#groups.set(
                id,
                members.map(({ gateway }) => gateway),
              );
            const rows = rowsOf(update);
            this.mostRows = Math.max(this.mostRows, rows.length);
            for (const { prefix, group } of rows) {
              if (group === 0) {
                this.kernel.delete(prefix);
                this.onWithdraw?.(prefix);
              } else this.kernel.set(prefix, this.#groups.get(group) ?? ['?']);
            }
            if (update.complete) this.complete = true;
            if (this.confirms) setImmediate(() => this.engine.fibApplied(update.sequence));
            else this.unconfirmed.push(update.sequence);
          },
          facts: (facts) => {
            this.facts = facts;
          },
          event: (level, event, fields) => {
            this.events.push({ level, event, fields });
            this.onEvent?.(event, { ...fields });
          },
        },
      },
    );
  }

  peer(name: string): PeerFacts | undefined {
    return this.facts?.peers.find((peer) => peer.name === name);
  }

  isUp(name: string): boolean {
    return this.peer(name)?.state === 'Established';
  }
}

/** Processes that a test starts; all end with `endAll`. */
class Processes {
  readonly #running = new Set<ChildProcess>();

  start(ns: TestNamespace, argv: readonly string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', ns.name, ...argv], { stdio: ['ignore', 'ignore', 'ignore'] });
    this.#running.add(child);
    child.once('exit', () => this.#running.delete(child));
    return child;
  }

  async end(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  async endAll(): Promise<void> {
    await Promise.all([...this.#running].map((child) => this.end(child)));
  }
}

export class GobgpLab {
  readonly node: TestNamespace;
  readonly router: TestNamespace;
  readonly directory: string;
  readonly #processes = new Processes();
  #gobgpd: ChildProcess | undefined;
  #bird: ChildProcess | undefined;

  private constructor(node: TestNamespace, router: TestNamespace, directory: string) {
    this.node = node;
    this.router = router;
    this.directory = directory;
  }

  /** 192.0.2.1 and 2001:db8::1 are the node's, .2 and ::2 the router's. */
  static async create(): Promise<GobgpLab> {
    const [node, router] = await Promise.all([createNamespace('frt-gobgp'), createNamespace('frt-gobgp')]);
    await execute([
      'ip',
      '-n',
      node.name,
      'link',
      'add',
      'eth0',
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      router.name,
    ]);
    for (const [ns, last] of [
      [node, 1],
      [router, 2],
    ] as const) {
      await ns.run(['ip', 'addr', 'add', `192.0.2.${last}/24`, 'dev', 'eth0']);
      await ns.run(['ip', 'addr', 'add', `2001:db8::${last}/64`, 'dev', 'eth0', 'nodad']);
      await ns.run(['ip', 'link', 'set', 'eth0', 'up']);
    }
    return new GobgpLab(node, router, await mkdtemp(join(tmpdir(), 'frt-gobgp-')));
  }

  get socket(): string {
    return join(this.directory, 'gobgp.sock');
  }

  /** `ip netns exec` becomes the program that it runs. */
  gobgpdPid(): number {
    const pid = this.#gobgpd?.pid;
    if (pid === undefined) throw new Error('gobgpd does not run');
    return pid;
  }

  startGobgp(...words: readonly string[]): void {
    this.#gobgpd = this.#processes.start(this.node, [
      'gobgpd',
      '--pprof-disable',
      '--api-hosts',
      `unix://${this.socket}`,
      ...words,
    ]);
  }

  async killGobgp(): Promise<void> {
    if (this.#gobgpd !== undefined) await this.#processes.end(this.#gobgpd);
    await rm(this.socket, { force: true });
  }

  /** `body`: protocols; what comes before is written here. */
  async startBird(body: string): Promise<void> {
    const file = join(this.directory, 'bird.conf');
    await writeFile(
      file,
      `log "${this.directory}/bird.log" all;\nrouter id 10.255.0.2;\nprotocol device { scan time 1; }\n${body}`,
    );
    this.#bird = this.#processes.start(this.router, ['bird', '-f', '-c', file, '-s', join(this.directory, 'bird.ctl')]);
    await eventually('BIRD to answer', async () => (await this.birdc('show', 'status')).includes('Daemon is up'));
  }

  async killBird(): Promise<void> {
    if (this.#bird !== undefined) await this.#processes.end(this.#bird);
  }

  async birdc(...words: readonly string[]): Promise<string> {
    return (await execute(['birdc', '-s', join(this.directory, 'bird.ctl'), ...words])).stdout;
  }

  async gobgp(...words: readonly string[]): Promise<string> {
    return (await execute(['gobgp', '--target', `unix://${this.socket}`, ...words])).stdout;
  }

  /** Networks that BIRD has by a protocol. */
  async learned(protocol: string): Promise<string[]> {
    const text = await this.birdc('show', 'route', 'protocol', protocol);
    return [...text.matchAll(/^([0-9a-f][0-9a-f.:]*\/\d+)/gm)].map((m) => m[1] ?? '').sort();
  }

  async dispose(): Promise<void> {
    await this.#processes.endAll();
    await Promise.all([this.node.dispose(), this.router.dispose()]);
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** An intent whose engine is the lab's gobgpd. */
export const inGobgp = (lab: GobgpLab, intent: BgpIntent): BgpIntent => ({
  ...intent,
  engine: { kind: 'gobgp', address: lab.socket },
});
