/**
 * What the machine answers in the states with a connection in both directions, for every event: each name of `eventNames` stands in `answers` or in
 * `ignored`, once. An answer is the next state, then the effects in order.
 */
import type { StateName } from './fixtures.ts';
import type { Row } from './table-single.ts';

export const doubleStates = {
  'Active + OpenSent': {
    answers: {
      'stop, silent': 'Idle, stopped; close in-1',
      'stop with Cease': 'Idle, stopped; NOTIFICATION 6/2 in-1; close in-1',
      reset: 'Idle for 875 ms; NOTIFICATION 6/2 in-1; close in-1; failed SESSION_RESET',
      'all deadlines reached': 'Active + OpenSent in-1',
      accepted: 'Active + OpenSent in-2; NOTIFICATION 6/7 in-1; close in-1; OPEN in-2',
      'tcp fails on in': 'Active; abort in-1; failed SESSION_CONNECTION_LOST',
      'open on in': 'Active + OpenConfirm in-1; KEEPALIVE in-1',
      'open of another AS on in': 'Idle for 875 ms; NOTIFICATION 2/2 in-1; close in-1; failed SESSION_BAD_PEER_AS',
      'keepalive on in': 'Idle for 875 ms; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'update on in': 'Idle for 875 ms; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on in': 'Idle for 875 ms; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'notification 6/2 on in': 'Idle for 875 ms; close in-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/7 on in': 'Active; close in-1',
      'bad header on in': 'Idle for 875 ms; NOTIFICATION 1/1 in-1; close in-1; failed SESSION_HEADER_INVALID',
    },
    ignored: [
      'start',
      'no deadline reached',
      'connected',
      'sent',
      'blocked out',
      'drained out',
      'tcp fails on out',
      'open on out',
      'open of another AS on out',
      'keepalive on out',
      'update on out',
      'refresh on out',
      'notification 6/2 on out',
      'notification 6/7 on out',
      'bad header on out',
    ],
  },
  'Active + OpenConfirm': {
    answers: {
      'stop, silent': 'Idle, stopped; close in-1',
      'stop with Cease': 'Idle, stopped; NOTIFICATION 6/2 in-1; close in-1',
      reset: 'Idle for 875 ms; NOTIFICATION 6/2 in-1; close in-1; failed SESSION_RESET',
      'all deadlines reached': 'Active + OpenConfirm in-1',
      accepted: 'Active + OpenSent in-2; NOTIFICATION 6/7 in-1; close in-1; OPEN in-2',
      'tcp fails on in': 'Idle for 875 ms; abort in-1; failed SESSION_CONNECTION_LOST',
      'open on in': 'Idle for 875 ms; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'open of another AS on in':
        'Idle for 875 ms; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'keepalive on in': 'Established in-1; up in-1',
      'update on in': 'Idle for 875 ms; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on in': 'Idle for 875 ms; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'notification 6/2 on in': 'Idle for 875 ms; close in-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/7 on in': 'Active; close in-1',
      'bad header on in': 'Idle for 875 ms; NOTIFICATION 1/1 in-1; close in-1; failed SESSION_HEADER_INVALID',
    },
    ignored: [
      'start',
      'no deadline reached',
      'connected',
      'sent',
      'blocked out',
      'drained out',
      'tcp fails on out',
      'open on out',
      'open of another AS on out',
      'keepalive on out',
      'update on out',
      'refresh on out',
      'notification 6/2 on out',
      'notification 6/7 on out',
      'bad header on out',
    ],
  },
  'Connect + OpenSent': {
    answers: {
      'stop, silent': 'Idle, stopped; abort out-1; close in-1',
      'stop with Cease': 'Idle, stopped; abort out-1; NOTIFICATION 6/2 in-1; close in-1',
      reset: 'Idle for 875 ms; abort out-1; NOTIFICATION 6/2 in-1; close in-1; failed SESSION_RESET',
      'all deadlines reached': 'Active + OpenSent in-1; abort out-1; failed SESSION_CONNECT_TIMEOUT',
      connected: 'OpenSent out-1 + OpenSent in-1; OPEN out-1',
      accepted: 'Connect out-1 + OpenSent in-2; NOTIFICATION 6/7 in-1; close in-1; OPEN in-2',
      'tcp fails on out': 'Active + OpenSent in-1; abort out-1; failed SESSION_CONNECTION_LOST',
      'tcp fails on in': 'Connect out-1; abort in-1; failed SESSION_CONNECTION_LOST',
      'open on in': 'Connect out-1 + OpenConfirm in-1; KEEPALIVE in-1',
      'open of another AS on in': 'Connect out-1; NOTIFICATION 2/2 in-1; close in-1; failed SESSION_BAD_PEER_AS',
      'keepalive on in': 'Connect out-1; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'update on in': 'Connect out-1; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on in': 'Connect out-1; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'notification 6/2 on in': 'Connect out-1; close in-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/7 on in': 'Connect out-1; close in-1',
      'bad header on in': 'Connect out-1; NOTIFICATION 1/1 in-1; close in-1; failed SESSION_HEADER_INVALID',
    },
    ignored: [
      'start',
      'no deadline reached',
      'sent',
      'blocked out',
      'drained out',
      'open on out',
      'open of another AS on out',
      'keepalive on out',
      'update on out',
      'refresh on out',
      'notification 6/2 on out',
      'notification 6/7 on out',
      'bad header on out',
    ],
  },
  'Connect + OpenConfirm': {
    answers: {
      'stop, silent': 'Idle, stopped; abort out-1; close in-1',
      'stop with Cease': 'Idle, stopped; abort out-1; NOTIFICATION 6/2 in-1; close in-1',
      reset: 'Idle for 875 ms; abort out-1; NOTIFICATION 6/2 in-1; close in-1; failed SESSION_RESET',
      'all deadlines reached': 'Active + OpenConfirm in-1; abort out-1; failed SESSION_CONNECT_TIMEOUT',
      connected: 'OpenSent out-1 + OpenConfirm in-1; OPEN out-1',
      accepted: 'Connect out-1 + OpenSent in-2; NOTIFICATION 6/7 in-1; close in-1; OPEN in-2',
      'tcp fails on out': 'Active + OpenConfirm in-1; abort out-1; failed SESSION_CONNECTION_LOST',
      'tcp fails on in': 'Connect out-1; abort in-1; failed SESSION_CONNECTION_LOST',
      'open on in': 'Connect out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'open of another AS on in': 'Connect out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'keepalive on in': 'Established in-1; abort out-1; up in-1',
      'update on in': 'Connect out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on in': 'Connect out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'notification 6/2 on in': 'Connect out-1; close in-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/7 on in': 'Connect out-1; close in-1',
      'bad header on in': 'Connect out-1; NOTIFICATION 1/1 in-1; close in-1; failed SESSION_HEADER_INVALID',
    },
    ignored: [
      'start',
      'no deadline reached',
      'sent',
      'blocked out',
      'drained out',
      'open on out',
      'open of another AS on out',
      'keepalive on out',
      'update on out',
      'refresh on out',
      'notification 6/2 on out',
      'notification 6/7 on out',
      'bad header on out',
    ],
  },
  'OpenSent + OpenSent': {
    answers: {
      'stop, silent': 'Idle, stopped; close out-1; close in-1',
      'stop with Cease': 'Idle, stopped; NOTIFICATION 6/2 out-1; close out-1; NOTIFICATION 6/2 in-1; close in-1',
      reset:
        'Idle for 875 ms; NOTIFICATION 6/2 out-1; close out-1; NOTIFICATION 6/2 in-1; close in-1; failed SESSION_RESET',
      'all deadlines reached':
        'Active + OpenSent in-1; NOTIFICATION 4/0 out-1; close out-1; failed SESSION_OPEN_TIMEOUT',
      accepted: 'OpenSent out-1 + OpenSent in-2; NOTIFICATION 6/7 in-1; close in-1; OPEN in-2',
      'tcp fails on out': 'Active + OpenSent in-1; abort out-1; failed SESSION_CONNECTION_LOST',
      'tcp fails on in': 'OpenSent out-1; abort in-1; failed SESSION_CONNECTION_LOST',
      'open on out': 'OpenConfirm out-1 + OpenSent in-1; KEEPALIVE out-1',
      'open on in': 'OpenSent out-1 + OpenConfirm in-1; KEEPALIVE in-1',
      'open of another AS on out':
        'Active + OpenSent in-1; NOTIFICATION 2/2 out-1; close out-1; failed SESSION_BAD_PEER_AS',
      'open of another AS on in': 'OpenSent out-1; NOTIFICATION 2/2 in-1; close in-1; failed SESSION_BAD_PEER_AS',
      'keepalive on out':
        'Active + OpenSent in-1; NOTIFICATION 5/1 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'keepalive on in': 'OpenSent out-1; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'update on out': 'Active + OpenSent in-1; NOTIFICATION 5/1 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'update on in': 'OpenSent out-1; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on out':
        'Active + OpenSent in-1; NOTIFICATION 5/1 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on in': 'OpenSent out-1; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'notification 6/2 on out': 'Active + OpenSent in-1; close out-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/2 on in': 'OpenSent out-1; close in-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/7 on out': 'Active + OpenSent in-1; close out-1',
      'notification 6/7 on in': 'OpenSent out-1; close in-1',
      'bad header on out': 'Active + OpenSent in-1; NOTIFICATION 1/1 out-1; close out-1; failed SESSION_HEADER_INVALID',
      'bad header on in': 'OpenSent out-1; NOTIFICATION 1/1 in-1; close in-1; failed SESSION_HEADER_INVALID',
    },
    ignored: ['start', 'no deadline reached', 'connected', 'sent', 'blocked out', 'drained out'],
  },
  'OpenSent + OpenConfirm': {
    answers: {
      'stop, silent': 'Idle, stopped; close out-1; close in-1',
      'stop with Cease': 'Idle, stopped; NOTIFICATION 6/2 out-1; close out-1; NOTIFICATION 6/2 in-1; close in-1',
      reset:
        'Idle for 875 ms; NOTIFICATION 6/2 out-1; close out-1; NOTIFICATION 6/2 in-1; close in-1; failed SESSION_RESET',
      'all deadlines reached':
        'Active + OpenConfirm in-1; NOTIFICATION 4/0 out-1; close out-1; failed SESSION_OPEN_TIMEOUT',
      accepted: 'OpenSent out-1 + OpenSent in-2; NOTIFICATION 6/7 in-1; close in-1; OPEN in-2',
      'tcp fails on out': 'Active + OpenConfirm in-1; abort out-1; failed SESSION_CONNECTION_LOST',
      'tcp fails on in': 'OpenSent out-1; abort in-1; failed SESSION_CONNECTION_LOST',
      'open on out': 'Active + OpenConfirm in-1; NOTIFICATION 6/7 out-1; close out-1',
      'open on in': 'OpenSent out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'open of another AS on out':
        'Active + OpenConfirm in-1; NOTIFICATION 2/2 out-1; close out-1; failed SESSION_BAD_PEER_AS',
      'open of another AS on in':
        'OpenSent out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'keepalive on out':
        'Active + OpenConfirm in-1; NOTIFICATION 5/1 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'keepalive on in': 'Established in-1 + out-1; up in-1',
      'update on out':
        'Active + OpenConfirm in-1; NOTIFICATION 5/1 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'update on in': 'OpenSent out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on out':
        'Active + OpenConfirm in-1; NOTIFICATION 5/1 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on in': 'OpenSent out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'notification 6/2 on out': 'Active + OpenConfirm in-1; close out-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/2 on in': 'OpenSent out-1; close in-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/7 on out': 'Active + OpenConfirm in-1; close out-1',
      'notification 6/7 on in': 'OpenSent out-1; close in-1',
      'bad header on out':
        'Active + OpenConfirm in-1; NOTIFICATION 1/1 out-1; close out-1; failed SESSION_HEADER_INVALID',
      'bad header on in': 'OpenSent out-1; NOTIFICATION 1/1 in-1; close in-1; failed SESSION_HEADER_INVALID',
    },
    ignored: ['start', 'no deadline reached', 'connected', 'sent', 'blocked out', 'drained out'],
  },
  'OpenConfirm + OpenSent': {
    answers: {
      'stop, silent': 'Idle, stopped; close out-1; close in-1',
      'stop with Cease': 'Idle, stopped; NOTIFICATION 6/2 out-1; close out-1; NOTIFICATION 6/2 in-1; close in-1',
      reset:
        'Idle for 875 ms; NOTIFICATION 6/2 out-1; close out-1; NOTIFICATION 6/2 in-1; close in-1; failed SESSION_RESET',
      'all deadlines reached':
        'Active + OpenSent in-1; NOTIFICATION 4/0 out-1; close out-1; failed SESSION_HOLD_TIMER_EXPIRED',
      accepted: 'OpenConfirm out-1 + OpenSent in-2; NOTIFICATION 6/7 in-1; close in-1; OPEN in-2',
      'tcp fails on out': 'Active + OpenSent in-1; abort out-1; failed SESSION_CONNECTION_LOST',
      'tcp fails on in': 'OpenConfirm out-1; abort in-1; failed SESSION_CONNECTION_LOST',
      'open on out': 'Active + OpenSent in-1; NOTIFICATION 5/2 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'open on in': 'OpenConfirm out-1 + OpenConfirm in-1; KEEPALIVE in-1',
      'open of another AS on out':
        'Active + OpenSent in-1; NOTIFICATION 5/2 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'open of another AS on in': 'OpenConfirm out-1; NOTIFICATION 2/2 in-1; close in-1; failed SESSION_BAD_PEER_AS',
      'keepalive on out': 'Established out-1 + in-1; up out-1',
      'keepalive on in': 'OpenConfirm out-1; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'update on out': 'Active + OpenSent in-1; NOTIFICATION 5/2 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'update on in': 'OpenConfirm out-1; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on out':
        'Active + OpenSent in-1; NOTIFICATION 5/2 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on in': 'OpenConfirm out-1; NOTIFICATION 5/1 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'notification 6/2 on out': 'Active + OpenSent in-1; close out-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/2 on in': 'OpenConfirm out-1; close in-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/7 on out': 'Active + OpenSent in-1; close out-1',
      'notification 6/7 on in': 'OpenConfirm out-1; close in-1',
      'bad header on out': 'Active + OpenSent in-1; NOTIFICATION 1/1 out-1; close out-1; failed SESSION_HEADER_INVALID',
      'bad header on in': 'OpenConfirm out-1; NOTIFICATION 1/1 in-1; close in-1; failed SESSION_HEADER_INVALID',
    },
    ignored: ['start', 'no deadline reached', 'connected', 'sent', 'blocked out', 'drained out'],
  },
  'OpenConfirm + OpenConfirm': {
    answers: {
      'stop, silent': 'Idle, stopped; close out-1; close in-1',
      'stop with Cease': 'Idle, stopped; NOTIFICATION 6/2 out-1; close out-1; NOTIFICATION 6/2 in-1; close in-1',
      reset:
        'Idle for 875 ms; NOTIFICATION 6/2 out-1; close out-1; NOTIFICATION 6/2 in-1; close in-1; failed SESSION_RESET',
      'all deadlines reached':
        'Active + OpenConfirm in-1; NOTIFICATION 4/0 out-1; close out-1; failed SESSION_HOLD_TIMER_EXPIRED',
      accepted: 'OpenConfirm out-1 + OpenSent in-2; NOTIFICATION 6/7 in-1; close in-1; OPEN in-2',
      'tcp fails on out': 'Active + OpenConfirm in-1; abort out-1; failed SESSION_CONNECTION_LOST',
      'tcp fails on in': 'OpenConfirm out-1; abort in-1; failed SESSION_CONNECTION_LOST',
      'open on out':
        'Active + OpenConfirm in-1; NOTIFICATION 5/2 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'open on in': 'OpenConfirm out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'open of another AS on out':
        'Active + OpenConfirm in-1; NOTIFICATION 5/2 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'open of another AS on in':
        'OpenConfirm out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'keepalive on out': 'OpenConfirm out-1 + OpenConfirm in-1',
      'keepalive on in': 'Established in-1; NOTIFICATION 6/7 out-1; close out-1; up in-1',
      'update on out':
        'Active + OpenConfirm in-1; NOTIFICATION 5/2 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'update on in': 'OpenConfirm out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on out':
        'Active + OpenConfirm in-1; NOTIFICATION 5/2 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'refresh on in': 'OpenConfirm out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE',
      'notification 6/2 on out': 'Active + OpenConfirm in-1; close out-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/2 on in': 'OpenConfirm out-1; close in-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/7 on out': 'Active + OpenConfirm in-1; close out-1',
      'notification 6/7 on in': 'OpenConfirm out-1; close in-1',
      'bad header on out':
        'Active + OpenConfirm in-1; NOTIFICATION 1/1 out-1; close out-1; failed SESSION_HEADER_INVALID',
      'bad header on in': 'OpenConfirm out-1; NOTIFICATION 1/1 in-1; close in-1; failed SESSION_HEADER_INVALID',
    },
    ignored: ['start', 'no deadline reached', 'connected', 'sent', 'blocked out', 'drained out'],
  },
  'OpenConfirm, confirmed + OpenConfirm': {
    answers: {
      'stop, silent': 'Idle, stopped; close out-1; close in-1',
      'stop with Cease': 'Idle, stopped; NOTIFICATION 6/2 out-1; close out-1; NOTIFICATION 6/2 in-1; close in-1',
      reset:
        'Idle for 875 ms; NOTIFICATION 6/2 out-1; close out-1; NOTIFICATION 6/2 in-1; close in-1; failed SESSION_RESET',
      'all deadlines reached':
        'Active + OpenConfirm in-1; NOTIFICATION 4/0 out-1; close out-1; failed SESSION_HOLD_TIMER_EXPIRED',
      accepted: 'Established out-1 + in-2; NOTIFICATION 6/7 in-1; close in-1; OPEN in-2; up out-1',
      'tcp fails on out': 'Active + OpenConfirm in-1; abort out-1; failed SESSION_CONNECTION_LOST',
      'tcp fails on in': 'Established out-1; abort in-1; failed SESSION_CONNECTION_LOST; up out-1',
      'open on out':
        'Active + OpenConfirm in-1; NOTIFICATION 5/2 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'open on in': 'Established out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE; up out-1',
      'open of another AS on out':
        'Active + OpenConfirm in-1; NOTIFICATION 5/2 out-1; close out-1; failed SESSION_UNEXPECTED_MESSAGE',
      'open of another AS on in':
        'Established out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE; up out-1',
      'keepalive on out': 'OpenConfirm out-1 + OpenConfirm in-1',
      'keepalive on in': 'Established in-1; NOTIFICATION 6/7 out-1; close out-1; up in-1',
      'update on out': 'Established out-1; NOTIFICATION 6/7 in-1; close in-1; up out-1; deliver update',
      'update on in':
        'Established out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE; up out-1',
      'refresh on out': 'Established out-1; NOTIFICATION 6/7 in-1; close in-1; up out-1; deliver refresh',
      'refresh on in':
        'Established out-1; NOTIFICATION 5/2 in-1; close in-1; failed SESSION_UNEXPECTED_MESSAGE; up out-1',
      'notification 6/2 on out': 'Active + OpenConfirm in-1; close out-1; failed SESSION_PEER_SHUTDOWN',
      'notification 6/2 on in': 'Established out-1; close in-1; failed SESSION_PEER_SHUTDOWN; up out-1',
      'notification 6/7 on out': 'Active + OpenConfirm in-1; close out-1',
      'notification 6/7 on in': 'Established out-1; close in-1; up out-1',
      'bad header on out':
        'Active + OpenConfirm in-1; NOTIFICATION 1/1 out-1; close out-1; failed SESSION_HEADER_INVALID',
      'bad header on in':
        'Established out-1; NOTIFICATION 1/1 in-1; close in-1; failed SESSION_HEADER_INVALID; up out-1',
    },
    ignored: ['start', 'no deadline reached', 'connected', 'sent', 'blocked out', 'drained out'],
  },
} as const satisfies Partial<Record<StateName, Row>>;
