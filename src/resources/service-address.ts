/** ServiceAddress: one address and the Services that have it. Creating the object is the claim. */
import { addressBytes, familyOf } from '#lib/ip.ts';
import type { IpAddress } from '#lib/ip.ts';
import { address, objectName } from './formats.ts';
import { ownKind } from './kind.ts';
import { integer, oneOf, string } from './scalars.ts';
import { defaulted, list, object, optional, required } from './schema.ts';
import type { Infer } from './schema.ts';

/** `ipv4-0a3c0107` for 10.60.1.7: one name for one address, so that it cannot be claimed twice. */
export const serviceAddressName = (it: IpAddress): string =>
  `${familyOf(it)}-${Buffer.from(addressBytes(it)).toString('hex')}`;

/** In CEL as that of an IPBlock: IPv4 from its numbers; IPv6 the other way about, the address from the name. */
const celOctets = [0, 1, 2, 3].map((i) => `int(self.spec.address.split('.')[${i}])`);
const celDigits = celOctets.map((octet) => `${octet} < 16 ? '0' : '', ${octet}`);
const celName4 = `'ipv4-%s%x%s%x%s%x%s%x'.format([${celDigits.join(', ')}])`;
const celGroups = Array.from({ length: 8 }, (_, i) => `self.metadata.name.substring(${5 + 4 * i}, ${9 + 4 * i})`);
const celAddress6 = celGroups.join(" + ':' + ");
const celName6 = [
  "self.metadata.name.matches('^ipv6-[0-9a-f]{32}$')",
  `isIP(${celAddress6})`,
  `ip(${celAddress6}) == ip(self.spec.address)`,
].join(' && ');

const port = object({
  protocol: required(oneOf('TCP', 'UDP', 'SCTP'), { description: 'Protocol of the port.' }),
  port: required(integer(1, 65535), { description: 'The port, as clients know it.' }),
});

/** Ports that are written down of one Service; with more it shares with nobody. */
export const mostPorts = 1024;
/** Services on one address. */
export const mostSharers = 128;

const service = object({
  namespace: required(string({ type: 'a namespace', minLength: 1, maxLength: 63 }), {
    description: 'Namespace of the Service.',
  }),
  name: required(objectName, { description: 'Name of the Service.' }),
  uid: required(string({ type: 'the UID of a Service', minLength: 1, maxLength: 128 }), {
    description: 'UID of the Service: another of the same name has no claim.',
  }),
  ports: required(list(port, { maxItems: mostPorts }), {
    description: 'Its ports. No two Services have the same one on one address.',
  }),
  policy: defaulted(oneOf('Cluster', 'Local'), 'Cluster', {
    description: 'Its externalTrafficPolicy. Services on one address have the same.',
  }),
  selector: optional(string({ type: 'a text', maxLength: 8192 }), {
    description: 'With `Local` its selector: Services on one address have the same pods then.',
  }),
});

const spec = object(
  {
    address: required(address, { description: 'The address: `10.60.1.7`. Immutable.' }),
    pool: required(objectName, { description: 'The IPPool that it was given from.' }),
    sharingKey: optional(string({ type: 'a text', minLength: 1, maxLength: 1024 }), {
      description: 'What Services must say in `flatroute.io/sharing-key` to have it too.',
    }),
    services: required(list(service, { minItems: 1, maxItems: mostSharers, unique: { field: 'uid' } }), {
      description: 'The Services that have it: one, or several that share it.',
    }),
  },
  {
    changes: [
      {
        cel: 'self.address == oldSelf.address',
        sentence: 'cannot be changed; the claim of another address is another object',
        path: ['address'],
      },
    ],
  },
);

export const serviceAddress = ownKind(
  'ServiceAddress',
  {
    shortNames: ['fraddress'],
    columns: [
      { name: 'Address', type: 'string', jsonPath: '.spec.address' },
      { name: 'Pool', type: 'string', jsonPath: '.spec.pool' },
      { name: 'Namespace', type: 'string', jsonPath: '.spec.services[*].namespace' },
      { name: 'Service', type: 'string', jsonPath: '.spec.services[*].name' },
      { name: 'Sharing key', type: 'string', jsonPath: '.spec.sharingKey', wide: true },
    ],
    selectableFields: ['.spec.pool'],
    description:
      'An address that Services of type LoadBalancer have, and which ([how they get it](load-balancer.md)). The name is made of the address, `ipv4-0a3c0107` for 10.60.1.7, so that creating the object is the claim. The controller makes and deletes them; nobody else has to.',
  },
  spec,
  [
    {
      cel: `!isIP(self.spec.address) || (self.spec.address.contains(':') ? (${celName6}) : self.metadata.name == ${celName4})`,
      holds: (it) => it.metadata.name === serviceAddressName(it.spec.address),
      sentence: 'the ServiceAddress of {address} is named {name}',
      fill: {
        address: { cel: 'self.spec.address', text: (it) => it.spec.address },
        name: {
          cel: `(self.spec.address.contains(':') ? 'ipv6-<32 hexadecimal digits of the address>' : ${celName4})`,
          text: (it) => serviceAddressName(it.spec.address),
        },
      },
      path: ['metadata', 'name'],
    },
  ],
);

export type ServiceAddress = Infer<typeof serviceAddress.schema>;
