/** A few pods by a real containerd, asked as kubelet asks: a sandbox that is not known to be well is stopped and removed until that works. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '#lab/host.ts';
import { Containerd, installCni } from '#lab/runtime/containerd.ts';
import type { Sandbox } from '#lab/runtime/sandbox.ts';
import { AppError } from '#lib/result.ts';
import type { Random } from '../random.ts';
import type { Holders } from './holders.ts';

const MOST = 4;

export class Sandboxes {
  readonly counts = { run: 0, removed: 0, failed: 0 };
  readonly #containerd: Containerd;
  readonly #random: Random;
  readonly #holders: Holders;
  /** Those that were answered ok, by id. */
  readonly #well = new Map<string, Sandbox>();
  #made = 0;
  #stop = false;

  private constructor(containerd: Containerd, random: Random, holders: Holders) {
    this.#containerd = containerd;
    this.#random = random;
    this.#holders = holders;
  }

  /** The agent must run: the plugin list is waited for by containerd. */
  static async start(host: Host, random: Random, holders: Holders): Promise<Sandboxes> {
    const containerd = await Containerd.prepare(host);
    await installCni(host);
    await containerd.start();
    return new Sandboxes(containerd, random, holders);
  }

  get well(): readonly Sandbox[] {
    return [...this.#well.values()];
  }

  async run(): Promise<void> {
    this.#stop = false;
    while (!this.#stop) {
      try {
        await this.#removeUnknown();
        if (this.#well.size < MOST && this.#random.unit() < 0.6) await this.#add();
        else if (this.#well.size > 0) await this.#remove(this.#random.pick(this.well));
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'OS_LAB_CRI') throw error;
        this.counts.failed += 1;
        await delay(100);
      }
    }
  }

  stop(): void {
    this.#stop = true;
  }

  async kill(): Promise<void> {
    await this.#containerd.stop('SIGKILL');
    await this.#containerd.start();
  }

  async settle(): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        await this.#removeUnknown();
        return;
      } catch (error) {
        assert.ok(tries < 20, `sandboxes cannot be removed: ${String(error)}`);
      }
    }
  }

  async removeAll(): Promise<void> {
    for (const sandbox of this.well) this.#doubt(sandbox);
    await this.settle();
  }

  #doubt(sandbox: Sandbox): void {
    this.#holders.release(sandbox.addresses);
    this.#well.delete(sandbox.id);
  }

  async #add(): Promise<void> {
    this.#made += 1;
    const sandbox = await this.#containerd.runPod({ name: `s${this.#made}` });
    assert.equal(sandbox.addresses.length, 2);
    this.#holders.claim(sandbox.addresses, sandbox.name);
    this.#well.set(sandbox.id, sandbox);
    this.counts.run += 1;
  }

  async #remove(sandbox: Sandbox): Promise<void> {
    this.#doubt(sandbox);
    await this.#containerd.removePod(sandbox.id);
    this.counts.removed += 1;
  }

  async #removeUnknown(): Promise<void> {
    for (const { id } of await this.#containerd.cri.listPodSandbox())
      if (!this.#well.has(id)) await this.#containerd.removePod(id);
  }
}
