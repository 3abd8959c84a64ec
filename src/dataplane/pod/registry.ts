/** PURE: the attachments that the kernel's links tell of, by the name of their host end, which follows from what they are. */
import type { Attachment } from './attachment.ts';
import type { DyingLink } from './reaping.ts';

export type PodState = 'building' | 'live' | 'dying' | 'reaping';

export interface PodRecord {
  readonly attachment: Attachment;
  readonly hostInterface: string;
  readonly hostIndex: number;
  /** As the kernel has it: empty until the host's end was configured. */
  alias: string;
  readonly mac: string;
  state: PodState;
}

export const dyingLink = (record: PodRecord): DyingLink => ({
  index: record.hostIndex,
  name: record.hostInterface,
  alias: record.alias,
  addresses: record.attachment.addresses,
});

export class Registry {
  readonly #byName = new Map<string, PodRecord>();
  readonly #byIndex = new Map<number, PodRecord>();
  readonly #waiting = new Set<() => void>();

  get size(): number {
    return this.#byName.size;
  }

  all(): PodRecord[] {
    return [...this.#byName.values()];
  }
  get(hostInterface: string): PodRecord | undefined {
    return this.#byName.get(hostInterface);
  }
  byIndex(index: number): PodRecord | undefined {
    return this.#byIndex.get(index);
  }

  add(record: PodRecord): void {
    this.#byName.set(record.hostInterface, record);
    this.#byIndex.set(record.hostIndex, record);
  }

  /** Only if this very record is still the one under its name. */
  remove(record: PodRecord): void {
    if (this.#byName.get(record.hostInterface) === record) this.#byName.delete(record.hostInterface);
    if (this.#byIndex.get(record.hostIndex) === record) this.#byIndex.delete(record.hostIndex);
    for (const wake of this.#waiting) wake();
  }

  /** Resolves true when something was removed, false when `signal` was aborted first. */
  removal(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const finish = (removed: boolean) => (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', giveUp);
        resolve(removed);
      };
      const wake = finish(true);
      const giveUp = finish(false);
      this.#waiting.add(wake);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }
}
