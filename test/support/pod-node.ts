/**
 * A node for tests of pods: a network namespace and a mount namespace with a /run of its own, so that the plugin's fixed
 * paths belong to it; the service in a process inside; plugins run inside by nsenter.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { PodEvent } from '#cni/port.ts';
import type { PodCheck, PodCheckRequest, PodFacts, PodRow, PodsIntent } from '#ipam/intent.ts';
import { parseAddress, parsePrefix, type IpAddress, type Prefix } from '#lib/ip.ts';
import type { PluginAnswer, PluginCall } from '#lab/conflist.ts';
import { createNamespace, eventually, execute, type TestNamespace } from './netns.ts';
import type { AgentCommand, AgentMessage, AgentStart, Waits } from './pod-agent.ts';

export const pluginPath = resolve('build/flatroute-cni');
const agentPath = resolve('test/support/pod-agent.ts');

export const address = (text: string): IpAddress => parseAddress(text) ?? assert.fail(`no address: ${text}`);
export const prefix = (text: string): Prefix => parsePrefix(text) ?? assert.fail(`no prefix: ${text}`);

export const nodeIpv4 = address('192.0.2.1');
export const nodeIpv6 = address('2001:db8:ffff::1');

export const intent: PodsIntent = {
  ipam: {
    pools: [
      {
        name: 'node',
        blocks: [prefix('10.99.0.0/24'), prefix('2001:db8:99::/120')],
        assignmentMode: 'Automatic',
        disabled: false,
      },
      {
        name: 'fixed',
        blocks: [prefix('10.98.0.7/32'), prefix('10.98.0.8/32')],
        assignmentMode: 'Manual',
        disabled: false,
      },
      { name: 'tiny', blocks: [prefix('10.97.0.0/30')], assignmentMode: 'Manual', disabled: false },
    ],
    reserved: [prefix('10.99.0.128/25')],
  },
  nodeAddresses: { ipv4: nodeIpv4, ipv6: nodeIpv6 },
  mtu: undefined,
};

/** Calls that an agent serves at a time. */
export const CONNECTIONS = 64;
/** Longer than a machine is busy, and less than the plugin waits for an answer. */
const patient: Waits = { announcement: 50_000, deletion: 50_000 };
/** For a test of what comes when the wait is over. */
export const impatient: Waits = { announcement: 1000, deletion: 1000 };

// The mount namespace gets a /run of its own, in which the named network namespaces are still seen, also later ones.
const enter = [
  'set -e',
  'kept=$(mktemp -d)',
  'mount --rbind /run/netns "$kept"',
  'mount -t tmpfs tmpfs /run',
  'mkdir -p /run/netns',
  'mount --rbind "$kept" /run/netns',
  'umount -l "$kept"',
  'rmdir "$kept"',
  'exec "$@"',
].join('\n');

export class PodNode {
  readonly namespace: TestNamespace;
  readonly events: PodEvent[] = [];
  facts: PodFacts | undefined;
  /** Keeps the mount namespace while no agent runs. */
  readonly #holder: ChildProcess;
  #agent: ChildProcess | undefined;
  #answers: ((answer: { readonly rows: readonly PodRow[]; readonly check?: PodCheck }) => void)[] = [];

  private constructor(namespace: TestNamespace, holder: ChildProcess) {
    this.namespace = namespace;
    this.#holder = holder;
  }

