/**
 * The node agent: takes the lock, starts the threads, reads the kernel back, gives every thread its start and its intent,
 * serves metrics, health and the admin API, and stops without hurting a pod. Killing it at any moment is normal: the next
 * start finds everything in the kernel. Where resources come from, and what is written there, is its surroundings.
 */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { noBfd } from '#bgp/bfd/facts.ts';
import type { RouteAnswer } from '#bgp/engine.ts';
import { prepareRecordDirectory } from '#bgp/io/recorder.ts';
import type { NodeIntent } from '#intent/node-intent.ts';
import { Growth } from '#ipam/growth.ts';
import { AppError } from '#lib/result.ts';
import { seconds, systemClock } from '#lib/time.ts';
import { warmThreadPool } from '#linux/namespace.ts';
import type { ConditionAnswer } from '#status/answers.ts';
import { changedConditions } from '#status/conditions.ts';
import { healthOf, readinessOf } from '#status/health.ts';
import { createMetrics } from '#status/metrics.ts';
import type { Snapshot } from '#status/snapshot.ts';
import { type AdminServer, serveAdmin } from './admin/server.ts';
import { BfdLink } from './bfd-link.ts';
import { BfdPeers } from './bfd-peers.ts';
import { bootIdentity, lastLife, prepareRunDirectory, rememberLife } from './boot-identity.ts';
import type { ClaimerInput } from './claims.ts';
import { ConflistKeeper, type ConflistOptions } from './conflist-keeper.ts';
import { Drain } from './drain.ts';
import { programVersion, type ThreadName, protoFolder } from './entries.ts';
import { type Endpoint, type HttpServer, serveHttp } from './http.ts';
import { IntentLoop } from './intent-loop.ts';
import { takeLock } from './lock.ts';
import { createLog, type Log } from './log.ts';
import type { LogLevel, ThreadFacts } from './messages.ts';
import { requireRights } from './rights.ts';
import { AgentServices } from './services.ts';
import { Supervisor } from './supervisor.ts';
import { type Found, type FromWhere, find, type Surroundings } from './surroundings.ts';
import { collectGarbage, settleCompiler } from './v8.ts';

/** What the start needed is no longer held by then: answers of the API, the first intents. */
const COLLECT_AFTER = seconds(10);

export interface AgentOptions {
  readonly resources: FromWhere;
  readonly node: string;
  readonly metrics: Endpoint | undefined;
  readonly runDirectory: string;
  readonly logLevel: LogLevel;
  readonly withdrawOnStop: boolean;
  /** BFD's process is somebody else's to start. */
  readonly externalBfd: boolean;
  /** Directory into which the lives of BGP sessions are written. */
  readonly record: string | undefined;
  /** The list for the container runtime, where the agent keeps it. */
  readonly conflist: ConflistOptions | undefined;
}

/** Answers the exit code: 0 after a stop that was asked for, 1 when starting threads again did not help. */
export async function runAgent(options: AgentOptions, modules: { readonly stop: AbortSignal }): Promise<number> {
  requireRights();
  prepareRunDirectory(options.runDirectory);
  if (options.record !== undefined) prepareRecordDirectory(options.record);
  const lock = await takeLock();
  settleCompiler();
  await warmThreadPool(Number(process.env['UV_THREADPOOL_SIZE'] ?? 4));
  const agent = new Agent(options, await find(options.resources));
  let failure: unknown;
  try {
    const ended = agent.untilEnd(modules.stop);
    // A stop that comes while the agent still starts is not kept waiting.
    await Promise.race([agent.start(), ended]);
    return await ended;
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    await agent.stop(failure);
    await lock.release();
    agent.log.flush();
  }
}

