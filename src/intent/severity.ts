/** How bad a condition is that is not True. PURE. */
import type { Reason } from './reasons.ts';

export type Severity = 'error' | 'warning' | 'info';

/** Reasons that are `False` and yet somebody's wish. */
const wished: ReadonlySet<string> = new Set<Reason>([
  'AdminDown',
  'Drained',
  'NodeNotSelected',
  'PoolDisabled',
  'NoPeers',
]);
/** What another condition of the same object says as well, with what to do. */
const saidElsewhere: ReadonlySet<string> = new Set<Reason>(['NotAccepted', 'NoNeighbour']);
/** Reasons that want a look, while everything that is in force goes on working. */
const worthALook: ReadonlySet<string> = new Set<Reason>([
  'UnknownField',
  'NearLimit',
  'SeveralPathsNotOffered',
  'NothingReceived',
  'NothingAccepted',
  'NothingAnnounced',
  'AnnouncementsLeftOut',
  'AddressesLow',
  'BlocksLow',
  'BlocksExhausted',
  'NotAnnounced',
  'NoBlocks',
  'BlockNotUsed',
  'PodsOutsideBlocks',
  'KernelProblem',
  'NoNextHop',
  'NeighbourAmbiguous',
  'ListenRangeFull',
  'BFDNotUp',
  'BFDPeerAdminDown',
  'BFDNotRealTime',
  'PasswordsNearLimit',
]);

/** `reason`: also one of an agent that is newer. */
export function severityOf({ status, reason }: { readonly status: string; readonly reason: string }): Severity {
  // What has not reported yet is said by readiness while the agent starts, and by health when it hangs.
  if (status === 'True' || reason === 'Pending' || wished.has(reason) || saidElsewhere.has(reason)) return 'info';
  if (status === 'Unknown' || worthALook.has(reason)) return 'warning';
  return 'error';
}
