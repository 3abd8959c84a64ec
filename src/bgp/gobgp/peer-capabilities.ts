/** Capabilities that a peer sent, from either interface, as the ones of our own sessions. PURE. What is not known is left out. */
import type { Capability } from '../wire/messages.ts';
import { type Fields, fieldsOf, isAny, typeOfAny } from './fields.ts';
import type { CapabilityMessage, FamilyMessage } from './messages.ts';

const familyIn = (fields: Fields): FamilyMessage => {
  const family = fieldsOf(fields.all(1)[0] ?? new Uint8Array(0));
  return { afi: family.number(1), safi: family.number(2) };
};

const tuplesIn = (fields: Fields, field: number): readonly Fields[] => fields.all(field).map(fieldsOf);

/** R and N (RFC 4724 §3, RFC 8538 §2) stand in the four bits of the flags, F in the highest of a family's. */
const restartFlag = 0x8;
const notificationFlag = 0x4;
const forwardingFlag = 0x80;

/** By the name of the message in version 3; version 4 has a field for each, named in `fieldNames`. */
const readers: Readonly<Record<string, (fields: Fields) => Capability>> = {
  MultiProtocolCapability: (fields) => ({ kind: 'multiprotocol', ...familyIn(fields) }),
  RouteRefreshCapability: () => ({ kind: 'routeRefresh' }),
  EnhancedRouteRefreshCapability: () => ({ kind: 'enhancedRouteRefresh' }),
  FourOctetASNCapability: (fields) => ({ kind: 'fourOctetAs', asn: fields.number(1) }),
  ExtendedNexthopCapability: (fields) => ({
    kind: 'extendedNextHop',
    tuples: tuplesIn(fields, 1).map((tuple) => ({
      ...familyIn(tuple),
      nextHopAfi: fieldsOf(tuple.all(2)[0] ?? new Uint8Array(0)).number(1),
    })),
  }),
  GracefulRestartCapability: (fields) => ({
    kind: 'gracefulRestart',
    restarted: (fields.number(1) & restartFlag) !== 0,
    notification: (fields.number(1) & notificationFlag) !== 0,
    restartTimeSeconds: fields.number(2),
    families: tuplesIn(fields, 3).map((tuple) => ({
      ...familyIn(tuple),
      forwarding: (tuple.number(2) & forwardingFlag) !== 0,
    })),
  }),
  LongLivedGracefulRestartCapability: (fields) => ({
    kind: 'longLivedGracefulRestart',
    families: tuplesIn(fields, 1).map((tuple) => ({
      ...familyIn(tuple),
      forwarding: (tuple.number(2) & forwardingFlag) !== 0,
      staleTimeSeconds: tuple.number(3),
    })),
  }),
  AddPathCapability: (fields) => ({
    kind: 'addPath',
    families: tuplesIn(fields, 1).map((tuple) => ({
      ...familyIn(tuple),
      receive: (tuple.number(2) & 1) !== 0,
      send: (tuple.number(2) & 2) !== 0,
    })),
  }),
};

const fieldNames: Readonly<Record<string, string>> = {
  multiProtocol: 'MultiProtocolCapability',
  routeRefresh: 'RouteRefreshCapability',
  enhancedRouteRefresh: 'EnhancedRouteRefreshCapability',
  fourOctetAsn: 'FourOctetASNCapability',
  extendedNexthop: 'ExtendedNexthopCapability',
  gracefulRestart: 'GracefulRestartCapability',
  longLivedGracefulRestart: 'LongLivedGracefulRestartCapability',
  addPath: 'AddPathCapability',
};

function carried(message: CapabilityMessage): { readonly type: string; readonly value: Uint8Array } | undefined {
  if (isAny(message)) return { type: typeOfAny(message), value: message.value };
  const field = message['cap'];
  const value = typeof field === 'string' ? message[field] : undefined;
  const type = typeof field === 'string' ? fieldNames[field] : undefined;
  return type !== undefined && value instanceof Uint8Array ? { type, value } : undefined;
}

export function capabilitiesOf(messages: readonly CapabilityMessage[]): Capability[] {
  return messages.flatMap((message) => {
    const capability = carried(message);
    if (capability === undefined) return [];
    return readers[capability.type]?.(fieldsOf(capability.value)) ?? [];
  });
}
