// Notifications of the real kernel: delivery, filter by port, lost ones, and an end that does not hang.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import type { Prefix } from '#lib/ip.ts';
import { NetlinkMonitor } from '#netlink/io/monitor.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { NLM_F, RTM, RTNLGRP } from '#netlink/wire/constants.ts';
import { decodeLink } from '#netlink/wire/link.ts';
import { appendDelRoute, appendNewRoute, decodeRoute } from '#netlink/wire/route.ts';
import { createNamespace, eventually, type TestNamespace } from '../../support/netns.ts';

describe('NetlinkMonitor', () => {
  let ns: TestNamespace;
  before(async () => {
    ns = await createNamespace('frt-monitor');
  });
  after(() => ns.dispose());

  const blackhole = (i: number): { prefix: Prefix; protocol: number; type: number } => ({
    prefix: `30.${i >> 8}.${i & 255}.0/24` as Prefix,
    protocol: 179,
    type: 6,
  });
  const fail = (error: Error): never => {
    throw error;
  };

  test('changes of others are delivered in order while the event loop is free', async () => {
    const names: string[] = [];
    const monitor = NetlinkMonitor.open(
      { namespace: ns.path, groups: [RTNLGRP.LINK] },
      {
        message(reader, message) {
          names.push(`${message.type === RTM.NEWLINK ? 'new' : 'del'} ${decodeLink(reader, message)?.name}`);
        },
        observeAgain: () => fail(new Error('nothing was lost')),
        failed: fail,
      },
    );
    monitor.start();
    await ns.run(['ip', 'link', 'add', 'm0', 'type', 'veth', 'peer', 'name', 'm1']);
    await ns.run(['ip', 'link', 'del', 'm0']);
    await eventually('the link has gone', () => names.includes('del m0'));
    assert.ok(names.indexOf('new m0') >= 0 && names.indexOf('new m0') < names.indexOf('del m0'));
    await monitor.close();
  });

  test('what a socket of ours does is dropped by the kernel when its port is ignored', async () => {
    const ours = NetlinkSocket.open({ namespace: ns.path });
    const others = NetlinkSocket.open({ namespace: ns.path });
    const ports: number[] = [];
    const monitor = NetlinkMonitor.open(
      { namespace: ns.path, groups: [RTNLGRP.IPV4_ROUTE], ignorePorts: [12345, ours.portId] },
      { message: (_, message) => ports.push(message.port), observeAgain: () => undefined, failed: fail },
    );
    monitor.start();
    const batch = new MessageBatch();
    for (let i = 0; i < 100; i++) appendNewRoute(batch, NLM_F.CREATE, blackhole(i));
    assert.deepEqual(ours.execute(batch).failures, []);
    batch.clear();
    for (let i = 0; i < 100; i++) appendDelRoute(batch, blackhole(i));
    assert.deepEqual(others.execute(batch).failures, []);
    await eventually('the deletions', () => ports.length === 100);
    assert.deepEqual([...new Set(ports)], [others.portId]);
    await monitor.close();
    ours.close();
    others.close();
  });

  test('a queue that ran over is told as observeAgain, and later changes are delivered again', async () => {
    const writer = NetlinkSocket.open({ namespace: ns.path });
    let lost = 0;
    const seen: string[] = [];
    const monitor = NetlinkMonitor.open(
      { namespace: ns.path, groups: [RTNLGRP.IPV4_ROUTE], receiveBufferBytes: 16 * 1024 },
      {
        message: (reader, message) => seen.push(decodeRoute(reader, message)?.prefix ?? ''),
        observeAgain: () => (lost += 1),
        failed: fail,
      },
    );
    monitor.start();
    const batch = new MessageBatch();
    for (let i = 0; i < 500; i++) appendNewRoute(batch, NLM_F.CREATE, blackhole(i));
    writer.execute(batch);
    await eventually('loss is told', () => lost > 0);
    assert.ok(seen.length < 500);
    await eventually('the queue is empty and the last change comes', () => {
      batch.clear();
      appendDelRoute(batch, blackhole(0));
      appendNewRoute(batch, NLM_F.CREATE, blackhole(0));
      writer.execute(batch);
      return seen.at(-1) === '30.0.0.0/24';
    });
    await monitor.close();
    writer.close();
  });

  test('close() ends a parked read, twice is fine, and a queue that is full does not hold it', async () => {
    const writer = NetlinkSocket.open({ namespace: ns.path });
    const open = (): NetlinkMonitor =>
      NetlinkMonitor.open(
        { namespace: ns.path, groups: [RTNLGRP.IPV4_ROUTE], receiveBufferBytes: 4096 },
        { message: () => undefined, observeAgain: () => undefined, failed: fail },
      );
    const quiet = open();
    quiet.start();
    await Promise.all([quiet.close(), quiet.close()]);
    await quiet.close();
    const unstarted = open();
    await unstarted.close();
    const flooded = open();
    flooded.start();
    const batch = new MessageBatch();
    for (let i = 1000; i < 1400; i++) appendNewRoute(batch, NLM_F.CREATE, blackhole(i));
    writer.execute(batch);
    await flooded.close();
    writer.close();
  });

  test('a process that closes its monitor ends by itself', async () => {
    const script = `
      import { NetlinkMonitor } from '#netlink/io/monitor.ts';
      const monitor = NetlinkMonitor.open({ groups: [1] }, { message() {}, observeAgain() {}, failed(e) { throw e; } });
      monitor.start();
      setImmediate(() => monitor.close());
    `;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], { stdio: 'inherit' });
    const code = await new Promise((resolve) => {
      const deadline = setTimeout(() => child.kill('SIGKILL'), 60_000);
      child.once('exit', (exit, signal) => {
        clearTimeout(deadline);
        resolve(signal ?? exit);
      });
    });
    assert.equal(code, 0);
  });
});
