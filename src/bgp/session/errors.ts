/**
 * Why a session is not, or no longer, established: stable codes with one sentence for people. `docs/errors.md` has a row for
 * each. In: what was sent, received or reported by TCP. Out: a SessionError.
 */
import { type Duration, seconds } from '#lib/time.ts';
import { CEASE, NOTIFICATION_CODE, OPEN_ERROR } from '../wire/codes.ts';
import type { NotificationMessage, Reset } from '../wire/messages.ts';
import { describeNotification } from '../wire/notification.ts';

export type SessionErrorCode =
  /** No SYN-ACK within the connect retry time. */
  | 'SESSION_CONNECT_TIMEOUT'
  /** As above, and the kernel dropped segments for their MD5 signature meanwhile. */
  | 'SESSION_PASSWORD_MISMATCH'
  /** RFC 5082: what comes from the peer has crossed more routers than it may, or was not sent with TTL 255. */
  | 'SESSION_TTL_TOO_LOW'
  /** The peer's host answered with RST: nothing listens there. */
  | 'SESSION_CONNECTION_REFUSED'
  /** No route, network down, and whatever else the kernel says to connect(). */
  | 'SESSION_CONNECT_FAILED'
  /** An external peer that is not on the link, and nothing says that it may be farther away. */
  | 'SESSION_PEER_NOT_CONNECTED'
  /** The socket could not be made or bound. */
  | 'SESSION_SOCKET_FAILED'
  | 'SESSION_SOURCE_ADDRESS_UNAVAILABLE'
  /** The kernel takes no key, or no more of them: nothing is opened without it. */
  | 'SESSION_MD5_UNAVAILABLE'
  /** The kernel has no TCP-AO: nothing is opened without it. */
  | 'SESSION_TCP_AO_UNSUPPORTED'
  /** It has, and does not take a key. */
  | 'SESSION_TCP_AO_UNAVAILABLE'
  /** Another peer of the same address was there first. */
  | 'SESSION_DUPLICATE_ADDRESS'
  /** The peer closed TCP without a NOTIFICATION. */
  | 'SESSION_CONNECTION_CLOSED'
  /** TCP was reset or gave up. */
  | 'SESSION_CONNECTION_LOST'
  /** Connected, but no whole OPEN came. */
  | 'SESSION_OPEN_TIMEOUT'
  | 'SESSION_HOLD_TIMER_EXPIRED'
  | 'SESSION_SEND_HOLD_TIMER_EXPIRED'
  | 'SESSION_NOTIFICATION_RECEIVED'
  /** As above: an administrative shutdown, which lasts until somebody ends it. */
  | 'SESSION_PEER_SHUTDOWN'
  /** Not BGP, or out of step: marker, length or type. */
  | 'SESSION_HEADER_INVALID'
  | 'SESSION_OPEN_INVALID'
  | 'SESSION_VERSION_UNSUPPORTED'
  | 'SESSION_BAD_PEER_AS'
  /** The peer's BGP identifier is zero, or our own on an internal session. */
  | 'SESSION_BAD_IDENTIFIER'
  | 'SESSION_HOLD_TIME_UNACCEPTABLE'
  | 'SESSION_NO_COMMON_FAMILY'
  | 'SESSION_UPDATE_INVALID'
  | 'SESSION_ROUTE_REFRESH_INVALID'
  /** A message that does not belong into the state (RFC 6608). */
  | 'SESSION_UNEXPECTED_MESSAGE'
  | 'SESSION_MAXIMUM_PREFIXES'
  /** A restarted peer opened again (RFC 4724 §5). */
  | 'SESSION_REPLACED'
  /** Reset from our side: by the operator, by a changed configuration, by BFD. */
  | 'SESSION_RESET'
  | 'SESSION_STOPPED';

export interface SessionError {
  readonly code: SessionErrorCode;
  readonly text: string;
}

const symptoms: ReadonlySet<string> = new Set<SessionErrorCode>([
  'SESSION_CONNECTION_CLOSED',
  'SESSION_CONNECTION_LOST',
  'SESSION_CONNECTION_REFUSED',
]);

/** How long an error that says why stands against mere symptoms: as long as peers commonly refuse after an error. */
export const reasonStands = seconds(60);

/**
 * Whether `next` is to be shown instead of `shown`, which is `age` old. After an error, peers refuse or close every
 * connection for a while, and as long as they are shut down; that must not hide what the error was.
 */
export const replaces = (next: string, shown: string, age: Duration): boolean =>
  !symptoms.has(next) || symptoms.has(shown) || (age >= reasonStands && shown !== 'SESSION_PEER_SHUTDOWN');

const openCodes: Readonly<Record<number, SessionErrorCode>> = {
  [OPEN_ERROR.unsupportedVersion]: 'SESSION_VERSION_UNSUPPORTED',
  [OPEN_ERROR.badPeerAs]: 'SESSION_BAD_PEER_AS',
  [OPEN_ERROR.badBgpIdentifier]: 'SESSION_BAD_IDENTIFIER',
  [OPEN_ERROR.unacceptableHoldTime]: 'SESSION_HOLD_TIME_UNACCEPTABLE',
  [OPEN_ERROR.unsupportedCapability]: 'SESSION_NO_COMMON_FAMILY',
};

const codes: Readonly<Record<number, (subcode: number) => SessionErrorCode>> = {
  [NOTIFICATION_CODE.header]: () => 'SESSION_HEADER_INVALID',
  [NOTIFICATION_CODE.open]: (subcode) => openCodes[subcode] ?? 'SESSION_OPEN_INVALID',
  [NOTIFICATION_CODE.update]: () => 'SESSION_UPDATE_INVALID',
  [NOTIFICATION_CODE.holdTimerExpired]: () => 'SESSION_HOLD_TIMER_EXPIRED',
  [NOTIFICATION_CODE.fsm]: () => 'SESSION_UNEXPECTED_MESSAGE',
  [NOTIFICATION_CODE.cease]: (subcode) =>
    subcode === CEASE.maximumPrefixes ? 'SESSION_MAXIMUM_PREFIXES' : 'SESSION_RESET',
  [NOTIFICATION_CODE.routeRefresh]: () => 'SESSION_ROUTE_REFRESH_INVALID',
  [NOTIFICATION_CODE.sendHoldTimerExpired]: () => 'SESSION_SEND_HOLD_TIMER_EXPIRED',
};

/** An administrative shutdown, by itself or inside a Hard Reset (RFC 8538 §3.1). */
const isShutdown = (code: number, subcode: number, [innerCode, innerSubcode]: Uint8Array): boolean =>
  code === NOTIFICATION_CODE.cease &&
  (subcode === CEASE.administrativeShutdown ||
    (subcode === CEASE.hardReset && innerCode === code && innerSubcode === CEASE.administrativeShutdown));

/** The error behind a NOTIFICATION of ours. */
export const errorOfReset = (reset: Reset): SessionError => ({
  code: codes[reset.code]?.(reset.subcode) ?? 'SESSION_RESET',
  text: reset.text,
});

export const errorOfNotification = ({ code, subcode, data }: NotificationMessage): SessionError => ({
  code: isShutdown(code, subcode, data) ? 'SESSION_PEER_SHUTDOWN' : 'SESSION_NOTIFICATION_RECEIVED',
  text: `the peer sent NOTIFICATION ${code}/${subcode}: ${describeNotification(code, subcode, data)}`,
});
