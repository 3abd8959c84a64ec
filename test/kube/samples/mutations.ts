// Texts near the border between right and wrong, for each format: what people write, with a character more, less or changed.
import type { Random } from '../../support/random.ts';

interface Format {
  readonly kind: string;
  readonly seeds: readonly string[];
  readonly characters: string;
  /** Longer ones are refused before any rule is asked. */
  readonly longest: number;
  /** An object with one text, or with all of them where a list holds the format: then each has a verdict of its own. */
  readonly object: (...texts: readonly string[]) => string;
  /** The field of the n-th text; absent where an object holds one. */
  readonly field?: (n: number) => string;
  /** The API server takes some that this program refuses (celGap of the rule). */
  readonly gap?: true;
}

const own = (kind: string, spec: string, name = 'sample'): string =>
  `{"apiVersion": "flatroute.io/v1alpha1", "kind": "${kind}", "metadata": {"name": "${name}"}, "spec": {${spec}}}`;
const peer =
  (field: (text: string) => string) =>
  (text = ''): string =>
    own('BGPPeer', `"asNumber": 65100, "peerIP": "192.0.2.1", ${field(JSON.stringify(text))}`);

function chunks<T>(items: readonly T[], size: number): T[][] {
  const found: T[][] = [];
  for (let i = 0; i < items.length; i += size) found.push(items.slice(i, i + size));
  return found;
}

/** Rules of a filter, each with some of the texts in a list. */
const inRules = (size: number, path: string, list: (texts: string) => string): Pick<Format, 'object' | 'field'> => ({
  object: (...texts) =>
    own(
      'BGPFilter',
      `"exportV4": [${chunks(texts, size)
        .map((some) => `{"action": "Accept", ${list(JSON.stringify(some))}}`)
        .join(', ')}]`,
    ),
  field: (n) => `spec.exportV4[${Math.floor(n / size)}].${path}[${n % size}]`,
});

