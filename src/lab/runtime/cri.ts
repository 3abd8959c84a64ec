/**
 * A client of the Container Runtime Interface, as kubelet is one: over the runtime's unix socket, with the part of
 * runtime.v1 that `cri.proto` has. A refusal is thrown as `OS_LAB_CRI` with the runtime's own words.
 */
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { IpAddress } from '#lib/ip.ts';
import { parseAddress } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import type { Duration } from '#lib/time.ts';
import { seconds } from '#lib/time.ts';
import type { PortMapping } from '../pod.ts';

export interface SandboxDescription {
  readonly name: string;
  /** `default` if not given. */
  readonly namespace?: string;
  /** How often the pod had a sandbox before; 0 if not given. */
  readonly attempt?: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ports?: readonly PortMapping[];
  /** The node's network: no CNI call at all. */
  readonly hostNetwork?: boolean;
}

export interface SandboxStatus {
  readonly id: string;
  readonly name: string;
  readonly ready: boolean;
  /** The first one is the pod's `status.podIP`. */
  readonly addresses: readonly IpAddress[];
  /** Inside the host; `undefined` for the node's own network, or when it is closed. */
  readonly networkNamespace: string | undefined;
}

export interface SandboxRow {
  readonly id: string;
  readonly name: string;
  readonly ready: boolean;
}

