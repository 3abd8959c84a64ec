/** What a daemon does not have, in the version that Debian 12 has, and how its own program shows that. */
import type { EngineKind } from '#lab/gobgp-sidecar.ts';
import type { DaemonKind } from '#lab/routers/make.ts';
import type { Setup } from './rack.ts';
import type { Standard } from './standards.ts';

export const versions: Readonly<Record<DaemonKind, string>> = {
  bird: 'BIRD 2.0.12',
  frr: 'FRR 8.4.4',
  gobgp: 'GoBGP 3.10.0',
  openbgpd: 'OpenBGPD 7.7',
};

export interface Lack {
  /** For people. */
  readonly why: string;
  /** A line of a neighbour's configuration, as later versions or others have it, that this one refuses. */
  readonly refuses?: string;
  /** How flatroute names a capability that its OPEN does not have, whatever is switched on. */
  readonly offersNo?: string;
}

export const lacks: Readonly<Record<DaemonKind, Partial<Readonly<Record<Standard, Lack>>>>> = {
  bird: {
    'RFC 9072': { why: 'nothing makes it use them for a short OPEN' },
    'RFC 8538': {
      why: 'it does not offer the N bit, and has no word for it',
      refuses: 'graceful restart notification on;',
    },
  },
  frr: {
    'RFC 7606': { why: 'nothing makes it send a malformed attribute' },
  },
  gobgp: {
    'RFC 9072': { why: 'nothing makes it use them for a short OPEN' },
    'RFC 5880': { why: 'it has no BFD', refuses: 'bfd = true' },
    'RFC 4861': { why: 'it neither sends nor asks for router advertisements' },
    'RFC 6793': { why: 'it has four octets always, and nothing that makes it an old speaker' },
    'RFC 7313': { why: 'not offered', offersNo: 'enhanced-route-refresh' },
    'RFC 9234': { why: 'not offered', refuses: 'role = "customer"' },
    'RFC 8654': { why: 'not offered', offersNo: 'extended-message' },
  },
  openbgpd: {
    'RFC 9072': { why: 'nothing makes it use them for a short OPEN' },
    'RFC 7606': { why: 'nothing makes it send a malformed attribute' },
    'RFC 9494': { why: 'not offered', offersNo: 'long-lived-graceful-restart' },
    'RFC 5880': { why: 'it has no BFD', refuses: 'bfd on' },
    'RFC 4861': { why: 'it names neighbours by address' },
    'RFC 8538': {
      why: 'it does not offer the N bit, and has no word for it',
      refuses: 'announce graceful notification yes',
    },
    'RFC 8950': { why: 'not offered', offersNo: 'extended-next-hop' },
    'RFC 8654': { why: 'not offered', offersNo: 'extended-message' },
  },
};

/** What an engine of the node cannot do; docs/engines.md has all of it. */
export interface EngineLack {
  /** For people. */
  readonly why: string;
  /** Who asks for it by a field is told so by a condition that names the field. */
  readonly says?: { readonly field: string; readonly setup: Setup };
  /** No field asks for it; how BIRD names the capability that the node's OPEN then does not have. */
  readonly offersNo?: string;
}

export const engineLacks: Readonly<Record<EngineKind, Partial<Readonly<Record<Standard, EngineLack>>>>> = {
  embedded: {},
  gobgp: {
    'RFC 7313': { why: 'not offered', offersNo: 'Enhanced refresh' },
    'RFC 8654': { why: 'not offered', offersNo: 'Extended message' },
    'RFC 9234': {
      why: 'the peer is held, and its condition names the field role',
      says: { field: 'role', setup: { toJudge: { role: { ours: 'Customer', required: false } } } },
    },
  },
};
