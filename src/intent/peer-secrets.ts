/**
 * What a peer's session is signed with, from Secrets. What is missing or cannot be a key is a complaint, which holds the
 * session down. No complaint shows a value.
 */
import type { PeerIntent, TcpAoKey } from '#bgp/engine.ts';
import type { BGPPeer } from '#resources/bgp-peer.ts';
import { secretValue } from '#resources/core.ts';
import type { Secret } from '#resources/core.ts';
import { secretNamespace } from '#resources/kind.ts';
import { secretNamespaceOf } from '#resources/resource-set.ts';
import type { Complaint } from './node.ts';

/** Of the kernel, for TCP MD5 (RFC 2385) and TCP-AO (RFC 5925) alike. */
const longestKey = 80;

interface Wanted {
  readonly reference: { readonly name: string; readonly key: string };
  /** The field that names the Secret, and what it is to hold. */
  readonly field: string;
  readonly what: string;
}

export function passwordOf(
  peer: BGPPeer,
  secrets: readonly Secret[],
): { readonly text: string | undefined; readonly complaints: readonly Complaint[] } {
  const reference = peer.spec.password?.secretKeyRef;
  if (reference === undefined) return { text: undefined, complaints: [] };
  const found = keyText({ reference, field: 'spec.password', what: 'TCP MD5 password' }, secrets);
  return typeof found === 'string' ? { text: found, complaints: [] } : { text: undefined, complaints: [found] };
}

const algorithms = { HMACSHA1: 'hmac-sha1', AES128CMAC: 'aes-128-cmac', HMACSHA256: 'hmac-sha256' } as const;

/** All keys or none: one that is missing could be the one that the router signs with. */
export function tcpAoOf(
  peer: BGPPeer,
  secrets: readonly Secret[],
): { readonly keys: PeerIntent['tcpAo']; readonly complaints: readonly Complaint[] } {
  const wanted = peer.spec.authentication?.tcpAO.keys;
  if (wanted === undefined) return { keys: undefined, complaints: [] };
  const keys: TcpAoKey[] = [];
  const complaints: Complaint[] = [];
  for (const { sendID, receiveID, algorithm, secretKeyRef: reference } of wanted) {
    const found = keyText({ reference, field: 'spec.authentication', what: 'TCP-AO key' }, secrets);
    if (typeof found === 'string')
      keys.push({ sendId: sendID, receiveId: receiveID, algorithm: algorithms[algorithm], key: found });
    else complaints.push(found);
  }
  return complaints.length === 0 ? { keys, complaints } : { keys: undefined, complaints };
}

function keyText({ reference, field, what }: Wanted, secrets: readonly Secret[]): string | Complaint {
  const missing = (message: string): Complaint => ({ reason: 'SecretMissing', message });
  const invalid = (message: string): Complaint => ({ reason: 'SecretInvalid', message });
  const named = secrets.filter((it) => it.metadata.name === reference.name);
  const secret = named.find((it) => secretNamespaceOf(it) === secretNamespace);
  if (secret === undefined) {
    const [elsewhere] = named;
    const where = elsewhere === undefined ? '' : ` One of that name is in namespace ${secretNamespaceOf(elsewhere)}.`;
    return missing(
      `Secret ${reference.name} does not exist in namespace ${secretNamespace}.${where} Create it with key ${reference.key}, or correct ${field}.`,
    );
  }
  const bytes = secretValue(secret, reference.key);
  if (bytes === undefined)
    return missing(`Secret ${reference.name} has no key ${reference.key}. Add it, or correct ${field}.`);
  const place = `Secret ${reference.name}, key ${reference.key},`;
  if (bytes.length === 0 || bytes.length > longestKey)
    return invalid(`${place} has ${bytes.length} bytes; a ${what} has 1 to ${longestKey}.`);
  if (bytes.some((byte) => byte === 10 || byte === 13 || byte === 0))
    return invalid(
      `${place} holds a line break or a zero byte, which no router's configuration can hold; write the value without one (printf, not echo).`,
    );
  const text = Buffer.from(bytes).toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes) ? text : invalid(`${place} is not UTF-8 text.`);
}
