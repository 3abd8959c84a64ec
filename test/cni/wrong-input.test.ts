// Every wrong call is answered with the CNI error code that the specification has for it and a sentence, and leaves nothing
// behind; a DEL of the same input is done. The answers are those of docs/errors.md, word by word: FLATROUTE_WRITE_DOCS=1
// writes them there.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ANNOTATIONS_CAPABILITY } from '#cni/config.ts';
import { seconds } from '#lib/time.ts';
import { Lab } from '#lab/lab.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { CniHost, type TestPod } from '../support/cni-host.ts';
import { type Answer, call, type CallOptions } from '../support/pod-calls.ts';
import { nodeYaml, own } from '../support/resources.ts';

interface Row {
  readonly name: string;
  readonly code: number;
  /** ADD if not given. */
  readonly verb?: string;
  readonly options?: CallOptions;
  /** The call lacks what DEL needs too, or a runtime would never make the DEL. */
  readonly noDel?: true;
}

const config = (name: string, code: number, more: Readonly<Record<string, unknown>>): Row => ({
  name,
  code,
  options: { config: more },
});
const ipam = (name: string, code: number, more: Readonly<Record<string, unknown>>): Row =>
  config(name, code, { ipam: more });
const runtime = (name: string, code: number, more: unknown): Row => config(name, code, { runtimeConfig: more });
const annotated = (name: string, code: number, key: string, value: unknown): Row =>
  runtime(name, code, { [ANNOTATIONS_CAPABILITY]: { [`flatroute.io/${key}`]: value } });
const args = (name: string, code: number, text: string): Row => ({ name, code, options: { args: text } });
const asks = (name: string, code: number, wanted: string): Row => args(name, code, `IP=${wanted}`);
const stdin = (name: string, code: number, text: string): Row => ({ name, code, options: { stdin: text } });
const environment = (name: string, code: number, options: CallOptions, noDel = false): Row => ({
  name,
  code,
  options,
  ...(noDel ? { noDel: true } : {}),
});
const of = (verb: string, row: Row): Row => ({ ...row, verb, noDel: true });

