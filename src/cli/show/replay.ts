/** Steps of a recorded session in words. PURE. */
import { assertNever } from '#lib/result.ts';
import type { Effect, Event } from '#bgp/session/events.ts';
import { type State, sessionStateOf } from '#bgp/session/state.ts';
import { decodeAttributes } from '#bgp/wire/attributes.ts';
import { formatCapability } from '#bgp/wire/capabilities.ts';
import { formatAsPath } from '#bgp/wire/format.ts';
import type { NlriBlock, OpenMessage, WireContext } from '#bgp/wire/messages.ts';
import { identifierText } from '#bgp/wire/negotiate.ts';
import { prefixesOf } from '#bgp/wire/nlri.ts';
import { describeNotification } from '#bgp/wire/notification.ts';
import { asnOfOpen } from '#bgp/wire/open.ts';
import { splitUpdate } from '#bgp/wire/update.ts';

/** Prefixes of one message that are named; the rest is a number. */
const mostNamed = 6;

const openText = (open: OpenMessage): string =>
  `OPEN: AS ${asnOfOpen(open)}, identifier ${identifierText(open.identifier)}, hold time ${open.holdTimeSeconds} s, ${open.capabilities.map(formatCapability).join(', ') || 'no capabilities'}`;

function prefixesText(blocks: readonly NlriBlock[]): string {
  const all = blocks.flatMap((block) => prefixesOf(block));
  const rest = all.length - mostNamed;
  return `${all.slice(0, mostNamed).join(' ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

function updateText(body: Uint8Array, context: WireContext | undefined): string {
  if (context === undefined) return `UPDATE of ${body.length} octets`;
  const split = splitUpdate(body, context);
  if (!split.ok) return `UPDATE that is wrong: ${split.error.text}`;
  const { withdrawn, reachable, attributes, endOfRib, treatAsWithdraw } = split.value;
  if (endOfRib !== undefined) return `UPDATE: End-of-RIB ${endOfRib}`;
  const parts: string[] = [];
  if (withdrawn.length > 0) parts.push(`withdraws ${prefixesText(withdrawn)}`);
  if (reachable.length > 0) {
    const hasClassicNlri = reachable.some(({ nextHop }) => nextHop === undefined);
    const verdict = decodeAttributes(attributes, context, { hasClassicNlri });
    const nextHop =
      reachable[0]?.nextHop?.global ?? (verdict.kind === 'accept' ? verdict.attributes.nextHop : undefined);
    const how =
      verdict.kind === 'accept'
        ? `path ${formatAsPath(verdict.attributes.asPath) || 'empty'}`
        : verdict.kind === 'reset'
          ? `wrong: ${verdict.reset.text}`
          : `treated as withdrawn: ${verdict.text}`;
    parts.push(`announces ${prefixesText(reachable.map(({ nlri }) => nlri))} via ${nextHop ?? 'no next hop'}, ${how}`);
  }
  if (treatAsWithdraw !== undefined) parts.push(`treated as withdrawn: ${treatAsWithdraw}`);
  return `UPDATE: ${parts.join('; ') || 'nothing'}`;
}

/** What happened. `before` is the state that it happened in: it says how an UPDATE is to be read. */
export function eventText(event: Event, before: State): string {
  switch (event.kind) {
    case 'start':
      return 'started';
    case 'stop':
      return event.how === 'silent' ? 'stopped, TCP closed without a word' : `stopped: ${event.how.text}`;
    case 'resetRequested':
      return `reset asked for: ${event.reset.text}`;
    case 'deadlineReached':
      return 'a timer ended';
    case 'tcpConnected':
      return `${event.connection} connected`;
    case 'tcpAccepted':
      return `${event.connection} accepted`;
    case 'tcpFails':
      return `${event.connection} ${event.error.text} (${event.error.code})`;
    case 'openReceived':
      return `${event.connection} receives ${openText(event.open)}`;
    case 'notificationReceived': {
      const { code, subcode, data } = event.notification;
      return `${event.connection} receives NOTIFICATION ${code}/${subcode}: ${describeNotification(code, subcode, data)}`;
    }
    case 'keepaliveReceived':
      return `${event.connection} receives KEEPALIVE`;
    case 'updateReceived':
      return `${event.connection} receives ${updateText(event.body, before.kind === 'Established' ? before.agreement.context : undefined)}`;
    case 'routeRefreshReceived':
      return `${event.connection} receives ROUTE-REFRESH ${event.message.afi}/${event.message.safi}, subtype ${event.message.subtype}`;
    case 'messageInvalid':
      return `${event.connection} received what is wrong (${event.message}): ${event.reset.text}`;
    case 'messageSent':
      return 'routes were sent';
    case 'sendQueue':
      return `${event.connection} send queue ${event.now}`;
  }
  return assertNever(event, 'session event');
}

/** What was to be done. */
export function effectText(effect: Effect): string {
  switch (effect.kind) {
    case 'openConnection':
      return `connects, as ${effect.connection}`;
    case 'closeConnection':
      return `${effect.how === 'abort' ? 'drops' : 'closes'} ${effect.connection}`;
    case 'send': {
      const { message } = effect;
      if (message.kind === 'open') return `sends ${openText(message)}`;
      if (message.kind === 'keepalive') return 'sends KEEPALIVE';
      const { code, subcode, data } = message;
      return `sends NOTIFICATION ${code}/${subcode}: ${describeNotification(code, subcode, data)}`;
    }
    case 'sessionUp':
      return `session is up on ${effect.connection}, families ${effect.agreement.context.families.join(' ')}`;
    case 'sessionDown':
      return `session is down: ${effect.reason.text} (${effect.reason.code})${effect.reason.keepRoutes ? '; routes are kept' : ''}`;
    case 'failed':
      return `failed: ${effect.error.text} (${effect.error.code})`;
    case 'deliverUpdate':
      return 'hands it to the routing table';
    case 'deliverRouteRefresh':
      return 'hands it to the routing table';
  }
  return assertNever(effect, 'session effect');
}

export const stateText = (state: State): string => sessionStateOf(state);
