/** Running pods follow the MTU of the uplinks. In: the books after a look at the kernel; out: what became of it. */
import { followMtu, type MtuTarget } from '#dataplane/pod/io/pod-mtu.ts';
import { firstFew } from '#lib/text.ts';
import type { PodEvent } from './port.ts';

export interface PodMtuModules {
  /** Pods that should have another MTU than they were last seen with; asked again before they are touched. */
  readonly strays: () => readonly MtuTarget[];
  readonly event: (level: PodEvent['level'], name: string, text: string, data: PodEvent['data']) => void;
  readonly changed: () => void;
}

const LISTED = 3;

export class PodMtu {
  readonly #modules: PodMtuModules;
  #running: Promise<void> | undefined;
  #behind: readonly string[] = [];
  #complaint = '';

  constructor(modules: PodMtuModules) {
    this.#modules = modules;
  }

  get problems(): readonly { readonly code: string; readonly text: string }[] {
    if (this.#behind.length === 0) return [];
    return [
      {
        code: 'PodMtuBehind',
        text: `${firstFew(this.#behind, LISTED)}: the pod could not follow the MTU of the uplinks (${this.#complaint}); make it again`,
      },
    ];
  }

  /** Brings all strays to their MTU. One run at a time; errors: AppError `OS_*`. */
  async follow(): Promise<void> {
    const [stray] = this.#modules.strays();
    if (stray === undefined) {
      this.#say([], '');
      return;
    }
    this.#running ??= this.#follow(stray.mtu).finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  async #follow(mtu: number): Promise<void> {
    const { followed, failed } = await followMtu(this.#modules.strays);
    if (followed.length > 0)
      this.#modules.event(
        'info',
        'pods_mtu',
        `${followed.length} running pods have an MTU of ${mtu} now, as the uplinks`,
        {
          pods: followed.length,
          mtu,
        },
      );
    this.#say(
      failed.map((one) => one.hostInterface),
      failed[0]?.reason ?? '',
    );
  }

  #say(behind: readonly string[], complaint: string): void {
    if (behind.join() === this.#behind.join() && complaint === this.#complaint) return;
    this.#behind = behind;
    this.#complaint = complaint;
    for (const { text } of this.problems) this.#modules.event('warn', 'pods_mtu_behind', text, { pods: behind.length });
    this.#modules.changed();
  }
}
