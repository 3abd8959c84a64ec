/**
 * PURE: where the kernel, the agent's books and the container runtime disagree about pods. In: what each of them has at one
 * moment; out: one finding for each disagreement, with the reason and what to do. Nothing is decided here but what is told.
 */
import { familyOf, hostPrefix, type IpAddress } from '#lib/ip.ts';
import type { PodFinding } from '#ipam/intent.ts';
import { IFF, NUD } from '#netlink/wire/constants.ts';
import type { Link } from '#netlink/wire/link.ts';
import { HOST_MAC, LINK_GROUP, ROUTE_PROTOCOL } from '../kernel-names.ts';
import { isHostInterfaceName } from './attachment.ts';
import type { RuntimeResult, RuntimeView } from './io/runtime-view.ts';
import type { PodSurvey } from './io/survey.ts';
import type { ForeignLink } from './rebuild.ts';
import type { PodRecord } from './registry.ts';
import type { NodeAddresses } from './wiring.ts';

export interface Books {
  readonly records: readonly PodRecord[];
  readonly foreign: readonly ForeignLink[];
  /** Addresses that nobody may be given. */
  readonly taken: ReadonlySet<IpAddress>;
  readonly node: NodeAddresses;
}

/** What a finding is about, for whoever repairs. */
export interface Disagreement extends PodFinding {
  readonly record?: PodRecord;
  readonly address?: IpAddress;
  /** Of the host's end in question. */
  readonly index?: number;
}

export interface RuntimeJudgement {
  /** CLOCK_BOOTTIME, milliseconds; younger attachments are not judged. */
  readonly bornBefore: number;
  /** The runtime's processes can be seen from here, so that a namespace without any is empty. */
  readonly processesVisible: boolean;
}

const restart = 'restart the agent: it rebuilds its books from the kernel';
const itself = 'nothing: the agent puts it back at its next look, at once with --repair --yes';

export const podName = ({ attachment }: PodRecord): string =>
  attachment.pod === '' ? attachment.containerId : `${attachment.namespace}/${attachment.pod}`;

const about = (
  record: PodRecord,
  code: string,
  text: string,
  action: string,
): Disagreement & { readonly record: PodRecord } => ({
  code,
  subject: record.hostInterface,
  pod: podName(record),
  text,
  action,
  record,
  index: record.hostIndex,
});

/** The kernel's side against the books. */
export function auditKernel(books: Books, survey: PodSurvey): Disagreement[] {
  const linkOf = linksOf(survey);
  return [
    ...books.records.flatMap((record) => auditLink(record, linkOf(record))),
    ...auditWays(books, survey),
    ...auditStrangers(books, survey),
    ...auditAddresses(books),
    ...books.records.flatMap((record) => auditPodEnd(record, linkOf(record), survey)),
  ];
}

/** The host's end of a pod; another link may have its index by now. */
function linksOf(survey: PodSurvey): (record: PodRecord) => Link | undefined {
  const byIndex = new Map(survey.links.map((link) => [link.index, link]));
  return (record) => {
    const link = byIndex.get(record.hostIndex);
    return link?.name === record.hostInterface || link?.alias === record.alias ? link : undefined;
  };
}

function auditLink(record: PodRecord, link: Link | undefined): Disagreement[] {
  if (link === undefined)
    return record.state === 'building'
      ? []
      : [
          about(
            record,
            'LinkMissing',
            'the books have a pod whose interface is not there',
            'nothing: its addresses come back when the agent has seen it, at once with --repair --yes',
          ),
        ];
  if (record.state !== 'live') return [];
  const { hostInterface } = record;
  const differs: string[] = [];
  if (link.name !== hostInterface) differs.push(`it is called ${link.name}`);
  if ((link.flags & IFF.UP) === 0) differs.push('it is down');
  if (link.group !== LINK_GROUP.live) differs.push(`it is in link group ${link.group}`);
  if (link.alias !== record.alias) differs.push('its alias is not the record that we wrote');
  if (link.address !== HOST_MAC) differs.push(`its MAC address is ${link.address}`);
  const ours = link.name === hostInterface && link.address === HOST_MAC;
  const action = ours ? itself : 'delete the pod; its runtime makes it again';
  return differs.length === 0 ? [] : [about(record, 'LinkChanged', differs.join('; '), action)];
}

