/** PURE: what is inside a pod, as the kernel tells it, against what an ADD leaves there. */
import { addressBits, familyOf } from '#lib/ip.ts';
import type { InterfaceAddress } from '#netlink/wire/address.ts';
import { IFF, RT_TABLE } from '#netlink/wire/constants.ts';
import type { Link } from '#netlink/wire/link.ts';
import type { Neighbour } from '#netlink/wire/neighbour.ts';
import type { Route } from '#netlink/wire/route.ts';
import type { SourceRule } from '#netlink/wire/rule.ts';
import { HOST_MAC } from '../kernel-names.ts';
import { gatewayOf, sourceRule, type Wiring } from './wiring.ts';

/** The pod's side as CHECK and a repeated ADD look at it. */
export interface PodSide {
  readonly link: Link | undefined;
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly Route[];
  readonly neighbours: readonly Neighbour[];
  /** By source address, of the whole namespace. */
  readonly rules: readonly SourceRule[];
}

export const linkIsAdministrativelyUp = (link: Link): boolean => (link.flags & IFF.UP) !== 0;

/** What is wrong inside the pod, as sentences; empty when all is as ADD left it. */
export function podSideProblems(wiring: Omit<Wiring, 'mtu'>, hostIndex: number, side: PodSide): string[] {
  const { link } = side;
  const name = wiring.interfaceName;
  if (link === undefined) return [`there is no ${name} inside the pod`];
  if (link.kind !== 'veth' || link.link !== hostIndex)
    return [`${name} inside the pod is not the other end of ${wiring.hostInterface}`];
  const problems: string[] = [];
  if (!linkIsAdministrativelyUp(link)) problems.push(`${name} is down`);
  if (link.address !== wiring.mac)
    problems.push(`${name} has the MAC address ${link.address} instead of ${wiring.mac}`);
  for (const address of wiring.addresses) {
    const found = side.addresses.some(
      (one) => one.address === address && one.prefixLength === addressBits(familyOf(address)),
    );
    if (!found) problems.push(`${name} has lost the address ${address}`);
  }
  const families = new Set(wiring.addresses.map(familyOf));
  for (const destination of wiring.routes) {
    if (!families.has(familyOf(destination))) continue;
    const gateway = gatewayOf(destination);
    const isIt = ({ table, prefix, gateway: by }: Route): boolean =>
      table === RT_TABLE.MAIN && prefix === destination && by === gateway;
    if (!side.routes.some(isIt)) problems.push(`the route to ${destination} by ${gateway} is missing`);
  }
  for (const address of wiring.addresses) {
    const gateway = gatewayOf(address);
    if (!side.neighbours.some((one) => one.address === gateway && one.hardwareAddress === HOST_MAC))
      problems.push(`the neighbour entry of ${gateway} is missing or another`);
    if (!wiring.further) continue;
    const rule = sourceRule(address, link.index);
    if (!side.rules.some((one) => one.source === address && one.table === rule.table && one.priority === rule.priority))
      problems.push(`the rule that sends what comes from ${address} out by ${name} is missing`);
    if (!side.routes.some((route) => route.table === rule.table && route.gateway === gateway))
      problems.push(`table ${rule.table} of ${name} has lost its route by ${gateway}`);
  }
  return [...new Set(problems)];
}
