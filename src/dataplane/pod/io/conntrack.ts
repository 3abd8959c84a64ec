/**
 * Deletes the connection tracking entries of addresses that are about to be given to other pods: an established TCP entry
 * lives five days, and a translation in it would send a new pod's traffic where the old one's went. One pass over the table per call.
 */
import { readFileSync } from 'node:fs';
import { addressBytes, type Family, familyOf, type IpAddress } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { ENOENT } from '#linux/errno.ts';
import { NETLINK_NETFILTER } from '#linux/socket.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import {
  appendDelConntrack,
  appendDumpConntrack,
  type ConntrackEntry,
  decodeConntrack,
} from '#netlink/wire/conntrack.ts';

const CONNTRACK_COUNT = '/proc/sys/net/netfilter/nf_conntrack_count';
const DELETES_PER_REQUEST = 500;
/** EINVAL and friends of a kernel that has no ctnetlink: nothing is tracked that we could delete. */
const absentCodes = new Set(['OS_EPROTONOSUPPORT', 'OS_EAFNOSUPPORT']);

export class Conntrack {
  #socket: NetlinkSocket | undefined;
  readonly #batch = new MessageBatch(65536);

  /** `undefined` where the kernel tracks no connections. Errors: AppError `OS_*`. */
  static open(): Conntrack | undefined {
    try {
      return new Conntrack(NetlinkSocket.open({ protocol: NETLINK_NETFILTER }));
    } catch (error) {
      if (error instanceof AppError && absentCodes.has(error.code)) return undefined;
      throw error;
    }
  }

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  /** No connection at all is tracked in the calling thread's namespace; false where the kernel does not say. */
  isEmpty(): boolean {
    try {
      return readFileSync(CONNTRACK_COUNT, 'utf8').trim() === '0';
    } catch {
      return false;
    }
  }

  /** Deletes what has one of the addresses as source or destination in either direction; answers how many entries that were. */
  forget(addresses: readonly IpAddress[]): number {
    let deleted = 0;
    for (const family of ['ipv4', 'ipv6'] as const) {
      const wanted = new Set(
        addresses
          .filter((address) => familyOf(address) === family)
          .map((address) => Buffer.from(addressBytes(address)).toString('hex')),
      );
      if (wanted.size > 0) deleted += this.#forgetFamily(family, (address) => wanted.has(address));
    }
    return deleted;
  }

  #forgetFamily(family: Family, isWanted: (address: string) => boolean): number {
    const socket = this.#socket;
    if (socket === undefined) return 0;
    const found = socket.dumpList<ConntrackEntry>(
      (batch) => appendDumpConntrack(batch, family),
      (reader, message) => decodeConntrack(reader, message, isWanted),
    );
    // A kernel without connection tracking refuses the dump; an overrun is told.
    if (!found.ok) {
      if (found.error.kind === 'refused') return 0;
      throw new AppError('OS_CONNTRACK_DUMP', `the connection tracking table cannot be read: ${found.error.kind}`, {
        retry: 'backoff',
      });
    }
    for (let from = 0; from < found.value.length; from += DELETES_PER_REQUEST) {
      this.#batch.clear();
      for (const entry of found.value.slice(from, from + DELETES_PER_REQUEST)) appendDelConntrack(this.#batch, entry);
      const failure = socket.execute(this.#batch).failures.find((one) => one.errno !== ENOENT);
      if (failure !== undefined)
        throw new AppError('OS_CONNTRACK_DELETE', `a connection tracking entry cannot be deleted: ${failure.name}`, {
          retry: 'backoff',
        });
    }
    return found.value.length;
  }
}