/** Routes and neighbour entries of the addresses of live pods, and those that are nobody's. */
function auditWays({ records, foreign, node }: Books, survey: PodSurvey): Disagreement[] {
  const found: Disagreement[] = [];
  const live = records.filter((record) => record.state === 'live');
  const linkOf = linksOf(survey);
  const routes = new Map(survey.routes.map((route) => [`${route.interfaceIndex} ${route.prefix}`, route]));
  const neighbours = new Map(survey.neighbours.map((one) => [`${one.interfaceIndex} ${one.address}`, one]));
  const wanted = new Set<string>();
  for (const record of live) {
    if (linkOf(record) === undefined) continue;
    for (const address of record.attachment.addresses) {
      const key = `${record.hostIndex} ${address}`;
      wanted.add(key);
      const route = routes.get(`${record.hostIndex} ${hostPrefix(address)}`);
      const isThere = route?.protocol === ROUTE_PROTOCOL && route.preferredSource === node[familyOf(address)];
      if (!isThere) {
        const what = route === undefined ? 'there is no route to' : 'another source is preferred by the route to';
        found.push({ ...about(record, 'RouteWrong', `${what} ${address}`, itself), address });
      }
      const neighbour = neighbours.get(key);
      if (neighbour === undefined || neighbour.hardwareAddress !== record.mac) {
        const what = neighbour === undefined ? 'there is no' : 'another MAC address is in the';
        found.push({ ...about(record, 'NeighbourWrong', `${what} neighbour entry of ${address}`, itself), address });
      }
    }
  }
  // Those that others answer for: what is being made or taken away, and what is not ours to judge.
  const busy = new Set([
    ...records.filter((record) => record.state !== 'live').map((record) => record.hostIndex),
    ...foreign.map((link) => link.index),
  ]);
  const names = new Map(survey.links.map((link) => [link.index, link.name]));
  for (const { prefix, interfaceIndex = 0 } of survey.routes) {
    const address = prefix.slice(0, prefix.indexOf('/')) as IpAddress;
    if (busy.has(interfaceIndex) || wanted.has(`${interfaceIndex} ${address}`)) continue;
    const name = names.get(interfaceIndex) ?? `interface ${interfaceIndex}`;
    found.push({
      code: 'RouteUnexpected',
      subject: address,
      pod: '',
      text: `a route of ours sends it to ${name}, which has no such pod`,
      action: `--repair --yes removes it, or: ip route del ${prefix} dev ${name} proto ${ROUTE_PROTOCOL}`,
      address,
      index: interfaceIndex,
    });
  }
  const pods = new Set(live.map((record) => record.hostIndex));
  for (const { interfaceIndex, address, state } of survey.neighbours) {
    if (!pods.has(interfaceIndex) || (state & NUD.PERMANENT) === 0 || wanted.has(`${interfaceIndex} ${address}`))
      continue;
    const name = names.get(interfaceIndex) ?? `interface ${interfaceIndex}`;
    found.push({
      code: 'NeighbourUnexpected',
      subject: address,
      pod: '',
      text: `${name} has a permanent neighbour entry of it, and its pod another address`,
      action: `--repair --yes removes it, or: ip neigh del ${address} dev ${name}`,
      address,
      index: interfaceIndex,
    });
  }
  return found;
}

/** Interfaces that look like ours and are in no book, or in the book of what cannot be read. */
function auditStrangers({ records, foreign }: Books, { links }: PodSurvey): Disagreement[] {
  const known = new Set(records.map((record) => record.hostIndex));
  const unreadable = new Map(foreign.map((link) => [link.index, link]));
  return links.flatMap((link): Disagreement[] => {
    if (!isHostInterfaceName(link.name) || link.kind !== 'veth' || known.has(link.index)) return [];
    const left = unreadable.get(link.index);
    const common = { subject: link.name, pod: '', index: link.index };
    if (left === undefined)
      return [
        {
          ...common,
          code: 'LinkUnknown',
          text: 'it looks like the interface of a pod, but the agent has no book of it',
          action: 'nothing: the agent takes it over at its next look, at once with --repair --yes',
        },
      ];
    const held = left.addresses.length === 0 ? '' : `; ${left.addresses.join(', ')} stay taken because of it`;
    return [
      {
        ...common,
        code: 'LinkUnreadable',
        text: `its record cannot be read, perhaps of another version${held}`,
        action: `delete its pod; when there is none: ip link del ${link.name}`,
      },
    ];
  });
}

function auditAddresses({ records, foreign, taken }: Books): Disagreement[] {
  const found: Disagreement[] = [];
  const holders = new Map<IpAddress, string[]>();
  const hold = (address: IpAddress, name: string): void => {
    const names = holders.get(address);
    if (names === undefined) holders.set(address, [name]);
    else names.push(name);
  };
  for (const record of records)
    for (const address of record.attachment.addresses) {
      hold(address, record.hostInterface);
      if (!taken.has(address))
        found.push({
          ...about(record, 'AddressNotHeld', `${address} is this pod's and could be given to another one`, itself),
          address,
        });
    }
  for (const link of foreign) for (const address of link.addresses) hold(address, link.name);
  for (const [address, names] of holders)
    if (names.length > 1)
      found.push({
        code: 'AddressTwice',
        subject: address,
        pod: '',
        text: `${names.join(' and ')} both have it`,
        action: 'delete one of the pods; the address is free when both are gone',
        address,
      });
  for (const address of taken)
    if (!holders.has(address))
      found.push({
        code: 'AddressHeld',
        subject: address,
        pod: '',
        text: 'it is taken in the books, and no interface has it',
        action: `--repair frees it when the runtime knows no pod that has it; otherwise ${restart}`,
        address,
      });
  return found;
}

