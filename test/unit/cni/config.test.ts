import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readAddOptions, readNetworkConfig, readValidAttachments } from '#cni/config.ts';
import { readCallArguments, readPodArguments } from '#cni/arguments.ts';

const base = { cniVersion: '1.1.0', name: 'net', type: 'flatroute' };
const config = (more: object = {}): ReturnType<typeof readNetworkConfig> =>
  readNetworkConfig(Buffer.from(JSON.stringify({ ...base, ...more })));

function options(more: object, interfaceName = 'eth0'): ReturnType<typeof readAddOptions> {
  const read = config(more);
  return read.ok ? readAddOptions(read.value, interfaceName) : assert.fail(read.error.msg);
}

/** JSON that can be read and not be written again: objects with numbers as keys. */
const deep = (levels: number): string => `${'{"0":'.repeat(levels)}1${'}'.repeat(levels)}`;

describe('the network configuration', () => {
  const refused: readonly {
    readonly name: string;
    readonly stdin: string;
    readonly code: number;
    readonly says: RegExp;
  }[] = [
    { name: 'nothing', stdin: '', code: 6, says: /no JSON/ },
    { name: 'a list', stdin: '[]', code: 6, says: /object/ },
    { name: 'no version, which means 0.1.0', stdin: '{"name":"a"}', code: 1, says: /0\.1\.0/ },
    { name: 'a version of the future', stdin: '{"cniVersion":"2.0.0","name":"a"}', code: 1, says: /2\.0\.0/ },
    { name: 'a version that is a number', stdin: '{"cniVersion":1,"name":"a"}', code: 1, says: /1 is not/ },
    { name: 'no name', stdin: '{"cniVersion":"1.0.0"}', code: 7, says: /name/ },
    { name: 'a name with a slash', stdin: '{"cniVersion":"1.0.0","name":"a/b"}', code: 7, says: /a\/b/ },
  ];
  for (const { name, stdin, code, says } of refused) {
    test(`refused: ${name}`, () => {
      const read = readNetworkConfig(Buffer.from(stdin));
      assert.ok(!read.ok);
      assert.equal(read.error.code, code);
      assert.match(read.error.msg, says);
    });
  }
  test('disableGC is read as boolean and as string', () => {
    for (const [value, expected] of [
      [true, true],
      ['true', true],
      [false, false],
      [undefined, false],
    ] as const) {
      const read = config({ disableGC: value });
      assert.equal(read.ok && read.value.disableGc, expected);
    }
  });
});

