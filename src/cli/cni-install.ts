/** `flatroute cni install`: the plugin and its configuration list into the directories of the container runtime. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cniPlugin } from '#agent/entries.ts';
import { BIN_DIRECTORY, install } from '#cni/install.ts';
import { type Command, EXIT_FINE, EXIT_USAGE } from './command.ts';

export const cniInstall: Command = {
  name: 'cni install',
  summary: 'Puts the CNI plugin and its conflist where the container runtime looks for them.',
  arguments: [],
  options: [
    { name: 'bin-dir', value: 'DIR', help: `directory of plugins (default ${BIN_DIRECTORY})` },
    { name: 'conf-dir', value: 'DIR', help: 'directory of configuration lists (default /etc/cni/net.d)' },
    { name: 'plugin', value: 'FILE', help: 'the plugin that was built (default: the one of this program)' },
    { name: 'network', value: 'NAME', help: 'name of the network (default flatroute)' },
    { name: 'mtu', value: 'BYTES', help: "MTU of pods (default: the uplinks' smallest)" },
    { name: 'no-portmap', help: 'leave portmap out of the list' },
    { name: 'binary-only', help: 'install the plugin and no conflist' },
  ],
  run: ({ values, switches }, io) => {
    const mtuText = values.get('mtu');
    const mtu = mtuText === undefined ? undefined : Number(mtuText);
    // RFC 8200 §5: no link that carries IPv6 has less than 1280.
    if (mtu !== undefined && !(Number.isInteger(mtu) && mtu >= 1280 && mtu <= 65535)) {
      io.err(`flatroute: --mtu ${mtuText} is not 1280 to 65535\n`);
      return Promise.resolve(EXIT_USAGE);
    }
    const portmap = !switches.has('no-portmap');
    const { binary, config } = install({
      pluginSource: values.get('plugin') ?? cniPlugin(),
      binaryDirectory: values.get('bin-dir') ?? BIN_DIRECTORY,
      configDirectory: switches.has('binary-only') ? undefined : (values.get('conf-dir') ?? '/etc/cni/net.d'),
      networkName: values.get('network') ?? 'flatroute',
      portmap,
      ...(mtu === undefined ? {} : { mtu }),
    });
    io.out(`installed ${binary}\n`);
    if (config !== undefined) {
      io.out(`installed ${config}\n`);
      const folder = dirname(binary);
      if (portmap && !existsSync(join(folder, 'portmap'))) {
        io.err(
          `flatroute: ${config} names portmap, which is not in ${folder}: no pod comes up until it is there. ` +
            'Copy the reference plugins there (Debian: containernetworking-plugins, in /usr/lib/cni), or install with --no-portmap.\n',
        );
      }
      if (!existsSync(join(folder, 'loopback'))) {
        io.err(
          `flatroute: the plugin loopback is not in ${folder}, from where containerd runs it for every pod. ` +
            'Copy it there, unless the runtime is CRI-O, or containerd with use_internal_loopback.\n',
        );
      }
    }
    return Promise.resolve(EXIT_FINE);
  },
};
