/**
 * The demo's network on paper: who is there, which addresses and AS numbers they have, and the drawing of it.
 * Everything that is built, configured and checked is derived from this one description.
 */
import type { Asn, IpAddress, Prefix } from '#lib/ip.ts';

const asn = (n: number): Asn => n as Asn;
const address = (text: string): IpAddress => text as IpAddress;
const prefix = (text: string): Prefix => text as Prefix;

export interface RouterPlan {
  readonly name: string;
  readonly asn: Asn;
  readonly loopback: { readonly ipv4: IpAddress; readonly ipv6: IpAddress };
  /** MD5 password of the sessions between this router and the nodes. */
  readonly password: string;
}

export interface NodePlan {
  readonly name: string;
  readonly rack: string;
  readonly asn: Asn;
  /** The node's routed addresses, on its loopback interface. */
  readonly address: { readonly ipv4: IpAddress; readonly ipv6: IpAddress };
  readonly block: { readonly ipv4: Prefix; readonly ipv6: Prefix };
  readonly pods: readonly string[];
}

export const routers: readonly RouterPlan[] = [
  {
    name: 'tor-a',
    asn: asn(65101),
    loopback: { ipv4: address('10.60.255.1'), ipv6: address('fd60:ff::1') },
    password: 'rack-a-secret',
  },
  {
    name: 'tor-b',
    asn: asn(65102),
    loopback: { ipv4: address('10.60.255.2'), ipv6: address('fd60:ff::2') },
    password: 'rack-b-secret',
  },
];

export const nodes: readonly NodePlan[] = [
  {
    name: 'node-1',
    rack: 'a',
    asn: asn(64601),
    address: { ipv4: address('10.60.0.1'), ipv6: address('fd60::1') },
    block: { ipv4: prefix('10.60.1.0/26'), ipv6: prefix('fd60:1::/122') },
    pods: ['web-1', 'web-2', 'web-3'],
  },
  {
    name: 'node-2',
    rack: 'b',
    asn: asn(64602),
    address: { ipv4: address('10.60.0.2'), ipv6: address('fd60::2') },
    block: { ipv4: prefix('10.60.2.0/26'), ipv6: prefix('fd60:2::/122') },
    pods: ['api-1', 'api-2', 'api-3'],
  },
];

/** A machine that knows nothing of BGP: static routes over both of its links, its address on the loopback interface. */
export const vm = {
  name: 'vm-legacy',
  address: { ipv4: address('192.0.2.50'), ipv6: address('2001:db8::50') },
} as const;

/** Port of the witness in every pod and on the VM; `web-1` is also behind this port of its node. */
export const WITNESS_PORT = 8080;
export const HOST_PORT = 18080;
export const HOST_PORT_POD = 'web-1';

/** Subnets of the link between two hosts: the first host of the pair has .1, the second .2. */
export function linkAddresses(a: string, b: string): { readonly ipv4: string; readonly ipv6: string } {
  const number = linkNumbers[`${a} ${b}`];
  if (number === undefined) throw new TypeError(`no link between ${a} and ${b}`);
  return { ipv4: `172.16.${number}.`, ipv6: `fd16:${number}::` };
}

const linkNumbers: Readonly<Record<string, number>> = {
  'tor-a tor-b': 1,
  'tor-a node-1': 11,
  'tor-a node-2': 12,
  'tor-a vm-legacy': 15,
  'tor-b node-1': 21,
  'tor-b node-2': 22,
  'tor-b vm-legacy': 25,
};

/** Pairs of hosts that a link joins, router first. */
export const links: readonly (readonly [string, string])[] = Object.keys(linkNumbers).map((pair) => {
  const [a = '', b = ''] = pair.split(' ');
  return [a, b];
});

/** The network for people; a terminal narrower than the drawing gets a list. */
export function drawing(width: number): readonly string[] {
  const [a, b] = routers;
  const [n1, n2] = nodes;
  if (a === undefined || b === undefined || n1 === undefined || n2 === undefined) return [];
  if (width < 66) {
    return [
      `  ${a.name}  AS ${a.asn}  joined with`,
      `  ${b.name}  AS ${b.asn}`,
      '  linked with both:',
      ...nodes.map((n) => `  ${n.name}  AS ${n.asn}  ${n.block.ipv4}`),
      `  ${vm.name}  no BGP  ${vm.address.ipv4}`,
    ];
  }
  const cell = (text: string): string => {
    const left = Math.floor((13 - text.length) / 2);
    return ' '.repeat(Math.max(left, 0)) + text.padEnd(13 - Math.max(left, 0));
  };
  const row = (...cells: readonly string[]): string => `      ${cells.map(cell).join('    ')}`.trimEnd();
  return [
    `  ${a.name} AS ${a.asn} ─┬────────────────┬────────────────┬──┐`,
    '                  │                │                │  │ eBGP',
    `  ${b.name} AS ${b.asn} ─┼─┬──────────────┼─┬──────────────┼─┬┘`,
    '                  │ │              │ │              │ │',
    '           ┌──────┴─┴──┐    ┌──────┴─┴──┐    ┌──────┴─┴──┐',
    '           │  node-1   │    │ vm-legacy │    │  node-2   │',
    '           │ AS 64601  │    │  no BGP   │    │ AS 64602  │',
    '           └───────────┘    └───────────┘    └───────────┘',
    `    ${row(n1.block.ipv4, vm.address.ipv4, n2.block.ipv4)}`,
    `    ${row(n1.block.ipv6, vm.address.ipv6, n2.block.ipv6)}`,
  ];
}
