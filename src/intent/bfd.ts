/** BFD of a peer, from its BGPPeer and the BFDProfile that it names. PURE. */
import { type BfdIntent, type PeerIntent, isExternal } from '#bgp/engine.ts';
import { milliseconds } from '#lib/time.ts';
import { type BFDProfile, profileDefaults } from '#resources/bfd-profile.ts';
import type { BGPPeer } from '#resources/bgp-peer.ts';

export interface PeerBfd {
  readonly intent: BfdIntent | undefined;
  /** The profile that is named and does not exist: a session with guessed times would be no better than none. */
  readonly missing: string | undefined;
}

export function bfdOf(
  { spec }: BGPPeer,
  profiles: readonly BFDProfile[],
  session: Pick<PeerIntent, 'peerAsn' | 'localAsn' | 'ebgpMultihop'>,
): PeerBfd {
  if (spec.bfd === undefined && spec.bfdProfile === undefined) return { intent: undefined, missing: undefined };
  const name = spec.bfd?.profile ?? spec.bfdProfile;
  const profile = name === undefined ? profileDefaults : profiles.find((it) => it.metadata.name === name)?.spec;
  if (profile === undefined) return { intent: undefined, missing: name };
  return {
    intent: {
      receiveInterval: milliseconds(profile.receiveInterval),
      transmitInterval: milliseconds(profile.transmitInterval),
      detectMultiplier: profile.detectMultiplier,
      passive: profile.passiveMode,
      minimumTtl: profile.minimumTtl,
      multihop: spec.bfd?.multihop ?? (isExternal(session) ? session.ebgpMultihop > 1 : undefined),
    },
    missing: undefined,
  };
}