export const formats: Readonly<Record<string, Format>> = {
  prefix: {
    kind: 'IPReservation',
    seeds: [
      '10.60.0.0/16',
      '0.0.0.0/0',
      '192.0.2.1/32',
      '2001:db8::/32',
      'fd60:0:0:1::/64',
      '::/0',
      '::1/128',
      '::ffff:0:0/96',
      '::ffff:0:0:0/96',
      '::1.2.3.4/128',
      '1:2:3:4:5:6:7:8/128',
      'FE80::%1/64',
    ],
    characters: '0123456789abcfF.:/% ',
    longest: 49,
    object: (...texts) => own('IPReservation', `"reservedCIDRs": ${JSON.stringify(texts)}`),
    field: (n) => `spec.reservedCIDRs[${n}]`,
  },
  community: {
    kind: 'BGPFilter',
    seeds: [
      '65000:100',
      '65535:65535',
      '4294967295:4294967295:4294967295',
      'rt:65000:4294967295',
      'rt:65536:65535',
      'soo:192.0.2.1:100',
      '0x0002fde800000064',
      'NO_EXPORT',
      'NOPEER',
    ],
    characters: '0123456789:.rtsox_PE',
    longest: 32,
    ...inRules(20, 'communities.values', (texts) => `"communities": {"values": ${texts}}`),
  },
  'AS number': {
    kind: 'BGPFilter',
    seeds: ['65100', '4294967295', '4294967296', '23456', '0.23456', '1.10', '65535.65535', '0', '0.0', '00', '10'],
    characters: '0123456789.+-x ',
    longest: 11,
    ...inRules(10, 'asPathPrefix', (texts) => `"asPathPrefix": ${texts}`),
  },
  'part of a path': {
    kind: 'BGPFilter',
    seeds: ['65100', '?', '*', '4294967296', '1.10', '0', '23456'],
    characters: '0123456789.*?',
    longest: 11,
    ...inRules(50, 'asPath', (texts) => `"asPath": ${texts}`),
  },
  name: {
    kind: 'BGPPeer',
    seeds: ['tor-a', 'node-1.example.com', 'a', '0'],
    characters: 'aA0-._ é',
    longest: 1000,
    object: peer((text) => `"node": ${text}`),
  },
  endpoint: {
    kind: 'BGPPeer',
    seeds: [
      '192.0.2.1',
      '192.0.2.1:1179',
      '2001:db8::1',
      '[2001:db8::1]',
      '[2001:db8::1]:65535',
      '[::ffff:1.2.3.4]:179',
      '::1',
      'fe80::1',
      '0.0.0.1',
      '224.0.0.1:1',
    ],
    characters: '0123456789abf.:[]% ',
    longest: 1000,
    object: (text = '') => own('BGPPeer', `"asNumber": 65100, "peerIP": ${JSON.stringify(text)}`),
  },
  interface: {
    kind: 'BGPPeer',
    seeds: ['eth1', 'bond0.100', '..', 'a%b'],
    characters: 'ab./:% é!~',
    longest: 1000,
    object: (text = '') => own('BGPPeer', `"asNumber": 65100, "interface": ${JSON.stringify(text)}`),
  },
  duration: {
    kind: 'BGPPeer',
    seeds: [
      '90s',
      '1m30s',
      '0',
      '0s',
      '1.5h',
      '3.000000001s',
      '65535s',
      '65536s',
      '90000ms',
      '2s',
      '99999h',
      '9999999m',
    ],
    characters: '0123456789.hms',
    longest: 1000,
    object: peer((text) => `"holdTime": ${text}`),
  },
  selector: {
    kind: 'BGPPeer',
    seeds: [
      "rack == 'a' && !has(retired)",
      'a in {\'x\', "y"} || b not in {}',
      "(c contains 'd' || e starts with 'f') && all()",
      "!!g ends with 'h'",
      "not in {'a'}",
      "has == ')('",
      'global ( )',
      ' ',
    ],
    characters: ' \t\u00a0()!&|{}=,\'"ab',
    gap: true,
    longest: 1000,
    object: peer((text) => `"nodeSelector": ${text}`),
  },
  'label key': {
    kind: 'BGPPeer',
    seeds: ['rack', 'example.com/rack', 'a_b-c.d'],
    characters: 'aZ0-_./ é',
    longest: 1000,
    object: peer((text) => `"nodeLabelSelector": {"matchExpressions": [{"operator": "Exists", "key": ${text}}]}`),
  },
  'name of a block': {
    kind: 'IPBlock',
    seeds: ['ipv4-0a3c0100-26', 'ipv4-0a3c0140-26', 'ipv6-fd600000000000000000000000000000-122'],
    characters: '0123456789abcf-',
    longest: 1000,
    object: (text = '') => own('IPBlock', '"cidr": "10.60.1.0/26", "node": "a"', text.replaceAll(/[^-a-z0-9]/g, '')),
  },
  'name of an IPv6 block': {
    kind: 'IPBlock',
    seeds: [
      'ipv6-fd600000000000010000000000000000-122',
      'ipv6-fd600000000000000000000000000000-122',
      'ipv4-0a3c0140-26',
    ],
    characters: '0123456789abcf-',
    longest: 1000,
    object: (text = '') =>
      own('IPBlock', '"cidr": "fd60:0:0:1::/122", "node": "a"', text.replaceAll(/[^-a-z0-9]/g, '')),
  },
};

/** The seeds and texts up to three changes away, no two alike. */
export function mutations(format: Format, count: number, random: Random): string[] {
  const found = new Set(format.seeds);
  for (let i = 0; found.size < count && i < 20 * count; i++) {
    let text = random.pick(format.seeds);
    for (let changes = 1 + random.below(3); changes > 0; changes--) {
      const at = random.below(text.length + 1);
      const rest = text.slice(at + random.below(2));
      text = `${text.slice(0, at)}${random.below(3) === 0 ? '' : format.characters.charAt(random.below(format.characters.length))}${rest}`;
    }
    if (text.length <= format.longest) found.add(text);
  }
  return [...found];
}
