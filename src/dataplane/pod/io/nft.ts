/**
 * Hands a ruleset to the `nft` program as JSON on stdin: one transaction, all or nothing. nft opens `/dev/stdin` by its
 * name, which Linux refuses for the socket that Node calls a pipe (ENXIO); so its stdin is a file that has no name any more.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppError } from '#lib/result.ts';
import { NETLINK_NETFILTER } from '#linux/socket.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { appendGetRulesetGeneration, decodeRulesetGeneration } from '#netlink/wire/ruleset.ts';
import type { DataplaneIntent } from '../../intent.ts';
import { NFT_TABLE } from '../../kernel-names.ts';
import { OUTGOING_CHAIN, outgoingRules, PODS_CHAIN, podRuleCount, podRules } from '../ruleset.ts';

const NFT_TIMEOUT_MS = 10_000;
const LONGEST_COMPLAINT = 2000;

function namelessFile(text: string): number {
  const path = join(tmpdir(), `flatroute-nft-${randomUUID()}`);
  const fd = openSync(path, 'wx+', 0o600);
  try {
    unlinkSync(path);
    writeSync(fd, text);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/** Errors: AppError `OS_NFT_MISSING` when there is no such program, `OS_NFT_REFUSED` with its words when it fails. */
export function applyRuleset(ruleset: object): Promise<void> {
  const stdin = namelessFile(JSON.stringify(ruleset));
  return new Promise<void>((resolve, reject) => {
    const child = spawn('nft', ['-j', '-f', '-'], { stdio: [stdin, 'ignore', 'pipe'], timeout: NFT_TIMEOUT_MS });
    let complaint = '';
    child.stderr?.setEncoding('utf8');
    child.stderr?.on('data', (text: string) => {
      complaint = (complaint + text).slice(0, LONGEST_COMPLAINT);
    });
    child.once('error', (cause) =>
      reject(new AppError('OS_NFT_MISSING', 'the nft program cannot be run; install nftables', { cause })),
    );
    child.once('close', (code, signal) => {
      if (code === 0) return resolve();
      const words = complaint.trim() || (signal ?? `exit code ${code}`);
      const data = { exitCode: code ?? -1 };
      return reject(new AppError('OS_NFT_REFUSED', `nft refused the ruleset: ${words}`, { retry: 'backoff', data }));
    });
  }).finally(() => closeSync(stdin));
}

/**
 * A number that every change of any rules in the calling thread's namespace makes one greater; `undefined` when the kernel
 * does not tell. Costs a few system calls, where a look by the program costs a process.
 */
export function rulesetGeneration(): number | undefined {
  let socket: NetlinkSocket | undefined;
  try {
    socket = NetlinkSocket.open({ protocol: NETLINK_NETFILTER });
    const batch = new MessageBatch(64);
    appendGetRulesetGeneration(batch);
    let generation: number | undefined;
    socket.execute(batch, (_, reader, message) => {
      generation = decodeRulesetGeneration(reader, message) ?? generation;
    });
    return generation;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return undefined;
  } finally {
    socket?.close();
  }
}

/** What nft lists, with the words after `list`; `undefined` when it is not there. Errors: AppError `OS_NFT_MISSING`. */
function list(options: readonly string[], words: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn('nft', [...options, 'list', ...words], {
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: NFT_TIMEOUT_MS,
    });
    let text = '';
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (chunk: string) => {
      text += chunk;
    });
    child.once('error', (cause) =>
      reject(new AppError('OS_NFT_MISSING', 'the nft program cannot be run; install nftables', { cause })),
    );
    child.once('close', (code) => resolve(code === 0 ? text : undefined));
  });
}

/** The chain of natOutgoing as nft prints it; `undefined` when it is not there. Errors: AppError `OS_NFT_MISSING`. */
export const readOutgoingRules = (): Promise<string | undefined> =>
  list([], ['chain', 'inet', NFT_TABLE, OUTGOING_CHAIN]);

/** Whether the chain against spoofing is there with as many rules as it must have; false where nft cannot be run. */
export async function podRulesStand(): Promise<boolean> {
  const text = await list(['-j'], ['chain', 'inet', NFT_TABLE, PODS_CHAIN]).catch(() => undefined);
  if (text === undefined) return false;
  const { nftables } = JSON.parse(text) as { readonly nftables: readonly object[] };
  return nftables.filter((one) => 'rule' in one).length === podRuleCount();
}

/** The rules against spoofing; needed before the first pod is live. */
export const applyPodRules = (): Promise<void> => applyRuleset(podRules());
/** natOutgoing; independent of the rules against spoofing. */
export const applyOutgoingRules = (intent: DataplaneIntent): Promise<void> => applyRuleset(outgoingRules(intent));
