/**
 * Writes into the files of `captured/` what this program makes of each message, where nothing is expected yet. A
 * person then compares it with the daemon's configuration in `daemons.ts`; only that makes it an expectation.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeMessage } from '#bgp/wire/message.ts';
import type { WireContext } from '#bgp/wire/messages.ts';
import { bytesOf, describeMessage, hexOf } from '../describe.ts';
import type { Json } from '../describe.ts';
import { rewrite } from '../rewrite.ts';

interface Captured {
  readonly context: WireContext;
  messages: { readonly type: number; readonly hex: string; readonly expected?: Json }[];
}

const folder = join(import.meta.dirname, '..', 'captured');
for (const name of readdirSync(folder)) {
  const path = join(folder, name);
  const file = JSON.parse(readFileSync(path, 'utf8')) as Captured;
  file.messages = file.messages.map((message) => {
    if (message.expected !== undefined) return message;
    const decoded = decodeMessage({ type: message.type, bytes: bytesOf(message.hex) }, file.context);
    if (!decoded.ok) throw new Error(`${name}: ${decoded.error.text}`);
    const canonical = hexOf(rewrite(decoded.value, file.context)) === message.hex;
    return { ...message, canonical, expected: describeMessage(decoded.value, file.context) };
  });
  writeFileSync(path, `${JSON.stringify(file, undefined, 2)}\n`);
}
