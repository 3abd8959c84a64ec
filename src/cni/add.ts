/**
 * ADD: joins a pod to its node. Each step leaves something that the next failure takes back; nothing is answered before
 * all of it stands. Readiness is looked at before an address is taken.
 */
import { type Family, familyOf, type IpAddress, type Prefix } from '#lib/ip.ts';
import { ok } from '#lib/result.ts';
import { closeNamespace } from '#linux/namespace.ts';
import { EEXIST } from '#linux/errno.ts';
import { encodeAlias } from '#dataplane/pod/alias.ts';
import { type Attachment, type AttachmentKey, podMac } from '#dataplane/pod/attachment.ts';
import { PodLinks } from '#dataplane/pod/io/pod-links.ts';
import { podMtu } from '#dataplane/pod/mtu.ts';
import { openPeerNamespace } from '#dataplane/pod/io/peer-namespace.ts';
import type { PodRecord } from '#dataplane/pod/registry.ts';
import { gatewayOf, type Pair, type Wiring } from '#dataplane/pod/wiring.ts';
import type { AddOptions } from './config.ts';
import { claimable, problemOf } from './demand.ts';
import { addressFailure, kernelFailure, namespaceFailure } from './failures.ts';
import { type Pods, rowData } from './pods.ts';
import { type CniResult, cniCode, cniFailure } from './spec.ts';
import { Undo } from './undo.ts';

export interface AddRequest {
  readonly key: AttachmentKey;
  /** Follows from the key. */
  readonly hostInterface: string;
  readonly options: AddOptions;
  readonly namespace: string;
  readonly pod: string;
  /** Path of the pod's namespace as process `peer` sees it. */
  readonly netns: string;
  readonly peer: number;
  /** CLOCK_BOOTTIME when the request came, milliseconds. */
  readonly bootMilliseconds: number;
  /** Aborted when the caller is gone. */
  readonly gone: AbortSignal;
  readonly announcementWaitMs: number;
  readonly deletionWaitMs: number;
}

export interface Added {
  readonly record: PodRecord;
  readonly mtu: number;
  readonly addresses: readonly IpAddress[];
  readonly routes: readonly Prefix[];
  /** The pod was there already. */
  readonly repeated: boolean;
}

/** The interface that a runtime gives a pod first; further ones get no default route unless they ask for it. */
export const FIRST_INTERFACE = 'eth0';
const everything = ['0.0.0.0/0', '::/0'] as Prefix[];

const tryAgain = (
  msg: string,
  details: string,
): { readonly ok: false; readonly error: { code: number; msg: string; details: string } } =>
  cniFailure(cniCode.tryAgain, msg, details);

export function destinations(options: AddOptions, interfaceName: string, addresses: readonly IpAddress[]): Prefix[] {
  const wanted =
    options.routes?.map((route) => route.destination) ?? (interfaceName === FIRST_INTERFACE ? everything : []);
  const families = new Set<Family>(addresses.map(familyOf));
  return [...new Set(wanted)].filter((destination) => families.has(familyOf(destination)));
}

export async function addPod(pods: Pods, request: AddRequest): Promise<CniResult<Added>> {
  if (!pods.hasIntent)
    return tryAgain('the agent does not know this node yet', 'no resources were read so far; try again');
  if (pods.rulesProblem !== undefined)
    return tryAgain('no pod may be joined without the rules against forged sources; try again', pods.rulesProblem);
  const namespace = openPeerNamespace(request.peer, request.netns);
  if (!namespace.ok) return { ok: false, error: namespaceFailure(namespace.error) };
  try {
    const repeated = await settleEarlier(pods, request, namespace.value);
    if (!repeated.ok) return repeated;
    if (repeated.value !== undefined) return ok(repeated.value);
    return await build(pods, request, namespace.value);
  } finally {
    closeNamespace(namespace.value);
  }
}

/** The same attachment was there before: the same answer in the same namespace, otherwise its end is waited for. */
async function settleEarlier(
  pods: Pods,
  request: AddRequest,
  namespaceFd: number,
): Promise<CniResult<Added | undefined>> {
  const name = request.hostInterface;
  const earlier = pods.registry.get(name);
  if (earlier === undefined) return ok(undefined);
  if (earlier.state === 'live') {
    const host = pods.links.link(earlier.hostIndex);
    const side = host === undefined ? undefined : pods.links.observePod(namespaceFd, request.key.interfaceName);
    const { addresses } = earlier.attachment;
    const isWhole = addresses.every((address) => side?.addresses.some((one) => one.address === address));
    if (host !== undefined && side?.link?.link === earlier.hostIndex && side.link.kind === 'veth' && isWhole) {
      keepGateway(pods, earlier, side.link.index, namespaceFd);
      return ok({
        record: earlier,
        mtu: host.mtu,
        addresses,
        routes: destinations(request.options, request.key.interfaceName, addresses),
        repeated: true,
      });
    }
  }
  const detached = pods.detach(earlier, true);
  if (!detached.ok) return { ok: false, error: kernelFailure(detached.error) };
  const signal = AbortSignal.any([request.gone, AbortSignal.timeout(request.deletionWaitMs)]);
  while (pods.registry.get(name) !== undefined) {
    if (!(await pods.registry.removal(signal)))
      return tryAgain('the earlier interface of this attachment is still being deleted; try again', name);
  }
  return ok(undefined);
}

