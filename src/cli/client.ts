/**
 * The client side of the admin API: typed answers of src/status/answers.ts out of gRPC over the agent's unix socket.
 * Protobuf's own types end in this file.
 */
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoFolder } from '#agent/entries.ts';
import { AppError } from '#lib/result.ts';
import type {
  BlockAnswer,
  CheckAnswer,
  ConditionAnswer,
  DriftAnswer,
  EventAnswer,
  PeerAnswer,
  PodAnswer,
  PoolAnswer,
  RoutesAnswer,
  ServiceAnswer,
  StatusAnswer,
} from '#status/answers.ts';

export interface RoutesRequest {
  readonly direction: 'received' | 'accepted' | 'announced' | 'best';
  readonly peer?: string;
  readonly prefix?: string;
  readonly within?: boolean;
  readonly family?: string;
  readonly limit?: number;
}

/** Each call throws AppError (CLI_*) with a sentence for people when the agent cannot be reached or refuses. */
export interface AgentClient {
  status(): Promise<StatusAnswer>;
  peers(name: string | undefined): Promise<readonly PeerAnswer[]>;
  routes(request: RoutesRequest): Promise<RoutesAnswer>;
  pods(): Promise<readonly PodAnswer[]>;
  check(repair: 'no' | 'plan' | 'apply', olderThanSeconds: number): Promise<CheckAnswer>;
  pools(): Promise<readonly PoolAnswer[]>;
  services(): Promise<readonly ServiceAnswer[]>;
  blocks(): Promise<readonly BlockAnswer[]>;
  conditions(): Promise<readonly ConditionAnswer[]>;
  drift(): Promise<DriftAnswer>;
  reset(peer: string, soft: boolean): Promise<void>;
  /** Every peer when none is named. */
  drain(peers: readonly string[], waitSeconds: number): Promise<void>;
  undrain(peers: readonly string[]): Promise<void>;
  /** Ends when the agent goes or `signal` aborts. */
  watch(signal: AbortSignal): AsyncIterable<EventAnswer>;
  close(): void;
}

const CALL_SECONDS = 10;
const ANSWER_BYTES = 64 * 1024 * 1024;

type Call = (
  request: object,
  options: grpc.CallOptions,
  callback: (error: grpc.ServiceError | null, answer: unknown) => void,
) => void;
type StreamCall = (request: object) => grpc.ClientReadableStream<unknown>;

/** Read once by a process that connects often. */
let Client: grpc.ServiceClientConstructor | undefined;

function readService(): grpc.ServiceClientConstructor {
  const definition = loadSync('flatroute/agent/v1/agent.proto', {
    includeDirs: [fileURLToPath(protoFolder())],
    longs: Number,
    defaults: true,
  });
  const service = definition['flatroute.agent.v1.Agent'];
  if (service === undefined || 'format' in service) throw new TypeError('agent.proto has no service Agent');
  return grpc.makeGenericClientConstructor(service, 'Agent');
}

export async function connectAgent(socketPath: string): Promise<AgentClient> {
  await probe(socketPath);
  Client ??= readService();
  const client = new Client(`unix:${socketPath}`, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': ANSWER_BYTES,
    'grpc.enable_http_proxy': 0,
  });

  const ask = <T>(method: string, request: object): Promise<T> => {
    const call = client[method] as Call;
    const deadline = Date.now() + CALL_SECONDS * 1000;
    return new Promise((resolve, reject) => {
      call.call(client, request, { deadline }, (error, answer) => {
        if (error === null) resolve(withoutUnknown(answer) as T);
        else reject(callError(error, socketPath));
      });
    });
  };

  return {
    status: () => ask<StatusAnswer>('GetStatus', {}),
    peers: async (name) =>
      (await ask<{ peers: readonly PeerAnswer[] }>('ListPeers', name === undefined ? {} : { name })).peers,
    routes: (request) => ask<RoutesAnswer>('ListRoutes', request),
    pods: async () => (await ask<{ pods: readonly PodAnswer[] }>('ListPods', {})).pods,
    check: (repair, olderThanSeconds) => ask<CheckAnswer>('CheckPods', { repair, olderThanSeconds }),
    pools: async () => (await ask<{ pools: readonly PoolAnswer[] }>('ListPools', {})).pools,
    services: async () => (await ask<{ services: readonly ServiceAnswer[] }>('ListServices', {})).services,
    blocks: async () => (await ask<{ blocks: readonly BlockAnswer[] }>('ListBlocks', {})).blocks,
    conditions: async () => (await ask<{ conditions: readonly ConditionAnswer[] }>('ListConditions', {})).conditions,
    drift: () => ask<DriftAnswer>('GetDrift', {}),
    reset: async (peer, soft) => {
      await ask('ResetPeer', { name: peer, soft });
    },
    drain: async (names, waitSeconds) => {
      await ask('DrainPeers', { names, waitSeconds });
    },
    undrain: async (names) => {
      await ask('UndrainPeers', { names });
    },
    async *watch(signal) {
      const stream = (client['Watch'] as StreamCall).call(client, {});
      const stop = (): void => stream.cancel();
      signal.addEventListener('abort', stop, { once: true });
      try {
        for await (const message of stream) yield toEvent(message);
      } catch (error) {
        if (!signal.aborted) throw callError(error as grpc.ServiceError, socketPath);
      } finally {
        signal.removeEventListener('abort', stop);
        stream.cancel();
      }
    },
    close: () => client.close(),
  };
}

/** A plain connection first: its errno tells apart what gRPC calls UNAVAILABLE. */
function probe(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', (error: NodeJS.ErrnoException) =>
      reject(new AppError('CLI_NO_AGENT', noAgentText(path, error.code))),
    );
  });
}

export function noAgentText(path: string, errno: string | undefined): string {
  const start =
    'start one with `flatroute agent --resources DIR --node NAME` (in a cluster DaemonSet flatroute-agent does)';
  switch (errno) {
    case 'ENOENT':
      return `no agent at ${path}: there is no such socket; ${start}, or name its socket with --socket PATH`;
    case 'ECONNREFUSED':
      return `no agent at ${path}: the socket is there, but nobody listens on it (the agent has died); ${start}`;
    case 'EACCES':
    case 'EPERM':
      return `no permission for ${path}: the admin socket belongs to root; run this as root`;
    default:
      return `no agent at ${path}: ${errno ?? 'unknown error'}; ${start}`;
  }
}

function callError(error: grpc.ServiceError, path: string): AppError {
  const { code, details } = error;
  if (code === grpc.status.UNAVAILABLE) {
    return new AppError('CLI_NO_AGENT', `the agent at ${path} went away: ${details}`, { cause: error });
  }
  if (code === grpc.status.DEADLINE_EXCEEDED) {
    return new AppError('CLI_SLOW_AGENT', `the agent at ${path} did not answer within ${CALL_SECONDS} s; see its log`, {
      cause: error,
    });
  }
  return new AppError('CLI_REFUSED', details ?? String(error), { cause: error });
}

/** The decoder writes `null` for messages that are not there; our answers leave such a field out. */
function withoutUnknown(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUnknown);
  if (typeof value !== 'object' || value === null) return value;
  const out: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(value)) {
    if (inner !== null && inner !== undefined && !key.startsWith('_')) out[key] = withoutUnknown(inner);
  }
  return out;
}

function toEvent(message: unknown): EventAnswer {
  const { at, level, event, fields } = message as {
    at: string;
    level: EventAnswer['level'];
    event: string;
    fields: string;
  };
  const parsed: unknown = fields === '' ? {} : JSON.parse(fields);
  return { at, level, event, fields: parsed as Record<string, unknown> };
}
