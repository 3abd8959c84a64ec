/** A decoded message back to octets, the way the speaker would write it. */
import { decodeAttributes, encodeAttributes } from '#bgp/wire/attributes.ts';
import { encodeMessage } from '#bgp/wire/message.ts';
import type { Message, UpdateMessage, WireContext } from '#bgp/wire/messages.ts';
import { nextHopBytes } from '#bgp/wire/next-hop.ts';
import { UpdateWriter } from '#bgp/wire/update-writer.ts';

export function rewrite(message: Message, context: WireContext): Uint8Array {
  return message.kind === 'update' ? rewriteUpdate(message, context) : encodeMessage(message);
}

function rewriteUpdate(update: UpdateMessage, context: WireContext): Uint8Array {
  // As the peer writes it.
  const addPath = context.addPath && { receive: context.addPath.send, send: context.addPath.receive };
  const writer = new UpdateWriter({ ...context, addPath });
  for (const block of update.withdrawn) {
    writer.beginWithdraw(block.family);
    writer.nlri(block.bytes);
  }
  for (const { nlri, nextHop } of update.reachable) {
    const verdict = decodeAttributes(update.attributes, context, { hasClassicNlri: nextHop === undefined });
    if (verdict.kind !== 'accept') throw new Error(`cannot be written again: ${verdict.kind}`);
    const attributes = encodeAttributes(verdict.attributes, context);
    const hop = nextHop === undefined ? undefined : nextHopBytes(nextHop.global, nextHop.linkLocal);
    if (!writer.beginReach(attributes, nlri.family, hop)) throw new Error('no room for the attributes');
    writer.nlri(nlri.bytes);
  }
  if (update.endOfRib !== undefined) writer.endOfRib(update.endOfRib);
  return writer.take();
}