/** A MAC that a runtime asks for is set once more by the tuning plugin behind us. */
function keepGateway(pods: Pods, record: PodRecord, podIndex: number, namespaceFd: number): void {
  if (record.attachment.mac === undefined) return;
  const gateways = [...new Set(record.attachment.addresses.map(gatewayOf))];
  const socket = PodLinks.openPod(namespaceFd);
  pods.links.gateways.keep(record.hostInterface, socket, podIndex, gateways, () => record.state === 'live');
}

async function build(pods: Pods, request: AddRequest, namespaceFd: number): Promise<CniResult<Added>> {
  const { key, options } = request;
  const addresses = await takeAddresses(pods, request);
  if (!addresses.ok) return addresses;
  const undo = new Undo();
  let record: PodRecord | undefined;
  // Once there is a veth, the addresses wait behind its fence like those of any other pod.
  undo.push(() => {
    if (record === undefined) pods.giveBack(addresses.value);
    else pods.detach(record);
  });
  try {
    const attachment: Attachment = {
      ...key,
      addresses: addresses.value,
      bootMilliseconds: request.bootMilliseconds,
      mtu: options.mtu,
      mac: options.mac,
      namespace: request.namespace,
      pod: request.pod,
    };
    const alias = encodeAlias(attachment);
    if (!alias.ok)
      return cniFailure(
        cniCode.invalidEnvironment,
        'the attachment does not fit the record of its interface',
        `container id, interface and addresses need ${alias.error.needed} bytes, the kernel keeps 255`,
      );
    const wiring: Wiring = {
      hostInterface: request.hostInterface,
      interfaceName: key.interfaceName,
      mac: options.mac ?? podMac(key),
      mtu: options.mtu ?? podMtu(pods.mtu, addresses.value),
      addresses: addresses.value,
      routes: destinations(options, key.interfaceName, addresses.value),
      further: key.interfaceName !== FIRST_INTERFACE,
    };
    const made = await createPair(pods, request, wiring, namespaceFd);
    if (!made.ok) return made;
    const { hostIndex } = made.value;
    record = {
      attachment,
      hostInterface: wiring.hostInterface,
      hostIndex,
      alias: '',
      mac: wiring.mac,
      state: 'building',
    };
    pods.registry.add(record);
    const outside = pods.links.recordHost(wiring, hostIndex, alias.value);
    // Whatever became of it: the reaper deletes only a link that carries what we say it carries.
    record.alias = outside === undefined ? alias.value : (pods.links.link(hostIndex)?.alias ?? '');
    if (outside !== undefined) return { ok: false, error: kernelFailure(outside) };
    const joined = await join(pods, request, wiring, made.value, namespaceFd);
    if (!joined.ok) return joined;
    keepGateway(pods, record, made.value.podIndex, namespaceFd);
    record.state = 'live';
    undo.commit();
    pods.changed();
    pods.event('info', 'pod_attached', `${wiring.hostInterface} has ${addresses.value.join(', ')}`, rowData(record));
    return ok({ record, mtu: wiring.mtu, addresses: addresses.value, routes: wiring.routes, repeated: false });
  } finally {
    const failures = undo.run();
    for (const failure of failures)
      pods.event('error', 'pod_undo_failed', failure instanceof Error ? failure.message : String(failure), {
        container: key.containerId,
      });
  }
}

/**
 * Makes the pair. An interface of that name inside the pod may be the end of a veth of ours that is on its way out, left
 * by another container id in the same namespace: then its end is waited for.
 */
