/** `flatroute agent`: runs the agent of this node in the foreground. */
import { type Command, EXIT_USAGE } from './command.ts';
import type { LogLevel } from '#agent/messages.ts';
import { BIN_DIRECTORY, CONFIG_FILE } from '#cni/install.ts';
import { RUN_DIRECTORY } from '#dataplane/kernel-names.ts';
import type { CliIo } from './io.ts';

const BOOTSTRAP_DIRECTORY = '/etc/flatroute/bootstrap';
const STATE_DIRECTORY = '/var/lib/flatroute';

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export const agentSpec: Command = {
  name: 'agent',
  summary: 'Runs the agent of this node, in the foreground; its log is JSON lines on stdout.',
  arguments: [],
  options: [
    {
      name: 'resources',
      value: 'DIR',
      help: 'directory of YAML files: our resources, Nodes, Namespaces, Secrets; watched',
    },
    { name: 'kubernetes', help: 'resources from the Kubernetes API, instead of --resources' },
    { name: 'kubeconfig', value: 'FILE', help: "how the API is reached (default: as the pod's ServiceAccount)" },
    {
      name: 'bootstrap',
      value: 'DIR',
      help: `resource files that hold where the API says nothing (default ${BOOTSTRAP_DIRECTORY})`,
    },
    {
      name: 'state-dir',
      value: 'DIR',
      help: `where the last valid resources are kept for a start without the API (default ${STATE_DIRECTORY})`,
    },
    { name: 'node', value: 'NAME', help: 'name of this node, as its Node resource says' },
    { name: 'metrics', value: 'ADDRESS:PORT', help: 'serve /metrics, /healthz and /readyz there (default: nowhere)' },
    { name: 'run-dir', value: 'DIR', help: `where the sockets and the spool are (default ${RUN_DIRECTORY})` },
    { name: 'log-level', value: 'LEVEL', choices: levels, help: 'least level that is logged (default info)' },
    { name: 'record', value: 'DIR', help: 'write the life of each BGP session there, for `flatroute replay`' },
    {
      name: 'external-bfd',
      help: 'BFD has a unit or DaemonSet of its own (`flatroute bfd --stay`): look for it, start none',
    },
    {
      name: 'conflist',
      value: 'FILE',
      help: `keep the container runtime's list there, usually /etc/cni/net.d/${CONFIG_FILE}; it stays when the agent stops`,
    },
    { name: 'conflist-from', value: 'FILE', help: 'what is written there, as it is (default: a list of our own)' },
    {
      name: 'cni-bin',
      value: 'DIR',
      help: `directory of plugins: portmap and bandwidth are in the list if they are there (default ${BIN_DIRECTORY})`,
    },
    {
      name: 'withdraw-on-stop',
      help: 'at a stop withdraw all routes at the peers instead of leaving them to graceful restart',
    },
  ],
  examples: [
    'flatroute agent --resources /etc/flatroute --node node-1 --metrics 127.0.0.1:9179',
    'flatroute agent --kubernetes --kubeconfig /etc/flatroute/kubeconfig --node node-1',
  ],
  run: async (parsed, io) => {
    const resources = parsed.values.get('resources');
    const node = parsed.values.get('node');
    const kubernetes = parsed.switches.has('kubernetes');
    if (resources === undefined && !kubernetes)
      return wrongUse(
        io,
        '--resources DIR is missing: the directory with the YAML files of this node; or --kubernetes, to have them from the API',
      );
    if (resources !== undefined && kubernetes)
      return wrongUse(io, '--resources and --kubernetes exclude each other: resources come from files or from the API');
    const onlyThere = ['kubeconfig', 'bootstrap', 'state-dir'].find((name) => parsed.values.has(name));
    if (!kubernetes && onlyThere !== undefined) return wrongUse(io, `--${onlyThere} goes with --kubernetes only`);
    if (node === undefined)
      return wrongUse(io, '--node NAME is missing: the name of this node, as its Node resource says');
    if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(node)) {
      return wrongUse(
        io,
        `--node ${JSON.stringify(node)} is not a name that a Node can have: lower-case letters, digits, - and .`,
      );
    }
    const metricsText = parsed.values.get('metrics');
    const metrics = metricsText === undefined ? undefined : parseEndpoint(metricsText);
    if (metricsText !== undefined && metrics === undefined) {
      return wrongUse(io, `--metrics ${metricsText} is not ADDRESS:PORT, such as 127.0.0.1:9179 or [::1]:9179`);
    }
    const conflist = parsed.values.get('conflist');
    if (conflist !== undefined && !/^\/.*\.(conf|conflist|json)$/.test(conflist))
      return wrongUse(io, `--conflist ${conflist} is not the path of a list, such as /etc/cni/net.d/${CONFIG_FILE}`);
    if (conflist === undefined && (parsed.values.has('conflist-from') || parsed.values.has('cni-bin')))
      return wrongUse(io, '--conflist-from and --cni-bin say what is in a list: --conflist FILE says where it is');
    const level = levels.find((known) => known === parsed.values.get('log-level'));
    // The size of libuv's pool is read when it is first used: reads on netlink sockets and inotify park in it.
    process.env['UV_THREADPOOL_SIZE'] ??= '16';
    const { runAgent } = await import('#agent/agent.ts');
    return await runAgent(
      {
        resources: resources ?? {
          kubeconfig: parsed.values.get('kubeconfig'),
          bootstrap: parsed.values.get('bootstrap') ?? BOOTSTRAP_DIRECTORY,
          stateDirectory: parsed.values.get('state-dir') ?? STATE_DIRECTORY,
        },
        node,
        metrics,
        runDirectory: parsed.values.get('run-dir') ?? RUN_DIRECTORY,
        logLevel: level ?? 'info',
        externalBfd: parsed.switches.has('external-bfd'),
        record: parsed.values.get('record'),
        conflist:
          conflist === undefined
            ? undefined
            : {
                file: conflist,
                from: parsed.values.get('conflist-from'),
                binaryDirectory: parsed.values.get('cni-bin') ?? BIN_DIRECTORY,
              },
        withdrawOnStop: parsed.switches.has('withdraw-on-stop'),
      },
      { stop: io.signal },
    );
  },
};

function wrongUse(io: CliIo, text: string): number {
  io.err(`flatroute: ${text}\n`);
  return EXIT_USAGE;
}

/** `127.0.0.1:9179`, `[::1]:9179` or `:9179` (all addresses). */
export function parseEndpoint(text: string): { readonly host: string | undefined; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[3]);
  if (port > 65535) return undefined;
  const host = match[1] ?? match[2] ?? '';
  return { host: host === '' ? undefined : host, port };
}
