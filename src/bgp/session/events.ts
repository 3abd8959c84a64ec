/**
 * What happens to a session and what it wants done. Both are plain data, so that a session's life can be written down
 * and played again. Event numbers are those of RFC 4271 §8.1. Event 23 (OpenCollisionDump) is no input: the machine sees
 * both connections and decides by itself. Events 12 and 20 belong to DelayOpen, which is optional and not used.
 */
import type { Instant } from '#lib/time.ts';
import type {
  KeepaliveMessage,
  NotificationMessage,
  OpenMessage,
  Reset,
  RouteRefreshMessage,
} from '../wire/messages.ts';
import type { SessionError } from './errors.ts';
import type { Agreement, ConnectionId } from './state.ts';

/** What lies on a connection when a deadline is reached. */
export interface PendingInput {
  readonly connection: ConnectionId;
  /** Octets of the peer that nobody has read yet. */
  readonly unread: boolean;
  /** Octets of a message that is not all there. */
  readonly partialBytes: number;
}

interface Happened {
  readonly at: Instant;
  /** At least 0, below 1; the jitter of the timers that this event starts. */
  readonly random: number;
}

interface OnConnection extends Happened {
  readonly connection: ConnectionId;
}

/** Events 1, 3 to 7: ManualStart and AutomaticStart; whether it is passive is configured. */
export interface Start extends Happened {
  readonly kind: 'start';
}

/** Event 2, ManualStop. `silent` closes TCP only, so that the peer's graceful restart holds. */
export interface Stop extends Happened {
  readonly kind: 'stop';
  readonly how: 'silent' | Reset;
}

/** Event 8, AutomaticStop: down with this NOTIFICATION, up again by itself. */
export interface ResetRequested extends Happened {
  readonly kind: 'resetRequested';
  readonly reset: Reset;
}

/** Events 9 (ConnectRetryTimer), 10 (HoldTimer), 11 (KeepaliveTimer), 13 (IdleHoldTimer), 29 (SendHoldTimer, RFC 9687). */
export interface DeadlineReached extends Happened {
  readonly kind: 'deadlineReached';
  readonly input: readonly PendingInput[];
  /** Segments that the kernel dropped since the connection attempt began, for their signature or their TTL. */
  readonly drops: { readonly signature: number; readonly hopLimit: number };
}

/** Event 16, Tcp_CR_Acked. `open` is what we have to say now. */
export interface TcpConnected extends OnConnection {
  readonly kind: 'tcpConnected';
  readonly open: OpenMessage;
}

/** Event 17, TcpConnectionConfirmed: the peer's connection; its address was checked before (Events 14 and 15). */
export interface TcpAccepted extends OnConnection {
  readonly kind: 'tcpAccepted';
  readonly open: OpenMessage;
}

/** Event 18: not connected, closed by the peer, or broken. */
export interface TcpFails extends OnConnection {
  readonly kind: 'tcpFails';
  readonly error: SessionError;
}

/** Event 19. */
export interface OpenReceived extends OnConnection {
  readonly kind: 'openReceived';
  readonly open: OpenMessage;
}

/** Events 24 and 25. */
export interface NotificationReceived extends OnConnection {
  readonly kind: 'notificationReceived';
  readonly notification: NotificationMessage;
}

/** Event 26. */
export interface KeepaliveReceived extends OnConnection {
  readonly kind: 'keepaliveReceived';
}

/** Event 27: a whole UPDATE without its header; its content is judged when it is delivered, and may come back as Event 28. */
export interface UpdateReceived extends OnConnection {
  readonly kind: 'updateReceived';
  readonly body: Uint8Array;
}

/** RFC 2918; RFC 4271 has no number for it. */
export interface RouteRefreshReceived extends OnConnection {
  readonly kind: 'routeRefreshReceived';
  readonly message: RouteRefreshMessage;
}

/** Events 21 (BGPHeaderErr), 22 (BGPOpenMsgErr), 28 (UpdateMsgErr), and errors of the other messages. */
export interface MessageInvalid extends OnConnection {
  readonly kind: 'messageInvalid';
  readonly message: 'header' | 'open' | 'update' | 'routeRefresh';
  readonly reset: Reset;
}

/** UPDATEs were written. */
export interface MessageSent extends Happened {
  readonly kind: 'messageSent';
}

/** The peer does not take what was written (`blocked`), takes some of it again (`progress`), has taken all (`drained`). */
export interface SendQueue extends OnConnection {
  readonly kind: 'sendQueue';
  readonly now: 'blocked' | 'progress' | 'drained';
}

export type Event =
  | Start
  | Stop
  | ResetRequested
  | DeadlineReached
  | TcpConnected
  | TcpAccepted
  | TcpFails
  | OpenReceived
  | NotificationReceived
  | KeepaliveReceived
  | UpdateReceived
  | RouteRefreshReceived
  | MessageInvalid
  | MessageSent
  | SendQueue;

/** Why an established session ended, or why one could not be established. */
export interface SessionDown {
  /** A stable code of docs/errors.md, SESSION_*. */
  readonly code: string;
  readonly text: string;
  /** The peer's routes may be kept while it restarts: TCP ended without a NOTIFICATION (RFC 4724 §4.2), or RFC 8538 allows it. */
  readonly keepRoutes: boolean;
  /** The connection was replaced by a new OPEN of a restarted peer (RFC 4724 §5). */
  readonly replaced: boolean;
}

export type Effect =
  | { readonly kind: 'openConnection'; readonly connection: ConnectionId }
  /** `close`: after what was written is out. `abort`: at once. */
  | { readonly kind: 'closeConnection'; readonly connection: ConnectionId; readonly how: 'close' | 'abort' }
  | {
      readonly kind: 'send';
      readonly connection: ConnectionId;
      readonly message: OpenMessage | KeepaliveMessage | NotificationMessage;
    }
  | { readonly kind: 'sessionUp'; readonly connection: ConnectionId; readonly agreement: Agreement }
  | { readonly kind: 'sessionDown'; readonly reason: SessionDown }
  /** An attempt came to nothing; for `lastError`. */
  | { readonly kind: 'failed'; readonly error: SessionError }
  | { readonly kind: 'deliverUpdate'; readonly connection: ConnectionId; readonly body: Uint8Array }
  | { readonly kind: 'deliverRouteRefresh'; readonly message: RouteRefreshMessage };
