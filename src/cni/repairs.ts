/** What of live pods the kernel has lost is put back, and counted by what it was: the `what` of the drift metric. */
import type { IpAddress } from '#lib/ip.ts';
import { LINK_GROUP } from '#dataplane/kernel-names.ts';
import { type KernelRefusal, PodLinks } from '#dataplane/pod/io/pod-links.ts';
import { linkIsAdministrativelyUp } from '#dataplane/pod/pod-side.ts';
import type { PodRecord } from '#dataplane/pod/registry.ts';
import type { NodeAddresses } from '#dataplane/pod/wiring.ts';

type Link = ReturnType<PodLinks['links']>[number];

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

/** Whether a link is the host's end of this pod. Another one may have its index by now, while notifications were lost. */
export const isStill = (record: PodRecord, link: Link | undefined): boolean =>
  link !== undefined && (link.name === record.hostInterface || link.alias === record.alias);

/** `links` has the link of each record. `report` is told what was tried, and the kernel's refusal. Errors: AppError `OS_*`. */
export function repairLive(
  podLinks: PodLinks,
  records: readonly PodRecord[],
  links: ReadonlyMap<number, Link>,
  node: NodeAddresses,
  report: (record: PodRecord, repairs: readonly PodRepair[], refused: KernelRefusal | undefined) => void,
): void {
  const neighbours = new Set(
    podLinks.neighbours().map((one) => `${one.interfaceIndex} ${one.address} ${one.hardwareAddress}`),
  );
  const routes = podLinks.routesTo(records.flatMap((record) => record.attachment.addresses));
  let at = 0;
  for (const record of records) {
    const { hostIndex, mac, attachment } = record;
    const link = links.get(hostIndex);
    const isWrongRoute = (address: IpAddress): boolean => !PodLinks.isHostRoute(routes[at++], hostIndex, address, node);
    const wrongRoutes = attachment.addresses.filter(isWrongRoute);
    const wrongNeighbours = attachment.addresses.filter((address) => !neighbours.has(`${hostIndex} ${address} ${mac}`));
    if (link === undefined) continue;
    const down = !linkIsAdministrativelyUp(link);
    if (link.group !== LINK_GROUP.live) report(record, ['podGroup'], podLinks.regroup(hostIndex));
    // A restarted agent knows nothing else, and the reaper deletes no link that carries another record.
    if (link.alias !== record.alias) report(record, ['podRecord'], podLinks.recordAgain(hostIndex, record.alias));
    if (!down && wrongRoutes.length === 0 && wrongNeighbours.length === 0) continue;
    const what: PodRepair[] = [
      ...(down ? (['podLink'] as const) : []),
      ...wrongRoutes.map(() => 'podRoute' as const),
      ...wrongNeighbours.map(() => 'podNeighbour' as const),
    ];
    const missing = { down, routes: wrongRoutes, neighbours: wrongNeighbours };
    report(record, what, podLinks.repair(link, missing, mac, node));
  }
}
