// Pod veths in a real kernel: what a pod sends, and what is sent to it, the moment after it was made.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PodLinks } from '#dataplane/pod/io/pod-links.ts';
import type { Wiring } from '#dataplane/pod/wiring.ts';
import { type Family, familyOf, type IpAddress, type Prefix } from '#lib/ip.ts';
import { closeNamespace, inNamespace, openNamespace } from '#linux/namespace.ts';
import {
  bindInternet,
  closeDescriptor,
  openUdpSocket,
  POLLIN,
  pollDescriptor,
  receiveDatagram,
  sendInternet,
} from '#linux/socket.ts';
import { createNamespace, type TestNamespace } from '../../support/netns.ts';

const node = { ipv4: '192.0.2.11' as IpAddress, ipv6: '2001:db8::11' as IpAddress };
/** A socket of IPv6 would take the port of IPv4 too. */
const ports: Readonly<Record<Family, number>> = { ipv4: 7004, ipv6: 7006 };
const wildcard = { ipv4: '0.0.0.0' as IpAddress, ipv6: '::' as IpAddress };
const PODS = 30;

const wiringOf = (number: number): Wiring => ({
  hostInterface: `fr${number.toString(16).padStart(12, '0')}`,
  interfaceName: 'eth0',
  mac: `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`,
  mtu: 1500,
  addresses: [`10.60.0.${number}`, `fd60::${number.toString(16)}`] as IpAddress[],
  routes: ['0.0.0.0/0', '::/0'] as Prefix[],
  further: false,
});

interface Sockets {
  readonly ipv4: number;
  readonly ipv6: number;
}

function openSockets(namespace: string | number): Sockets {
  const sockets = inNamespace(namespace, () => ({ ipv4: openUdpSocket('ipv4'), ipv6: openUdpSocket('ipv6') }));
  for (const family of ['ipv4', 'ipv6'] as const) bindInternet(sockets[family], wildcard[family], ports[family]);
  return sockets;
}

describe('PodLinks', { timeout: 600_000 }, () => {
  let nodeNamespace: TestNamespace;
  const pods: TestNamespace[] = [];
  const opened: Sockets[] = [];
  let links: PodLinks;

  before(async () => {
    nodeNamespace = await createNamespace('frt-podlinks');
    await nodeNamespace.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
    await nodeNamespace.run(['ip', 'address', 'add', `${node.ipv4}/32`, 'dev', 'lo']);
    await nodeNamespace.run(['ip', 'address', 'add', `${node.ipv6}/128`, 'dev', 'lo', 'nodad']);
    for (let number = 1; number <= PODS; number++) pods.push(await createNamespace('frt-podlink'));
    links = inNamespace(nodeNamespace.path, () => new PodLinks());
  });
  after(async () => {
    for (const sockets of opened) for (const fd of Object.values(sockets) as number[]) closeDescriptor(fd);
    links.close();
    for (const namespace of [...pods, nodeNamespace]) await namespace.dispose();
  });

  function attach(wiring: Wiring, namespaceFd: number): void {
    const pair = links.create(wiring, namespaceFd);
    assert.ok(pair.ok);
    assert.equal(links.recordHost(wiring, pair.value.hostIndex, 'a record'), undefined);
    const socket = PodLinks.openPod(namespaceFd);
    assert.equal(links.configurePod(socket, wiring, pair.value.podIndex, namespaceFd, []), undefined);
    assert.equal(links.makeLive(wiring, pair.value, node), undefined);
    socket.close();
  }

  // Nothing waits in between: without the local route one in eight is lost, without the look at the pod's link one in three.
  test('a pod sends and receives in both families from the moment it is live', () => {
    const host = openSockets(nodeNamespace.path);
    opened.push(host);
    const buffer = new Uint8Array(64);
    const datagram = new Uint8Array(8);
    const lost: string[] = [];
    const carries = (what: string, from: number, to: number, address: IpAddress): void => {
      sendInternet(from, datagram, address, ports[familyOf(address)]);
      // On a busy machine the kernel hands it on a little later; what was lost never comes.
      if ((pollDescriptor(to, POLLIN, 2000) & POLLIN) === 0 || receiveDatagram(to, buffer, false) === undefined)
        lost.push(what);
    };
    let before: { readonly sockets: Sockets; readonly wiring: Wiring } | undefined;
    for (const [i, namespace] of pods.entries()) {
      const fd = openNamespace(namespace.path);
      const sockets = openSockets(fd);
      opened.push(sockets);
      const wiring = wiringOf(i + 1);
      attach(wiring, fd);
      for (const address of wiring.addresses) {
        const family = familyOf(address);
        carries(`node to ${address}`, host[family], sockets[family], address);
        carries(`${address} to node`, sockets[family], host[family], node[family]);
        const other = before?.wiring.addresses.find((one) => familyOf(one) === family);
        if (before !== undefined && other !== undefined)
          carries(`${address} to ${other}`, sockets[family], before.sockets[family], other);
      }
      before = { sockets, wiring };
      closeNamespace(fd);
    }
    assert.deepEqual(lost, []);
  });
});
