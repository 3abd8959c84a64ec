/**
 * Runs one peer's session.
 */
import type { Family, IpAddress } from '#lib/ip.ts';
import type { Clock } from '#lib/time.ts';
import type { PeerIntent } from '../engine.ts';
import type { OpenTerms } from '../wire/negotiate.ts';
import type { Listener } from './listener.ts';
import type { SessionHandlers, SessionPort } from './session-port.ts';

/** What our graceful restart capability says (RFC 4724 §3); asked for each OPEN, because it changes while we recover. */
export interface LocalGracefulRestart {
  readonly restartTimeSeconds: number;
  /** R: this speaker has restarted and asks the peer not to wait for its End-of-RIB. */
  readonly restarted: boolean;
  /** N of RFC 8538. */
  readonly notification: boolean;
  readonly families: readonly { readonly family: Family; readonly forwarding: boolean }[];
}

export interface SessionOptions {
  readonly peer: PeerIntent;
  readonly local: {
    /** BGP identifier, written as an IPv4 address. */
    readonly routerId: IpAddress;
    /** What the speaker can do beyond families, 4-octet AS, route refresh and graceful restart, which the session offers by itself. */
    readonly capabilities: Pick<OpenTerms, 'enhancedRouteRefresh' | 'extendedMessage' | 'extendedNextHop'>;
  };
}

export interface SessionModules {
  readonly clock: Clock;
  /** Wall clock, milliseconds since the epoch. */
  readonly wallClock: () => number;
  /** 0 (inclusive) to 1 (exclusive); jitter of timers. */
  readonly random: () => number;
  readonly handlers: SessionHandlers;
  readonly listener: Listener;
  /** `undefined`: the capability is not sent. Called once for each OPEN. */
  readonly gracefulRestart: () => LocalGracefulRestart | undefined;
}

export interface Session extends SessionPort {
  /** Stops reading from the peer (TCP back-pressure); `update` is called no more after the chunk in hand. */
  pause(): void;
  resume(): void;
  /** Puts another MD5 key on the listener and on live connections without ending them. */
  setPassword(password: string | undefined): void;
}

/** The session is Idle until `start`. It registers with the listener and takes itself out in `stop`. */
export declare function createSession(options: SessionOptions, modules: SessionModules): Session;
