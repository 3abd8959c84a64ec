/**
 * PURE: the network configuration on stdin (CNI specification 1.1.0, section 1, and the conventions for runtimeConfig).
 * What identifies the call is read for every verb; options are read for ADD alone, where an unknown one is an error: a
 * DEL must never fail on configuration.
 */
import { type IpAddress, type Prefix, checkPrefix, parseAddress } from '#lib/ip.ts';
import { ok } from '#lib/result.ts';
import { parseMac } from '#dataplane/pod/attachment.ts';
import { GATEWAY_IPV4, GATEWAY_IPV6 } from '#dataplane/kernel-names.ts';
import { macHint, type PodArguments, readAddresses } from './arguments.ts';
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
  details: string,
): { readonly ok: false; readonly error: { code: number; msg: string; details: string } } =>
  cniFailure(cniCode.invalidConfig, msg, details);

/** CNI specification 1.1.0, section 1, "name". */
const networkNamePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

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
  if (!isObject(json))
    return cniFailure(
      cniCode.cannotDecode,
      'the network configuration is no JSON object',
      'a plugin of the conflist is expected, with cniVersion and name',
    );
  // CNI specification: a configuration without cniVersion is of version 0.1.0.
  const version = json['cniVersion'] ?? '0.1.0';
  if (typeof version !== 'string' || !isSpecVersion(version))
    return cniFailure(
      cniCode.incompatibleVersion,
      `CNI version ${quote(version)} is not supported`,
      `supported are ${specVersions.join(', ')}${json['cniVersion'] === undefined ? '; without cniVersion 0.1.0 is meant' : ''}`,
    );
  const name = json['name'];
  if (typeof name !== 'string' || name === '')
    return invalidConfig('name: the network has no name', 'every conflist has one');
  if (!networkNamePattern.test(name))
    return invalidConfig(
      `name: ${quote(name)} is no name of a network`,
      'letters, digits, _ . - and a letter or digit first',
    );
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

/**
 * The options of an ADD. What is said of this very pod (runtimeConfig, CNI_ARGS, its annotations) stands over the network
 * configuration; where two of them say different things nobody can know which is meant.
 */
export function readAddOptions(
  config: NetworkConfig,
  interfaceName: string,
  pod: Pick<PodArguments, 'addresses' | 'mac'> = { addresses: [], mac: undefined },
): CniResult<AddOptions> {
  const { json } = config;
  for (const key of Object.keys(json)) {
    if (!specKeys.has(key) && !ownKeys.has(key) && !key.startsWith('cni.dev/'))
      return unsupported(key, json[key], `options are ${[...ownKeys].join(', ')}, ipam.pools, ipam.addresses`);
  }
  if (json['ipMasq'] === true) return unsupported('ipMasq', true, 'natOutgoing of the IPPool does that');
  if (json['prevResult'] !== undefined)
    return invalidConfig(
      'prevResult: flatroute makes the interface and must be the first plugin of its list',
      'put it first in the conflist',
    );
  const ipam = json['ipam'] ?? {};
  if (!isObject(ipam))
    return invalidConfig('ipam: an object is expected', 'write {"pools": ["blue"]}, or leave it out');
  for (const key of Object.keys(ipam))
    if (!ipamKeys.has(key)) return unsupported(`ipam.${key}`, ipam[key], `options are ${[...ipamKeys].join(', ')}`);
  if (ipam['type'] !== undefined && ipam['type'] !== 'flatroute')
    return unsupported('ipam.type', ipam['type'], 'flatroute assigns addresses itself');

  const runtime = json['runtimeConfig'] ?? {};
  if (!isObject(runtime))
    return invalidConfig('runtimeConfig: an object is expected', 'the runtime writes it, by the capabilities');
  const annotations = interfaceName === FIRST_INTERFACE ? (runtime[ANNOTATIONS_CAPABILITY] ?? {}) : {};
  if (!isObject(annotations))
    return invalidConfig(`runtimeConfig.${ANNOTATIONS_CAPABILITY}: an object is expected`, 'the runtime writes it');

  const pools = readPools(annotations, ipam);
  if (!pools.ok) return pools;
  const addresses = readWantedAddresses(runtime, annotations, ipam, pod.addresses);
  if (!addresses.ok) return addresses;
  const mac = readMac(runtime, annotations, pod.mac);
  if (!mac.ok) return mac;
  const mtu = json['mtu'];
  if (
    mtu !== undefined &&
    !(typeof mtu === 'number' && Number.isInteger(mtu) && mtu >= SMALLEST_MTU && mtu <= LARGEST_MTU)
  )
    return invalidConfig(
      `mtu: ${quote(mtu)} is no whole number from ${SMALLEST_MTU} to ${LARGEST_MTU}`,
      'leave it out for the smallest MTU of the uplinks',
    );
  const requireAnnouncement = json['requireAnnouncement'] ?? false;
  if (typeof requireAnnouncement !== 'boolean')
    return invalidConfig('requireAnnouncement: true or false is expected', 'write it without quotes');
  const dns = json['dns'] ?? {};
  if (!isObject(dns)) return invalidConfig('dns: an object is expected', 'write {"nameservers": ["192.0.2.53"]}');
  // It goes into the answer as it is.
  if (jsonText(dns) === undefined)
    return invalidConfig('dns: nested too deeply', 'nameservers, domain, search and options are enough');
  const routes = readRoutes(json['routes']);
  if (!routes.ok) return routes;
  const sysctl = readSysctl(json['sysctl'], interfaceName);
  if (!sysctl.ok) return sysctl;
  return ok({
    mtu,
    pools: pools.value,
    addresses: addresses.value,
    mac: mac.value,
    routes: routes.value,
    sysctl: sysctl.value,
    requireAnnouncement,
    dns,
  });
}

