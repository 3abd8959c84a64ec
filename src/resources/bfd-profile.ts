/** BFDProfile: how BFD is spoken with the peers that name it. MetalLB's fields, bounds and defaults. */
import { ownKind } from './kind.ts';
import { acceptedColumn, namedStatus, reasonColumn } from './object-status.ts';
import { boolean, integer } from './scalars.ts';
import { defaulted, object, optional } from './schema.ts';
import type { Infer } from './schema.ts';

const interval = integer(10, 60_000);

/** Of a profile that says nothing, and of a peer with BFD and without a profile. */
export const profileDefaults = {
  receiveInterval: 300,
  transmitInterval: 300,
  detectMultiplier: 3,
  passiveMode: false,
  minimumTtl: 254,
} as const;

const spec = object(
  {
    receiveInterval: defaulted(interval, profileDefaults.receiveInterval, {
      description: "Least time between two of the peer's packets, in milliseconds.",
      reset: 'none',
    }),
    transmitInterval: defaulted(interval, profileDefaults.transmitInterval, {
      description: 'Least time between two packets of ours, in milliseconds; the peer may ask for more.',
      reset: 'none',
    }),
    detectMultiplier: defaulted(integer(2, 255), profileDefaults.detectMultiplier, {
      description:
        'How many packets may be lost before the path counts as failed. 50 ms and 3 see a dead router after 150 ms.',
      reset: 'none',
    }),
    passiveMode: defaulted(boolean, profileDefaults.passiveMode, {
      description: 'Say nothing until the peer has spoken.',
      reset: 'none',
    }),
    minimumTtl: defaulted(integer(1, 254), profileDefaults.minimumTtl, {
      description:
        'Multi hop only: lowest time-to-live that a packet of the peer may have left. BIRD sends 64, FRR 255; each router on the way takes one.',
      reset: 'none',
    }),
    echoMode: defaulted(boolean, false, {
      description: 'Known for the sake of profiles of MetalLB; `false` is the only value.',
      reset: 'none',
    }),
    echoInterval: optional(interval, {
      description: 'Known for the sake of profiles of MetalLB and not used.',
      reset: 'none',
    }),
  },
  {
    rules: [
      {
        cel: '!self.echoMode',
        holds: (it) => !it.echoMode,
        sentence:
          'BFD echo is not spoken here; leave it out and use a short receiveInterval and transmitInterval, such as 50',
        path: ['echoMode'],
      },
    ],
  },
);

export const bfdProfile = ownKind(
  'BFDProfile',
  {
    shortNames: ['frbfd'],
    columns: [
      { name: 'Receive', type: 'integer', jsonPath: '.spec.receiveInterval' },
      { name: 'Transmit', type: 'integer', jsonPath: '.spec.transmitInterval' },
      { name: 'Multiplier', type: 'integer', jsonPath: '.spec.detectMultiplier' },
      { name: 'Peers', type: 'integer', jsonPath: '.status.peers' },
      acceptedColumn,
      reasonColumn,
      { name: 'Passive', type: 'boolean', jsonPath: '.spec.passiveMode', wide: true },
      { name: 'Minimum TTL', type: 'integer', jsonPath: '.spec.minimumTtl', wide: true },
    ],
    status: namedStatus,
    description: 'How BFD is spoken with the peers whose `bfd.profile` names it. Changing it touches no BGP session.',
  },
  spec,
);

export type BFDProfile = Infer<typeof bfdProfile.schema>;
