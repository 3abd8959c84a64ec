/**
 * From two OPENs to an agreement, or to the NOTIFICATION that refuses the peer; and what an agreement means for the
 * peer's routes when the session ends. RFC 4271 §6.2, RFC 4724 §4.2, RFC 8538 §2, RFC 8538 §4.
 */
import { type Result, fail, ok } from '#lib/result.ts';
import { type Duration, seconds } from '#lib/time.ts';
import { findCapability } from '../wire/capabilities.ts';
import { CEASE, NOTIFICATION_CODE } from '../wire/codes.ts';
import type { OpenMessage, Reset } from '../wire/messages.ts';
import { checkOpen, negotiate } from '../wire/negotiate.ts';
import { hardReset, isFinal } from '../wire/notification.ts';
import { type SessionConfig, keepaliveTimeOf } from './config.ts';
import type { Agreement } from './state.ts';

export function agree(config: SessionConfig, local: OpenMessage, peer: OpenMessage): Result<Agreement, Reset> {
  const refused = checkOpen(peer, {
    peerAsn: config.peerAsn,
    localAsn: config.localAsn,
    localIdentifier: config.identifier,
    families: config.families,
    role: config.role,
    roleRequired: config.roleRequired,
  });
  if (refused !== undefined) return fail(refused);
  const terms = negotiate(local, peer, { enforceFirstAs: config.enforceFirstAs });
  const ours = findCapability(local.capabilities, 'gracefulRestart');
  return ok({
    ...terms,
    keepaliveTime: keepaliveTimeOf(seconds(terms.holdTimeSeconds), config.keepaliveTime),
    notificationRestart: ours?.notification === true && terms.gracefulRestart?.notification === true,
  });
}

export const holdTimeOf = (agreement: Agreement): Duration => seconds(agreement.holdTimeSeconds);

/** RFC 4724 §4.2, RFC 9494 §4.2: a family that the peer listed in either capability may be kept over a lost connection. */
export const keepsWhenLost = ({ gracefulRestart, longLivedGracefulRestart }: Agreement): boolean =>
  (gracefulRestart?.families.length ?? 0) + (longLivedGracefulRestart?.families.length ?? 0) > 0;

/** RFC 4724 §4 lets a NOTIFICATION of either side end everything; RFC 8538 §4 spares what is no Hard Reset. */
export const keepsAfterNotification = (
  agreement: Agreement,
  notification: { readonly code: number; readonly subcode: number },
): boolean =>
  agreement.notificationRestart &&
  keepsWhenLost(agreement) &&
  !(notification.code === NOTIFICATION_CODE.cease && notification.subcode === CEASE.hardReset);

/** How a reset is said in a session: RFC 8538 §4 allows a Hard Reset only towards a peer that knows it. */
export const asSaid = (agreement: Agreement, reset: Reset): Reset =>
  agreement.notificationRestart && isFinal(reset) && reset.subcode !== CEASE.hardReset ? hardReset(reset) : reset;