async function createPair(
  pods: Pods,
  request: AddRequest,
  wiring: Wiring,
  namespaceFd: number,
): Promise<CniResult<Pair>> {
  let signal: AbortSignal | undefined;
  for (;;) {
    const made = pods.links.create(wiring, namespaceFd);
    if (made.ok) return made;
    if (made.error.errno !== EEXIST) return { ok: false, error: kernelFailure(made.error) };
    if (pods.links.linkByName(wiring.hostInterface) !== undefined)
      return tryAgain(
        `${wiring.hostInterface} exists on the node and is not known to be this attachment's; try again`,
        '',
      );
    const inside = pods.links.observePod(namespaceFd, wiring.interfaceName).link;
    const other = inside?.kind === 'veth' && inside.link !== undefined ? pods.registry.byIndex(inside.link) : undefined;
    // One that was half made when an agent died has no record, hence no known MAC. Gone between the two looks: nothing stands in the way any more.
    if (inside === undefined) continue;
    if (other === undefined || other.state !== 'dying' || (other.mac !== '' && other.mac !== inside.address))
      return cniFailure(
        cniCode.kernel,
        `the pod already has an interface ${wiring.interfaceName}`,
        other === undefined ? 'another plugin made it' : `it belongs to container ${other.attachment.containerId}`,
      );
    signal ??= AbortSignal.any([request.gone, AbortSignal.timeout(request.deletionWaitMs)]);
    const removal = pods.registry.removal(signal);
    pods.hurryReaper();
    if (!(await removal))
      return tryAgain(`an earlier ${wiring.interfaceName} of this pod is still being deleted; try again`, '');
  }
}

/**
 * When only fenced addresses are left, the reaper is hurried and waited for; when a block can be claimed, for that. Full
 * means full for good.
 */
async function takeAddresses(pods: Pods, request: AddRequest): Promise<CniResult<readonly IpAddress[]>> {
  const { pools: names, addresses } = request.options;
  const wish = { pools: names, addresses, namespace: request.namespace };
  let signal: AbortSignal | undefined;
  for (;;) {
    const taken = pods.allocator.assign(wish);
    if (taken.ok) {
      pods.served(request.key);
      pods.addressesTaken(taken.value);
      return taken;
    }
    const { error } = taken;
    const mayComeBack = (error.kind === 'full' && error.fenced > 0) || (error.kind === 'taken' && error.fenced);
    const mayBeClaimed = claimable(error);
    if (mayBeClaimed) pods.asked(request.key, error);
    const problem = mayBeClaimed ? problemOf(error, pods.gate.claimProblems) : undefined;
    if (mayComeBack) pods.hurryReaper();
    if (mayComeBack || (mayBeClaimed && problem === undefined)) {
      signal ??= AbortSignal.any([request.gone, AbortSignal.timeout(request.deletionWaitMs)]);
      if (await pods.supply(signal)) continue;
    }
    if (error.kind === 'full') pods.refusedAsFull(error);
    return { ok: false, error: addressFailure(error, problem) };
  }
}

/**
 * The pod's side, then the host's: with the host's end down nothing can be sent or received before all else stands. What
 * is sent by the pod or to it right after the answer arrives.
 */
async function join(
  pods: Pods,
  request: AddRequest,
  wiring: Wiring,
  pair: Pair,
  namespaceFd: number,
): Promise<CniResult<undefined>> {
  const { links } = pods;
  const socket = PodLinks.openPod(namespaceFd);
  try {
    const inside = links.configurePod(socket, wiring, pair.podIndex, namespaceFd, request.options.sysctl);
    if (inside !== undefined) return { ok: false, error: kernelFailure(inside) };
    const announced = await waitForAnnouncement(pods, request, wiring.addresses);
    if (!announced.ok) return announced;
    if (request.gone.aborted) return tryAgain('the caller is gone', '');
    const live = links.makeLive(wiring, pair, pods.node);
    if (live !== undefined) return { ok: false, error: kernelFailure(live) };
    return ok(undefined);
  } finally {
    socket.close();
  }
}

/**
 * The rest of the network must know the way before the pod is told that it is there. With no session at all the pod
 * starts all the same: cold nodes are held back by their taint, not by failing pods.
 */
async function waitForAnnouncement(
  pods: Pods,
  request: AddRequest,
  addresses: readonly IpAddress[],
): Promise<CniResult<undefined>> {
  const isDone = (): boolean =>
    pods.announced(addresses) || (!pods.gate.anySession && !request.options.requireAnnouncement);
  if (!isDone()) {
    const signal = AbortSignal.any([request.gone, AbortSignal.timeout(request.announcementWaitMs)]);
    await pods.untilGate(isDone, signal);
  }
  if (pods.announced(addresses)) return ok(undefined);
  const why = pods.gate.anySession ? 'no session has announced its block' : 'no BGP session is established';
  if (request.options.requireAnnouncement)
    return tryAgain(`${addresses.join(', ')}: ${why}; try again`, 'the network configuration says requireAnnouncement');
  pods.event(
    'warn',
    'pod_unannounced',
    `${addresses.join(', ')}: ${why}; the pod starts, but others may not reach it yet`,
    {
      container: request.key.containerId,
      pod: request.pod,
      namespace: request.namespace,
    },
  );
  return ok(undefined);
}
