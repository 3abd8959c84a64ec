/**
 * The admin API: gRPC on a unix socket that belongs to root. Answers of src/status/answers.ts go out as messages of
 * proto/flatroute/agent/v1; requests are checked here. Protobuf's own types end in this file.
 */
import { chmodSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { RouteAnswer, RouteQuery } from '#bgp/engine.ts';
import { type IpAddress, networkAddress, parseAddress, parsePrefix, type Prefix } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { type Duration, seconds } from '#lib/time.ts';
import { longestDrainWait } from '#intent/drain.ts';
import type { PodCheck, PodCheckRequest, PodRow } from '#ipam/intent.ts';
import type { EventAnswer, KernelRouteAnswer } from '#status/answers.ts';
import { blockAnswers, driftAnswer, podAnswer, routeAnswerRow, statusAnswer } from '#status/node.ts';
import { peerAnswers } from '#status/peers.ts';
import { poolAnswers } from '#status/pools.ts';
import { serviceAnswers } from '#status/services.ts';
import type { Snapshot } from '#status/snapshot.ts';
import { protoFolder } from '../entries.ts';
import type { LogFunction } from '../log.ts';

export interface AdminModules {
  readonly snapshot: () => Snapshot;
  readonly routes: (query: RouteQuery) => Promise<RouteAnswer>;
  readonly lookup: (address: IpAddress) => Promise<KernelRouteAnswer>;
  readonly pods: () => Promise<readonly PodRow[]>;
  readonly check: (request: PodCheckRequest) => Promise<PodCheck>;
  readonly reset: (peer: string, how: 'hard' | 'soft') => Promise<boolean>;
  /** Every peer when none is named. */
  readonly drain: (peers: readonly string[], wait: Duration) => void;
  readonly undrain: (peers: readonly string[]) => void;
  readonly subscribe: (listener: (event: EventAnswer) => void) => () => void;
  readonly log: LogFunction;
}

export interface AdminServer {
  readonly close: () => Promise<void>;
}

const DEFAULT_ROUTES = 1000;
const MOST_ROUTES = 10_000;
/** Events that wait for one slow reader; what comes beyond is counted and told. */
const WATCH_BACKLOG = 1000;
const MOST_WATCHERS = 32;
const CLOSE_MILLISECONDS = 300;

/** A request that cannot be served as it is; the text is for the caller. */
class Refusal extends Error {
  readonly status: grpc.status;

  constructor(status: grpc.status, text: string) {
    super(text);
    this.status = status;
  }
}

type Fields = Readonly<Record<string, unknown>>;

export async function serveAdmin(path: string, modules: AdminModules): Promise<AdminServer> {
  const definition = loadSync('flatroute/agent/v1/agent.proto', {
    includeDirs: [fileURLToPath(protoFolder())],
    longs: Number,
    defaults: true,
  });
  const service = definition['flatroute.agent.v1.Agent'];
  if (service === undefined || 'format' in service) throw new TypeError('agent.proto has no service Agent');
  const server = new grpc.Server();
  server.addService(service, implementation(modules));
  // The lock of the namespace says that whoever left this socket is dead.
  rmSync(path, { force: true });
  await bind(server, path);
  chmodSync(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, CLOSE_MILLISECONDS);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}

function bind(server: grpc.Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // Nobody may connect between bind and chmod.
    const mask = process.umask(0o177);
    server.bindAsync(`unix:${path}`, grpc.ServerCredentials.createInsecure(), (error) => {
      process.umask(mask);
      if (error === null) resolve();
      else
        reject(
          new AppError('AGENT_ADMIN_SOCKET', `cannot serve the admin API on ${path}: ${error.message}`, {
            cause: error,
          }),
        );
    });
  });
}

