/**
 * Pods that come and go as fast as the real plugin answers, with the habits of a runtime: a namespace for each, libcni's file for
 * each result, DEL until it is told that it worked, DEL without a namespace, an attachment that is asked for again.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '#lab/host.ts';
import type { Random } from '../random.ts';
import type { Holders } from './holders.ts';

const plugin = resolve('build/flatroute-cni');
const RESULTS = '/var/lib/cni/results';
const network = { cniVersion: '1.0.0', name: 'flatroute' };
const input = JSON.stringify({ ...network, type: 'flatroute' });
const list = Buffer.from(JSON.stringify({ ...network, plugins: [{ type: 'flatroute' }] })).toString('base64');
/** What pings cost is not to be what the pods lack. */
const PING_PAUSE_MS = 30;
const CALL_MS = 60_000;
/** CNI error codes that a runtime may meet when its node is in trouble: try again, a namespace that is gone, a step refused. */
const troubles: ReadonlySet<number> = new Set([3, 5, 11, 101]);

export interface Slot {
  readonly name: string;
  container: string;
  generation: number;
  state: 'none' | 'ok' | 'unknown';
  addresses: readonly string[];
  hostInterface: string;
  hasNamespace: boolean;
  /** A call is under way, or a misfortune. */
  busy: boolean;
}

interface Answer {
  /** `null`: the plugin was killed. */
  readonly code: number | null;
  readonly stdout: string;
}

export class PluginPods {
  readonly slots: readonly Slot[];
  readonly counts = { added: 0, deleted: 0, failed: 0, killed: 0, pings: 0 };
  readonly #host: Host;
  readonly #random: Random;
  readonly #holders: Holders;
  readonly #running = new Set<ChildProcess>();
  #stop = false;

  /** `prefix` of the names of their namespaces. */
  constructor(host: Host, prefix: string, count: number, random: Random, holders: Holders) {
    this.#host = host;
    this.#random = random;
    this.#holders = holders;
    mkdirSync(host.path(RESULTS), { recursive: true });
    this.slots = Array.from({ length: count }, (_, i) => ({
      name: `${prefix}${i}`,
      container: '',
      generation: 0,
      state: 'none',
      addresses: [],
      hostInterface: '',
      hasNamespace: false,
      busy: false,
    }));
  }

  get served(): number {
    return this.counts.added + this.counts.deleted;
  }

