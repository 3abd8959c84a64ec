// The raw socket of discovery on a real link: what it takes, what it leaves, and that it ends.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import type { IpAddress } from '#lib/ip.ts';
import { inNamespace } from '#linux/namespace.ts';
import { openIcmp6Socket, sendIcmp6 } from '#linux/icmp6.ts';
import { setHopLimit } from '#linux/socket-options.ts';
import { closeDescriptor } from '#linux/socket.ts';
import { advertisement, solicitation } from '#bgp/discovery/messages.ts';
import { type TestNamespace, createNamespace, eventually } from '../../support/netns.ts';

const there = 'fe80::1' as IpAddress;

describe('router advertisements on a link', () => {
  let near: TestNamespace;
  let far: TestNamespace;
  let child: ChildProcess;
  let sender: number;
  let index: number;
  const lines: unknown[] = [];

  before(async () => {
    [near, far] = await Promise.all([createNamespace('frt-nd'), createNamespace('frt-nd')]);
    const pair = ['type', 'veth', 'peer', 'name', 'up1', 'netns', far.name];
    await near.run(['ip', 'link', 'add', 'up0', ...pair]);
    for (const [namespace, name, address] of [
      [near, 'up0', there],
      [far, 'up1', 'fe80::2'],
    ] as const) {
      // The kernel's own processing is not to matter.
      await namespace.run(['sysctl', '-qw', `net.ipv6.conf.${name}.accept_ra=0`]);
      await namespace.run(['ip', 'address', 'add', `${address}/64`, 'dev', name, 'nodad']);
      await namespace.run(['ip', 'link', 'set', name, 'up']);
    }
    const script = `${import.meta.dirname}/../../support/discovery-process.ts`;
    child = spawn('ip', ['netns', 'exec', near.name, process.execPath, script, 'up0'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    assert.ok(child.stdout !== null);
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(JSON.parse(line)));
    const isUp = async (namespace: TestNamespace, name: string): Promise<boolean> =>
      (await namespace.run(['cat', `/sys/class/net/${name}/operstate`])).trim() === 'up';
    await eventually('the link', async () => (await isUp(near, 'up0')) && (await isUp(far, 'up1')));
    index = Number((await far.run(['cat', '/sys/class/net/up1/ifindex'])).trim());
    sender = inNamespace(far.path, () => openIcmp6Socket([], () => undefined));
    await eventually('the listener', () => lines.includes('ready'));
  });
  after(async () => {
    child?.kill('SIGKILL');
    if (sender !== undefined) closeDescriptor(sender);
    await Promise.all([near?.dispose(), far?.dispose()]);
  });

  /** One message with this mark in its fifth octet. */
  const send = (bytes: Uint8Array, mark: number, to: string, hopLimit = 255): void => {
    setHopLimit(sender, 'ipv6', hopLimit);
    const marked = bytes.slice();
    marked[4] = mark;
    sendIcmp6(sender, marked, to as IpAddress, index);
  };
  const heard = (): unknown[] => lines.filter((line) => typeof line === 'object');

  test('are heard with source and interface, unless they came over a router', async () => {
    send(advertisement, 1, there, 254);
    send(advertisement, 2, there);
    send(advertisement, 3, 'ff02::1');
    await eventually('two of them', () => heard().length >= 2);
    const from = { type: 134, source: 'fe80::2', link: 'up0' };
    const marks = [2, 3].map((mark) => ({ ...from, mark }));
    assert.deepEqual(
      heard().map((line) => JSON.stringify(line, Object.keys(line as object).sort())),
      marks.map((line) => JSON.stringify(line, Object.keys(line).sort())),
    );
  });

  test('other messages are not, and solicitations to all routers once their group is joined', async () => {
    lines.length = 0;
    // A neighbour advertisement, which every link is full of.
    const other = new Uint8Array(24);
    other[0] = 136;
    send(other, 4, there);
    send(solicitation, 5, 'ff02::2');
    child.stdin?.write('join\n');
    await eventually('the group', () => lines.includes('joined'));
    send(solicitation, 6, 'ff02::2');
    await eventually('the solicitation', () => heard().length > 0);
    assert.deepEqual(
      heard().map((line) => (line as { mark: number }).mark),
      [6],
    );
  });

  test('a closed port lets its program end', async () => {
    child.stdin?.end();
    const [code] = (await once(child, 'exit')) as [number];
    assert.equal(code, 0);
  });
});