function implementation(modules: AdminModules): grpc.UntypedServiceImplementation {
  const unary =
    (answer: (request: Fields) => unknown): grpc.handleUnaryCall<Fields, unknown> =>
    (call, callback) => {
      const run = async (): Promise<void> => {
        try {
          callback(null, await answer(call.request));
        } catch (error) {
          if (error instanceof Refusal) callback({ code: error.status, details: error.message });
          else if (error instanceof AppError) callback({ code: grpc.status.UNAVAILABLE, details: error.message });
          else throw error;
        }
      };
      void run();
    };
  const { snapshot } = modules;
  let watchers = 0;
  return {
    GetStatus: unary(() => statusAnswer(snapshot())),
    ListPeers: unary(({ name }) => {
      const peers = peerAnswers(snapshot());
      if (typeof name !== 'string') return { peers };
      const found = peers.filter((peer) => peer.name === name);
      if (found.length === 0) throw unknownPeer(name, snapshot());
      return { peers: found };
    }),
    ListRoutes: unary((request) => listRoutes(request, modules)),
    ListPods: unary(async () => ({ pods: (await modules.pods()).map(podAnswer) })),
    CheckPods: unary((request) => checkPods(request, modules)),
    ListPools: unary(() => ({ pools: poolAnswers(snapshot()) })),
    ListServices: unary(() => ({ services: serviceAnswers(snapshot()) })),
    ListBlocks: unary(() => ({ blocks: blockAnswers(snapshot()) })),
    ListConditions: unary(() => ({ conditions: snapshot().conditions })),
    GetDrift: unary(() => driftAnswer(snapshot())),
    ResetPeer: unary(async ({ name, soft }) => {
      const peer = typeof name === 'string' ? name : '';
      if (!(await modules.reset(peer, soft === true ? 'soft' : 'hard'))) throw notReset(peer, snapshot());
      modules.log('info', 'peer.reset', { peer, soft: soft === true });
      return {};
    }),
    DrainPeers: unary(({ names, waitSeconds: wait }) => {
      if (typeof wait !== 'number' || !(wait >= 0 && wait <= longestDrainWait))
        throw invalid(`wait ${String(wait)}: 0 to ${longestDrainWait} seconds`);
      modules.drain(knownPeers(names, snapshot()), seconds(wait));
      return {};
    }),
    UndrainPeers: unary(({ names }) => {
      modules.undrain(knownPeers(names, snapshot()));
      return {};
    }),
    Watch: (call: grpc.ServerWritableStream<Fields, unknown>) => {
      if (watchers >= MOST_WATCHERS) {
        call.emit('error', {
          code: grpc.status.RESOURCE_EXHAUSTED,
          details: `${MOST_WATCHERS} watchers are connected`,
        });
        return;
      }
      watchers += 1;
      watch(call, modules, () => {
        watchers -= 1;
      });
    },
  };
}

function knownPeers(names: unknown, now: Snapshot): readonly string[] {
  const peers = Array.isArray(names) ? names.map(String) : [];
  const known = new Set((now.bgpIntent?.peers ?? []).map(({ name }) => name));
  for (const peer of peers) if (!known.has(peer)) throw unknownPeer(peer, now);
  return peers;
}

function unknownPeer(name: string, { bgpIntent }: Snapshot): Refusal {
  const names = (bgpIntent?.peers ?? []).map((peer) => peer.name);
  const known = names.length === 0 ? 'this node has no peers' : `there are ${names.slice(0, 20).join(', ')}`;
  return new Refusal(grpc.status.NOT_FOUND, `no peer is called ${name}; ${known}`);
}

function notReset(name: string, now: Snapshot): Refusal {
  if (now.bgpIntent?.peers.some((peer) => peer.name === name) !== true) return unknownPeer(name, now);
  const text = `${name} is not with the engine now, so that there is no session to reset; flatroute peers ${name} says why`;
  return new Refusal(grpc.status.FAILED_PRECONDITION, text);
}

