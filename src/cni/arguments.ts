/**
 * PURE: the plugin's environment as the CNI specification has it (section 2, "Parameters"): which variables a verb
 * needs, what they may hold, and CNI_ARGS with its IgnoreUnknown.
 */
import { addressBits, familyOf, type IpAddress, parseAddress } from '#lib/ip.ts';
import { ok } from '#lib/result.ts';
import { parseMac } from '#dataplane/pod/attachment.ts';
import { type CniResult, type Verb, cniCode, cniFailure, quote, verbs } from './spec.ts';

export interface CallArguments {
  readonly verb: Verb;
  /** Empty where the verb has none (GC, STATUS). */
  readonly containerId: string;
  readonly interfaceName: string;
  /** Path of the pod's network namespace as the caller sees it; empty where there is none. */
  readonly netns: string;
  readonly args: ReadonlyMap<string, string>;
}

const IFNAMSIZ = 16;
/** What a container id may look like; also keeps it a single word of the link's alias. */
const containerIdPattern = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

function interfaceNameProblem(name: string): string | undefined {
  if (Buffer.byteLength(name) >= IFNAMSIZ) return `has ${Buffer.byteLength(name)} bytes, Linux allows ${IFNAMSIZ - 1}`;
  if (name === '.' || name === '..') return 'is . or ..';
  // The kernel puts a number where it finds %d, and has settings of its own called all and default.
  if (/[/:%\s]/.test(name)) return 'holds a slash, a colon, a percent sign or a blank';
  if (name === 'all' || name === 'default') return "is one of the kernel's own names";
  return /^[\x21-\x7e]+$/.test(name) ? undefined : 'holds characters outside ASCII';
}

const invalidEnvironment = (
  msg: string,
  details: string,
): { readonly ok: false; readonly error: { code: number; msg: string; details: string } } =>
  cniFailure(cniCode.invalidEnvironment, msg, details);

export function readCallArguments(environment: ReadonlyMap<string, string>): CniResult<CallArguments> {
  const command = environment.get('CNI_COMMAND') ?? '';
  const verb = verbs.find((known) => known === command);
  if (verb === undefined)
    return invalidEnvironment(`CNI_COMMAND ${quote(command)} is unknown`, `known are ${verbs.join(', ')}`);
  const containerId = environment.get('CNI_CONTAINERID') ?? '';
  const interfaceName = environment.get('CNI_IFNAME') ?? '';
  const netns = environment.get('CNI_NETNS') ?? '';
  const args = readArgs(environment.get('CNI_ARGS') ?? '');
  if (!args.ok) return verb === 'ADD' ? args : ok({ verb, containerId, interfaceName, netns, args: new Map() });
  const call: CallArguments = { verb, containerId, interfaceName, netns, args: args.value };
  if (verb !== 'ADD' && verb !== 'DEL' && verb !== 'CHECK') return ok(call);
  if (containerId === '')
    return invalidEnvironment('CNI_CONTAINERID is not set', 'the runtime names the container with it');
  if (interfaceName === '')
    return invalidEnvironment('CNI_IFNAME is not set', 'the runtime names the interface in the pod with it');
  // A DEL of what can never have been added succeeds.
  if (verb === 'DEL') return ok(call);
  if (netns === '') return invalidEnvironment('CNI_NETNS is not set', `${verb} needs the pod's network namespace`);
  if (!containerIdPattern.test(containerId))
    return invalidEnvironment(
      `CNI_CONTAINERID ${quote(containerId)} is no container id`,
      'letters, digits, _ . - and a letter or digit first',
    );
  const problem = interfaceNameProblem(interfaceName);
  if (problem !== undefined)
    return invalidEnvironment(`CNI_IFNAME ${quote(interfaceName)} ${problem}`, 'eth0 is usual');
  return ok(call);
}

function readArgs(text: string): CniResult<Map<string, string>> {
  const args = new Map<string, string>();
  for (const pair of text.split(';')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    if (equals <= 0) return invalidEnvironment(`CNI_ARGS: ${quote(pair)} is no KEY=VALUE`, 'write KEY=VALUE;KEY=VALUE');
    args.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  return ok(args);
}

/** What is ours in CNI_ARGS. Errors for ADD alone. */
export interface PodArguments {
  readonly namespace: string;
  readonly pod: string;
  readonly addresses: readonly IpAddress[];
  readonly mac: string | undefined;
}

export const macHint = 'write 02:00:00:00:00:07; the first byte of a unicast address is even';

const knownArgs = new Set([
  'IP',
  'MAC',
  'IgnoreUnknown',
  'K8S_POD_NAMESPACE',
  'K8S_POD_NAME',
  'K8S_POD_UID',
  'K8S_POD_INFRA_CONTAINER_ID',
]);

export function readPodArguments(args: ReadonlyMap<string, string>): CniResult<PodArguments> {
  const ignoreUnknown = /^(1|true)$/i.test(args.get('IgnoreUnknown') ?? '');
  const unknown = [...args.keys()].filter((key) => !knownArgs.has(key));
  if (unknown.length > 0 && !ignoreUnknown)
    return invalidEnvironment(`CNI_ARGS: ${unknown.join(', ')} unknown`, 'IgnoreUnknown=true would let it pass');
  const addresses = readAddresses(
    (args.get('IP') ?? '').split(',').filter((text) => text !== ''),
    'CNI_ARGS IP',
    cniCode.invalidEnvironment,
  );
  if (!addresses.ok) return addresses;
  const macText = args.get('MAC');
  const mac = macText === undefined ? undefined : parseMac(macText);
  if (macText !== undefined && mac === undefined)
    return invalidEnvironment(`CNI_ARGS MAC ${quote(macText)} is no unicast MAC address`, macHint);
  return ok({
    namespace: args.get('K8S_POD_NAMESPACE') ?? '',
    pod: args.get('K8S_POD_NAME') ?? '',
    addresses: addresses.value,
    mac,
  });
}

function addressOf(text: string): IpAddress | undefined {
  const [, bare = '', length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const address = parseAddress(bare);
  if (address === undefined || Number(length ?? 0) > addressBits(familyOf(address))) return undefined;
  return address;
}

/** Addresses with or without a prefix length, which says nothing here: a pod's address is always a /32 or /128. */
export function readAddresses(
  texts: readonly unknown[],
  where: string,
  code: number = cniCode.invalidConfig,
): CniResult<IpAddress[]> {
  const addresses: IpAddress[] = [];
  for (const text of texts) {
    const address = typeof text === 'string' ? addressOf(text.trim()) : undefined;
    if (address === undefined)
      return cniFailure(code, `${where}: ${quote(text)} is no IP address`, 'write 192.0.2.7 or 2001:db8::7');
    if (!addresses.includes(address)) addresses.push(address);
  }
  return ok(addresses);
}