  static async create(): Promise<PodNode> {
    assert.ok(existsSync(pluginPath), `${pluginPath} is missing: npm run build:plugin`);
    const namespace = await createNamespace('frt-pods');
    await namespace.run(['ip', 'addr', 'add', `${nodeIpv4}/32`, 'dev', 'lo']);
    await namespace.run(['ip', 'addr', 'add', `${nodeIpv6}/128`, 'dev', 'lo', 'nodad']);
    await namespace.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
    const holder = spawn(
      'ip',
      [
        'netns',
        'exec',
        namespace.name,
        'unshare',
        '-m',
        '--propagation',
        'slave',
        'sh',
        '-c',
        enter,
        'sh',
        'sh',
        '-c',
        'echo ready; exec cat',
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    await new Promise<void>((ready, fail) => {
      holder.stdout?.once('data', () => ready());
      holder.once('exit', (code) => fail(new Error(`the node's mount namespace was not made (${code})`)));
    });
    return new PodNode(namespace, holder);
  }

  get #holderPid(): string {
    return String(this.#holder.pid ?? assert.fail('no holder'));
  }

  #inside(argv: readonly string[]): string[] {
    return ['-t', this.#holderPid, '-m', '-n', '--', ...argv];
  }

  /** `path`: where the agent finds programs, instead of the test's own PATH. */
  async startAgent(first: PodsIntent | 'none' = intent, path?: string, waits: Waits = patient): Promise<void> {
    const begin = await this.prepareAgent(first, path, waits);
    await begin();
  }

  /** An agent that has everything but its service, which `begin` starts: what takes a busy machine long is over. */
  async prepareAgent(
    first: PodsIntent | 'none' = intent,
    path = process.env['PATH'] ?? '',
    waits: Waits = patient,
  ): Promise<() => Promise<void>> {
    const how: AgentStart = { connections: CONNECTIONS, intent: first === 'none' ? undefined : first, waits };
    const words = ['env', `PATH=${path}`, process.execPath, agentPath, JSON.stringify(how)];
    const agent = spawn('nsenter', this.#inside(words), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#agent = agent;
    const [loaded, ready] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    agent.once('exit', (code, signal) => {
      const error = new Error(`the agent ended: ${code ?? signal}`);
      for (const waiting of [loaded, ready]) waiting.reject(error);
    });
    ready.promise.catch(() => undefined);
    agent.on('message', (message) => {
      const said = message as AgentMessage;
      if (said.kind === 'loaded') loaded.resolve();
      else if (said.kind === 'ready') ready.resolve();
      else if (said.kind === 'done') this.#answers.shift()?.(said);
      else if (said.kind === 'event') this.events.push(said.event);
      else this.facts = said.facts;
    });
    await loaded.promise;
    return async () => {
      agent.send({ do: 'begin' } satisfies AgentCommand);
      await ready.promise;
    };
  }

  async tell(command: AgentCommand): Promise<readonly PodRow[]> {
    return (await this.#ask(command)).rows;
  }

  #ask(command: AgentCommand): Promise<{ readonly rows: readonly PodRow[]; readonly check?: PodCheck }> {
    return new Promise((answer) => {
      this.#answers.push(answer);
      this.#agent?.send(command);
    });
  }

  /** What `flatroute ipam check` asks for. Nothing else may be asked until it has answered. */
  async check(repair: PodCheckRequest['repair'] = 'no', olderThanSeconds = 0): Promise<PodCheck> {
    const { check } = await this.#ask({ do: 'check', request: { repair, olderThanSeconds } });
    return check ?? assert.fail('the agent answered something else');
  }

  rows(): Promise<readonly PodRow[]> {
    return this.tell({ do: 'rows' });
  }

  async stopAgent(): Promise<void> {
    const agent = this.#agent;
    if (agent === undefined) return;
    this.#agent = undefined;
    const ended = new Promise((resolve) => agent.once('exit', resolve));
    agent.send({ do: 'stop' } satisfies AgentCommand);
    await ended;
  }

  async killAgent(): Promise<void> {
    const agent = this.#agent;
    if (agent === undefined) return;
    this.#agent = undefined;
    this.#answers = [];
    const ended = new Promise((resolve) => agent.once('exit', resolve));
    agent.kill('SIGKILL');
    await ended;
  }

  /** Pauses (SIGSTOP) or continues the agent: one that is there and does not answer. */
  signalAgent(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#agent?.kill(signal);
  }

  /** A file of the node as this process can open it, its socket for instance. */
  path(inside: string): string {
    return `/proc/${this.#holderPid}/root${inside}`;
  }

  get agentPid(): number {
    return this.#agent?.pid ?? assert.fail('no agent');
  }

  /** Runs a plugin inside the node; `onStart` sees its process. */
  plugin(call: PluginCall, onStart?: (child: ChildProcess) => void): Promise<PluginAnswer> {
    const path = call.type === 'flatroute' ? pluginPath : `/usr/lib/cni/${call.type}`;
    return new Promise((done, fail) => {
      const child = spawn('nsenter', this.#inside([path]), {
        env: { PATH: process.env['PATH'] ?? '', CNI_PATH: '/usr/lib/cni', ...call.environment },
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      let stdout = '';
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString();
      });
      child.once('error', fail);
      child.once('close', (code) => done({ code: code ?? -1, stdout, stderr: '' }));
      child.stdin.on('error', () => undefined);
      child.stdin.end(call.input);
      onStart?.(child);
    });
  }

  /** A command in the node's network and mount namespace. */
  async run(argv: readonly string[]): Promise<string> {
    const { stdout, stderr, code } = await execute(['nsenter', ...this.#inside(argv)]);
    assert.equal(code, 0, `${argv.join(' ')}: ${stderr}`);
    return stdout;
  }

  exec(argv: readonly string[]): ReturnType<typeof execute> {
    return execute(['nsenter', ...this.#inside(argv)]);
  }

  /** What there is of ours in the node's kernel, as text. */
  async leftovers(): Promise<string> {
    const links = await this.run(['ip', '-o', 'link']);
    const four = await this.run(['ip', '-4', 'route', 'show', 'proto', '179']);
    const six = await this.run(['ip', '-6', 'route', 'show', 'proto', '179']);
    const neighbours = await this.run(['ip', 'neigh', 'show', 'nud', 'permanent']);
    const spool = await this.run(['sh', '-c', 'ls -A /run/flatroute/spool 2>/dev/null || true']);
    const ours = links.split('\n').filter((line) => /^\d+: fr[0-9a-f]{12}/.test(line));
    return [
      ...ours,
      four,
      six,
      neighbours
        .split('\n')
        .filter((line) => / dev fr/.test(line))
        .join('\n'),
      spool,
    ]
      .join('\n')
      .trim();
  }

  async nothingLeft(): Promise<void> {
    let left = '';
    await eventually('nothing of ours left', async () => {
      left = await this.leftovers();
      return left === '' && (await this.rows()).length === 0;
    }).catch((error: unknown) => assert.fail(`${String(error)}\n${left}`));
  }

  async dispose(): Promise<void> {
    await this.killAgent();
    const ended = new Promise((resolve) => this.#holder.once('exit', resolve));
    this.#holder.stdin?.end();
    await ended;
    await this.namespace.dispose();
  }
}
