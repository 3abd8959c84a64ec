/**
 * Takes the nexthops of a failed path out of the kernel: RTM_DELNEXTHOP of a member takes it out of every group, one
 * message however many routes use them. On a netlink socket of its own, opened beforehand. Only ids of our range are
 * ever deleted, and none is ever made here.
 */
import type { DesiredBfdSession } from '#bgp/bfd/control-messages.ts';
import { NEXTHOP_ID_COUNT, NEXTHOP_ID_FIRST } from '#dataplane/kernel-names.ts';
import { ENOENT } from '#linux/errno.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { appendDelNexthop } from '#netlink/wire/nexthop.ts';
import type { LogFunction } from './log.ts';

const isOurs = (id: number): boolean => id >= NEXTHOP_ID_FIRST && id < NEXTHOP_ID_FIRST + NEXTHOP_ID_COUNT;

export class FailedNexthops {
  readonly #socket = NetlinkSocket.open();
  readonly #batch = new MessageBatch(1024);
  readonly #log: LogFunction;

  constructor(log: LogFunction) {
    this.#log = log;
  }

  remove({ name, nexthops }: DesiredBfdSession): void {
    const ids = nexthops.filter(isOurs);
    const foreign = nexthops.filter((id) => !isOurs(id));
    if (foreign.length > 0) this.#log('error', 'bfd.nexthops.foreign', { name, ids: foreign });
    if (ids.length === 0) return;
    const started = performance.now();
    this.#batch.clear();
    for (const id of ids) appendDelNexthop(this.#batch, id);
    const { failures } = this.#socket.execute(this.#batch);
    const milliseconds = Number((performance.now() - started).toFixed(2));
    // What is gone already was the purpose.
    const refused = failures
      .filter(({ errno }) => errno !== ENOENT)
      .map(({ index, name: error }) => ({ id: ids[index], error }));
    const level = refused.length === 0 ? 'info' : 'error';
    this.#log(level, 'bfd.nexthops.deleted', { name, ids, milliseconds, refused });
  }

  close(): void {
    this.#socket.close();
  }
}
