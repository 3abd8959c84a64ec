/**
 * PURE: the network configuration on stdin (CNI specification 1.1.0, section 1, and the conventions for runtimeConfig).
 * What identifies the call is read for every verb; options are read for ADD alone, where an unknown one is an error: a
 * DEL must never fail on configuration.
 */
import { type IpAddress, type Prefix, checkPrefix, parseAddress } from '#lib/ip.ts';
import { ok } from '#lib/result.ts';
import { parseMac } from '#dataplane/pod/attachment.ts';
import { GATEWAY_IPV4, GATEWAY_IPV6 } from '#dataplane/kernel-names.ts';
import { readAddresses } from './arguments.ts';
import {
  type CniResult,
  type SpecVersion,
  cniCode,
  cniFailure,
  isSpecVersion,
  jsonText,
  quote,
  specVersions,
} from './spec.ts';

type JsonObject = Readonly<Record<string, unknown>>;

export interface NetworkConfig {
  readonly version: SpecVersion;
  readonly name: string;
  readonly disableGc: boolean;
  readonly json: JsonObject;
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const invalidConfig = (
  msg: string,
  details = '',
): { readonly ok: false; readonly error: { code: number; msg: string; details: string } } =>
  cniFailure(cniCode.invalidConfig, msg, details);

export function readNetworkConfig(stdin: Buffer): CniResult<NetworkConfig> {
  let json: unknown;
  try {
    json = JSON.parse(stdin.toString('utf8'));
  } catch (error) {
    return cniFailure(
      cniCode.cannotDecode,
      'the network configuration is no JSON',
      error instanceof Error ? error.message : '',
    );
  }
  if (!isObject(json)) return cniFailure(cniCode.cannotDecode, 'the network configuration is no JSON object');
  // CNI specification: a configuration without cniVersion is of version 0.1.0.
  const version = json['cniVersion'] ?? '0.1.0';
  if (typeof version !== 'string' || !isSpecVersion(version))
    return cniFailure(
      cniCode.incompatibleVersion,
      `CNI version ${quote(version)} is not supported`,
      `supported are ${specVersions.join(', ')}`,
    );
  const name = json['name'];
  if (typeof name !== 'string' || name === '') return invalidConfig('name: the network has no name');
  // The string form is in the specification too.
  const disableGc = json['disableGC'] === true || json['disableGC'] === 'true';
  return ok({ version, name, disableGc, json });
}

export interface PodRoute {
  readonly destination: Prefix;
}

export interface AddOptions {
  readonly mtu: number | undefined;
  /** `undefined`: every pool with automatic assignment. */
  readonly pools: readonly string[] | undefined;
  readonly addresses: readonly IpAddress[];
  readonly mac: string | undefined;
  /** `undefined`: the default route on eth0, nothing on further interfaces. */
  readonly routes: readonly PodRoute[] | undefined;
  /** Path below /proc/sys, value. */
  readonly sysctl: readonly { readonly path: string; readonly value: string }[];
  readonly requireAnnouncement: boolean;
  readonly dns: JsonObject;
}

const specKeys = new Set([
  'cniVersion',
  'name',
  'type',
  'args',
  'capabilities',
  'runtimeConfig',
  'prevResult',
  'ipam',
  'dns',
  'ipMasq',
  'disableCheck',
  'disableGC',
  'loadOnlyInlinedPlugins',
]);
const ownKeys = new Set(['mtu', 'routes', 'sysctl', 'requireAnnouncement']);
const ipamKeys = new Set(['type', 'pools', 'addresses']);

export const ANNOTATIONS_CAPABILITY = 'io.kubernetes.cri.pod-annotations';
const POOLS_ANNOTATION = 'flatroute.io/ip-pools';
const ADDRESSES_ANNOTATION = 'flatroute.io/ip-addresses';
const MAC_ANNOTATION = 'flatroute.io/mac';
/** Annotations speak of the pod's first interface. */
const FIRST_INTERFACE = 'eth0';

/** RFC 8200 §5: every IPv6 link carries 1280. */
const SMALLEST_MTU = 1280;
const LARGEST_MTU = 65_535;

const unsupported = (
  key: string,
  value: unknown,
  why: string,
): { readonly ok: false; readonly error: { code: number; msg: string; details: string } } =>
  cniFailure(cniCode.unsupportedField, `${key}: ${quote(value)} is not supported`, why);

/** The options of an ADD; what the runtime says of this pod stands over the file, annotations stand between. */
export function readAddOptions(config: NetworkConfig, interfaceName: string): CniResult<AddOptions> {
  const { json } = config;
  for (const key of Object.keys(json)) {
    if (!specKeys.has(key) && !ownKeys.has(key) && !key.startsWith('cni.dev/'))
      return unsupported(key, json[key], `options are ${[...ownKeys].join(', ')}, ipam.pools, ipam.addresses`);
  }
  if (json['ipMasq'] === true) return unsupported('ipMasq', true, 'natOutgoing of the IPPool does that');
  if (json['prevResult'] !== undefined)
    return invalidConfig('prevResult: flatroute makes the interface and must be the first plugin of its list');
  const ipam = json['ipam'] ?? {};
  if (!isObject(ipam)) return invalidConfig('ipam: an object is expected');
  for (const key of Object.keys(ipam))
    if (!ipamKeys.has(key)) return unsupported(`ipam.${key}`, ipam[key], `options are ${[...ipamKeys].join(', ')}`);
  if (ipam['type'] !== undefined && ipam['type'] !== 'flatroute')
    return unsupported('ipam.type', ipam['type'], 'flatroute assigns addresses itself');

  const runtime = json['runtimeConfig'] ?? {};
  if (!isObject(runtime)) return invalidConfig('runtimeConfig: an object is expected');
  const annotations = interfaceName === FIRST_INTERFACE ? (runtime[ANNOTATIONS_CAPABILITY] ?? {}) : {};
  if (!isObject(annotations)) return invalidConfig(`runtimeConfig.${ANNOTATIONS_CAPABILITY}: an object is expected`);

  const pools = readPools(annotations, ipam);
  if (!pools.ok) return pools;
  const addresses = readConfiguredAddresses(runtime, annotations, ipam);
  if (!addresses.ok) return addresses;
  const macText = runtime['mac'] ?? annotations[MAC_ANNOTATION];
  const mac = typeof macText === 'string' ? parseMac(macText) : undefined;
  if (macText !== undefined && mac === undefined)
    return invalidConfig(`mac: ${quote(macText)} is no unicast MAC address`);
  const mtu = json['mtu'];
  if (
    mtu !== undefined &&
    !(typeof mtu === 'number' && Number.isInteger(mtu) && mtu >= SMALLEST_MTU && mtu <= LARGEST_MTU)
  )
    return invalidConfig(`mtu: ${quote(mtu)} is no whole number from ${SMALLEST_MTU} to ${LARGEST_MTU}`);
  const requireAnnouncement = json['requireAnnouncement'] ?? false;
  if (typeof requireAnnouncement !== 'boolean') return invalidConfig('requireAnnouncement: true or false is expected');
  const dns = json['dns'] ?? {};
  if (!isObject(dns)) return invalidConfig('dns: an object is expected');
  // It goes into the answer as it is.
  if (jsonText(dns) === undefined) return invalidConfig('dns: nested too deeply');
  const routes = readRoutes(json['routes']);
  if (!routes.ok) return routes;
  const sysctl = readSysctl(json['sysctl'], interfaceName);
  if (!sysctl.ok) return sysctl;
  return ok({
    mtu,
    pools: pools.value,
    addresses: addresses.value,
    mac,
    routes: routes.value,
    sysctl: sysctl.value,
    requireAnnouncement,
    dns,
  });
}

/** An annotation is a JSON list or words with commas between. */
function annotationWords(value: unknown): readonly unknown[] {
  if (typeof value !== 'string') return [value];
  if (value.trimStart().startsWith('[')) {
    try {
      const list: unknown = JSON.parse(value);
      if (Array.isArray(list)) return list;
    } catch {
      return [value];
    }
  }
  return value.split(',').map((word) => word.trim());
}

function readPools(annotations: JsonObject, ipam: JsonObject): CniResult<string[] | undefined> {
  const value = POOLS_ANNOTATION in annotations ? annotationWords(annotations[POOLS_ANNOTATION]) : ipam['pools'];
  if (value === undefined) return ok(undefined);
  if (!Array.isArray(value) || value.length === 0 || !value.every((name) => typeof name === 'string' && name !== ''))
    return invalidConfig(`ipam.pools: ${quote(value)} is no list of pool names`);
  return ok([...new Set(value as string[])]);
}

function readConfiguredAddresses(
  runtime: JsonObject,
  annotations: JsonObject,
  ipam: JsonObject,
): CniResult<IpAddress[]> {
  const [where, value] =
    runtime['ips'] !== undefined
      ? ['runtimeConfig.ips', runtime['ips']]
      : ADDRESSES_ANNOTATION in annotations
        ? [`annotation ${ADDRESSES_ANNOTATION}`, annotationWords(annotations[ADDRESSES_ANNOTATION])]
        : ['ipam.addresses', ipam['addresses'] ?? []];
  if (!Array.isArray(value)) return invalidConfig(`${where}: a list of addresses is expected`);
  return readAddresses(value, where);
}

function readRoutes(value: unknown): CniResult<PodRoute[] | undefined> {
  if (value === undefined) return ok(undefined);
  if (!Array.isArray(value)) return invalidConfig('routes: a list is expected');
  const routes: PodRoute[] = [];
  for (const [i, route] of value.entries()) {
    if (!isObject(route)) return invalidConfig(`routes[${i}]: an object with dst is expected`);
    const extra = Object.keys(route).find((key) => key !== 'dst' && key !== 'gw');
    if (extra !== undefined) return unsupported(`routes[${i}].${extra}`, route[extra], 'a route has dst and gw');
    const checked = checkPrefix(typeof route['dst'] === 'string' ? route['dst'] : '');
    if (!checked.ok) {
      const meant = checked.error.kind === 'hostBits' ? `; ${checked.error.meant} is probably meant` : '';
      return invalidConfig(`routes[${i}].dst: ${quote(route['dst'])} is no prefix${meant}`);
    }
    const gateway = route['gw'];
    if (gateway !== undefined) {
      const address = typeof gateway === 'string' ? parseAddress(gateway) : undefined;
      if (address !== GATEWAY_IPV4 && address !== GATEWAY_IPV6)
        return unsupported(
          `routes[${i}].gw`,
          gateway,
          `a pod reaches only its node, at ${GATEWAY_IPV4} and ${GATEWAY_IPV6}`,
        );
    }
    routes.push({ destination: checked.value });
  }
  return ok(routes);
}

/** Only what belongs to the pod's network namespace; IFNAME stands for the interface, as in the tuning plugin. */
function readSysctl(value: unknown, interfaceName: string): CniResult<{ path: string; value: string }[]> {
  if (value === undefined) return ok([]);
  if (!isObject(value)) return invalidConfig('sysctl: an object is expected');
  const settings: { path: string; value: string }[] = [];
  for (const [key, setting] of Object.entries(value)) {
    if (typeof setting !== 'string') return invalidConfig(`sysctl.${key}: a string is expected`);
    // As in sysctl(8): the first separator decides, so that an interface called eth0.5 can be named with slashes.
    const separator = /[./]/.exec(key)?.[0] ?? '.';
    const parts = key.split(separator).map((part) => (part === 'IFNAME' ? interfaceName : part));
    if (
      parts[0] !== 'net' ||
      parts.length < 2 ||
      parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part) || part === '.' || part === '..')
    )
      return unsupported(`sysctl.${key}`, setting, 'only settings below net. belong to the pod');
    settings.push({ path: parts.join('/'), value: setting });
  }
  return ok(settings);
}

export interface ValidAttachment {
  readonly containerId: string;
  readonly interfaceName: string;
}

/** CNI specification 1.1.0, GC: the attachments that are still in use. Absent is an error: nothing may be taken for "none". */
export function readValidAttachments(config: NetworkConfig): CniResult<ValidAttachment[]> {
  const key = 'cni.dev/valid-attachments';
  const list = config.json[key];
  if (!Array.isArray(list)) return invalidConfig(`${key}: a list is expected`);
  const valid: ValidAttachment[] = [];
  for (const entry of list) {
    const containerId: unknown = isObject(entry) ? entry['containerID'] : undefined;
    const interfaceName: unknown = isObject(entry) ? entry['ifname'] : undefined;
    if (typeof containerId !== 'string' || typeof interfaceName !== 'string')
      return invalidConfig(`${key}: every entry needs containerID and ifname`);
    valid.push({ containerId, interfaceName });
  }
  return ok(valid);
}
