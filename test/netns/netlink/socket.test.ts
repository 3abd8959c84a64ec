// The netlink library against the real kernel: every message type, batches with errors, dumps, another namespace.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import { closeNamespace, openNamespace } from '#linux/namespace.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { appendDelAddress, appendDumpAddresses, appendNewAddress, decodeAddress } from '#netlink/wire/address.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { IFA_F, IPV4_DEVCONF, IN6_ADDR_GEN_MODE, NLM_F, NUD, RT_TABLE, RTN } from '#netlink/wire/constants.ts';
import {
  appendDelLink,
  appendDumpLinks,
  appendGetLink,
  appendNewLink,
  appendNewVeth,
  appendSetLink,
  decodeLink,
  hardwareAddressBytes,
  type Link,
  linkIsUp,
} from '#netlink/wire/link.ts';
import {
  appendDelNeighbour,
  appendDumpNeighbours,
  appendNewNeighbour,
  decodeNeighbour,
} from '#netlink/wire/neighbour.ts';
import {
  appendDelNexthop,
  appendDumpNexthops,
  appendNewNexthop,
  appendNewNexthopGroup,
  decodeNexthop,
} from '#netlink/wire/nexthop.ts';
import { appendDelRoute, appendDumpRoutes, appendNewRoute, decodeRoute, type Route } from '#netlink/wire/route.ts';
import { createNamespace, eventually, type TestNamespace } from '../../support/netns.ts';

const address = (text: string): IpAddress => text as IpAddress;
const prefix = (text: string): Prefix => text as Prefix;
const create = NLM_F.CREATE | NLM_F.EXCL;

