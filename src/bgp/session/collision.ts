/**
 * Which of two connections of one peer is kept. In: both BGP identifiers and AS numbers. Out: whose connection stands.
 * RFC 4271 §6.8, RFC 6286 §2.3.
 */
export interface CollisionParty {
  /** BGP identifier, unsigned 32 bits. */
  readonly identifier: number;
  readonly asn: number;
}

/** RFC 4271 §6.8: the connection made by the side with the higher identifier; RFC 6286 §2.3: equal, the higher AS number. */
export function survivor(local: CollisionParty, peer: CollisionParty): 'outgoing' | 'incoming' {
  const ours = local.identifier === peer.identifier ? local.asn > peer.asn : local.identifier > peer.identifier;
  return ours ? 'outgoing' : 'incoming';
}
