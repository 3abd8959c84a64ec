/**
 * The engine's listening sockets: one per family on the configured port, with the MD5 key of every peer.
 */
import type { Socket } from 'node:net';
import type { Family, IpAddress } from '#lib/ip.ts';
import type { AppError, Result } from '#lib/result.ts';
import type { Clock } from '#lib/time.ts';

export interface ListenerModules {
  readonly clock: Clock;
  /** Connections that come in over this interface are refused: our pod veths. Default: none is. */
  readonly refusesInterface?: (interfaceIndex: number) => boolean;
  /** `listening` or `listenError` changed. */
  readonly changed: () => void;
}

/** A peer that may connect to us. */
export interface ExpectedPeer {
  readonly address: IpAddress;
  readonly password: string | undefined;
  /** A connection of this peer. Whoever gets it owns it. */
  accept(socket: Socket): void;
}

export interface Registration {
  /** Another key for the same peer, in the kernel before this returns. The peer is refused when it could not be set. */
  setPassword(password: string | undefined): Result<void, AppError>;
  /** The peer is refused from now on and its key leaves the kernel. Connections that were handed over live on. */
  close(): void;
}

export interface Listener {
  /** The port, or `undefined` while nothing listens (none configured, or the port is taken). */
  readonly listening: number | undefined;
  /** Why nothing listens, one sentence. It is tried again by itself. */
  readonly listenError: string | undefined;
  /** Connections refused since the start: from strangers, or over a refused interface. */
  readonly refused: {
    readonly unknownAddress: number;
    readonly interface: number;
    readonly family: Family | undefined;
  };
  /**
   * Lets a peer in. `SESSION_DUPLICATE_ADDRESS`: another peer of this address is registered; `SESSION_MD5_UNAVAILABLE`:
   * the kernel took no key, the peer is refused.
   */
  register(peer: ExpectedPeer): Result<Registration, AppError>;
  close(): Promise<void>;
}

/** `port` undefined: nothing is listened on, `register` still succeeds (active only). */
export declare function createListener(
  options: { readonly port: number | undefined },
  modules: ListenerModules,
): Listener;