describe('NetlinkSocket on the real kernel', () => {
  let ns: TestNamespace;
  let pod: TestNamespace;
  let socket: NetlinkSocket;
  const batch = new MessageBatch();
  let host = 0;

  before(async () => {
    ns = await createNamespace('frt-netlink');
    pod = await createNamespace('frt-netlink');
    socket = NetlinkSocket.open({ namespace: ns.path });
  });
  after(async () => {
    socket.close();
    await ns.dispose();
    await pod.dispose();
  });

  const succeeds = (fill: () => void): void => {
    batch.clear();
    fill();
    assert.deepEqual(socket.execute(batch), { failures: [], overrun: false });
  };
  const link = (name: string): Link | undefined => {
    const dumped = socket.dumpList(appendDumpLinks, decodeLink);
    assert.ok(dumped.ok);
    return dumped.value.find((one) => one.name === name);
  };
  const routes = (family: 'ipv4' | 'ipv6'): readonly Route[] => {
    const dumped = socket.dumpList((one) => appendDumpRoutes(one, { family, table: RT_TABLE.MAIN }), decodeRoute);
    assert.ok(dumped.ok);
    return dumped.value;
  };
  const route = (text: string): Route | undefined =>
    routes(text.includes(':') ? 'ipv6' : 'ipv4').find((one) => one.prefix === text);

  test('a veth with its peer born in another namespace; the echo carries the index', () => {
    const fd = openNamespace(pod.path);
    try {
      batch.clear();
      appendNewVeth(
        batch,
        {
          name: 'h0',
          group: 0x0b01,
          mtu: 1400,
          address: hardwareAddressBytes('ee:ee:ee:ee:ee:ee'),
          queues: { transmit: 1, receive: 1 },
        },
        { name: 'eth0', namespaceFd: fd, mtu: 1400 },
        NLM_F.ECHO,
      );
      const echoed: Link[] = [];
      const done = socket.execute(batch, (index, reader, message) => {
        const decoded = decodeLink(reader, message);
        if (index === 0 && decoded !== undefined) echoed.push(decoded);
      });
      assert.deepEqual(done, { failures: [], overrun: false });
      assert.equal(echoed[0]?.name, 'h0');
      host = echoed[0]?.index ?? 0;
      assert.equal(link('h0')?.index, host);
    } finally {
      closeNamespace(fd);
    }
  });

  test('settings, group, alias and state of a link, all read back', async () => {
    const podSocket = NetlinkSocket.open({ namespace: pod.path });
    succeeds(() => {
      appendSetLink(
        batch,
        { index: host },
        {
          ipv4Settings: { [IPV4_DEVCONF.RP_FILTER]: 1 },
          addressGeneration: IN6_ADDR_GEN_MODE.NONE,
          alias: 'ü-alias',
          group: 0x0b02,
          up: true,
        },
      );
    });
    batch.clear();
    appendSetLink(batch, { name: 'eth0' }, { up: true });
    assert.deepEqual(podSocket.execute(batch).failures, []);
    podSocket.close();
    // The kernel works out the operational state on its own time.
    const shown = await eventually('carrier', () => [link('h0')].find((one) => one?.operationalState === 6));
    const { flags, operationalState, link: peer, linkNamespace, ...rest } = shown;
    assert.deepEqual(rest, {
      index: host,
      name: 'h0',
      hardwareType: 1,
      mtu: 1400,
      address: 'ee:ee:ee:ee:ee:ee',
      alias: 'ü-alias',
      group: 0x0b02,
      kind: 'veth',
      master: undefined,
      rpFilter: 1,
      addressGeneration: IN6_ADDR_GEN_MODE.NONE,
    });
    assert.ok(
      linkIsUp(shown) && flags !== 0 && operationalState === 6 && peer !== undefined && linkNamespace !== undefined,
    );
    assert.doesNotMatch(await ns.run(['ip', '-6', 'address', 'show', 'h0']), /fe80/, 'no link-local address');
    batch.clear();
    appendGetLink(batch, { name: 'h0' });
    const got: (string | undefined)[] = [];
    socket.execute(batch, (_, reader, message) => got.push(decodeLink(reader, message)?.alias));
    assert.deepEqual(got, ['ü-alias']);
  });

  test('a bridge takes a link as its port, and a link is renamed', () => {
    succeeds(() => appendNewLink(batch, 'bridge', { name: 'br0' }));
    const bridge = link('br0');
    assert.equal(bridge?.kind, 'bridge');
    succeeds(() => appendNewVeth(batch, { name: 'q0' }, { name: 'q1' }));
    const port = link('q0')?.index ?? 0;
    succeeds(() => appendSetLink(batch, { index: port }, { master: bridge?.index ?? 0, name: 'q9' }));
    assert.equal(link('q9')?.master, bridge?.index);
    succeeds(() => {
      appendDelLink(batch, { name: 'br0' });
      appendDelLink(batch, { index: port });
    });
    assert.equal(link('q9'), undefined);
  });

  test('one request deletes a whole group of links', () => {
    succeeds(() => {
      for (const i of [0, 1, 2]) appendNewVeth(batch, { name: `g${i}`, group: 77 }, { name: `gp${i}` });
    });
    succeeds(() => appendDelLink(batch, { group: 77 }));
    assert.ok([0, 1, 2].every((i) => link(`g${i}`) === undefined && link(`gp${i}`) === undefined));
  });

  test('addresses of both families come, are read back and go', () => {
    const requests = [
      { interfaceIndex: host, address: address('10.0.0.1'), prefixLength: 24 },
      { interfaceIndex: host, address: address('fd00::1'), prefixLength: 64, flags: IFA_F.NODAD },
    ];
    succeeds(() => requests.forEach((request) => appendNewAddress(batch, request)));
    const dumped = socket.dumpList(appendDumpAddresses, decodeAddress);
    assert.ok(dumped.ok);
    const mine = dumped.value.filter((one) => one.interfaceIndex === host);
    assert.deepEqual(
      mine.map((one) => `${one.address}/${one.prefixLength} ${one.scope}`),
      ['10.0.0.1/24 0', 'fd00::1/64 0'],
    );
    assert.ok(mine.every((one) => (one.flags & IFA_F.TENTATIVE) === 0));
    const extra = { interfaceIndex: host, address: address('10.0.9.1'), prefixLength: 32 };
    succeeds(() => appendNewAddress(batch, extra));
    succeeds(() => appendDelAddress(batch, extra));
  });

  test('a permanent neighbour comes, is read back and goes', () => {
    const mac = '02:00:00:00:00:09';
    succeeds(() => {
      for (const text of ['10.0.0.9', 'fd00::9'])
        appendNewNeighbour(batch, {
          interfaceIndex: host,
          address: address(text),
          hardwareAddress: hardwareAddressBytes(mac),
        });
    });
    const dumped = socket.dumpList(appendDumpNeighbours, decodeNeighbour);
    assert.ok(dumped.ok);
    const permanent = dumped.value.filter((one) => one.state === NUD.PERMANENT);
    assert.deepEqual(permanent.map((one) => `${one.address} ${one.hardwareAddress}`).sort(), [
      `10.0.0.9 ${mac}`,
      `fd00::9 ${mac}`,
    ]);
    succeeds(() => appendDelNeighbour(batch, host, address('10.0.0.9')));
  });

  test('routes: by gateway, by IPv6 gateway, multipath, blackhole, on link, another table', () => {
    const common = { protocol: 179 };
    const hops = (one: string, other: string) => [
      { gateway: address(one), interfaceIndex: host },
      { gateway: address(other), interfaceIndex: host },
    ];
    succeeds(() => {
      appendNewRoute(batch, create, {
        ...common,
        prefix: prefix('20.0.1.0/24'),
        gateway: address('10.0.0.2'),
        interfaceIndex: host,
        metric: 5,
        preferredSource: address('10.0.0.1'),
      });
      appendNewRoute(batch, create, {
        ...common,
        prefix: prefix('20.0.2.0/24'),
        gateway: address('fd00::2'),
        interfaceIndex: host,
      });
      appendNewRoute(batch, create, {
        ...common,
        prefix: prefix('20.0.3.0/24'),
        multipath: hops('10.0.0.2', '10.0.0.3'),
      });
      appendNewRoute(batch, create, {
        ...common,
        prefix: prefix('20.0.4.0/24'),
        type: RTN.BLACKHOLE,
        metric: 0xfffffffe,
      });
      appendNewRoute(batch, create, { ...common, prefix: prefix('20.0.5.1/32'), interfaceIndex: host });
      appendNewRoute(batch, create, {
        ...common,
        prefix: prefix('20.0.6.0/24'),
        gateway: address('10.0.0.2'),
        table: 5000,
      });
      appendNewRoute(batch, create, {
        ...common,
        prefix: prefix('20.0.7.0/24'),
        gateway: address('192.0.2.9'),
        interfaceIndex: host,
        onlink: true,
      });
      appendNewRoute(batch, create, {
        ...common,
        prefix: prefix('2001:db8:1::/48'),
        gateway: address('fd00::2'),
        interfaceIndex: host,
      });
      appendNewRoute(batch, create, {
        ...common,
        prefix: prefix('2001:db8:3::/48'),
        multipath: hops('fd00::2', 'fd00::3'),
      });
      appendNewRoute(batch, create, {
        ...common,
        prefix: prefix('::/0'),
        gateway: address('fd00::2'),
        interfaceIndex: host,
      });
    });
    assert.deepEqual(route('20.0.1.0/24'), {
      prefix: '20.0.1.0/24',
      table: RT_TABLE.MAIN,
      protocol: 179,
      scope: 0,
      type: RTN.UNICAST,
      tos: 0,
      metric: 5,
      preferredSource: '10.0.0.1',
      nexthopId: undefined,
      gateway: '10.0.0.2',
      interfaceIndex: host,
      multipath: [],
      flags: 0,
    });
    assert.equal(route('20.0.2.0/24')?.gateway, 'fd00::2');
    assert.deepEqual(
      route('20.0.3.0/24')?.multipath.map((one) => one.gateway),
      ['10.0.0.2', '10.0.0.3'],
    );
    assert.equal(route('20.0.4.0/24')?.type, RTN.BLACKHOLE);
    assert.equal(route('20.0.4.0/24')?.metric, 0xfffffffe);
    assert.equal(route('20.0.5.1/32')?.scope, 253);
    assert.equal(route('20.0.6.0/24'), undefined);
    const other = socket.dumpList((one) => appendDumpRoutes(one, { family: 'ipv4', table: 5000 }), decodeRoute);
    assert.deepEqual(other.ok && other.value.map((one) => `${one.prefix} ${one.table}`), ['20.0.6.0/24 5000']);
    assert.equal(route('20.0.7.0/24')?.gateway, '192.0.2.9');
    assert.equal(route('2001:db8:3::/48')?.multipath.length, 2);
    assert.equal(route('::/0')?.gateway, 'fd00::2');
    const holes = socket.dumpList(
      (one) => appendDumpRoutes(one, { family: 'ipv4', protocol: 179, type: RTN.BLACKHOLE }),
      decodeRoute,
    );
    assert.deepEqual(holes.ok && holes.value.map((one) => one.prefix), ['20.0.4.0/24']);
    succeeds(() => {
      for (const text of [
        '20.0.1.0/24',
        '20.0.2.0/24',
        '20.0.3.0/24',
        '20.0.5.1/32',
        '20.0.7.0/24',
        '2001:db8:1::/48',
        '2001:db8:3::/48',
        '::/0',
      ])
        appendDelRoute(batch, { ...common, prefix: prefix(text) });
      appendDelRoute(batch, { ...common, prefix: prefix('20.0.4.0/24'), type: RTN.BLACKHOLE, metric: 0xfffffffe });
    });
    assert.deepEqual(
      routes('ipv4').filter((one) => one.protocol === 179),
      [],
    );
  });

  test('a delete with another protocol hits nothing', () => {
    succeeds(() => appendNewRoute(batch, create, { prefix: prefix('21.0.0.0/8'), protocol: 98, interfaceIndex: host }));
    batch.clear();
    appendDelRoute(batch, { prefix: prefix('21.0.0.0/8'), protocol: 179 });
    assert.equal(socket.execute(batch).failures[0]?.name, 'ESRCH');
    succeeds(() => appendDelRoute(batch, { prefix: prefix('21.0.0.0/8'), protocol: 98 }));
  });

  test('nexthop objects and groups; deleting a member takes it out of its group', () => {
    succeeds(() => {
      appendNewNexthop(batch, create, { id: 11, protocol: 179, gateway: address('10.0.0.2'), interfaceIndex: host });
      appendNewNexthop(batch, create, { id: 12, protocol: 179, gateway: address('fd00::2'), interfaceIndex: host });
      appendNewNexthopGroup(batch, create, { id: 13, protocol: 179, members: [11, 12] });
      appendNewRoute(batch, create, { prefix: prefix('22.0.0.0/8'), protocol: 179, nexthopId: 13, metric: 20 });
    });
    assert.equal(route('22.0.0.0/8')?.nexthopId, 13);
    succeeds(() => appendDelNexthop(batch, 11));
    const dumped = socket.dumpList(appendDumpNexthops, decodeNexthop);
    assert.ok(dumped.ok);
    assert.deepEqual(
      dumped.value.map((one) => [one.id, one.gateway, one.members?.map((member) => member.id)]),
      [
        [12, 'fd00::2', undefined],
        [13, undefined, [12]],
      ],
    );
    succeeds(() => appendDelNexthop(batch, 13));
    assert.equal(route('22.0.0.0/8'), undefined, 'the group takes its routes with it');
    succeeds(() => appendDelNexthop(batch, 12));
  });

  test('errors in the middle of a batch are told with index and the kernel’s words; the others take effect', () => {
    batch.clear();
    const one = { protocol: 179, interfaceIndex: host };
    appendNewRoute(batch, create, { ...one, prefix: prefix('23.0.0.0/8') });
    appendNewRoute(batch, create, { ...one, prefix: prefix('23.0.0.0/8') });
    appendNewRoute(batch, create, { ...one, prefix: prefix('24.0.0.0/8'), gateway: address('192.0.2.1') });
    appendDelLink(batch, { name: 'nosuchlink' });
    appendNewRoute(batch, create, { ...one, prefix: prefix('25.0.0.0/8') });
    const { failures, overrun } = socket.execute(batch);
    assert.equal(overrun, false);
    assert.deepEqual(
      failures.map(({ index, name }) => `${index} ${name}`),
      ['1 EEXIST', '2 ENETUNREACH', '3 ENODEV'],
    );
    assert.equal(failures[1]?.text, 'Nexthop has invalid gateway');
    assert.ok(route('23.0.0.0/8') !== undefined && route('25.0.0.0/8') !== undefined);
    succeeds(() => {
      appendDelRoute(batch, { ...one, prefix: prefix('23.0.0.0/8') });
      appendDelRoute(batch, { ...one, prefix: prefix('25.0.0.0/8') });
    });
  });

  test('the failure of the last message is told once', () => {
    batch.clear();
    appendDelLink(batch, { name: 'nosuchlink' });
    assert.equal(socket.execute(batch).failures.length, 1);
    batch.clear();
    assert.deepEqual(socket.execute(batch), { failures: [], overrun: false }, 'an empty batch sends nothing');
  });

  test('a thousand failures in one batch are all told', () => {
    batch.clear();
    for (let i = 0; i < 1000; i++)
      appendDelRoute(batch, { prefix: prefix(`30.${i >> 8}.${i & 255}.0/24`), protocol: 179 });
    const { failures, overrun } = socket.execute(batch);
    assert.equal(overrun, false);
    assert.deepEqual([failures.length, failures[999]?.index], [1000, 999]);
  });

  test('a refused dump is an outcome with the kernel’s words', () => {
    const dumped = socket.dumpList((one) => appendDumpRoutes(one, { family: 'ipv4', table: 4999 }), decodeRoute);
    assert.ok(!dumped.ok && dumped.error.kind === 'refused');
    assert.equal(dumped.error.name, 'ENOENT');
    assert.match(dumped.error.text ?? '', /table does not exist/);
  });

  test('a namespace that is none, and one that is gone, are coded errors', () => {
    assert.throws(() => NetlinkSocket.open({ namespace: '/etc/passwd' }), { code: 'OS_EINVAL' });
    assert.throws(() => NetlinkSocket.open({ namespace: '/run/netns/frt-no-such' }), { code: 'OS_ENOENT' });
  });
});