const rows: readonly Row[] = [
  { name: 'a verb that is none', code: 4, verb: 'PUT', noDel: true },
  { name: 'no verb', code: 4, verb: '', noDel: true },
  environment('no CNI_CONTAINERID', 4, { containerId: '' }, true),
  environment('a container id with a blank', 4, { containerId: 'a b' }),
  environment('a container id of 240 characters', 4, { containerId: 'x'.repeat(240) }),
  environment('no CNI_IFNAME', 4, { interfaceName: '' }, true),
  environment('a CNI_IFNAME of 16 characters', 4, { interfaceName: 'sixteen-letters0' }),
  environment('a CNI_IFNAME with a slash', 4, { interfaceName: 'a/b' }),
  environment('a CNI_IFNAME that is a directory', 4, { interfaceName: '..' }),
  environment('a CNI_IFNAME that the kernel would number', 4, { interfaceName: 'eth%d' }),
  environment("a CNI_IFNAME of the kernel's own", 4, { interfaceName: 'all' }),
  environment('no CNI_NETNS', 4, { netns: '' }),
  environment('a CNI_NETNS that is gone', 3, { netns: '/run/netns/gone' }),
  environment('a CNI_NETNS that is a file', 4, { netns: '/etc/passwd' }),
  environment("a CNI_NETNS that is the node's own", 4, { netns: '/proc/1/ns/net' }),
  args('CNI_ARGS that nobody knows, without IgnoreUnknown', 4, 'COLOUR=blue'),
  args('CNI_ARGS without a value', 4, 'IgnoreUnknown=1;IP'),
  args('CNI_ARGS of 70,000 characters', 4, `IgnoreUnknown=1;COLOUR=${'x'.repeat(70_000)}`),
  asks('CNI_ARGS IP that is no address', 4, '10.62.0.256'),
  args('CNI_ARGS MAC of a group', 4, 'MAC=01:00:5e:00:00:01'),

  stdin('an empty stdin', 6, ''),
  stdin('a stdin of more than 1 MiB', 6, ' '.repeat(1024 * 1024 + 1)),
  stdin('a stdin that is no JSON', 6, '{"cniVersion":'),
  stdin('a stdin that is no object', 6, '[]'),
  stdin('no cniVersion', 1, '{"name":"net","type":"flatroute"}'),
  stdin('a cniVersion of the past', 1, '{"cniVersion":"0.2.0","name":"net"}'),
  stdin('a cniVersion of the future', 1, '{"cniVersion":"2.0.0","name":"net"}'),
  stdin('no name', 7, '{"cniVersion":"1.1.0","type":"flatroute"}'),
  config('a name with a slash', 7, { name: '../net' }),

  config('an unknown option', 2, { mtuu: 1400 }),
  ipam('an unknown option of ipam', 2, { subnet: '10.0.0.0/8' }),
  ipam('another IPAM plugin', 2, { type: 'host-local' }),
  config('ipMasq', 2, { ipMasq: true }),
  config('a foreign gateway', 2, { routes: [{ dst: '10.0.0.0/8', gw: '10.62.0.1' }] }),
  config('an unknown field of a route', 2, { routes: [{ dst: '10.0.0.0/8', table: 5 }] }),
  config('a sysctl of the node', 2, { sysctl: { 'vm.overcommit_memory': '1' } }),
  config('a sysctl that the kernel has not', 101, { sysctl: { 'net.ipv4.nothing': '1' } }),
  config('a sysctl that is a number', 7, { sysctl: { 'net.ipv4.ip_forward': 1 } }),
  config('sysctl that is a list', 7, { sysctl: [] }),
  config('ipam that is a list', 7, { ipam: [] }),
  config('routes that are no list', 7, { routes: '10.0.0.0/8' }),
  config('a route that is text', 7, { routes: ['10.0.0.0/8'] }),
  config('a route with host bits', 7, { routes: [{ dst: '10.0.0.1/8' }] }),
  config('an MTU that IPv6 cannot live with', 7, { mtu: 1000 }),
  config('an MTU that is text', 7, { mtu: '1500' }),
  config('requireAnnouncement that is text', 7, { requireAnnouncement: 'yes' }),
  config('dns that is a list', 7, { dns: [] }),
  config('a prevResult: another plugin stands before', 7, { prevResult: { cniVersion: '1.1.0' } }),
  runtime('runtimeConfig that is a list', 7, []),
  runtime('runtimeConfig.ips that is text', 7, { ips: '10.62.0.7' }),
  runtime('runtimeConfig.ips with what is no address', 7, { ips: ['10.62.0.7', 'ten'] }),
  runtime('a prefix length that the family has not', 7, { ips: ['10.62.0.7/33'] }),
  runtime('runtimeConfig.mac that is none', 7, { mac: 'aa:bb' }),
  runtime('annotations that are text', 7, { [ANNOTATIONS_CAPABILITY]: 'flatroute.io/ip-pools=a' }),
  annotated('an annotation that begins like JSON and is none', 7, 'ip-addresses', '["10.62.0.7"'),
  annotated('an annotation without an address', 7, 'ip-addresses', ''),
  annotated('an annotation with a list of numbers', 7, 'ip-pools', '[1]'),
  annotated('a MAC annotation that is none', 7, 'mac', 'random'),

  ipam('a list of pools without a pool', 7, { pools: [] }),
  ipam('a pool that is not there', 7, { pools: ['nope'] }),
  ipam('a pool that is disabled', 7, { pools: ['off'] }),
  ipam('a pool for other namespaces', 7, { pools: ['shop'] }),
  {
    ...ipam('a pool that selects namespaces, and a namespace that is not known', 11, { pools: ['shop'] }),
    options: {
      config: { ipam: { pools: ['shop'] } },
      args: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=new;K8S_POD_NAME=web',
    },
  },
  ipam('a pool that is full', 100, { pools: ['full'] }),
  asks('an address outside of every pool', 7, '192.0.2.77'),
  asks('an address of a family without a Manual pool', 7, 'fd62::7'),
  asks('an address of an automatic pool', 7, '10.60.1.9'),
  asks('the network address of a block', 7, '10.62.1.0'),
  asks('the broadcast address of a block', 7, '10.62.1.7'),
  asks('an address that is reserved', 7, '10.62.1.3'),
  asks('an address that a pod has', 7, '10.62.0.8'),
  asks('an address of a disabled pool', 7, '10.65.0.7'),
  asks('a good address and one that is taken', 7, '10.62.0.7,10.62.0.8'),
  {
    name: 'an annotation and CNI_ARGS that name different addresses',
    code: 7,
    options: {
      args: 'IP=10.62.0.7',
      config: { runtimeConfig: { [ANNOTATIONS_CAPABILITY]: { 'flatroute.io/ip-addresses': '10.62.1.1' } } },
    },
  },
  of('CHECK', environment('CHECK of what was never added', 3, { containerId: 'nobody' })),
  of('CHECK', environment('CHECK without the result of ADD', 7, { containerId: 'holder' })),
  of('CHECK', environment('CHECK in a version that has none', 1, { version: '0.3.1' })),
  of('GC', config('GC without the attachments that are valid', 7, {})),
  of('GC', environment('GC in a version that has none', 1, { version: '1.0.0' })),
  of('STATUS', environment('STATUS in a version that has none', 1, { version: '1.0.0' })),
];