describe('options of ADD', () => {
  test("the specification's own keys and cni.dev/ are tolerated", () => {
    const read = options({
      args: {},
      capabilities: { mac: true },
      dns: { nameservers: ['192.0.2.53'] },
      ipam: {},
      ipMasq: false,
      disableCheck: true,
      disableGC: false,
      loadOnlyInlinedPlugins: true,
      'cni.dev/attachments': [],
      runtimeConfig: { portMappings: [], 'io.example/x': 1 },
    });
    assert.ok(read.ok, read.ok ? '' : read.error.msg);
    assert.deepEqual(read.value, {
      mtu: undefined,
      pools: undefined,
      addresses: [],
      mac: undefined,
      routes: undefined,
      sysctl: [],
      requireAnnouncement: false,
      dns: { nameservers: ['192.0.2.53'] },
    });
  });
  test('all options at once', () => {
    const read = options({
      mtu: 9000,
      ipam: { type: 'flatroute', pools: ['a', 'b', 'a'], addresses: ['10.0.0.1/24', '2001:DB8::1'] },
      routes: [{ dst: '10.0.0.0/8' }, { dst: '::/0', gw: 'fe80::ecee:eeff:feee:eeee' }],
      sysctl: { 'net.ipv4.conf.IFNAME.rp_filter': '0', 'net/ipv4/conf/eth0.5/forwarding': '1' },
      requireAnnouncement: true,
    });
    assert.ok(read.ok, read.ok ? '' : read.error.msg);
    assert.deepEqual(read.value.pools, ['a', 'b']);
    assert.deepEqual(read.value.addresses, ['10.0.0.1', '2001:db8::1']);
    assert.deepEqual(read.value.routes, [{ destination: '10.0.0.0/8' }, { destination: '::/0' }]);
    assert.deepEqual(read.value.sysctl, [
      { path: 'net/ipv4/conf/eth0/rp_filter', value: '0' },
      { path: 'net/ipv4/conf/eth0.5/forwarding', value: '1' },
    ]);
    assert.equal(read.value.mtu, 9000);
    assert.equal(read.value.requireAnnouncement, true);
  });
  const annotations = {
    'flatroute.io/ip-pools': 'a, b',
    'flatroute.io/ip-addresses': '["10.0.0.7"]',
    'flatroute.io/mac': '02:00:00:00:00:01',
  };
  test('annotations stand over the file; what contradicts them is refused', () => {
    const file = { ipam: { pools: ['c'], addresses: ['10.0.0.1'] } };
    const read = options({ ...file, runtimeConfig: { 'io.kubernetes.cri.pod-annotations': annotations } });
    assert.ok(read.ok);
    assert.deepEqual(
      [read.value.pools, read.value.addresses, read.value.mac],
      [['a', 'b'], ['10.0.0.7'], '02:00:00:00:00:01'],
    );
    const more = (runtime: object, pod: object = {}): ReturnType<typeof readAddOptions> => {
      const { value } = config({
        ...file,
        runtimeConfig: { 'io.kubernetes.cri.pod-annotations': annotations, ...runtime },
      }) as Extract<ReturnType<typeof config>, { ok: true }>;
      return readAddOptions(value, 'eth0', { addresses: [], mac: undefined, ...pod });
    };
    assert.deepEqual(more({ ips: ['10.0.0.7/24'], mac: '02-00-00-00-00-01' }), read);
    assert.deepEqual(more({}, { addresses: ['10.0.0.7'], mac: '02:00:00:00:00:01' }), read);
    for (const [outcome, says] of [
      [
        more({ ips: ['10.0.0.9/24'] }),
        /^addresses: runtimeConfig.ips says 10\.0\.0\.9, annotation .* says 10\.0\.0\.7$/,
      ],
      [more({}, { addresses: ['10.0.0.9'] }), /^addresses: CNI_ARGS IP says 10\.0\.0\.9, annotation/],
      [more({ mac: '02-00-00-00-00-FF' }), /^mac: runtimeConfig.mac says 02:00:00:00:00:ff, annotation/],
    ] as const) {
      assert.ok(!outcome.ok);
      assert.equal(outcome.error.code, 7);
      assert.match(outcome.error.msg, says);
    }
  });
  test('annotations speak of the first interface only', () => {
    const read = options({ runtimeConfig: { 'io.kubernetes.cri.pod-annotations': annotations } }, 'net1');
    assert.ok(read.ok);
    assert.deepEqual([read.value.pools, read.value.addresses, read.value.mac], [undefined, [], undefined]);
  });

  const refused: readonly {
    readonly name: string;
    readonly more: object;
    readonly code: number;
    readonly says: RegExp;
  }[] = [
    { name: 'an unknown key', more: { mtus: 1 }, code: 2, says: /mtus/ },
    { name: 'ipMasq', more: { ipMasq: true }, code: 2, says: /ipMasq/ },
    { name: 'another IPAM plugin', more: { ipam: { type: 'host-local' } }, code: 2, says: /host-local/ },
    { name: 'ipam that is no object', more: { ipam: [] }, code: 7, says: /ipam/ },
    { name: 'a prevResult: we are the first of the list', more: { prevResult: {} }, code: 7, says: /first plugin/ },
    { name: 'pools that are no list', more: { ipam: { pools: 'a' } }, code: 7, says: /pools/ },
    { name: 'an empty list of pools', more: { ipam: { pools: [] } }, code: 7, says: /pools/ },
    { name: 'an address that is none', more: { ipam: { addresses: ['10.0.0.256'] } }, code: 7, says: /10\.0\.0\.256/ },
    { name: 'a MAC of a group', more: { runtimeConfig: { mac: '01:00:00:00:00:00' } }, code: 7, says: /mac/ },
    { name: 'a MAC of zeros', more: { runtimeConfig: { mac: '00:00:00:00:00:00' } }, code: 7, says: /mac/ },
    { name: 'an MTU below 1280', more: { mtu: 1279 }, code: 7, says: /mtu/ },
    { name: 'an MTU that is text', more: { mtu: '1500' }, code: 7, says: /mtu/ },
    { name: 'a foreign gateway', more: { routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }] }, code: 2, says: /gw/ },
    {
      name: 'a route with more than we know',
      more: { routes: [{ dst: '0.0.0.0/0', table: 5 }] },
      code: 2,
      says: /table/,
    },
    { name: 'a route without destination', more: { routes: [{}] }, code: 7, says: /dst/ },
    { name: 'a sysctl above net', more: { sysctl: { 'kernel.panic': '1' } }, code: 2, says: /kernel\.panic/ },
    { name: 'a sysctl that climbs', more: { sysctl: { 'net/../kernel/panic': '1' } }, code: 2, says: /kernel/ },
    { name: 'a sysctl that is a number', more: { sysctl: { 'net.ipv4.ip_forward': 1 } }, code: 7, says: /ip_forward/ },
    {
      name: 'an annotation that is nested too deeply to be written',
      more: {
        runtimeConfig: { 'io.kubernetes.cri.pod-annotations': { 'flatroute.io/ip-addresses': `[${deep(20_000)}]` } },
      },
      code: 7,
      says: /nested too deeply/,
    },
    {
      name: 'an address of a hundred thousand letters, in a few words',
      more: { ipam: { addresses: ['"'.repeat(100_000)] } },
      code: 7,
      says: /^.{1,300}$/,
    },
    { name: 'requireAnnouncement as text', more: { requireAnnouncement: 'yes' }, code: 7, says: /requireAnnouncement/ },
  ];
  for (const { name, more, code, says } of refused) {
    test(`refused: ${name}`, () => {
      const read = options(more);
      assert.ok(!read.ok);
      assert.equal(read.error.code, code);
      assert.match(read.error.msg, says);
    });
  }
});

