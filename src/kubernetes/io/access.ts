/**
 * How the API server is reached and who asks: address, TLS and credentials. `@kubernetes/client-node` reads kubeconfig
 * files, tokens, client certificates and exec plugins; nothing else of that library is used, and it is loaded only here.
 */
import { createHash } from 'node:crypto';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { AgentOptions, RequestOptions } from 'node:https';
import { ApiError } from '../store.ts';

/** What one request needs beside its path. */
export interface Grant {
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: HttpAgent;
}

export interface Access {
  /** The API server's address, perhaps with a path in front of everything. */
  readonly server: URL;
  /** Credentials as they are now; a token file is read again as it rotates. Rejects with API_UNAUTHORIZED. */
  grant(): Promise<Grant>;
  /** The server refused the credentials: the next grant makes them anew. */
  refused(): void;
  /** Closes idle connections. */
  close(): void;
}

/** A connection nobody uses is closed by us before an API server does it (90 s), so that no request meets a closing one. */
const idleMilliseconds = 30_000;
/** The first probe of the kernel on a silent connection; Node's further ones follow each second, ten of them. */
const keepAliveMilliseconds = 15_000;
const pool = { keepAlive: true, keepAliveMsecs: keepAliveMilliseconds, timeout: idleMilliseconds } as const;

/** An API server that asks for nothing: `kubectl proxy`, the fake of the tests. */
export function plainAccess(server: string, headers: Readonly<Record<string, string>> = {}): Access {
  const agent = new HttpAgent(pool);
  return {
    server: new URL(server),
    grant: () => Promise.resolve({ headers, agent }),
    refused: () => undefined,
    close: () => agent.destroy(),
  };
}

/** By a kubeconfig file, or with `undefined` as the ServiceAccount of the pod this process runs in. */
export async function kubernetesAccess(kubeconfig: string | undefined): Promise<Access> {
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const load = (): InstanceType<typeof KubeConfig> => {
    const config = new KubeConfig();
    try {
      if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
      else {
        if (process.env['KUBERNETES_SERVICE_HOST'] === undefined)
          throw new Error('KUBERNETES_SERVICE_HOST is not set; outside a cluster use --kubeconfig FILE');
        config.loadFromCluster();
      }
      if (config.getCurrentCluster() === null) throw new Error('it has no current context, or one without a cluster');
    } catch (error) {
      const where = kubeconfig === undefined ? 'the pod’s ServiceAccount' : kubeconfig;
      throw new ApiError('API_UNAUTHORIZED', `access to the API from ${where}: ${sentence(error)}`, { cause: error });
    }
    return config;
  };
  let config = load();
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new ApiError('API_UNAUTHORIZED', 'access to the API: there is no cluster');
  const server = serverOf(cluster.server);
  let stale = false;
  let current: { readonly key: string; readonly agent: HttpAgent } | undefined;

  const agentOf = (options: RequestOptions): HttpAgent => {
    // A proxy of the kubeconfig brings an agent of its own.
    if (cluster.proxyUrl !== undefined && cluster.proxyUrl !== '' && options.agent instanceof HttpAgent)
      return options.agent;
    const { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized } = options;
    const tls: AgentOptions = {};
    for (const [name, value] of Object.entries({ ca, cert, key, pfx, passphrase, servername, rejectUnauthorized }))
      if (value !== undefined) Object.assign(tls, { [name]: value });
    const digest = createHash('sha256').update(JSON.stringify(tls)).digest('hex');
    if (current?.key === digest) return current.agent;
    // Connections with the old certificate end with what runs on them.
    current = {
      key: digest,
      agent: server.protocol === 'https:' ? new HttpsAgent({ ...pool, ...tls }) : new HttpAgent(pool),
    };
    return current.agent;
  };

  return {
    server,
    async grant() {
      try {
        if (stale) config = load();
        stale = false;
        const options: RequestOptions = { headers: {} };
        await config.applyToHTTPSOptions(options);
        const headers: Record<string, string> = {};
        for (const [name, value] of Object.entries(options.headers ?? {}))
          if (typeof value === 'string') headers[name] = value.trim();
        if (typeof options.auth === 'string' && headers['Authorization'] === undefined)
          headers['Authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
        return { headers, agent: agentOf(options) };
      } catch (error) {
        if (error instanceof ApiError) throw error;
        throw new ApiError('API_UNAUTHORIZED', `credentials for the API: ${sentence(error)}`, { cause: error });
      }
    },
    refused() {
      stale = true;
    },
    close() {
      current?.agent.destroy();
    },
  };
}

function serverOf(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new ApiError('API_UNREACHABLE', `the API server's address is not a URL: ${text.slice(0, 200)}`);
  }
}

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 300);