/** The other end, inside the pod. */
function auditPodEnd(record: PodRecord, link: Link | undefined, { podEnds }: PodSurvey): Disagreement[] {
  if (record.state !== 'live' || link === undefined || link.name !== record.hostInterface) return [];
  const again = 'delete the pod; its runtime makes it again';
  if (link.linkNamespace === undefined)
    return [about(record, 'PodEndMoved', "the pod's end is in the node's own namespace", again)];
  const end = podEnds.get(record.hostIndex);
  if (end === undefined)
    return [about(record, 'PodEndMissing', "the kernel does not show the pod's end in its namespace", again)];
  const differs: string[] = [];
  const { interfaceName } = record.attachment;
  if (end.name !== interfaceName) differs.push(`inside the pod it is called ${end.name} instead of ${interfaceName}`);
  if ((end.flags & IFF.UP) === 0) differs.push('it is down inside the pod');
  if (end.address !== record.mac) differs.push(`inside the pod it has the MAC address ${end.address}`);
  return differs.length === 0 ? [] : [about(record, 'PodEndChanged', differs.join('; '), again)];
}

const resultKey = (one: { networkHash: string; containerId: string; interfaceName: string }): string =>
  `${one.networkHash} ${one.containerId} ${one.interfaceName}`;

/** The runtime's side against the books. */
export function auditRuntime(
  books: Books,
  survey: PodSurvey,
  runtime: RuntimeView,
  { bornBefore, processesVisible }: RuntimeJudgement,
): Disagreement[] {
  const results = new Map((runtime.results ?? []).map((one) => [resultKey(one), one]));
  const namespaces = new Map(runtime.namespaces.map((one) => [one.id, one]));
  const linkOf = linksOf(survey);
  const found: Disagreement[] = [];
  const complete = keepsResults(books, runtime);
  for (const record of books.records) {
    const link = linkOf(record);
    if (record.state !== 'live' || link?.linkNamespace === undefined) continue;
    if (record.attachment.bootMilliseconds > bornBefore) continue;
    const result = results.get(resultKey(record.attachment));
    const seen = namespaces.get(link.linkNamespace);
    if (result !== undefined) {
      if (result.exists && result.namespace !== link.linkNamespace)
        found.push(
          about(
            record,
            'PodEndMoved',
            `the runtime says that the pod is in ${result.netns}, its interface is in another namespace`,
            'delete the pod; its runtime makes it again',
          ),
        );
      continue;
    }
    const processes = seen?.processes ?? 0;
    const empty = processesVisible && processes === 0;
    const nameless = seen === undefined || seen.names.length === 0;
    if (!complete && !(empty && nameless)) continue;
    const told = complete ? ['the runtime keeps no result of it'] : [];
    if (empty) told.push('no process is in its namespace');
    else if (processes > 0) told.push(`${processes} processes are in its namespace`);
    if (nameless) told.push('nothing names its namespace');
    const action =
      processes > 0
        ? 'stop what runs in it: the runtime does not know that it has a network'
        : '--repair --yes takes it away when two looks agree';
    found.push(about(record, 'PodGone', told.join(', '), action));
  }
  const live = new Set(books.records.map((record) => resultKey(record.attachment)));
  for (const [key, result] of results) {
    if (!result.ours || live.has(key) || !isInUse(result, runtime)) continue;
    found.push({
      code: 'ResultWithoutPod',
      subject: result.interfaceName,
      pod: result.containerId,
      text: `the runtime takes it for attached to ${result.network}, and it is not: ${result.netns} has no network of ours`,
      action: 'delete the pod; its runtime makes it again',
    });
  }
  return found;
}

/** The directory of results is the one that the runtime of our pods uses: it knows at least one of them. */
export function keepsResults({ records }: Books, { results }: RuntimeView): boolean {
  const keys = new Set((results ?? []).map(resultKey));
  return records.some((record) => keys.has(resultKey(record.attachment)));
}

/** After a reboot results of pods are left that nobody will ask for again. */
const isInUse = (result: RuntimeResult, { namespaces }: RuntimeView): boolean =>
  result.exists &&
  // A namespace that has no interface of ours has no number; that it is there is enough then.
  (result.namespace === undefined ||
    namespaces.some((one) => one.id === result.namespace && (one.processes > 0 || one.names.length > 0)));
