// The foreign calls on the real kernel: namespaces, options, priorities, the lock, sysctls.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { IpAddress } from '#lib/ip.ts';
import { acquireLock, lockHolder } from '#linux/lock.ts';
import { closeNamespace, inNamespace, openNamespace, openNamespaceWithin, warmThreadPool } from '#linux/namespace.ts';
import { setThreadPriority, threadId, threadPriority } from '#linux/priority.ts';
import {
  bindInternet,
  closeDescriptor,
  connectInternet,
  listenSocket,
  openTcpSocket,
  openUnixSocket,
  connectUnix,
  POLLIN,
  POLLOUT,
  pollDescriptor,
} from '#linux/socket.ts';
import {
  bindToDevice,
  networkNamespaceCookie,
  peerCredentials,
  setHopLimit,
  setIpv6Only,
  setMinimumHopLimit,
  setReuseAddress,
  setTcpMd5Key,
  setTcpUserTimeout,
  supportsTcpMd5,
  takeSocketError,
} from '#linux/socket-options.ts';
import { openSysctlTree } from '#linux/sysctl.ts';
import { createNamespace, type TestNamespace } from '../../support/netns.ts';

const loopback = '127.0.0.1' as IpAddress;

describe('src/linux', () => {
  let ns: TestNamespace;
  before(async () => {
    await warmThreadPool(4);
    ns = await createNamespace('frt-linux');
  });
  after(() => ns.dispose());

  const cookie = (fd: number): bigint => {
    try {
      return networkNamespaceCookie(fd);
    } finally {
      closeDescriptor(fd);
    }
  };

  test('a socket made in a namespace belongs to it, by path and by descriptor, and this thread does not', () => {
    const here = cookie(openTcpSocket('ipv4'));
    const there = cookie(inNamespace(ns.path, () => openTcpSocket('ipv4')));
    assert.notEqual(there, here);
    const fd = openNamespace(ns.path);
    assert.equal(cookie(inNamespace(fd, () => openTcpSocket('ipv6'))), there);
    closeNamespace(fd);
    assert.equal(cookie(openTcpSocket('ipv4')), here);
  });

  test('what the action throws is thrown after the way back', () => {
    const here = cookie(openTcpSocket('ipv4'));
    assert.throws(
      () =>
        inNamespace(ns.path, () => {
          throw new Error('inside');
        }),
      /inside/,
    );
    assert.equal(cookie(openTcpSocket('ipv4')), here);
  });

  test('a path that is no namespace, or not there, is a coded error', () => {
    assert.throws(() => inNamespace('/etc/passwd', () => 1), { code: 'OS_EINVAL' });
    assert.throws(() => inNamespace('/run/netns/frt-no-such', () => 1), { code: 'OS_ENOENT' });
  });

  test('below another root, absolute links and .. stay inside it; what the kernel will not follow is undefined', () => {
    const root = mkdtempSync(join(tmpdir(), 'frt-linux-root-'));
    try {
      mkdirSync(join(root, 'run/netns'), { recursive: true });
      mkdirSync(join(root, 'var'));
      writeFileSync(join(root, 'run/netns/a'), '');
      symlinkSync('/run', join(root, 'var/run'));
      symlinkSync('/proc/self/ns/net', join(root, 'outside'));
      for (const path of ['/run/netns/a', '/var/run/netns/a', '/../../run/netns/a', '/var/../../var/run/netns/a']) {
        const fd = openNamespaceWithin(root, path);
        assert.ok(fd !== undefined, path);
        assert.equal(readlinkSync(`/proc/self/fd/${fd}`), join(root, 'run/netns/a'));
        closeNamespace(fd);
      }
      for (const path of ['/run/netns/b', '/outside']) assert.equal(openNamespaceWithin(root, path), undefined, path);
      assert.equal(openNamespaceWithin('/', '/proc/self/ns/net'), undefined);
      assert.equal(openNamespaceWithin(join(root, 'nowhere'), '/run/netns/a'), undefined);
    } finally {
      rmSync(root, { recursive: true });
    }
  });

  test('MD5: connections with the key come through, without it or with another they do not', async () => {
    const open = (key: string | undefined): number => {
      const fd = openTcpSocket('ipv4');
      if (key !== undefined) setTcpMd5Key(fd, { address: loopback, key: Buffer.from(key) });
      return fd;
    };
    // Only loopback inside the throw-away namespace is used.
    const listener = inNamespace(ns.path, () => open('secret'));
    setReuseAddress(listener);
    bindInternet(listener, loopback, 1179);
    listenSocket(listener, 8);
    const attempt = (key: string | undefined, wait: number): number => {
      const fd = inNamespace(ns.path, () => open(key));
      try {
        connectInternet(fd, loopback, 1179);
        const ready = pollDescriptor(fd, POLLOUT, wait);
        return ready === 0 ? -1 : takeSocketError(fd);
      } finally {
        closeDescriptor(fd);
      }
    };
    // A busy machine hands the segments on a little later; silence is silence.
    assert.equal(attempt('secret', 60_000), 0);
    assert.equal(attempt('other', 300), -1, 'a wrong key is silence');
    assert.equal(attempt(undefined, 300), -1, 'no key is silence');
    assert.equal(pollDescriptor(listener, POLLIN, 0), POLLIN);
    setTcpMd5Key(listener, { address: loopback, key: undefined });
    assert.throws(() => setTcpMd5Key(listener, { address: loopback, key: undefined }), { code: 'OS_ENOENT' });
    closeDescriptor(listener);
    await Promise.resolve();
  });

  test('MD5 for a range of peers, an interface, and keys of wrong lengths', () => {
    const fd = openTcpSocket('ipv6');
    assert.equal(supportsTcpMd5(fd, '::1' as IpAddress), true);
    setTcpMd5Key(fd, { address: '2001:db8::' as IpAddress, prefixLength: 32, key: Buffer.alloc(80, 'k') });
    setTcpMd5Key(fd, { address: '2001:db8::' as IpAddress, prefixLength: 32, key: undefined });
    for (const length of [0, 81]) {
      assert.throws(() => setTcpMd5Key(fd, { address: '::1' as IpAddress, key: Buffer.alloc(length) }), {
        code: 'CONFIG_MD5_KEY_LENGTH',
      });
    }
    closeDescriptor(fd);
  });

  test('options of both families are taken, and a device that does not exist is refused', () => {
    for (const family of ['ipv4', 'ipv6'] as const) {
      const fd = openTcpSocket(family);
      setHopLimit(fd, family, 255);
      setMinimumHopLimit(fd, family, 254);
      setTcpUserTimeout(fd, 90_000);
      if (family === 'ipv6') setIpv6Only(fd);
      bindToDevice(fd, 'lo');
      assert.throws(() => bindToDevice(fd, 'nosuchdevice'), { code: 'OS_ENODEV' });
      closeDescriptor(fd);
    }
  });

  test('an address in use is OS_EADDRINUSE with what was meant', () => {
    const [a, b] = [openTcpSocket('ipv4'), openTcpSocket('ipv4')];
    bindInternet(a, loopback, 0);
    listenSocket(a, 1);
    const server = inNamespace(ns.path, () => openTcpSocket('ipv4'));
    bindInternet(server, loopback, 1180);
    listenSocket(server, 1);
    const second = inNamespace(ns.path, () => openTcpSocket('ipv4'));
    assert.throws(() => bindInternet(second, loopback, 1180), {
      code: 'OS_EADDRINUSE',
      data: { operation: 'bind', errno: 98, object: '127.0.0.1 port 1180' },
    });
    for (const fd of [a, b, server, second]) closeDescriptor(fd);
  });

  test('a descriptor of ours becomes a socket of net', async () => {
    const fd = inNamespace(ns.path, () => openTcpSocket('ipv4'));
    bindInternet(fd, loopback, 1181);
    const server: Server = createServer((socket) => socket.end('hello'));
    server.listen({ fd });
    await once(server, 'listening');
    assert.equal((server.address() as AddressInfo).port, 1181);
    server.close();
  });

  test('the lock has one holder, names it, and goes with it', async () => {
    const name = `\0frt-lock-${process.pid}`;
    const first = await acquireLock(name);
    assert.ok(first.ok);
    const second = await acquireLock(name);
    assert.deepEqual(second, { ok: false, error: { holder: { pid: process.pid, uid: 0, gid: 0 } } });
    await first.value.release();
    assert.equal(lockHolder(name), undefined);
    const third = await acquireLock(name);
    assert.ok(third.ok);
    await third.value.release();
  });

  test('credentials of a unix peer', async () => {
    const name = `\0frt-cred-${process.pid}`;
    const server = createServer((socket) => socket.destroy()).listen(name);
    await once(server, 'listening');
    const fd = openUnixSocket();
    connectUnix(fd, name);
    assert.equal(peerCredentials(fd).pid, process.pid);
    closeDescriptor(fd);
    const absent = connect('\0frt-nobody');
    const [error] = await once(absent, 'error');
    assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED');
    server.close();
  });

  test('a priority is the thread’s own', async () => {
    const before = threadPriority();
    const worker = new Worker(
      `import { setThreadPriority, threadPriority, threadId } from '#linux/priority.ts';
       import { parentPort } from 'node:worker_threads';
       const outcome = setThreadPriority(5);
       parentPort?.postMessage([outcome.set, threadPriority(), threadId()]);`,
      { eval: true, execArgv: ['--input-type=module-typescript'] },
    );
    const [answer] = (await once(worker, 'message')) as [[boolean, number, number]];
    assert.deepEqual(answer.slice(0, 2), [true, 5]);
    assert.notEqual(answer[2], threadId());
    assert.equal(threadPriority(), before);
    assert.equal(setThreadPriority(before).set, true);
    await worker.terminate();
  });

  test('sysctls of another namespace are read and written there, and what is not there is said', () => {
    const inside = openSysctlTree(ns.path);
    const outside = openSysctlTree();
    const before = outside.read('net/ipv4/conf/lo/rp_filter');
    assert.equal(inside.write('net/ipv4/conf/lo/rp_filter', '2'), true);
    assert.equal(inside.read('net/ipv4/conf/lo/rp_filter'), '2');
    assert.equal(outside.read('net/ipv4/conf/lo/rp_filter'), before);
    assert.equal(inside.read('net/ipv4/conf/none/rp_filter'), undefined);
    assert.equal(inside.write('net/ipv4/conf/none/rp_filter', '1'), false);
    assert.throws(() => inside.write('net/ipv4/ip_forward', 'perhaps'), { code: 'OS_EINVAL' });
  });
});
