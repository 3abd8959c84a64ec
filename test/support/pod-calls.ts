/** Calls of the real plugin as a runtime makes them, with the answers read as JSON. */
import type { ChildProcess } from 'node:child_process';
import type { PluginAnswer, PluginCall } from '#lab/conflist.ts';

/** A node on which the plugin can be run. */
export interface PluginNode {
  plugin(call: PluginCall, onStart?: (child: ChildProcess) => void): Promise<PluginAnswer>;
}

export interface CallOptions {
  readonly containerId?: string;
  readonly interfaceName?: string;
  readonly netns?: string;
  readonly args?: string;
  readonly version?: string;
  readonly network?: string;
  /** Added to the network configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly stdin?: string;
  readonly onStart?: (child: ChildProcess) => void;
}

export interface ResultJson {
  readonly cniVersion: string;
  readonly interfaces: readonly {
    readonly name: string;
    readonly mac: string;
    readonly mtu?: number;
    readonly sandbox?: string;
  }[];
  readonly ips: readonly {
    readonly version?: string;
    readonly address: string;
    readonly gateway: string;
    readonly interface: number;
  }[];
  readonly routes: readonly { readonly dst: string; readonly gw?: string }[];
}

export interface ErrorJson {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details: string;
}

export interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly result: ResultJson;
  readonly error: ErrorJson;
  readonly addresses: readonly string[];
}

const empty = {
  result: { cniVersion: '', interfaces: [], ips: [], routes: [] },
  error: { cniVersion: '', code: 0, msg: '', details: '' },
};

export async function call(
  node: PluginNode,
  verb: string,
  pod: { readonly path: string } | undefined,
  options: CallOptions = {},
): Promise<Answer> {
  const version = options.version ?? '1.1.0';
  const config = { cniVersion: version, name: options.network ?? 'net', type: 'flatroute', ...options.config };
  const environment = {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: options.containerId ?? 'container-1',
    CNI_IFNAME: options.interfaceName ?? 'eth0',
    CNI_NETNS: options.netns ?? pod?.path ?? '',
    ...(options.args === undefined ? {} : { CNI_ARGS: options.args }),
  };
  const { code, stdout } = await node.plugin(
    { type: 'flatroute', environment, input: options.stdin ?? JSON.stringify(config) },
    options.onStart,
  );
  const json: unknown = stdout === '' ? {} : JSON.parse(stdout);
  const result = code === 0 && stdout !== '' ? (json as ResultJson) : empty.result;
  return {
    code: code ?? -1,
    stdout,
    result,
    error: code === 0 ? empty.error : (json as ErrorJson),
    addresses: (result.ips ?? []).map((ip) => ip.address.replace(/\/\d+$/, '')),
  };
}
