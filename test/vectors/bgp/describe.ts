/**
 * A decoded message as plain JSON, for comparing with the expectations in the vector files: octets as hexadecimal,
 * NLRI as prefixes, attributes that are not there left out.
 */
import { decodeAttributes } from '#bgp/wire/attributes.ts';
import type { AttributesVerdict, Message, NlriBlock, Reset, UpdateMessage, WireContext } from '#bgp/wire/messages.ts';
import { routesOf } from '#bgp/wire/nlri.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));

/** Octets to hexadecimal; `undefined`, `false` and empty lists are left out. */
export function plain(value: unknown): Json {
  if (value instanceof Uint8Array) return hexOf(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value as Json;
  const entries = Object.entries(value).filter(
    ([, v]) => v !== undefined && v !== false && !(Array.isArray(v) && v.length === 0),
  );
  return Object.fromEntries(entries.map(([key, v]) => [key, plain(v)]));
}

export const describeVerdict = (verdict: AttributesVerdict): Json =>
  verdict.kind === 'accept'
    ? plain({ ...verdict.attributes, discarded: verdict.discarded })
    : verdict.kind === 'reset'
      ? { reset: describeReset(verdict.reset) }
      : { treatAsWithdraw: verdict.text };

export const describeReset = (reset: Reset): Json => plain({ ...reset });

/** `10.0.0.0/8`, or with its path identifier `10.0.0.0/8 path 7`. */
const routeTexts = (block: NlriBlock): string[] =>
  routesOf(block).map(({ prefix, pathId }) => (pathId === undefined ? prefix : `${prefix} path ${pathId}`));

function describeUpdate(update: UpdateMessage, context: WireContext): Json {
  const hasClassicNlri = update.reachable.some((part) => part.nextHop === undefined);
  return plain({
    kind: 'update',
    withdrawn: update.withdrawn.flatMap(routeTexts),
    reachable: update.reachable.map((part) => ({ prefixes: routeTexts(part.nlri), nextHop: part.nextHop })),
    attributes:
      update.reachable.length === 0
        ? undefined
        : describeVerdict(decodeAttributes(update.attributes, context, { hasClassicNlri })),
    endOfRib: update.endOfRib,
    treatAsWithdraw: update.treatAsWithdraw,
    ignored: update.ignored,
  });
}

export const describeMessage = (message: Message, context: WireContext): Json =>
  message.kind === 'update' ? describeUpdate(message, context) : plain(message);
