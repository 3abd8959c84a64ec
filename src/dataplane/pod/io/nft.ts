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
import { systemError } from '#linux/libc.ts';

const NFT_TIMEOUT_MS = 10_000;
const LONGEST_COMPLAINT = 2000;

function namelessFile(text: string): number {
  const path = join(tmpdir(), `flatroute-nft-${randomUUID()}`);
  let fd: number | undefined;
  try {
    fd = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
    writeSync(fd, text);
    return fd;
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    throw systemError('write', path, error);
  }
}

/**
 * Errors: AppError `OS_NFT_MISSING` when there is no such program, `OS_NFT_REFUSED` with its words when it fails, `OS_*` when
 * there is no room for the file.
 */
export async function applyRuleset(ruleset: object): Promise<void> {
  const stdin = namelessFile(JSON.stringify(ruleset));
  await new Promise<void>((resolve, reject) => {
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
