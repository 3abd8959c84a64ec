/**
 * Which changes of host ends the pods thread must hear of. Most come from the pods thread itself; those that do not are a
 * link that is gone, and a live link that went down, came up again (the kernel took its routes), left its group or lost
 * its alias. PURE but for what it remembers.
 */
import type { PodKernelChange } from '#cni/port.ts';
import type { PodLinkChange } from '#dataplane/io/kernel-observer.ts';
import { LINK_GROUP } from '#dataplane/kernel-names.ts';
import { linkIsUp } from '#netlink/wire/link.ts';

interface Known {
  readonly group: number;
  readonly up: boolean;
  readonly alias: string | undefined;
}

export class PodLinkWatch {
  readonly #known = new Map<number, Known>();

  learn(changes: readonly PodLinkChange[]): readonly PodKernelChange[] {
    const gone: number[] = [];
    let lookAgain = false;
    for (const { kind, link } of changes) {
      const before = this.#known.get(link.index);
      if (kind === 'removed') {
        this.#known.delete(link.index);
        gone.push(link.index);
        continue;
      }
      const now: Known = { group: link.group, up: linkIsUp(link), alias: link.alias };
      this.#known.set(link.index, now);
      if (before?.group !== LINK_GROUP.live) continue;
      const onItsWayOut = now.group === LINK_GROUP.dying || now.group === LINK_GROUP.reaping;
      if (!onItsWayOut && (now.group !== before.group || now.up !== before.up || now.alias !== before.alias)) {
        lookAgain = true;
      }
    }
    const answer: PodKernelChange[] = [];
    if (gone.length > 0) answer.push({ kind: 'linksGone', indexes: gone });
    if (lookAgain) answer.push({ kind: 'lookAgain' });
    return answer;
  }
}
