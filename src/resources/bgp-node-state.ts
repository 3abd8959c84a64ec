/**
 * BGPNodeState: what one node really does, written by its agent and by nobody else. It has the name of the Node, which owns
 * it. Numbers that only grow are metrics; here stands what people and the controller ask for.
 */
import { statusKind } from './kind.ts';
import { boolean, integer, oneOf, string } from './scalars.ts';
import { list, object, optional, required } from './schema.ts';
import type { Infer } from './schema.ts';

/** How much of each list stands in the object; a route reflector may have a thousand sessions. */
export const mostSessions = 128;
export const mostBlocks = 512;
export const mostConditions = 128;
export const mostDrift = 32;
/** Of a message; what is longer is cut. */
export const longestMessage = 1024;

const time = string({ type: 'a time (RFC 3339)', minLength: 20, maxLength: 32 });
const word = (maxLength: number) => string({ type: 'a word', minLength: 1, maxLength });
const message = string({ type: 'a text', maxLength: longestMessage });
const count = integer(0, 2_147_483_647);

const session = object({
  peer: required(word(320), {
    description: "The BGPPeer; NAME/ADDRESS of one that came from a listen range, NAME/NODE of another node's.",
  }),
  address: required(word(128), { description: 'Where the peer is; with %INTERFACE where it is on a link.' }),
  asNumber: optional(integer(1, 4_294_967_295), { description: "The peer's AS number, where it is known." }),
  state: required(oneOf('Idle', 'Connect', 'Active', 'OpenSent', 'OpenConfirm', 'Established', 'Listening'), {
    description: 'State of RFC 4271 §8.2.2; Listening is a listen range, which has no session of its own.',
  }),
  since: optional(time, { description: 'When it last went into or out of Established.' }),
  families: required(list(oneOf('ipv4', 'ipv6'), { maxItems: 2 }), { description: 'What the session carries.' }),
  capabilities: required(list(string({ type: 'a capability', maxLength: 128 }), { maxItems: 32 }), {
    description: 'What the peer offered in its OPEN.',
  }),
  lastError: optional(
    object({
      code: required(word(64), { description: 'A code of docs/errors.md.' }),
      message: required(message, { description: 'What happened.' }),
      at: required(time, { description: 'When.' }),
    }),
    { description: 'Why it last went down, or does not come up.' },
  ),
});

const block = object({
  cidr: required(string({ type: 'a prefix', maxLength: 49 }), { description: 'The block.' }),
  pool: required(word(253), { description: "Its IPPool; `node` for the Node's podCIDRs outside every pool." }),
  announced: required(boolean, { description: 'It was written to at least one established session.' }),
  used: optional(count, {
    description:
      'Addresses that pods had when this was written. It is written anew, like new words, once it has moved by an eighth of the block.',
  }),
});

const routing = object({
  peers: required(count, {
    description:
      'What this node is to have sessions with, without the mesh; a listen range is one. 0: no BGPPeer selects the node.',
  }),
  established: required(count, { description: 'Sessions with them that are up.' }),
  unannounced: required(count, {
    description: 'Blocks that were written to none of these sessions, one that is still being claimed among them.',
  }),
});

const drift = object({
  routeConflicts: required(list(string({ type: 'a prefix', maxLength: 49 }), { maxItems: mostDrift }), {
    description: 'Where a foreign route stands in the place of one of ours.',
  }),
  foreignLinks: required(list(word(16), { maxItems: mostDrift }), {
    description: 'Interfaces in our group that are not ours, left alone.',
  }),
  problems: required(
    list(
      object({
        code: required(word(64), { description: 'A code of docs/errors.md.' }),
        message: required(message, { description: 'What is wrong, and what to do.' }),
      }),
      { maxItems: mostDrift },
    ),
    { description: 'What of the kernel stands in the way.' },
  ),
});

const condition = object({
  object: required(word(320), { description: 'What it is about: KIND/NAME.' }),
  type: required(word(64), { description: 'One of docs/conditions.md. True is always the good state.' }),
  status: required(oneOf('True', 'False', 'Unknown'), { description: 'Whether it is so.' }),
  reason: required(word(64), { description: 'Why, in one word; docs/conditions.md says what to do about each.' }),
  message: required(message, { description: 'What happened, to what, and what to do.' }),
  observedGeneration: optional(integer(0, Number.MAX_SAFE_INTEGER), {
    description: "The object's metadata.generation that this is about.",
  }),
  lastTransitionTime: required(time, { description: 'When its status last changed.' }),
});

const status = object({
  version: optional(word(64), { description: 'Of the agent.' }),
  bootID: optional(word(128), { description: "The node's boot: another one means that it has rebooted." }),
  asNumber: optional(integer(1, 4_294_967_295), { description: "The node's AS number." }),
  routerID: optional(word(39), { description: 'Its BGP identifier.' }),
  peers: optional(count, { description: 'Sessions that are wanted.' }),
  established: optional(count, { description: 'Those of them that are up.' }),
  routing: optional(routing, {
    description:
      'What the controller decides by whether the node takes pods; written within seconds when that changes.',
  }),
  sessions: optional(list(session, { maxItems: mostSessions }), {
    description: `Sessions by name of the peer, at most ${mostSessions}: those that are down come first.`,
  }),
  blocks: optional(list(block, { maxItems: mostBlocks }), {
    description: `Blocks of the node, at most ${mostBlocks}.`,
  }),
  drift: optional(drift, { description: 'What differs in the kernel from what should be, and is not repaired.' }),
  conditions: optional(list(condition, { maxItems: mostConditions }), {
    description: `All of the node itself; of other objects those that are not True, at most ${mostConditions} in all.`,
  }),
});

export const bgpNodeState = statusKind(
  'BGPNodeState',
  {
    shortNames: ['frstate'],
    columns: [
      { name: 'AS', type: 'integer', jsonPath: '.status.asNumber' },
      { name: 'Sessions', type: 'integer', jsonPath: '.status.peers' },
      { name: 'Established', type: 'integer', jsonPath: '.status.established' },
      { name: 'Version', type: 'string', jsonPath: '.status.version' },
      { name: 'Router ID', type: 'string', jsonPath: '.status.routerID', wide: true },
      { name: 'Blocks', type: 'string', jsonPath: '.status.blocks[*].cidr', wide: true },
    ],
    description:
      'What one node really does: its sessions, blocks and conditions. Its agent writes it on a change, at most once in 10 s and less often with more than 500 nodes; it goes with its Node, whose name it has. Nothing reads it but people and the controller.',
  },
  status,
);

export type BGPNodeState = Infer<typeof bgpNodeState.schema>;
export type BGPNodeStatus = NonNullable<BGPNodeState['status']>;
