/** What an agent asks of the API server, by the server's own audit log, and what that is on the wire, by counters of the node's kernel. */
import { readFileSync } from 'node:fs';
import type { Host } from '#lab/host.ts';

export const AUDIT_LOG = '/run/log/audit.log';
const POLICY = '/run/audit-policy.json';
const policy = { apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules: [{ level: 'Metadata' }] };

/** Arguments of the API server, whose host must have the policy before it starts. */
export const auditArguments = [`--audit-policy-file=${POLICY}`, `--audit-log-path=${AUDIT_LOG}`] as const;
export const writeAuditPolicy = async (host: Host): Promise<void> => host.writeFile(POLICY, JSON.stringify(policy));

interface AuditLine {
  readonly auditID: string;
  readonly stage: 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';
  readonly verb: string;
  readonly requestReceivedTimestamp: string;
  readonly user: { readonly username: string };
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string };
}

export interface Asked {
  /** By verb and resource, as they came. */
  readonly requests: readonly string[];
  /** Watches that began and have not ended. */
  readonly watches: number;
}

function* linesOf(server: Host, user: string): Iterable<AuditLine> {
  for (const text of readFileSync(server.path(AUDIT_LOG), 'utf8').split('\n')) {
    if (!text.includes(user)) continue;
    const line = JSON.parse(text) as AuditLine;
    if (line.user.username === user) yield line;
  }
}

function nameOf({ verb, objectRef }: AuditLine): string {
  const { resource = '?', subresource } = objectRef ?? {};
  return `${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`;
}

/** Everything that this user has asked so far. */
export function askedBy(server: Host, user: string): Asked {
  const began = new Map<string, string>();
  const open = new Set<string>();
  for (const line of linesOf(server, user)) {
    began.set(line.auditID, nameOf(line));
    if (line.verb !== 'watch') continue;
    if (line.stage === 'ResponseComplete') open.delete(line.auditID);
    else open.add(line.auditID);
  }
  return { requests: [...began.values()], watches: open.size };
}

/** Milliseconds since the epoch at which the user asked for this first: `watch endpointslices`. */
export function firstAsked(server: Host, user: string, what: string): number | undefined {
  for (const line of linesOf(server, user)) if (nameOf(line) === what) return Date.parse(line.requestReceivedTimestamp);
  return undefined;
}

/** `3 create ipblocks, 2 get nodes`: of the requests after the first so many. */
export function tally(requests: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const one of requests) counts.set(one, (counts.get(one) ?? 0) + 1);
  return [...counts].map(([what, count]) => `${count} ${what}`).join(', ') || 'none';
}

const PORT = 6443;

/** Connections of this host to the API server. */
export async function connectionsOf(node: Host): Promise<number> {
  const listed = await node.run(['ss', '-Htn', 'state', 'established', `( dport = :${PORT} )`]);
  return listed.split('\n').filter((line) => line !== '').length;
}

/** Counts from now on what goes between this host and the API server. */
export async function countTraffic(node: Host): Promise<void> {
  const rules = `table inet bench {
  counter to { }
  counter from { }
  chain out { type filter hook output priority 0; tcp dport ${PORT} counter name to; }
  chain in { type filter hook input priority 0; tcp sport ${PORT} counter name from; }
}`;
  await node.run(['nft', '-f', '-'], { input: rules });
}

/** Octets of whole IP packets, both ways together. */
export async function trafficBytes(node: Host): Promise<number> {
  const listed = await node.run(['nft', '-j', 'list', 'counters', 'table', 'inet', 'bench']);
  const { nftables } = JSON.parse(listed) as { readonly nftables: readonly { counter?: { bytes: number } }[] };
  return nftables.reduce((total, { counter }) => total + (counter?.bytes ?? 0), 0);
}
