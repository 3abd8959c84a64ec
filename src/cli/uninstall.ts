/** `flatroute uninstall`: takes flatroute off this node, and says what it removed. */
import { RUN_DIRECTORY } from '#dataplane/kernel-names.ts';
import { type Command, EXIT_FINE } from './command.ts';

export const uninstallSpec: Command = {
  name: 'uninstall',
  summary: 'Takes flatroute off this node: plugin, conflist, links, routes, nftables, directories. Pods must be gone.',
  arguments: [],
  options: [
    { name: 'force', help: 'also while pods are attached: their interfaces go' },
    { name: 'bin-dir', value: 'DIR', help: 'directory of plugins (default /opt/cni/bin)' },
    { name: 'conf-dir', value: 'DIR', help: 'directory of configuration lists (default /etc/cni/net.d)' },
    { name: 'run-dir', value: 'DIR', help: `where the sockets and the spool are (default ${RUN_DIRECTORY})` },
    { name: 'state-dir', value: 'DIR', help: 'where the last valid resources are (default /var/lib/flatroute)' },
    { name: 'stay', help: 'stay when done, until a signal: for the DaemonSet of deploy/uninstall' },
  ],
  examples: ['flatroute uninstall', 'flatroute uninstall --force'],
  run: async ({ values, switches }, io) => {
    const { uninstallNode } = await import('#agent/uninstall.ts');
    const removed = await uninstallNode({
      runDirectory: values.get('run-dir') ?? RUN_DIRECTORY,
      stateDirectory: values.get('state-dir') ?? '/var/lib/flatroute',
      binDirectory: values.get('bin-dir') ?? '/opt/cni/bin',
      confDirectory: values.get('conf-dir') ?? '/etc/cni/net.d',
      force: switches.has('force'),
    });
    for (const line of removed) io.out(`removed ${line}\n`);
    if (removed.length === 0) io.out('there was nothing of flatroute on this node\n');
    io.out('left as they are: sysctls for forwarding, which others may rely on; a reboot sets them anew\n');
    if (switches.has('stay') && !io.signal.aborted)
      await new Promise<void>((resolve) => {
        // The signal alone keeps no process alive.
        const alive = setInterval(() => undefined, 2 ** 30);
        io.signal.addEventListener('abort', () => {
          clearInterval(alive);
          resolve();
        });
      });
    return EXIT_FINE;
  },
};