export interface RuntimeCondition {
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

export interface Cri {
  /** Name and version of the runtime. */
  version(): Promise<string>;
  /** The id of the sandbox. */
  runPodSandbox(description: SandboxDescription): Promise<string>;
  stopPodSandbox(id: string): Promise<void>;
  removePodSandbox(id: string): Promise<void>;
  podSandboxStatus(id: string): Promise<SandboxStatus>;
  listPodSandbox(): Promise<readonly SandboxRow[]>;
  /** The conditions RuntimeReady and NetworkReady, of which kubelet makes the node's Ready. */
  condition(type: 'RuntimeReady' | 'NetworkReady'): Promise<RuntimeCondition>;
  imageNames(): Promise<readonly string[]>;
  close(): void;
}

/** kubelet's own limit for a sandbox is four minutes; a lab has none that is slow. */
const CALL_TIMEOUT = seconds(90);
const CHANNEL = {
  'grpc.enable_http_proxy': 0,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 200,
};

type Call = (
  request: object,
  options: grpc.CallOptions,
  callback: (error: grpc.ServiceError | null, answer: unknown) => void,
) => void;

interface StatusAnswer {
  readonly status: {
    readonly id: string;
    readonly metadata: { readonly name: string };
    readonly state: string;
    readonly network: { readonly ip: string; readonly additionalIps: readonly { readonly ip: string }[] } | null;
  };
  readonly info: Readonly<Record<string, string>>;
}

/** `socketPath` as this process sees it. */
export function connectCri(socketPath: string): Cri {
  const definition = loadSync(fileURLToPath(new URL('./cri.proto', import.meta.url)), {
    longs: Number,
    enums: String,
    defaults: true,
  });
  const clientOf = (name: string): grpc.Client & Record<string, unknown> => {
    const service = definition[`runtime.v1.${name}`];
    if (service === undefined || 'format' in service) throw new TypeError(`cri.proto has no service ${name}`);
    const Client = grpc.makeGenericClientConstructor(service, name);
    return new Client(`unix:${socketPath}`, grpc.credentials.createInsecure(), CHANNEL) as grpc.Client &
      Record<string, unknown>;
  };
  const runtime = clientOf('RuntimeService');
  const images = clientOf('ImageService');

  const ask = <T>(
    client: typeof runtime,
    method: string,
    request: object,
    timeout: Duration = CALL_TIMEOUT,
  ): Promise<T> =>
    new Promise((resolve, reject) => {
      const call = client[method] as Call;
      call.call(client, request, { deadline: Date.now() + timeout }, (error, answer) => {
        if (error === null) resolve(answer as T);
        else reject(new AppError('OS_LAB_CRI', `${method}: ${error.details}`, { data: { method, code: error.code } }));
      });
    });

  return {
    version: async () => {
      type Version = { readonly runtimeName: string; readonly runtimeVersion: string };
      const answer = await ask<Version>(runtime, 'Version', {}, seconds(2));
      return `${answer.runtimeName} ${answer.runtimeVersion}`;
    },
    runPodSandbox: async (description) => {
      const answer = await ask<{ readonly podSandboxId: string }>(runtime, 'RunPodSandbox', {
        config: sandboxConfig(description),
      });
      return answer.podSandboxId;
    },
    stopPodSandbox: async (id) => await ask(runtime, 'StopPodSandbox', { podSandboxId: id }),
    removePodSandbox: async (id) => await ask(runtime, 'RemovePodSandbox', { podSandboxId: id }),
    podSandboxStatus: async (id) =>
      sandboxStatus(await ask<StatusAnswer>(runtime, 'PodSandboxStatus', { podSandboxId: id, verbose: true })),
    listPodSandbox: async () => {
      type Row = { readonly id: string; readonly metadata: { readonly name: string }; readonly state: string };
      const { items } = await ask<{ readonly items: readonly Row[] }>(runtime, 'ListPodSandbox', {});
      return items.map(({ id, metadata, state }) => ({ id, name: metadata.name, ready: state === 'SANDBOX_READY' }));
    },
    condition: async (type) => {
      type Answer = {
        readonly status: { readonly conditions: readonly (RuntimeCondition & { readonly type: string })[] };
      };
      const { status } = await ask<Answer>(runtime, 'Status', {});
      const found = status.conditions.find((condition) => condition.type === type);
      if (found === undefined) throw new AppError('OS_LAB_CRI', `the runtime has no condition ${type}`, {});
      return { status: found.status, reason: found.reason, message: found.message };
    },
    imageNames: async () => {
      type Images = { readonly images: readonly { readonly repoTags: readonly string[] }[] };
      return (await ask<Images>(images, 'ListImages', {})).images.flatMap((image) => image.repoTags);
    },
    close: () => {
      runtime.close();
      images.close();
    },
  };
}

function sandboxConfig(it: SandboxDescription): object {
  const namespace = it.namespace ?? 'default';
  return {
    // A uid of Kubernetes is random; one that follows from the name makes a repeated run the same pod.
    metadata: { name: it.name, namespace, uid: `uid-${namespace}-${it.name}`, attempt: it.attempt ?? 0 },
    // The CRI allows an empty one only there, and containerd insists on it.
    hostname: it.hostNetwork === true ? '' : it.name,
    annotations: it.annotations ?? {},
    portMappings: (it.ports ?? []).map(({ hostPort, containerPort, protocol }) => ({
      hostPort,
      containerPort,
      protocol: protocol.toUpperCase(),
    })),
    linux: {
      securityContext: { namespaceOptions: { network: it.hostNetwork === true ? 'NODE' : 'POD', pid: 'CONTAINER' } },
    },
  };
}

/** `info.info` is JSON of containerd's own, with the runtime specification of the sandbox's process. */
interface SandboxInfo {
  readonly runtimeSpec?: {
    readonly linux?: { readonly namespaces?: readonly { readonly type: string; readonly path?: string }[] };
  } | null;
}

function sandboxStatus({ status, info }: StatusAnswer): SandboxStatus {
  const { runtimeSpec } = JSON.parse(info['info'] ?? '{}') as SandboxInfo;
  const ips = [status.network?.ip ?? '', ...(status.network?.additionalIps ?? []).map(({ ip }) => ip)];
  return {
    id: status.id,
    name: status.metadata.name,
    ready: status.state === 'SANDBOX_READY',
    addresses: ips.map(parseAddress).filter((address) => address !== undefined),
    networkNamespace: runtimeSpec?.linux?.namespaces?.find(({ type }) => type === 'network')?.path,
  };
}
