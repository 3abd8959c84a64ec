import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseEndpoint } from '#cli/agent.ts';
import { noAgentText } from '#cli/client.ts';
import { runCommandLine } from '#cli/command-line.ts';
import type { CliIo } from '#cli/io.ts';

async function run(
  ...argv: readonly string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  let out = '';
  let err = '';
  const io: CliIo = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    terminal: false,
    columns: () => undefined,
    environment: {},
    now: () => 0,
    signal: new AbortController().signal,
  };
  const code = await runCommandLine(argv, io);
  return { code, out, err };
}

test('no words: what can be asked, each subcommand once', async () => {
  const { code, out } = await run();
  assert.equal(code, 0);
  for (const name of [
    'status',
    'peers',
    'routes',
    'pods',
    'pools',
    'blocks',
    'services',
    'conditions',
    'version',
    'agent',
    'bfd',
    'cni install',
    'reset',
    'demo',
  ]) {
    assert.equal(
      out.split('\n').filter((line) => line.startsWith(`  ${name}  `) || line.startsWith(`  ${name} `)).length,
      1,
      name,
    );
  }
});

describe('wrong use ends with 2 and says what is wrong', () => {
  const rows: readonly (readonly [readonly string[], RegExp])[] = [
    [['statsu'], /unknown subcommand statsu; did you mean status\?/],
    [['frobnicate'], /unknown subcommand frobnicate\n/],
    [['--bogus'], /unknown option --bogus before the subcommand/],
    [['cni'], /a word is missing: `flatroute cni install`/],
    [['cni', 'instal'], /unknown subcommand cni instal: `flatroute cni install`/],
    [['peers', '--sockt', 'x'], /unknown option --sockt .*did you mean --socket\?/],
    [['routes', '10.0.0.1/8'], /"10\.0\.0\.1\/8" is not an address or prefix \(host bits/],
    [['routes', '--received', '--announced'], /--received and --announced exclude each other/],
    [['routes', '--limit', '0'], /--limit 0 is not 1 to 10000/],
    [['routes', '--limit', '1e3'], /--limit 1e3 is not/],
    [['routes', '--within'], /--within needs a PREFIX/],
    [['reset'], /PEER is missing[^]*`flatroute help reset`/],
    [['agent'], /--resources DIR is missing/],
    [['agent', '--resources', '/x'], /--node NAME is missing/],
    [['agent', '--resources', '/x', '--kubernetes', '--node', 'a'], /--resources and --kubernetes exclude each other/],
    [['agent', '--resources', '/x', '--kubeconfig', '/k', '--node', 'a'], /--kubeconfig goes with --kubernetes only/],
    [['agent', '--resources', '/x', '--node', 'a', '--conflist', 'x'], /--conflist x is not the path of a list/],
    [['agent', '--resources', '/x', '--node', 'a', '--cni-bin', '/b'], /--conflist FILE says where it is/],
    [['agent', '--resources', '/x', '--node', 'Node_1'], /--node "Node_1" is not a name that a Node can have/],
    [['agent', '--resources', '/x', '--node', 'a', '--metrics', '9179'], /--metrics 9179 is not ADDRESS:PORT/],
    [['agent', '--resources', '/x', '--node', 'a', '--log-level', 'loud'], /--log-level loud is not known/],
    [['bfd', '--log-level', 'loud'], /--log-level loud is not known/],
    [['cni', 'install', '--mtu', '900'], /--mtu 900 is not 1280 to 65535/],
    [['help', 'nothing'], /unknown subcommand nothing/],
  ];
  for (const [argv, expected] of rows) {
    test(argv.join(' '), async () => {
      const { code, err, out } = await run(...argv);
      assert.equal(code, 2);
      assert.match(err, expected);
      assert.equal(out, '');
    });
  }
});

test('version in both forms', async () => {
  assert.match((await run('version')).out, /^flatroute \d+\.\d+\.\d+ · Node v26/);
  const parsed = JSON.parse((await run('version', '-o', 'json')).out) as Record<string, string>;
  assert.deepEqual(Object.keys(parsed), ['version', 'node', 'kernel', 'architecture']);
  assert.equal((await run('--version')).code, 0);
});

test('help of one subcommand, by either way', async () => {
  const { out, code } = await run('help', 'routes');
  assert.equal(code, 0);
  assert.match(out, /flatroute routes \[PREFIX\] \[options\]/);
  assert.equal((await run('routes', '--help')).out, out);
});

test('no agent: exit code 1, and what to do', async () => {
  const { code, err } = await run('status', '--socket', '/nowhere/admin.sock');
  assert.equal(code, 1);
  assert.match(err, /^flatroute: no agent at \/nowhere\/admin\.sock: there is no such socket; start one with/);
  for (const [errno, expected] of [
    ['ECONNREFUSED', /has died/],
    ['EACCES', /run this as root/],
    ['EMFILE', /EMFILE/],
  ] as const) {
    assert.match(noAgentText('/s', errno), expected);
  }
});

test('cni install writes plugin and conflist, and says where', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'flatroute-install-'));
  try {
    const words = [
      'cni',
      'install',
      '--plugin',
      '/bin/true',
      '--bin-dir',
      join(directory, 'bin'),
      '--conf-dir',
      join(directory, 'net.d'),
    ];
    const bare = await run(...words, '--no-portmap');
    assert.match(
      bare.err,
      /^flatroute: the plugin loopback is not in .*\/bin, from where containerd runs it for every pod/,
    );
    writeFileSync(join(directory, 'bin/loopback'), '');
    const { code, out, err } = await run(...words, '--no-portmap', '--mtu', '9000', '--network', 'blue');
    assert.deepEqual([code, err], [0, '']);
    assert.equal(out.split('\n').filter((line) => line.startsWith('installed ')).length, 2);
    assert.equal(statSync(join(directory, 'bin/flatroute')).mode & 0o777, 0o755);
    const conflist = JSON.parse(readFileSync(join(directory, 'net.d/05-flatroute.conflist'), 'utf8')) as {
      name: string;
      plugins: { mtu?: number }[];
    };
    assert.deepEqual([conflist.name, conflist.plugins.length, conflist.plugins[0]?.mtu], ['blue', 1, 9000]);
    const withPortmap = await run(...words);
    assert.equal(withPortmap.code, 0);
    assert.match(withPortmap.err, /names portmap, which is not in .*\/bin: no pod comes up until it is there/);
    writeFileSync(join(directory, 'bin/portmap'), '');
    assert.equal((await run(...words)).err, '');
    const missing = await run(...words, '--plugin=/nowhere');
    assert.equal(missing.code, 2, 'an option twice is wrong use');
    const unreadable = await run('cni', 'install', '--plugin', '/nowhere', '--bin-dir', directory);
    assert.equal(unreadable.code, 1);
    assert.match(unreadable.err, /the plugin \/nowhere cannot be read/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

describe('addresses of metrics', () => {
  const rows = [
    ['127.0.0.1:9179', { host: '127.0.0.1', port: 9179 }],
    ['[::1]:9179', { host: '::1', port: 9179 }],
    [':9179', { host: undefined, port: 9179 }],
    ['node-1:80', { host: 'node-1', port: 80 }],
    ['9179', undefined],
    ['::1:9179', undefined],
    ['127.0.0.1:99999', undefined],
    ['127.0.0.1:', undefined],
  ] as const;
  for (const [text, expected] of rows) test(text, () => assert.deepEqual(parseEndpoint(text), expected));
});
