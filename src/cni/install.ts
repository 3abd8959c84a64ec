/**
 * Puts the plugin and its configuration list where the container runtime looks. A file comes as a temporary one in the same
 * directory and is renamed into place: containerd does not see a file that is moved in from elsewhere, and nobody ever
 * sees half a file or a busy one (ETXTBSY).
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AppError } from '#lib/result.ts';
import { ANNOTATIONS_CAPABILITY } from './config.ts';

export interface InstallOptions {
  /** The plugin that was built. */
  readonly pluginSource: string;
  /** Usually /opt/cni/bin. */
  readonly binaryDirectory: string;
  /** Usually /etc/cni/net.d; `undefined`: the binary alone. */
  readonly configDirectory: string | undefined;
  /** Default `flatroute`. */
  readonly networkName?: string;
  readonly mtu?: number;
  /** Default: true. */
  readonly portmap?: boolean;
  /** Behind portmap; default: false. */
  readonly bandwidth?: boolean;
}

export interface Installed {
  readonly binary: string;
  readonly config: string | undefined;
}

/** Where runtimes look for plugins, unless they are told. */
export const BIN_DIRECTORY = '/opt/cni/bin';
/** The first name in the alphabet wins with every runtime. */
export const CONFIG_FILE = '05-flatroute.conflist';
export const PLUGIN_NAME = 'flatroute';

/** 1.0.0, because the portmap of most machines does not know 1.1.0. */
export function conflist(options: Pick<InstallOptions, 'networkName' | 'mtu' | 'portmap' | 'bandwidth'>): object {
  const plugin = {
    type: PLUGIN_NAME,
    // Addresses and a MAC come from runtimes and from what delegates, such as Multus.
    capabilities: { [ANNOTATIONS_CAPABILITY]: true, ips: true, mac: true },
    ...(options.mtu === undefined ? {} : { mtu: options.mtu }),
  };
  const portmap = { type: 'portmap', capabilities: { portMappings: true }, snat: true };
  return {
    cniVersion: '1.0.0',
    name: options.networkName ?? 'flatroute',
    plugins: [
      plugin,
      ...(options.portmap === false ? [] : [portmap]),
      ...(options.bandwidth === true ? [{ type: 'bandwidth', capabilities: { bandwidth: true } }] : []),
    ],
  };
}

/** Errors: AppError `CNI_INSTALL`, with the file it is about. */
export function install(options: InstallOptions): Installed {
  let plugin: Buffer;
  try {
    plugin = readFileSync(options.pluginSource);
  } catch (cause) {
    throw new AppError(
      'CNI_INSTALL',
      `the plugin ${options.pluginSource} cannot be read; build it with npm run build:plugin`,
      { cause },
    );
  }
  const binary = join(options.binaryDirectory, PLUGIN_NAME);
  replaceFile(options.binaryDirectory, binary, plugin, 0o755);
  if (options.configDirectory === undefined) return { binary, config: undefined };
  const config = join(options.configDirectory, CONFIG_FILE);
  writeConflist(config, conflistText(options));
  return { binary, config };
}

export const conflistText = (options: Parameters<typeof conflist>[0]): string =>
  `${JSON.stringify(conflist(options), null, 2)}\n`;

/** In one step, seen by every runtime. Errors: AppError `CNI_INSTALL`. */
export const writeConflist = (path: string, text: string): void =>
  replaceFile(dirname(path), path, Buffer.from(text), 0o644);

/** Takes away what install() put there; what is not there is no failure. The configuration goes first. */
export function uninstall(options: Pick<InstallOptions, 'binaryDirectory' | 'configDirectory'>): void {
  if (options.configDirectory !== undefined) rmSync(join(options.configDirectory, CONFIG_FILE), { force: true });
  rmSync(join(options.binaryDirectory, PLUGIN_NAME), { force: true });
}

function replaceFile(directory: string, path: string, bytes: Buffer, mode: number): void {
  // A name that starts with a dot and ends otherwise is no configuration to any runtime.
  const temporary = join(directory, `.flatroute-${process.pid}.tmp`);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    rmSync(temporary, { force: true });
    const fd = openSync(temporary, 'wx', mode);
    try {
      writeSync(fd, bytes);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new AppError(
      'CNI_INSTALL',
      `${path} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}