async function checkPods(request: Fields, modules: AdminModules): Promise<PodCheck> {
  const { olderThanSeconds } = request;
  const repair = request['repair'] === '' ? 'no' : request['repair'];
  if (repair !== 'no' && repair !== 'plan' && repair !== 'apply')
    throw invalid(`repair ${JSON.stringify(repair)}: no, plan or apply`);
  if (typeof olderThanSeconds !== 'number' || !(olderThanSeconds >= 0))
    throw invalid(`olderThanSeconds ${String(olderThanSeconds)}: 0 or more`);
  const answer = await modules.check({ repair, olderThanSeconds });
  if (repair === 'apply')
    for (const { code, subject, pod, outcome, reason } of answer.findings)
      modules.log('info', 'ipam.repair', { code, subject, pod, outcome, reason });
  return answer;
}

async function listRoutes(request: Fields, modules: AdminModules): Promise<unknown> {
  const direction = request['direction'] === '' ? 'best' : request['direction'];
  if (direction !== 'received' && direction !== 'accepted' && direction !== 'announced' && direction !== 'best') {
    throw invalid(`direction ${JSON.stringify(direction)}: received, accepted, announced or best`);
  }
  const limit = request['limit'] === 0 ? DEFAULT_ROUTES : Number(request['limit']);
  if (limit > MOST_ROUTES) throw invalid(`limit ${limit}: at most ${MOST_ROUTES}`);
  const { prefix: text, peer, family } = request;
  let prefix: Prefix | IpAddress | undefined;
  if (typeof text === 'string') {
    prefix = parseAddress(text) ?? parsePrefix(text);
    if (prefix === undefined) throw invalid(`${JSON.stringify(text)} is not an address or prefix`);
  }
  if (family !== undefined && family !== 'ipv4' && family !== 'ipv6')
    throw invalid(`family ${JSON.stringify(family)}: ipv4 or ipv6`);
  if (typeof peer === 'string' && !peerAnswers(modules.snapshot()).some((known) => known.name === peer)) {
    throw unknownPeer(peer, modules.snapshot());
  }
  const query: RouteQuery = {
    direction,
    limit,
    ...(typeof peer === 'string' ? { peer } : {}),
    ...(prefix === undefined ? {} : { prefix }),
    ...(family === undefined ? {} : { family }),
    ...(request['within'] === true ? { within: true } : {}),
  };
  const [answer, kernel] = await Promise.all([
    modules.routes(query),
    prefix === undefined ? undefined : modules.lookup(addressIn(prefix)),
  ]);
  return { routes: answer.rows.map(routeAnswerRow), more: answer.more, ...(kernel === undefined ? {} : { kernel }) };
}

const addressIn = (prefix: Prefix | IpAddress): IpAddress =>
  prefix.includes('/') ? networkAddress(prefix as Prefix) : (prefix as IpAddress);

const invalid = (text: string): Refusal => new Refusal(grpc.status.INVALID_ARGUMENT, text);

/** One reader of the event stream. It never holds up the agent: beyond its backlog events are dropped and counted. */
function watch(call: grpc.ServerWritableStream<Fields, unknown>, modules: AdminModules, ended: () => void): void {
  let waiting: EventAnswer[] = [];
  let full = false;
  let dropped = 0;
  const send = (event: EventAnswer): void => {
    full = !call.write({ ...event, fields: JSON.stringify(event.fields) });
  };
  const unsubscribe = modules.subscribe((event) => {
    if (!full) send(event);
    else if (waiting.length < WATCH_BACKLOG) waiting.push(event);
    else dropped += 1;
  });
  call.on('drain', () => {
    full = false;
    const events = waiting;
    waiting = [];
    if (dropped > 0) {
      events.push({ at: new Date().toISOString(), level: 'warn', event: 'watch.dropped', fields: { events: dropped } });
      dropped = 0;
    }
    for (const event of events) send(event);
  });
  const end = (): void => {
    unsubscribe();
    ended();
  };
  call.once('cancelled', end);
  call.on('error', () => undefined);
}
