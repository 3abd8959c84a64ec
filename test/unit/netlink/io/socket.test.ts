// What the real kernel cannot be made to do at will: interrupted dumps, lost answers, silence, nonsense.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Prefix } from '#lib/ip.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { NLM_F, RTM } from '#netlink/wire/constants.ts';
import { appendDumpRoutes, appendNewRoute, decodeRoute } from '#netlink/wire/route.ts';
import { datagramPortContract } from '../../../support/datagram-port-contract.ts';
import { FakeKernel, frame } from '../../../support/fake-kernel.ts';

describe('the fake datagram port', () => datagramPortContract(() => new FakeKernel()));

describe('NetlinkSocket', () => {
  const withRoutes = (count: number): { kernel: FakeKernel; socket: NetlinkSocket; batch: MessageBatch } => {
    const kernel = new FakeKernel();
    const socket = new NetlinkSocket(kernel);
    const batch = new MessageBatch();
    for (let i = 0; i < count; i++)
      appendNewRoute(batch, NLM_F.CREATE | NLM_F.EXCL, { prefix: `20.0.${i}.0/24` as Prefix, protocol: 179 });
    assert.deepEqual(socket.execute(batch), { failures: [], overrun: false });
    return { kernel, socket, batch };
  };
  const dump = (socket: NetlinkSocket) =>
    socket.dumpList((one) => appendDumpRoutes(one, { family: 'ipv4' }), decodeRoute);

  test('a batch is one datagram', () => {
    const { kernel } = withRoutes(9);
    assert.equal(kernel.datagrams.length, 1);
  });

  test('an interrupted dump is read again, and nothing is told twice', () => {
    const { kernel, socket } = withRoutes(3);
    kernel.interruptDumps = 2;
    const dumped = dump(socket);
    assert.equal(dumped.ok && dumped.value.length, 3);
    assert.equal(kernel.datagrams.length, 1 + 3);
  });

  test('a dump that is interrupted without end is an outcome after a bounded number of tries', () => {
    const { kernel, socket } = withRoutes(1);
    kernel.interruptDumps = Number.POSITIVE_INFINITY;
    const dumped = dump(socket);
    assert.deepEqual(dumped, { ok: false, error: { kind: 'dumpInterrupted', attempts: 8 } });
    kernel.interruptDumps = 0;
    assert.equal(dump(socket).ok, true);
  });

  test('a dump of which parts were lost is an overrun, not a shorter table', () => {
    const { kernel, socket } = withRoutes(5);
    kernel.dropAnswers = 2;
    assert.deepEqual(dump(socket), { ok: false, error: { kind: 'overrun' } });
    kernel.dropAnswers = 6;
    assert.deepEqual(dump(socket), { ok: false, error: { kind: 'overrun' } }, 'even when the end itself was lost');
    const again = dump(socket);
    assert.equal(again.ok && again.value.length, 5);
  });

  test('lost answers of a batch are told as overrun, with the failures that came through', () => {
    const { kernel, socket, batch } = withRoutes(4);
    kernel.dropAnswers = 1;
    const { failures, overrun } = socket.execute(batch);
    assert.equal(overrun, true);
    assert.deepEqual(
      failures.map((one) => one.index),
      [1, 2, 3],
    );
    kernel.dropAnswers = 4;
    assert.deepEqual(socket.execute(batch), { failures: [], overrun: true });
    assert.deepEqual(socket.execute(batch).failures.length, 4, 'the next batch is not confused by it');
  });

  test('answers to somebody else, or to an earlier request, are left aside', () => {
    const { kernel, socket, batch } = withRoutes(1);
    const failure = new Uint8Array(20);
    new DataView(failure.buffer).setInt32(0, -1, true);
    kernel.unasked = frame(2, 0, 0xffffff, kernel.portId, failure);
    assert.deepEqual(
      socket.execute(batch).failures.map((one) => one.name),
      ['EEXIST'],
    );
    kernel.unasked = frame(RTM.NEWROUTE, NLM_F.MULTI, 1, 99, new Uint8Array(12));
    const dumped = dump(socket);
    assert.equal(dumped.ok && dumped.value.length, 1);
  });

  test('a kernel that does not answer is OS_NETLINK_SILENT', () => {
    const { kernel, socket, batch } = withRoutes(1);
    kernel.silent = true;
    assert.throws(() => socket.execute(batch), { code: 'OS_NETLINK_SILENT', retry: 'backoff' });
    assert.throws(() => dump(socket), { code: 'OS_NETLINK_SILENT' });
  });

  test('a datagram that cannot be read is OS_NETLINK_MALFORMED', () => {
    const { kernel, socket, batch } = withRoutes(1);
    for (const bytes of [
      new Uint8Array(7),
      frame(2, 0, 1, 1, new Uint8Array(20)).slice(0, 30),
      new Uint8Array(200_000),
    ]) {
      kernel.unasked = bytes;
      assert.throws(() => socket.execute(batch), { code: 'OS_NETLINK_MALFORMED' });
      kernel.unasked = undefined;
      socket.execute(batch);
    }
  });

  test('close() closes the port', () => {
    const { kernel, socket } = withRoutes(1);
    socket.close();
    assert.equal(kernel.closed, true);
  });
});