/** An annotation is a JSON list or words with commas between. */
function annotationWords(key: string, value: unknown): CniResult<readonly unknown[]> {
  if (typeof value !== 'string') return ok([value]);
  if (!value.trimStart().startsWith('[')) return ok(value.split(',').map((word) => word.trim()));
  try {
    const list: unknown = JSON.parse(value);
    if (Array.isArray(list)) return ok(list);
  } catch {
    // Said below.
  }
  return invalidConfig(`annotation ${key}: ${quote(value)} is no JSON list`, 'write ["a","b"], or a,b');
}

function readPools(annotations: JsonObject, ipam: JsonObject): CniResult<string[] | undefined> {
  const annotated = POOLS_ANNOTATION in annotations;
  const words = annotated ? annotationWords(POOLS_ANNOTATION, annotations[POOLS_ANNOTATION]) : ok(ipam['pools']);
  if (!words.ok) return words;
  const { value } = words;
  if (value === undefined) return ok(undefined);
  if (!Array.isArray(value) || value.length === 0 || !value.every((name) => typeof name === 'string' && name !== ''))
    return invalidConfig(
      `${annotated ? `annotation ${POOLS_ANNOTATION}` : 'ipam.pools'}: ${quote(value)} is no list of pool names`,
      'write ["blue"], or leave it out for every Automatic pool',
    );
  return ok([...new Set(value as string[])]);
}

/** One of the places where something is said of this very pod. */
interface Said<T> {
  readonly where: string;
  readonly value: T;
}

/** The first; they must all say the same. */
function agreed<T>(what: string, said: readonly Said<T>[], text: (value: T) => string): CniResult<T | undefined> {
  const [first, ...others] = said;
  const other = others.find(({ value }) => first !== undefined && text(value) !== text(first.value));
  if (first === undefined || other === undefined) return ok(first?.value);
  return invalidConfig(
    `${what}: ${first.where} says ${text(first.value)}, ${other.where} says ${text(other.value)}`,
    'say it in one place',
  );
}

function readWantedAddresses(
  runtime: JsonObject,
  annotations: JsonObject,
  ipam: JsonObject,
  fromArguments: readonly IpAddress[],
): CniResult<readonly IpAddress[]> {
  const said: Said<readonly IpAddress[]>[] = [];
  const ips = readAddressList('runtimeConfig.ips', runtime['ips']);
  if (!ips.ok) return ips;
  if (ips.value.length > 0) said.push({ where: 'runtimeConfig.ips', value: ips.value });
  if (fromArguments.length > 0) said.push({ where: 'CNI_ARGS IP', value: fromArguments });
  if (ADDRESSES_ANNOTATION in annotations) {
    const words = annotationWords(ADDRESSES_ANNOTATION, annotations[ADDRESSES_ANNOTATION]);
    if (!words.ok) return words;
    const where = `annotation ${ADDRESSES_ANNOTATION}`;
    const read = readAddresses(words.value, where);
    if (!read.ok) return read;
    said.push({ where, value: read.value });
  }
  const one = agreed('addresses', said, (value) => [...value].sort().join(', '));
  if (!one.ok) return one;
  return one.value === undefined ? readAddressList('ipam.addresses', ipam['addresses']) : ok(one.value);
}

