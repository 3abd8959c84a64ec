/**
 * How the API server is reached and who asks: address, TLS and credentials. `@kubernetes/client-node` reads kubeconfig
 * files, tokens, client certificates and exec plugins; nothing else of that library is used, and it is loaded only here.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent as HttpAgent } from 'node:http';
import type { RequestOptions } from 'node:https';
import { dirname, join, resolve } from 'node:path';
import type { Cluster } from '@kubernetes/client-node/dist/config_types.js';
import { parse } from 'yaml';
import { isRecord } from '#lib/json.ts';
import { ApiError } from '../store.ts';
import { http1Connections, tlsConnections } from './connections.ts';
import type { TlsOptions } from './connections.ts';
import type { Connections } from './exchange.ts';

/** What one request needs beside its path. */
export interface Grant {
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: Connections;
}

export interface Access {
  /** The API server's address as of the last grant, perhaps with a path in front of everything. */
  readonly server: URL;
  /** Credentials as they are now; a token file is read again as it rotates. Rejects with API_UNAUTHORIZED. */
  grant(): Promise<Grant>;
  /** The server refused the credentials: the next grant makes them anew. */
  refused(): void;
  /** Nobody answered, or nobody who is trusted: if other files say where the server is and whom to trust, the next grant goes by them. */
  unanswered(): void;
  /** Closes all connections. */
  close(): void;
}

/** An API server that asks for nothing: `kubectl proxy`, the fake of the tests. */
export function plainAccess(
  server: string,
  headers: Readonly<Record<string, string>> = {},
  connections = http1Connections(),
): Access {
  return {
    server: new URL(server),
    grant: () => Promise.resolve({ headers, connections }),
    refused: () => undefined,
    unanswered: () => undefined,
    close: () => connections.close(),
  };
}

/**
 * Where ConfigMap flatroute-apiserver is mounted: files named after the variables in whose place they are. They are no
 * variables of the container because without the API server a kubelet makes no container whose environment is of a ConfigMap.
 */
const ADDRESS_DIRECTORY = '/etc/flatroute-apiserver';

function takeAddress(directory: string): void {
  for (const name of ['KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT']) {
    try {
      process.env[name] = readFileSync(join(directory, name), 'utf8').trim();
    } catch {
      // The Service's address, which every container has as a variable, is meant.
    }
  }
}

/**
 * By a kubeconfig file, or with `undefined` as the ServiceAccount of the pod this process runs in. `overTls` makes the
 * connections to a server without a proxy in between.
 */
export async function kubernetesAccess(
  kubeconfig: string | undefined,
  overTls: (tls: TlsOptions) => Connections = tlsConnections,
  addressDirectory = ADDRESS_DIRECTORY,
): Promise<Access> {
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const load = (): {
    readonly config: InstanceType<typeof KubeConfig>;
    readonly cluster: Cluster;
    readonly server: URL;
  } => {
    const config = new KubeConfig();
    try {
      if (kubeconfig !== undefined) {
        config.loadFromFile(kubeconfig);
        for (const { name, file } of tokenFiles(kubeconfig))
          Object.assign(config.getUser(name) ?? {}, {
            authProvider: { name: 'tokenFile', config: { tokenFile: file } },
          });
      } else {
        takeAddress(addressDirectory);
        if (process.env['KUBERNETES_SERVICE_HOST'] === undefined)
          throw new Error('KUBERNETES_SERVICE_HOST is not set; outside a cluster use --kubeconfig FILE');
        config.loadFromCluster();
      }
      const cluster = config.getCurrentCluster();
      if (cluster === null) throw new Error('it has no current context, or one without a cluster');
      return { config, cluster, server: serverOf(cluster.server) };
    } catch (error) {
      if (error instanceof ApiError) throw error;
      const where = kubeconfig === undefined ? 'the pod’s ServiceAccount' : kubeconfig;
      throw new ApiError('API_UNAUTHORIZED', `access to the API from ${where}: ${sentence(error)}`, { cause: error });
    }
  };
  /** What says where the server is, and in a kubeconfig file mostly also whom to trust; in a pod the authority is read for each grant. */
  const placeText = (): string => {
    if (kubeconfig !== undefined) return readFileSync(kubeconfig, 'utf8');
    takeAddress(addressDirectory);
    return `${process.env['KUBERNETES_SERVICE_HOST']} ${process.env['KUBERNETES_SERVICE_PORT']}`;
  };
  let { config, cluster, server } = load();
  let place = placeText();
  let stale = false;
  let current: { readonly key: string; readonly connections: Connections } | undefined;

  const connectionsOf = (options: RequestOptions): Connections => {
    const { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized } = options;
    const tls: TlsOptions = {};
    for (const [name, value] of Object.entries({ ca, cert, key, pfx, passphrase, servername, rejectUnauthorized }))
      if (value !== undefined) Object.assign(tls, { [name]: value });
    const digest = createHash('sha256')
      .update(JSON.stringify([server.origin, tls]))
      .digest('hex');
    if (current?.key === digest) return current.connections;
    // Connections with the old certificate end with what runs on them.
    current?.connections.retire();
    current = { key: digest, connections: connect(options, tls) };
    return current.connections;
  };
  const connect = ({ agent }: RequestOptions, tls: TlsOptions): Connections => {
    // A proxy of the kubeconfig brings an agent of its own, made anew for each request.
    if (cluster.proxyUrl !== undefined && cluster.proxyUrl !== '' && agent instanceof HttpAgent)
      return http1Connections(agent);
    return server.protocol === 'https:' ? overTls(tls) : http1Connections();
  };

  return {
    get server() {
      return server;
    },
    async grant() {
      try {
        if (stale) ({ config, cluster, server } = load());
        stale = false;
        const options: RequestOptions = { headers: {} };
        await config.applyToHTTPSOptions(options);
        const headers: Record<string, string> = {};
        for (const [name, value] of Object.entries(options.headers ?? {}))
          if (typeof value === 'string') headers[name] = value.trim();
        if (typeof options.auth === 'string' && headers['Authorization'] === undefined)
          headers['Authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
        return { headers, connections: connectionsOf(options) };
      } catch (error) {
        if (error instanceof ApiError) throw error;
        throw new ApiError('API_UNAUTHORIZED', `credentials for the API: ${sentence(error)}`, { cause: error });
      }
    },
    refused() {
      stale = true;
    },
    unanswered() {
      try {
        const now = placeText();
        stale ||= now !== place;
        place = now;
      } catch {
        // The file is being replaced: the next call that nobody answers looks again.
      }
    },
    close() {
      current?.connections.close();
    },
  };
}

/** Users of a kubeconfig whose token is in a file, which the library knows by a name that kubectl does not have. */
function tokenFiles(kubeconfig: string): readonly { readonly name: string; readonly file: string }[] {
  const content: unknown = parse(readFileSync(kubeconfig, 'utf8'));
  const users = isRecord(content) && Array.isArray(content['users']) ? content['users'].filter(isRecord) : [];
  return users.flatMap(({ name, user }) => {
    const file = isRecord(user) ? user['tokenFile'] : undefined;
    if (typeof name !== 'string' || typeof file !== 'string') return [];
    return [{ name, file: resolve(dirname(kubeconfig), file) }];
  });
}

function serverOf(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new ApiError('API_UNREACHABLE', `the API server's address is not a URL: ${text.slice(0, 200)}`);
  }
}

const sentence = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 300);