const block = (name: string, cidr: string): string => own('IPBlock', name, `cidr: ${cidr}, node: node`);
const resources = [
  nodeYaml('node', '192.0.2.1 2001:db8::1', '10.60.1.0/26, "fd60:1::/112"'),
  own('IPPool', 'vip', 'cidr: 10.62.0.0/16, blockSize: 29, assignmentMode: Manual'),
  block('ipv4-0a3e0007-32', '10.62.0.7/32'),
  block('ipv4-0a3e0008-32', '10.62.0.8/32'),
  block('ipv4-0a3e0100-29', '10.62.1.0/29'),
  own('IPReservation', 'printer', 'reservedCIDRs: [10.62.1.3/32]'),
  own('IPPool', 'full', 'cidr: 10.63.0.0/24, assignmentMode: Manual'),
  block('ipv4-0a3f0007-32', '10.63.0.7/32'),
  own('IPPool', 'shop', `cidr: 10.64.0.0/24, assignmentMode: Manual, namespaceSelector: "team == 'shop'"`),
  block('ipv4-0a400007-32', '10.64.0.7/32'),
  own('IPPool', 'off', 'cidr: 10.65.0.0/24, assignmentMode: Manual, disabled: true'),
  block('ipv4-0a410007-32', '10.65.0.7/32'),
].join('');

/** What there is of ours in the kernel and in the spool. */
const look = [
  "ip -o link | grep -o 'fr[0-9a-f]\\{12\\}'",
  'ip -4 route show table all proto 179',
  'ip -6 route show table all proto 179',
  "ip neigh show nud permanent | grep 'dev fr'",
  'ls -A /run/flatroute/spool',
].join('; ');

const page = 'docs/errors.md';
const begin = '<!-- what a wrong call is answered: test/cni/wrong-input.test.ts -->';
const end = '<!-- end -->';
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

