/** What the controller writes into the status of objects that people make: counts over all nodes, and conditions. */
import { integer, oneOf, string } from './scalars.ts';
import { list, object, optional, required } from './schema.ts';

const count = integer(0, 2_147_483_647);
const addresses = integer(0, Number.MAX_SAFE_INTEGER);

/** As Kubernetes has them; at most one of a type. */
export const objectConditions = list(
  object({
    type: required(string({ type: 'a word', minLength: 1, maxLength: 64 }), {
      description: 'One of docs/conditions.md. True is always the good state.',
    }),
    status: required(oneOf('True', 'False', 'Unknown'), { description: 'Whether it is so.' }),
    reason: required(string({ type: 'a word', minLength: 1, maxLength: 64 }), {
      description: 'Why, in one word; docs/conditions.md says what to do about each.',
    }),
    message: required(string({ type: 'a text', maxLength: 1024 }), {
      description: 'What happened, to what, and what to do.',
    }),
    observedGeneration: optional(integer(0, Number.MAX_SAFE_INTEGER), {
      description: 'The metadata.generation that this is about.',
    }),
    lastTransitionTime: required(string({ type: 'a time (RFC 3339)', minLength: 20, maxLength: 32 }), {
      description: 'When its status last changed.',
    }),
  }),
  { maxItems: 16, unique: { field: 'type' } },
);

export const poolStatus = object({
  blocks: optional(count, { description: 'Blocks that nodes have.' }),
  capacity: optional(count, { description: 'Blocks that there can be; absent where they are more than anybody has.' }),
  nodes: optional(count, { description: 'Nodes that have at least one.' }),
  usedAddresses: optional(addresses, {
    description:
      'Addresses that pods have, as their nodes last wrote: each node within an eighth of each block. Of a pool for Services those that they have.',
  }),
  claimedAddresses: optional(addresses, {
    description: 'Addresses of the blocks that nodes have, or that Services have.',
  }),
  conditions: optional(objectConditions, {
    description: 'Allocatable: whether addresses are given from it; BlocksAvailable: whether nodes can claim more.',
  }),
});

export const peerStatus = object({
  nodes: optional(count, { description: 'Nodes that want a session with it.' }),
  established: optional(count, { description: 'Those of them on which it is up. Written at most once in 30 s.' }),
  conditions: optional(objectConditions, {
    description:
      'Established: whether it is up wherever it is wanted; Accepted: whether it is in force; others while a node says so.',
  }),
});

const accepted = optional(objectConditions, {
  description: 'Accepted: whether it is in force; others while a node says that something is not as it should be.',
});

export const acceptedStatus = object({ conditions: accepted });

/** Of what BGPPeers name. */
export const namedStatus = object({
  peers: optional(count, { description: 'BGPPeers that name it.' }),
  conditions: accepted,
});

export const reservationStatus = object({
  pools: optional(count, { description: 'IPPools that it takes addresses from.' }),
  conditions: accepted,
});

export const blockStatus = object({
  conditions: optional(objectConditions, { description: 'Accepted, while somebody says that the block is not used.' }),
});

/** What `kubectl get` shows of them. */
export const acceptedColumn = {
  name: 'Accepted',
  type: 'string',
  jsonPath: '.status.conditions[?(@.type=="Accepted")].status',
} as const;
export const reasonColumn = {
  name: 'Reason',
  type: 'string',
  jsonPath: '.status.conditions[?(@.type=="Accepted")].reason',
} as const;
