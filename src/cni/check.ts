/** CHECK: whether an attachment is still as ADD left it, on both sides; every difference is named. */
import { familyOf } from '#lib/ip.ts';
import { HOST_MAC, LINK_GROUP } from '#dataplane/kernel-names.ts';
import { ok } from '#lib/result.ts';
import { closeNamespace } from '#linux/namespace.ts';
import { type AttachmentKey, hostInterfaceName } from '#dataplane/pod/attachment.ts';
import { openPeerNamespace } from '#dataplane/pod/io/peer-namespace.ts';
import { PodLinks } from '#dataplane/pod/io/pod-links.ts';
import { linkIsAdministrativelyUp, podSideProblems } from '#dataplane/pod/pod-side.ts';
import type { PodRecord } from '#dataplane/pod/registry.ts';
import { destinations, FIRST_INTERFACE } from './add.ts';
import { type NetworkConfig, readAddOptions } from './config.ts';
import { namespaceFailure } from './failures.ts';
import type { Pods } from './pods.ts';
import { readPreviousResult } from './result.ts';
import { type CniResult, cniCode, cniFailure } from './spec.ts';

export interface CheckRequest {
  readonly key: AttachmentKey;
  readonly config: NetworkConfig;
  readonly netns: string;
  readonly peer: number;
}

export function checkPod(pods: Pods, request: CheckRequest): CniResult<undefined> {
  const { key, config } = request;
  const record = pods.registry.get(hostInterfaceName(key));
  if (record === undefined || record.state !== 'live')
    return cniFailure(
      cniCode.containerUnknown,
      `container ${key.containerId} has no interface ${key.interfaceName} of network ${config.name}`,
      'delete and make the pod again',
    );
  const previous = readPreviousResult(config.json['prevResult'], key.interfaceName);
  if (!previous.ok) return previous;
  const namespace = openPeerNamespace(request.peer, request.netns);
  if (!namespace.ok) return { ok: false, error: namespaceFailure(namespace.error) };
  try {
    const side = pods.links.observePod(namespace.value, key.interfaceName);
    const { prevResult: _, ...json } = config.json;
    const options = readAddOptions({ ...config, json }, key.interfaceName);
    const { addresses } = record.attachment;
    const wiring = {
      hostInterface: record.hostInterface,
      interfaceName: key.interfaceName,
      mac: record.mac,
      addresses,
      // Who called us may have given the default route to another interface, and have said so in the result (Multus does).
      routes: (options.ok ? destinations(options.value, key.interfaceName, addresses) : []).filter((destination) =>
        previous.value.routes.includes(destination),
      ),
      further: key.interfaceName !== FIRST_INTERFACE,
    };
    const problems = [...hostSideProblems(pods, record), ...podSideProblems(wiring, record.hostIndex, side)];
    for (const address of previous.value.addresses)
      if (!addresses.includes(address)) problems.push(`prevResult has the address ${address}, which is not this pod's`);
    for (const address of addresses)
      if (!previous.value.addresses.includes(address)) problems.push(`prevResult lacks the pod's address ${address}`);
    if (problems.length === 0) return ok(undefined);
    return cniFailure(
      cniCode.notAsAdded,
      `${key.interfaceName} of container ${key.containerId} is not as it was added`,
      problems.join('; '),
    );
  } finally {
    closeNamespace(namespace.value);
  }
}

function hostSideProblems(pods: Pods, record: PodRecord): string[] {
  const { hostIndex, hostInterface, mac } = record;
  const { addresses } = record.attachment;
  const link = pods.links.link(hostIndex);
  if (link === undefined) return [`the node has lost ${hostInterface}`];
  const problems: string[] = [];
  if (link.name !== hostInterface) problems.push(`${hostInterface} is called ${link.name} now`);
  if (!linkIsAdministrativelyUp(link)) problems.push(`${hostInterface} is down`);
  if (link.group !== LINK_GROUP.live)
    problems.push(`${hostInterface} is in link group ${link.group}, its pod is cut off`);
  if (link.address !== HOST_MAC) problems.push(`${hostInterface} has the MAC address ${link.address}`);
  const routes = pods.links.routesTo(addresses);
  const neighbours = pods.links.neighbours().filter((one) => one.interfaceIndex === hostIndex);
  addresses.forEach((address, i) => {
    if (
      !PodLinks.isHostRoute(routes[i], hostIndex, address, {
        ...pods.node,
        [familyOf(address)]: routes[i]?.preferredSource,
      })
    )
      problems.push(`the node's route to ${address} is missing or another`);
    if (!neighbours.some((one) => one.address === address && one.hardwareAddress === mac))
      problems.push(`the node's neighbour entry of ${address} is missing or another`);
  });
  return problems;
}
