/** What NetlinkSocket may rely on in a DatagramPort: the same tests for the kernel's and for the fake one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Prefix } from '#lib/ip.ts';
import type { DatagramPort } from '#netlink/io/datagram-port.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { NLM_F, RT_TABLE, RTN } from '#netlink/wire/constants.ts';
import { appendDelRoute, appendDumpRoutes, appendNewRoute, decodeRoute } from '#netlink/wire/route.ts';

export function datagramPortContract(open: () => DatagramPort): void {
  const hole = (i: number) => ({ prefix: `30.0.${i}.0/24` as Prefix, protocol: 179, type: RTN.BLACKHOLE, metric: 7 });
  const dump = (socket: NetlinkSocket): readonly string[] => {
    const dumped = socket.dumpList(
      (one) => appendDumpRoutes(one, { family: 'ipv4', table: RT_TABLE.MAIN }),
      decodeRoute,
    );
    if (!dumped.ok) return [JSON.stringify(dumped.error)];
    return dumped.value.filter((route) => route.protocol === 179).map((route) => `${route.prefix} ${route.metric}`);
  };

  test('a batch takes effect, is answered once, and is seen in a dump', () => {
    const socket = new NetlinkSocket(open());
    const batch = new MessageBatch();
    for (let i = 0; i < 5; i++) appendNewRoute(batch, NLM_F.CREATE | NLM_F.EXCL, hole(i));
    assert.deepEqual(socket.execute(batch), { failures: [], overrun: false });
    assert.deepEqual(
      [...dump(socket)].sort(),
      [0, 1, 2, 3, 4].map((i) => `30.0.${i}.0/24 7`),
    );
    batch.clear();
    for (let i = 0; i < 5; i++) appendDelRoute(batch, hole(i));
    assert.deepEqual(socket.execute(batch), { failures: [], overrun: false });
    assert.deepEqual(
      dump(socket).filter((line) => line.startsWith('30.')),
      [],
    );
    socket.close();
  });

  test('failures in the middle and at the end are told by index, once', () => {
    const socket = new NetlinkSocket(open());
    const batch = new MessageBatch();
    appendNewRoute(batch, NLM_F.CREATE | NLM_F.EXCL, hole(1));
    appendNewRoute(batch, NLM_F.CREATE | NLM_F.EXCL, hole(1));
    appendDelRoute(batch, hole(1));
    appendDelRoute(batch, hole(1));
    const { failures } = socket.execute(batch);
    assert.deepEqual(
      failures.map(({ index, errno, name }) => [index, errno, name]),
      [
        [1, 17, 'EEXIST'],
        [3, 3, 'ESRCH'],
      ],
    );
    // The same batch again is numbered anew: answers never belong to an earlier life of it.
    assert.equal(socket.execute(batch).failures.length, 2);
    socket.close();
  });
}