test('options that are nested too deeply to be written again are refused, not thrown', () => {
  for (const [key, code] of [
    ['ours', 2],
    ['dns', 7],
  ] as const) {
    const config = readNetworkConfig(
      Buffer.from(`{"cniVersion":"1.0.0","name":"net","type":"flatroute","${key}":${deep(20_000)}}`),
    );
    assert.ok(config.ok);
    const read = readAddOptions(config.value, 'eth0');
    assert.ok(!read.ok);
    assert.equal(read.error.code, code);
  }
});

test('GC takes nothing for unused without a list it can read', () => {
  for (const more of [
    {},
    { 'cni.dev/valid-attachments': 'none' },
    { 'cni.dev/valid-attachments': [{ containerID: 'a' }] },
  ]) {
    const read = config(more);
    assert.ok(read.ok && !readValidAttachments(read.value).ok);
  }
  // A list without an entry as Go writes it.
  const none = config({ 'cni.dev/valid-attachments': null });
  assert.deepEqual(none.ok && readValidAttachments(none.value), { ok: true, value: [] });
  const read = config({ 'cni.dev/valid-attachments': [{ containerID: 'a', ifname: 'eth0' }] });
  assert.ok(read.ok);
  assert.deepEqual(readValidAttachments(read.value), {
    ok: true,
    value: [{ containerId: 'a', interfaceName: 'eth0' }],
  });
});

describe('the environment', () => {
  const good = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c', CNI_IFNAME: 'eth0', CNI_NETNS: '/n' };
  const read = (more: Record<string, string>): ReturnType<typeof readCallArguments> =>
    readCallArguments(new Map(Object.entries({ ...good, ...more })));
  test('what ADD needs', () => {
    assert.ok(read({}).ok);
    for (const more of [
      { CNI_CONTAINERID: '' },
      { CNI_IFNAME: '' },
      { CNI_NETNS: '' },
      { CNI_IFNAME: 'x'.repeat(16) },
      { CNI_IFNAME: '..' },
      { CNI_IFNAME: 'a b' },
      { CNI_IFNAME: 'a:b' },
      { CNI_IFNAME: 'é' },
      { CNI_CONTAINERID: '-a' },
      { CNI_CONTAINERID: 'a/b' },
      { CNI_ARGS: 'x' },
      { CNI_COMMAND: 'add' },
    ]) {
      const outcome = read(more as unknown as Record<string, string>);
      assert.ok(!outcome.ok, JSON.stringify(more));
      assert.equal(outcome.error.code, 4);
    }
  });
  test('DEL needs a container and an interface only, and takes what ADD would refuse', () => {
    for (const more of [
      { CNI_NETNS: '' },
      { CNI_IFNAME: 'x'.repeat(40) },
      { CNI_CONTAINERID: 'a/b' },
      { CNI_ARGS: 'x' },
    ])
      assert.ok(read({ CNI_COMMAND: 'DEL', ...more } as unknown as Record<string, string>).ok, JSON.stringify(more));
    assert.ok(!read({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: '' }).ok);
  });
  test('GC, STATUS and VERSION need nothing', () => {
    for (const verb of ['GC', 'STATUS', 'VERSION']) assert.ok(readCallArguments(new Map([['CNI_COMMAND', verb]])).ok);
  });
  test('CNI_ARGS: ours are read, others only under IgnoreUnknown', () => {
    const args = new Map([
      ['IP', '10.0.0.1,2001:db8::1/64'],
      ['MAC', '02:00:00:00:00:01'],
      ['K8S_POD_NAMESPACE', 'ns'],
      ['K8S_POD_NAME', 'p'],
    ]);
    assert.deepEqual(readPodArguments(args), {
      ok: true,
      value: { namespace: 'ns', pod: 'p', addresses: ['10.0.0.1', '2001:db8::1'], mac: '02:00:00:00:00:01' },
    });
    assert.ok(!readPodArguments(new Map([['FOO', 'bar']])).ok);
    assert.ok(
      !readPodArguments(
        new Map([
          ['FOO', 'bar'],
          ['IgnoreUnknown', '0'],
        ]),
      ).ok,
    );
    for (const yes of ['1', 'true', 'True'])
      assert.ok(
        readPodArguments(
          new Map([
            ['FOO', 'bar'],
            ['IgnoreUnknown', yes],
          ]),
        ).ok,
      );
    assert.ok(!readPodArguments(new Map([['IP', 'nope']])).ok);
    assert.ok(!readPodArguments(new Map([['MAC', 'nope']])).ok);
  });
});
