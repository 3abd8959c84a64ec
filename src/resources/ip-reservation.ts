/** IPReservation: addresses inside pools that no pod and no Service gets. */
import { prefix } from './formats.ts';
import { ownKind } from './kind.ts';
import { acceptedColumn, reasonColumn, reservationStatus } from './object-status.ts';
import { defaulted, list, object } from './schema.ts';
import type { Infer } from './schema.ts';

export const ipReservation = ownKind(
  'IPReservation',
  {
    shortNames: ['frreserve'],
    description: 'Addresses that no pod and no Service gets, though a pool or a block has them.',
    columns: [
      { name: 'CIDRs', type: 'string', jsonPath: '.spec.reservedCIDRs' },
      { name: 'Pools', type: 'integer', jsonPath: '.status.pools' },
      acceptedColumn,
      reasonColumn,
    ],
    status: reservationStatus,
  },
  object({
    reservedCIDRs: defaulted(list(prefix, { maxItems: 1000, unique: 'entry' }), [], {
      description: 'Prefixes; a single address is a /32 or /128: `[10.60.0.1/32]`.',
    }),
  }),
);

export type IPReservation = Infer<typeof ipReservation.schema>;