  /** So many at a time until stop(). */
  async run(workers: number): Promise<void> {
    this.#stop = false;
    await Promise.all([...Array.from({ length: workers }, () => this.#work()), this.#ping()]);
  }

  stop(): void {
    this.#stop = true;
  }

  /** The runtime asks until it is told that what it does not know of is gone. */
  async settle(): Promise<void> {
    await Promise.all(
      this.slots.map(async (slot) => {
        for (let tries = 0; slot.state === 'unknown'; tries++) {
          assert.ok(tries < 20, `${slot.name} cannot be deleted`);
          await this.#del(slot);
        }
      }),
    );
  }

  /** Every slot gets a pod, or this fails. */
  async fill(): Promise<void> {
    const waiting = [...this.slots];
    const fillSome = async (): Promise<void> => {
      for (let slot = waiting.pop(); slot !== undefined; slot = waiting.pop()) {
        await this.#add(slot);
        assert.equal(slot.state, 'ok', `${slot.name} has no network`);
      }
    };
    await Promise.all(Array.from({ length: 4 }, fillSome));
  }

  async removeAll(): Promise<void> {
    for (const slot of this.slots) if (slot.state === 'ok') this.#doubt(slot);
    await this.settle();
  }

  /** One that is well and left alone meanwhile; from here on its runtime knows nothing of it. */
  async harm(deed: (slot: Slot) => Promise<void>): Promise<boolean> {
    const well = this.slots.filter((slot) => slot.state === 'ok' && !slot.busy);
    if (well.length === 0) return false;
    const slot = this.#random.pick(well);
    slot.busy = true;
    this.#doubt(slot);
    try {
      await deed(slot);
    } finally {
      slot.busy = false;
    }
    return true;
  }

  killPlugin(): boolean {
    const running = [...this.#running];
    const child = running.length === 0 ? undefined : this.#random.pick(running);
    if (child?.pid === undefined) return false;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      return false;
    }
    this.counts.killed += 1;
    return true;
  }

  #doubt(slot: Slot): void {
    this.#holders.release(slot.addresses);
    slot.addresses = [];
    slot.state = 'unknown';
  }

  async #work(): Promise<void> {
    while (!this.#stop) {
      const idle = this.slots.filter((slot) => !slot.busy);
      if (idle.length === 0) {
        await delay(2);
        continue;
      }
      const slot = this.#random.pick(idle);
      slot.busy = true;
      try {
        await (slot.state === 'none' ? this.#add(slot) : this.#del(slot));
      } finally {
        slot.busy = false;
      }
    }
  }

  async #add(slot: Slot): Promise<void> {
    if (!slot.hasNamespace) {
      await this.#host.run(['ip', 'netns', 'add', slot.name]);
      slot.hasNamespace = true;
    }
    slot.generation += 1;
    // An attachment that its runtime asks for again, or one that it has never had.
    if (slot.container === '' || this.#random.unit() < 0.6) slot.container = `${slot.name}-${slot.generation}`;
    const answer = await this.#call('ADD', slot, `/run/netns/${slot.name}`);
    if (answer.code !== 0) {
      slot.state = 'unknown';
      this.#trouble('ADD', slot, answer);
      return;
    }
    const result = JSON.parse(answer.stdout) as {
      readonly ips: readonly { readonly address: string }[];
      readonly interfaces: readonly { readonly name: string }[];
    };
    slot.addresses = result.ips.map((ip) => ip.address.split('/')[0] ?? '');
    assert.equal(slot.addresses.length, 2, answer.stdout);
    slot.hostInterface = result.interfaces[0]?.name ?? '';
    this.#holders.claim(slot.addresses, slot.container);
    this.#keep(slot, result);
    slot.state = 'ok';
    this.counts.added += 1;
  }

  async #del(slot: Slot): Promise<void> {
    this.#doubt(slot);
    const answer = await this.#call('DEL', slot, this.#random.unit() < 0.7 ? `/run/netns/${slot.name}` : '');
    if (answer.code !== 0) {
      this.#trouble('DEL', slot, answer);
      return;
    }
    rmSync(this.#resultFile(slot), { force: true });
    slot.state = 'none';
    this.counts.deleted += 1;
    if (slot.hasNamespace && this.#random.unit() < 0.2) {
      slot.hasNamespace = false;
      await this.#host.run(['ip', 'netns', 'del', slot.name]);
    }
  }

  #trouble(verb: string, slot: Slot, { code, stdout }: Answer): void {
    this.counts.failed += 1;
    if (code === null) return;
    const error = JSON.parse(stdout) as { readonly code: number };
    assert.ok(troubles.has(error.code), `${verb} of ${slot.container}: ${stdout}`);
  }

  #resultFile = (slot: Slot): string => this.#host.path(`${RESULTS}/flatroute-${slot.container}-eth0`);

  #keep(slot: Slot, result: object): void {
    const { container: containerId, name } = slot;
    const kept = { kind: 'cniCacheV1', containerId, config: list, ifName: 'eth0', networkName: 'flatroute', result };
    writeFileSync(this.#resultFile(slot), JSON.stringify({ ...kept, netns: `/run/netns/${name}` }));
  }

  #call(verb: 'ADD' | 'DEL', slot: Slot, netns: string): Promise<Answer> {
    const words = [...this.#host.entryCommand(), plugin];
    const environment = {
      PATH: process.env['PATH'],
      CNI_COMMAND: verb,
      CNI_CONTAINERID: slot.container,
      CNI_NETNS: netns,
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/usr/lib/cni',
    };
    return new Promise((done, fail) => {
      const child = spawn('env', words, { env: environment, detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
      this.#running.add(child);
      const timer = setTimeout(() => fail(new Error(`${verb} of ${slot.container} has no answer`)), CALL_MS);
      let stdout = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
      child.once('error', fail);
      child.once('close', (code) => {
        clearTimeout(timer);
        this.#running.delete(child);
        done({ code, stdout });
      });
    });
  }

  /** Whoever was told ok has its network, whatever happens to the agent. */
  async #ping(): Promise<void> {
    while (!this.#stop) {
      const well = this.slots.filter((slot) => slot.state === 'ok');
      if (well.length === 0) {
        await delay(5);
        continue;
      }
      const slot = this.#random.pick(well);
      const { generation, container } = slot;
      const target = this.#random.pick(slot.addresses);
      const { code, stdout } = await this.#host.exec(['ping', '-n', '-c', '1', '-W', '3', target]);
      this.counts.pings += 1;
      const stayed = slot.state === 'ok' && slot.generation === generation && slot.addresses.includes(target);
      if (code === 0 || !stayed) {
        await delay(PING_PAUSE_MS);
        continue;
      }
      const seen = await this.#host.exec([
        'sh',
        '-c',
        `ip -d link show ${slot.hostInterface}; ip route get ${target}; ip neigh show dev ${slot.hostInterface}; ip netns exec ${slot.name} ip addr; ip netns exec ${slot.name} ip -6 route`,
      ]);
      assert.fail(`${container} was told ok with ${target} and does not answer: ${stdout}${seen.stdout}${seen.stderr}`);
    }
  }
}
