/** Fields that BGPConfiguration and BGPPeer share: what is imported, and graceful restart. */
import { duration } from './formats.ts';
import { boolean, oneOf } from './scalars.ts';
import { object, optional } from './schema.ts';

export const importPolicy = oneOf('None', 'DefaultRoute', 'All');

/** RFC 4724 §3: the restart time has 12 bits. */
export const restartTime = duration({ from: 0, to: 4095 });

export const gracefulRestart = object({
  enabled: optional(boolean, {
    description:
      'Whether graceful restart (RFC 4724) is offered to the peer, so that it keeps our routes while the agent restarts.',
    defaultText: 'true',
    reset: 'reset',
  }),
  restartTime: optional(restartTime, {
    description: 'How long the peer is asked to keep our routes while the session is away.',
    defaultText: '120s',
    reset: 'reset',
  }),
  notification: optional(boolean, {
    description:
      'Whether routes also outlive a NOTIFICATION and an expired hold timer (RFC 8538), when the peer wants the same. A node that lost its power is then sent traffic for the hold time and the restart time, so BFD should watch it.',
    defaultText: 'true with BFD, false without',
    reset: 'reset',
  }),
  staleTime: optional(duration({ from: 1, to: 4095 }), {
    description:
      'How long a peer that is back after a restart may take to announce its routes again; then those it did not are dropped.',
    defaultText: '360s',
    reset: 'none',
  }),
});