describe('a wrong call', { timeout: 600_000 }, () => {
  let lab: Lab;
  let node: CniHost;
  let pod: TestPod;
  let before_ = '';
  const answers = new Map<string, string>();

  const state = async (): Promise<string> => {
    const pods = await node.ask((client) => client.pods());
    const kernel = await node.host.exec(['sh', '-c', look]);
    return [...pods.map((it) => `${it.container} ${it.state}`), kernel.stdout].join('\n');
  };
  const nothingLeft = async (): Promise<void> => {
    await waitFor(
      'the kernel to be as before',
      async () => {
        const now = await state();
        return now === before_ ? found(undefined) : notYet(now);
      },
      { deadline: seconds(60) },
    );
  };
  const calling = async (verb: string, options: CallOptions = {}): Promise<Answer> =>
    await call(node, verb, pod, { containerId: 'wrong', ...options });

  before(async () => {
    lab = await Lab.create('wrong-input');
    node = new CniHost(await lab.addHost('node', { forwarding: true }));
    await node.agent.write({ 'all.yaml': resources });
    await node.agent.start();
    pod = await node.pod('wrong');
    for (const [name, wish] of [
      ['holder', { ipam: { addresses: ['10.62.0.8'] } }],
      ['filler', { ipam: { pools: ['full'] } }],
    ] as const) {
      const added = await call(node, 'ADD', await node.pod(name), { containerId: name, config: wish });
      assert.equal(added.code, 0, added.stdout);
    }
    before_ = await state();
  });
  after(async () => await lab?.dispose());

  for (const { name, code, verb = 'ADD', options, noDel } of rows) {
    test(`${name} is error ${code}`, async () => {
      const { code: exit, error, stdout } = await calling(verb, options);
      assert.equal(exit, 1, stdout);
      assert.equal(error.code, code, stdout);
      assert.deepEqual(Object.keys(error).sort(), ['cniVersion', 'code', 'details', 'msg']);
      assert.ok(error.msg !== '' && error.details !== '' && error.msg.length + error.details.length < 400, stdout);
      // How long the address is depends on which one was free.
      const details = error.details.replace(/need \d+ bytes/, 'need N bytes');
      answers.set(name, `| ${cell(name)} | ${code} | ${cell(error.msg)} | ${cell(details)} |`);
      if (noDel !== true) {
        const deleted = await calling('DEL', options);
        assert.equal(deleted.code, 0, deleted.stdout);
      }
      await nothingLeft();
    });
  }

  const tolerated: readonly Row[] = [
    runtime("other plugins' runtimeConfig, and capabilities that nobody knows", 0, {
      portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
      bandwidth: { ingressRate: 1 },
      'io.example/new': { a: 1 },
    }),
    config("the specification's own keys", 0, {
      args: {},
      capabilities: { ips: true },
      ipMasq: false,
      disableCheck: true,
      'cni.dev/x': 1,
    }),
    args('CNI_ARGS of others under IgnoreUnknown', 0, 'IgnoreUnknown=true;COLOUR=blue'),
    annotated('one address said three times', 0, 'ip-addresses', '["10.62.0.7/24"]'),
  ];
  for (const { name, options } of tolerated) {
    test(`${name}: no error`, async () => {
      const same = name.startsWith('one') ? { args: 'IP=10.62.0.7' } : {};
      const added = await calling('ADD', { ...options, ...same });
      assert.equal(added.code, 0, added.stdout);
      assert.equal((await calling('DEL', options)).code, 0);
      await nothingLeft();
    });
  }

  for (const [name, more] of [
    ['an empty stdin', { stdin: '' }],
    ['a stdin that is no JSON', { stdin: '{' }],
    ['a stdin of more than 1 MiB', { stdin: ' '.repeat(1024 * 1024 + 1) }],
    ['options that ADD refuses', { config: { mtuu: 1, ipam: [], runtimeConfig: 7 }, args: 'x' }],
  ] as const) {
    test(`DEL with ${name} deletes the pod`, async () => {
      assert.equal((await calling('ADD')).code, 0);
      const deleted = await calling('DEL', more);
      assert.equal(deleted.code, 0, deleted.stdout);
      await nothingLeft();
    });
  }

  test('STATUS of a node without a block is error 50, and fine again with one', async () => {
    await node.agent.write({ 'all.yaml': nodeYaml('node', '192.0.2.1', '') });
    const options = { containerId: '' };
    const refused = await waitFor(
      'STATUS to fail',
      async () => {
        const answer = await calling('STATUS', options);
        return answer.code === 1 ? found(answer.error) : notYet(answer.stdout);
      },
      { deadline: seconds(60) },
    );
    assert.equal(refused.code, 50);
    await node.agent.write({ 'all.yaml': resources });
    await waitFor(
      'STATUS to be fine',
      async () => {
        const answer = await calling('STATUS', options);
        return answer.code === 0 ? found(undefined) : notYet(answer.stdout);
      },
      { deadline: seconds(60) },
    );
  });

  test(`${page} has every one of these answers`, () => {
    const text = readFileSync(page, 'utf8');
    const [head, rest] = text.split(begin);
    const [there, tail] = (rest ?? '').split(end);
    assert.ok(head !== undefined && tail !== undefined, `${page} has no place for them`);
    const all = rows.flatMap(({ name }) => answers.get(name) ?? []);
    assert.equal(all.length, rows.length, 'not every row was answered');
    const table = ['| wrong | code | msg | details |', '|---|---|---|---|', ...all].join('\n');
    if (process.env['FLATROUTE_WRITE_DOCS'] === '1')
      writeFileSync(page, `${head}${begin}\n\n${table}\n\n${end}${tail}`);
    else
      assert.equal(there?.trim(), table, 'FLATROUTE_WRITE_DOCS=1 npm test -- test/cni/wrong-input.test.ts writes it');
  });
});
