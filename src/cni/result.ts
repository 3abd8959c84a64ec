/**
 * PURE: the result of an ADD in the version that was asked for (CNI specification, "ADD Success"), and what CHECK needs
 * of a previous one. 0.3.1 and 0.4.0 name the family of each address; 1.1.0 adds the interface's MTU.
 */
import { type IpAddress, type Prefix, addressBits, familyOf, parseAddress, parsePrefix } from '#lib/ip.ts';
import { ok } from '#lib/result.ts';
import { GATEWAY_IPV4, GATEWAY_IPV6, HOST_MAC } from '#dataplane/kernel-names.ts';
import { isObject } from './config.ts';
import { type CniResult, type SpecVersion, atLeast, cniCode, cniFailure, quote } from './spec.ts';

export interface AddResult {
  readonly hostInterface: string;
  readonly interfaceName: string;
  readonly netns: string;
  readonly mac: string;
  readonly mtu: number;
  readonly addresses: readonly IpAddress[];
  readonly routes: readonly Prefix[];
  readonly dns: Readonly<Record<string, unknown>>;
}

const gatewayOf = (value: IpAddress | Prefix): string => (familyOf(value) === 'ipv4' ? GATEWAY_IPV4 : GATEWAY_IPV6);

export function formatAddResult(version: SpecVersion, result: AddResult): string {
  const mtu = atLeast(version, '1.1.0') ? { mtu: result.mtu } : {};
  const family = (address: IpAddress): object =>
    atLeast(version, '1.0.0') ? {} : { version: familyOf(address) === 'ipv4' ? '4' : '6' };
  return `${JSON.stringify({
    cniVersion: version,
    interfaces: [
      { name: result.hostInterface, mac: HOST_MAC, ...mtu },
      { name: result.interfaceName, mac: result.mac, ...mtu, sandbox: result.netns },
    ],
    ips: result.addresses.map((address) => ({
      ...family(address),
      address: `${address}/${addressBits(familyOf(address))}`,
      gateway: gatewayOf(address),
      interface: 1,
    })),
    routes: result.routes.map((destination) => ({ dst: destination, gw: gatewayOf(destination) })),
    dns: result.dns,
  })}\n`;
}

export interface PreviousResult {
  /** Of the pod's interface; `undefined` when the result names none. */
  readonly mac: string | undefined;
  readonly hostInterface: string | undefined;
  /** Of the pod's interface, or of none in particular. */
  readonly addresses: readonly IpAddress[];
  /** Destinations, whichever way. */
  readonly routes: readonly Prefix[];
}

const fromAdd = 'CHECK comes with the result of ADD, as the last plugin of the list gave it';

/** The result that came out of the whole list, so later plugins may have changed it: only what is ours is looked at. */
export function readPreviousResult(value: unknown, interfaceName: string): CniResult<PreviousResult> {
  if (!isObject(value)) return cniFailure(cniCode.invalidConfig, 'prevResult: it is missing', fromAdd);
  const interfaces: readonly unknown[] = Array.isArray(value['interfaces']) ? value['interfaces'] : [];
  const named = interfaces.map((entry) => (isObject(entry) ? entry : {}));
  const podAt = named.findIndex(
    (entry) => entry['name'] === interfaceName && typeof entry['sandbox'] === 'string' && entry['sandbox'] !== '',
  );
  if (podAt < 0)
    return cniFailure(cniCode.invalidConfig, `prevResult: no interface ${interfaceName} inside the pod`, fromAdd);
  const addresses: IpAddress[] = [];
  for (const entry of Array.isArray(value['ips']) ? (value['ips'] as readonly unknown[]) : []) {
    if (!isObject(entry) || (entry['interface'] !== undefined && entry['interface'] !== podAt)) continue;
    const text = entry['address'];
    const address = typeof text === 'string' ? parseAddress(text.replace(/\/\d{1,3}$/, '')) : undefined;
    if (address === undefined)
      return cniFailure(cniCode.invalidConfig, `prevResult: ${quote(text)} is no address`, fromAdd);
    addresses.push(address);
  }
  const routes = (Array.isArray(value['routes']) ? (value['routes'] as readonly unknown[]) : []).flatMap((entry) => {
    const destination = isObject(entry) && typeof entry['dst'] === 'string' ? parsePrefix(entry['dst']) : undefined;
    return destination === undefined ? [] : [destination];
  });
  const mac = named[podAt]?.['mac'];
  const host = named.find((entry) => entry['sandbox'] === undefined || entry['sandbox'] === '')?.['name'];
  return ok({
    mac: typeof mac === 'string' ? mac.toLowerCase() : undefined,
    hostInterface: typeof host === 'string' ? host : undefined,
    addresses,
    routes,
  });
}
