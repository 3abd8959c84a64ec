/** What the tests of a pod's needs share: the lab, and pods on it. */
import { seconds } from '#lib/time.ts';
import type { Pod } from '#lab/pod.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { PodLab } from '../../support/pod-lab.ts';

export interface World {
  readonly lab: PodLab;
  /** Two on the first node, one on the second. */
  readonly a: Pod;
  readonly b: Pod;
  readonly c: Pod;
  /** On the first node, of a pool with natOutgoing. */
  readonly e: Pod;
}

export type GetWorld = () => World;

/** The node's end of a pod. */
export const hostEnd = (pod: Pod): string =>
  pod.result.interfaces?.find((one) => one.sandbox === undefined)?.name ?? '';
export const podMac = (pod: Pod): string => pod.result.interfaces?.find((one) => one.sandbox !== undefined)?.mac ?? '';

/** Waits until `look` answers `wanted`; the failure shows what it answered last. */
export const until = <T extends string | number | boolean>(
  what: string,
  look: () => Promise<T>,
  wanted: T,
): Promise<T> =>
  waitFor(
    what,
    async () => {
      const seen = await look();
      return seen === wanted ? found(seen) : notYet(String(seen));
    },
    { deadline: seconds(60) },
  );

/** Waits until an answer has all of these words. */
export const untilSaid = (what: string, look: () => Promise<string>, words: RegExp): Promise<string> =>
  waitFor(
    what,
    async () => {
      const seen = await look();
      return words.test(seen) ? found(seen) : notYet(seen);
    },
    { deadline: seconds(60) },
  );
