/** What was put right in pods, counted by what it was: the `what` of the drift metric. */

/** In which words each is told. */
const words = {
  podLink: 'link',
  podGroup: 'link group',
  podRecord: 'record',
  podRoute: 'routes',
  podNeighbour: 'neighbours',
  podBook: 'place in the books',
  podStray: 'strays',
  podLeftover: 'leftovers',
  podRules: 'rules',
} as const;

export type PodRepair = keyof typeof words;

export const repairText = (repairs: readonly PodRepair[]): string =>
  [...new Set(repairs)].map((one) => words[one]).join(', ');

export class RepairCounts {
  readonly #counts = new Map<PodRepair, number>();

  add(what: PodRepair): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  facts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }
}