function readAddressList(where: string, value: unknown): CniResult<IpAddress[]> {
  if (value === undefined) return ok([]);
  if (!Array.isArray(value))
    return invalidConfig(`${where}: ${quote(value)} is no list of addresses`, 'write ["192.0.2.7"]');
  return readAddresses(value, where);
}

function readMac(
  runtime: JsonObject,
  annotations: JsonObject,
  fromArguments: string | undefined,
): CniResult<string | undefined> {
  const said: Said<string>[] = fromArguments === undefined ? [] : [{ where: 'CNI_ARGS MAC', value: fromArguments }];
  for (const [where, value] of [
    ['runtimeConfig.mac', runtime['mac']],
    [`annotation ${MAC_ANNOTATION}`, annotations[MAC_ANNOTATION]],
  ] as const) {
    if (value === undefined) continue;
    const mac = typeof value === 'string' ? parseMac(value) : undefined;
    if (mac === undefined) return invalidConfig(`${where}: ${quote(value)} is no unicast MAC address`, macHint);
    said.push({ where, value: mac });
  }
  return agreed('mac', said, (value) => value);
}

const routeHint = 'write [{"dst": "10.0.0.0/8"}]';

function readRoutes(value: unknown): CniResult<PodRoute[] | undefined> {
  if (value === undefined) return ok(undefined);
  if (!Array.isArray(value)) return invalidConfig('routes: a list is expected', routeHint);
  const routes: PodRoute[] = [];
  for (const [i, route] of value.entries()) {
    if (!isObject(route)) return invalidConfig(`routes[${i}]: an object with dst is expected`, routeHint);
    const extra = Object.keys(route).find((key) => key !== 'dst' && key !== 'gw');
    if (extra !== undefined) return unsupported(`routes[${i}].${extra}`, route[extra], 'a route has dst and gw');
    const checked = checkPrefix(typeof route['dst'] === 'string' ? route['dst'] : '');
    if (!checked.ok) {
      const hint = checked.error.kind === 'hostBits' ? `${checked.error.meant} is probably meant` : routeHint;
      return invalidConfig(`routes[${i}].dst: ${quote(route['dst'])} is no prefix`, hint);
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
  if (!isObject(value))
    return invalidConfig('sysctl: an object is expected', 'write {"net.ipv4.conf.IFNAME.rp_filter": "0"}');
  const settings: { path: string; value: string }[] = [];
  for (const [key, setting] of Object.entries(value)) {
    if (typeof setting !== 'string')
      return invalidConfig(`sysctl.${key}: a string is expected`, 'write the value in quotes');
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

const gcHint = 'the runtime writes it; without it nobody knows what is still in use';

export interface ValidAttachment {
  readonly containerId: string;
  readonly interfaceName: string;
}

/**
 * CNI specification 1.1.0, GC: the attachments that are still in use. Absent is an error: nothing may be taken for "none".
 * A runtime in Go writes null for none, which CRI-O does when it starts on a node without a pod.
 */
export function readValidAttachments(config: NetworkConfig): CniResult<ValidAttachment[]> {
  const key = 'cni.dev/valid-attachments';
  const list = config.json[key] === null ? [] : config.json[key];
  if (!Array.isArray(list)) return invalidConfig(`${key}: a list is expected`, gcHint);
  const valid: ValidAttachment[] = [];
  for (const entry of list) {
    const containerId: unknown = isObject(entry) ? entry['containerID'] : undefined;
    const interfaceName: unknown = isObject(entry) ? entry['ifname'] : undefined;
    if (typeof containerId !== 'string' || typeof interfaceName !== 'string')
      return invalidConfig(`${key}: every entry needs containerID and ifname`, gcHint);
    valid.push({ containerId, interfaceName });
  }
  return ok(valid);
}