class Agent {
  readonly log: Log;
  readonly #options: AgentOptions;
  readonly #startedAt = Date.now();
  readonly #version = programVersion();
  readonly #metrics = createMetrics(() => this.#snapshot());
  readonly #supervisor: Supervisor;
  readonly #loop: IntentLoop;
  readonly #surroundings: Surroundings;
  readonly #conflist: ConflistKeeper | undefined;
  readonly #growth = new Growth();
  readonly #drain: Drain;
  readonly #bfd: BfdPeers;
  readonly #bfdLink: BfdLink;
  readonly #services: AgentServices;
  readonly #waitingFor = new Set(['the kernel to be read', 'resources', 'pods to be rebuilt', 'the BGP speaker']);
  readonly #ended = Promise.withResolvers<number>();
  /** The background thread has put an intent into the kernel, and the gates have seen it. */
  readonly #kernelApplied = Promise.withResolvers<void>();
  /** The kernel's links were read: which fixed addresses are in use. */
  readonly #podsKnown = Promise.withResolvers<void>();
  readonly #restarted: boolean;
  #http: HttpServer | undefined;
  #admin: AdminServer | undefined;
  /** A BGP thread of this process spoke before; the one that comes now restarts. */
  #spoke = false;
  #firstSessionSeconds: number | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: AgentOptions, found: Found) {
    this.#options = options;
    this.log = createLog(options.logLevel, (level) => this.#metrics.logged(level));
    const identity = bootIdentity();
    const last = lastLife(options.runDirectory);
    this.#restarted = last?.identity === identity;
    rememberLife(options.runDirectory, { identity, learned: this.#restarted ? (last?.learned ?? []) : [] });
    this.#services = new AgentServices(options.runDirectory, {
      clock: systemClock,
      log: this.log.write,
      proxy: (proxy) => this.#loop.learn({ proxy }),
      again: () => this.#loop.again(),
    });
    this.#loop = new IntentLoop(options.node, {
      decisions: this.#services.decisions,
      services: (ranges, proxy) => {
        this.#surroundings.watchServices(ranges);
        this.#services.proxy.watch(proxy);
      },
      intent: (intent, generation) => {
        this.#sendIntent(intent, generation, ['background', 'pods', 'bgp']);
        this.#bfd.setIntent(intent.bgp);
      },
      podsGate: (gate) => this.#supervisor.pods.command({ kind: 'gate', gate }),
      ...(typeof options.resources === 'string'
        ? {}
        : { claims: (input: ClaimerInput): void => this.#surroundings.claim(input) }),
      conditions: (before, now) => {
        if (this.#loop.servicesSettled) this.#services.settled();
        this.#logConditions(before, now);
        this.#surroundings.changed();
      },
    });
    if (this.#restarted) this.#loop.services(this.#services.memory.read(), undefined);
    this.#bfdLink = new BfdLink(
      { runDirectory: options.runDirectory, logLevel: options.logLevel, external: options.externalBfd },
      {
        log: this.log.write,
        changed: () => {
          this.#bfd.observed(this.#bfdLink.facts);
          this.#loop.learn({ bfd: this.#bfdLink.facts });
        },
      },
    );
    this.#bfd = new BfdPeers({
      sessions: ({ sessions, keep }) => this.#bfdLink.setSessions(sessions, keep),
      failed: (peer, text) => this.#supervisor.bgp.command({ kind: 'pathFailed', peer, text }),
      paths: (paths) => this.#supervisor.background.command(paths),
    });
    this.#drain = new Drain(options.runDirectory, {
      clock: systemClock,
      apply: (drains) => this.#loop.drain(drains),
      facts: () => this.#loop.facts.bgp,
      log: (event, fields) => this.log.write('info', event, fields),
    });
    this.#surroundings = found({
      node: options.node,
      clock: systemClock,
      log: this.log.write,
      snapshot: () => this.#snapshot(),
      resources: (set, problems) => this.#loop.resources(set, problems),
      growth: () => this.#growth.growth(systemClock.now()),
      claimed: (claims) => this.#loop.learn({ claims }),
      services: (views, problem) => {
        this.#services.learn(views, problem);
        this.#loop.services(views, problem);
      },
    });
    if (options.conflist !== undefined)
      this.#conflist = new ConflistKeeper(options.conflist, {
        clock: systemClock,
        log: this.log.write,
        facts: (conflist) => this.#loop.learn({ conflist }),
      });
    this.#supervisor = new Supervisor(options, {
      log: this.log.write,
      facts: (name, facts) => this.#learn(name, facts),
      attached: (seconds) => this.#metrics.attached(seconds),
      rebuild: (names) => this.#rebuild(names),
      giveUp: (reason) => {
        this.log.write('error', 'agent.gave-up', { reason });
        this.#ended.resolve(1);
      },
    });
  }

  async start(): Promise<void> {
    const { node, resources, metrics, runDirectory } = this.#options;
    this.log.write('info', 'agent.starting', {
      node,
      version: this.#version,
      pid: process.pid,
      resources: typeof resources === 'string' ? resources : 'kubernetes',
      restarted: this.#restarted,
    });
    if (metrics !== undefined) {
      const opening = serveHttp(metrics, {
        metrics: this.#metrics,
        health: () => healthOf(this.#snapshot()),
        readiness: () => readinessOf(this.#snapshot()),
      });
      this.#http = await this.#kept(opening);
    }
    const serving = serveAdmin(join(runDirectory, 'admin.sock'), {
      snapshot: () => this.#snapshot(),
      routes: (query): Promise<RouteAnswer> => this.#supervisor.bgp.ask('routes', query),
      lookup: (address) => this.#supervisor.background.ask('lookup', address),
      pods: () => this.#supervisor.pods.ask('rows', undefined),
      check: (request) => this.#supervisor.pods.ask('check', request),
      drain: (peers, wait) => this.#drain.begin(peers, wait),
      undrain: (peers) => this.#drain.end(peers),
      reset: (peer, how) => this.#supervisor.bgp.ask('reset', { peer, how }),
      subscribe: (listener) => this.log.subscribe(listener),
      log: this.log.write,
    });
    this.#admin = await this.#kept(serving);
    this.#conflist?.start();
    const read = this.#surroundings.start().then(() => this.#done('resources'));
    // Before the first intent: peers that were drained are not told anything first.
    this.#drain.start();
    await this.#startBackground();
    await read;
    await Promise.all([this.#startPods(), this.#startBgp()]);
    this.log.write('info', 'agent.started', { seconds: (Date.now() - this.#startedAt) / 1000 });
    setTimeout(collectGarbage, COLLECT_AFTER).unref();
  }

  #done(what: string): void {
    this.#waitingFor.delete(what);
    if (this.#waitingFor.size === 0) this.#conflist?.serve();
    this.#surroundings.changed();
  }

  /** What was opened while a stop came would outlive the agent. */
  async #kept<T extends { readonly close: () => Promise<void> }>(opening: Promise<T>): Promise<T> {
    const opened = await opening;
    if (this.#stopping === undefined) return opened;
    await opened.close();
    throw new AppError('AGENT_STOPPED', 'the agent was stopped while it started');
  }

  async #startBackground(): Promise<void> {
    const thread = this.#supervisor.background;
    if (!thread.mayStart()) return;
    await thread.ask('start', undefined);
    this.#done('the kernel to be read');
  }

  async #startPods(): Promise<void> {
    const thread = this.#supervisor.pods;
    if (!thread.mayStart()) return;
    await thread.ask('start', undefined);
    this.#done('pods to be rebuilt');
  }

  async #startBgp(): Promise<void> {
    const thread = this.#supervisor.bgp;
    if (!thread.mayStart()) return;
    // RFC 4724 §4.1: what we announce first is what the peer keeps. Before the gates know the kernel our blocks are held
    // back, before pods are known their fixed addresses are, and an End-of-RIB without them would make the peer forget them.
    await this.#kernelApplied.promise;
    const { preserved, routes } = await this.#supervisor.background.ask('inheritance', undefined);
    await this.#podsKnown.promise;
    if (this.#restarted) await this.#services.known();
    // The one in its place has its own turn, and what was read for this one may be true no more.
    if (thread !== this.#supervisor.bgp || thread.dead) return;
    // RFC 4724 §3: F is set only after the kernel was read back, and only when this boot had a speaker before.
    const restarted = this.#restarted || this.#spoke;
    this.#spoke = true;
    const { record } = this.#options;
    await thread.ask('start', {
      restarted,
      forwardingPreserved: restarted ? preserved : [],
      protoFolder: fileURLToPath(protoFolder()),
      inherited: restarted ? routes : undefined,
      record: record === undefined ? undefined : { directory: record, program: this.#version },
    });
    this.#done('the BGP speaker');
  }

  /** Threads that died are born again by the way they were born first. */
  async #rebuild(names: readonly ThreadName[]): Promise<void> {
    const { intent, generation, podsGate } = this.#loop;
    if (names.includes('background')) {
      await this.#startBackground();
      this.#supervisor.background.command(this.#bfd.paths);
    }
    if (intent !== undefined) this.#sendIntent(intent, generation, names);
    if (podsGate !== undefined && names.includes('pods'))
      this.#supervisor.pods.command({ kind: 'gate', gate: podsGate });
    await Promise.all([
      names.includes('pods') ? this.#startPods() : undefined,
      names.includes('bgp') ? this.#startBgp() : undefined,
    ]);
  }

  #sendIntent({ dataplane, pods, bgp }: NodeIntent, generation: number, names: readonly ThreadName[]): void {
    const supervisor = this.#supervisor;
    if (names.includes('background')) supervisor.background.command({ kind: 'intent', generation, intent: dataplane });
    if (names.includes('pods')) supervisor.pods.command({ kind: 'intent', generation, intent: pods });
    if (names.includes('bgp')) supervisor.bgp.command({ kind: 'intent', generation, intent: bgp });
  }

  #learn<N extends ThreadName>(name: N, facts: ThreadFacts[N]): void {
    const key = name === 'background' ? 'kernel' : name;
    this.#loop.learn({ [key]: facts });
    if (name !== 'pods') this.#bfd.learn({ [key]: facts });
    // Behind the decision that `learn` has put off to the same turn.
    if (name === 'background' && facts.generation > 0) setImmediate(() => this.#kernelApplied.resolve());
    if (name === 'pods') {
      this.#growth.learn((facts as ThreadFacts['pods']).blocks, systemClock.now());
      setImmediate(() => this.#podsKnown.resolve());
    }
    if (this.#firstSessionSeconds === undefined && name === 'bgp') {
      const { peers } = facts as ThreadFacts['bgp'];
      if (peers.some((peer) => peer.state === 'Established'))
        this.#firstSessionSeconds = (Date.now() - this.#startedAt) / 1000;
    }
  }

  #logConditions(before: readonly ConditionAnswer[], now: readonly ConditionAnswer[]): void {
    for (const { severity, object, type, status, reason, message } of changedConditions(before, now)) {
      const level = severity === 'error' ? 'error' : severity === 'warning' ? 'warn' : 'info';
      this.log.write(level, 'condition.changed', { object, type, status, reason, message });
    }
  }

  #snapshot(): Snapshot {
    const { facts, intent, generation, conditions, objectConditions } = this.#loop;
    return {
      node: this.#options.node,
      version: this.#version,
      pid: process.pid,
      startedAt: this.#startedAt,
      now: Date.now(),
      state: this.#stopping !== undefined ? 'stopping' : this.#waitingFor.size > 0 ? 'starting' : 'running',
      waitingFor: [...this.#waitingFor],
      generation,
      bgpIntent: intent?.bgp,
      bgp: facts.bgp,
      kernel: facts.kernel,
      pods: facts.pods,
      claims: facts.claims,
      pools: intent?.pods.ipam.pools ?? [],
      growth: this.#growth.growth(systemClock.now()),
      bfd: facts.bfd ?? noBfd,
      conflist: facts.conflist,
      services: this.#services.report(facts.proxy),
      cluster: this.#surroundings.facts(),
      threads: this.#supervisor.states(),
      conditions,
      objectConditions,
      firstSessionSeconds: this.#firstSessionSeconds,
    };
  }

  untilEnd(stop: AbortSignal): Promise<number> {
    const asked = (): void => this.#ended.resolve(0);
    if (stop.aborted) asked();
    else stop.addEventListener('abort', asked, { once: true });
    return this.#ended.promise;
  }

  stop(failure?: unknown): Promise<void> {
    this.#stopping ??= this.#stopOnce(failure);
    return this.#stopping;
  }

  async #stopOnce(failure: unknown): Promise<void> {
    const sessions = this.#options.withdrawOnStop ? 'cease' : 'silent';
    this.log.write('info', 'agent.stopping', { sessions });
    this.#loop.stop();
    this.#drain.stop();
    this.#conflist?.stop();
    this.#services.stop();
    this.#bfd.stop();
    // Without a word to BFD: its sessions outlive this agent, so that the next one is no failure of the path.
    if (this.#options.withdrawOnStop) this.#bfdLink.end();
    else this.#bfdLink.close();
    const [inTime] = await Promise.all([
      this.#supervisor.stop({ sessions }),
      this.#surroundings.stop(),
      this.#admin?.close(),
      this.#http?.close(),
    ]);
    if (inTime) {
      this.log.write('info', 'agent.stopped', {});
      return;
    }
    // A thread hangs in a call into the kernel. An orderly exit would wait for it without end.
    this.log.write('error', 'agent.killed', {
      reason: 'a thread did not end in time',
      // Nobody says it after this.
      ...(failure instanceof Error ? { failure: failure.message } : {}),
    });
    // The line is on its way in another thread, which the signal would end with it.
    await this.log.close();
    process.kill(process.pid, 'SIGKILL');
  }
}
