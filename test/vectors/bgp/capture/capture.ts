/**
 * Makes the files `captured/*.json`: runs each daemon in a namespace of its own against `recorder.ts` in a second one, and
 * writes down every OPEN, UPDATE and NOTIFICATION that it sends. Needs root and the daemons. Not part of the tests.
 *
 *   node test/vectors/bgp/capture/capture.ts [NAME ...]
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { OpenMessage } from '#bgp/wire/messages.ts';
import { negotiate, openMessage } from '#bgp/wire/negotiate.ts';
import { decodeOpen, encodeOpen } from '#bgp/wire/open.ts';
import type { Asn } from '#lib/ip.ts';
import { daemons } from './daemons.ts';
import type { Daemon } from './daemons.ts';

interface Heard {
  readonly type: number;
  readonly hex: string;
}

const left = `frt-wire-d-${process.pid}`;
const right = `frt-wire-r-${process.pid}`;
const DEADLINE_MS = 30_000;
const QUIET_MS = 3_000;

function run(command: readonly string[]): void {
  const [file = '', ...words] = command;
  const result = spawnSync(file, words, { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${command.join(' ')}: ${result.stderr}${result.stdout}`);
}

const inside = (namespace: string, command: readonly string[]): readonly string[] => [
  'ip',
  'netns',
  'exec',
  namespace,
  ...command,
];

function layWire(): void {
  for (const namespace of [left, right]) run(['ip', 'netns', 'add', namespace]);
  run(['ip', '-n', left, 'link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', right]);
  for (const [namespace, host] of [
    [left, 1],
    [right, 2],
  ] as const) {
    run(['ip', '-n', namespace, 'addr', 'add', `192.0.2.${host}/24`, 'dev', 'wire']);
    run(['ip', '-n', namespace, 'addr', 'add', `2001:db8::${host}/64`, 'dev', 'wire', 'nodad']);
    run(['ip', '-n', namespace, 'link', 'set', 'lo', 'up']);
    run(['ip', '-n', namespace, 'link', 'set', 'wire', 'up']);
  }
}

function start(namespace: string, command: readonly string[]): ChildProcess {
  const [file = '', ...words] = inside(namespace, command);
  return spawn(file, words, { stdio: ['ignore', 'pipe', 'pipe'] });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}

/** Waits until `enough` holds, or, when `quiet` is allowed, until nothing more was heard for a while. */
async function until(heard: readonly Heard[], enough: () => boolean, what: string, quiet: boolean): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  let [count, since] = [heard.length, Date.now()];
  while (!enough()) {
    if (heard.length !== count) [count, since] = [heard.length, Date.now()];
    if (quiet && Date.now() - since > QUIET_MS) return;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${DEADLINE_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function capture(daemon: Daemon): Promise<{ readonly heard: readonly Heard[]; readonly sent: OpenMessage }> {
  const directory = mkdtempSync(join(tmpdir(), 'frt-wire-'));
  const heard: Heard[] = [];
  const children: ChildProcess[] = [];
  const open = openMessage({
    localAsn: daemon.recorderAsn as Asn,
    identifier: 0xc0000202,
    holdTimeSeconds: 90,
    families: ['ipv4', 'ipv6'],
    enhancedRouteRefresh: false,
    extendedMessage: false,
    extendedNextHop: false,
    gracefulRestart: undefined,
    addPath: daemon.addPath === true ? { receive: true, send: true } : undefined,
  });
  const sent = daemon.fourOctetAs
    ? open
    : { ...open, capabilities: open.capabilities.filter((c) => c.kind !== 'fourOctetAs') };
  try {
    layWire();
    const recorder = join(import.meta.dirname, 'recorder.ts');
    const listener = start(right, [
      process.execPath,
      recorder,
      '192.0.2.2',
      Buffer.from(encodeOpen(sent)).toString('hex'),
    ]);
    children.push(listener);
    if (listener.stdout === null) throw new Error('the recorder has no output');
    createInterface(listener.stdout).on('line', (line) => heard.push(JSON.parse(line) as Heard));
    await until(heard, () => heard.length > 0, 'recorder listens', false);
    const speaker = start(left, daemon.start(directory));
    children.push(speaker);
    let said = '';
    for (const stream of [speaker.stdout, speaker.stderr]) stream?.on('data', (chunk) => (said += String(chunk)));
    const count = (type: number): number => heard.filter((message) => message.type === type).length;
    await until(heard, () => count(4) > 0, `${daemon.name} is established`, false).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${said}`);
    });
    for (const command of daemon.announce(directory)) run(inside(left, command));
    await until(heard, () => count(2) > 0, 'first UPDATE', false);
    await until(heard, () => false, 'routes', true);
    const updates = count(2);
    for (const command of daemon.withdraw(directory)) run(inside(left, command));
    await until(heard, () => count(2) > updates, 'withdrawal', false);
    for (const command of daemon.shutdown(directory)) run(inside(left, command));
    await until(heard, () => count(3) > 0, `${daemon.name} says goodbye`, false);
    return { heard: heard.filter((message) => message.type >= 1 && message.type <= 3), sent };
  } finally {
    for (const child of children.reverse()) await ended(child);
    for (const namespace of [left, right]) spawnSync('ip', ['netns', 'del', namespace]);
    rmSync(directory, { recursive: true });
  }
}

const wanted = process.argv.slice(2);
const target = join(import.meta.dirname, '..', 'captured');
mkdirSync(target, { recursive: true });
for (const daemon of daemons) {
  if (wanted.length > 0 && !wanted.includes(daemon.name)) continue;
  const { heard: messages, sent } = await capture(daemon);
  const open = decodeOpen(Buffer.from(messages.find(({ type }) => type === 1)?.hex ?? '', 'hex').subarray(19));
  if (!open.ok) throw new Error(`${daemon.name}: ${open.error.text}`);
  const { addPath } = negotiate(sent, open.value).context;
  const file = {
    source: `${daemon.version}, ${daemon.note}`,
    how: 'test/vectors/bgp/capture/capture.ts: the daemon in a network namespace against a recorder in a second one',
    context: {
      fourOctetAs: daemon.fourOctetAs,
      external: daemon.recorderAsn !== daemon.daemonAsn,
      families: ['ipv4', 'ipv6'],
      maximumMessageBytes: 4096,
      peerAsn: daemon.daemonAsn,
      ...(addPath === undefined ? {} : { addPath }),
    },
    // The session starts anew when a daemon connects more than once; the first OPEN tells all there is to know.
    messages: messages.filter((m, i) => m.type !== 1 || messages.findIndex((other) => other.type === 1) === i),
  };
  writeFileSync(join(target, `${daemon.name}.json`), `${JSON.stringify(file, undefined, 2)}\n`);
  console.log(`${daemon.name}: ${messages.length} messages`);
}
