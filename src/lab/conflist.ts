/**
 * Does with a CNI conflist what libcni does in a container runtime: each plugin of the list in order for ADD, with the
 * previous result and the runtimeConfig of the capabilities that it declares, in reverse order for DEL. How a plugin is
 * run is given; `HostConflistRunner` looks for executables in folders of a host.
 * CNI specification 1.0.0, sections 2 to 4; `disableCheck` and `cniVersions` are not needed here.
 */
import { AppError } from '#lib/result.ts';
import type { Host } from './host.ts';

export interface PluginConfiguration {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly [key: string]: unknown;
}

export interface Conflist {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly PluginConfiguration[];
}

export interface Attachment {
  readonly containerId: string;
  /** Path of the network namespace inside the host. */
  readonly networkNamespace: string;
  readonly interface: string;
  /** CNI_ARGS as pairs: what a runtime says of the pod. */
  readonly arguments: Readonly<Record<string, string>>;
  /** By capability, such as `portMappings`; only plugins that declare a capability see it. */
  readonly runtimeConfig: Readonly<Record<string, unknown>>;
}

export interface CniResult {
  readonly cniVersion: string;
  readonly interfaces?: readonly { readonly name: string; readonly sandbox?: string; readonly mac?: string }[];
  readonly ips?: readonly { readonly address: string; readonly gateway?: string; readonly interface?: number }[];
  readonly routes?: readonly { readonly dst: string; readonly gw?: string }[];
  readonly dns?: unknown;
}

type Verb = 'ADD' | 'DEL' | 'CHECK';

/** One run of one plugin: environment without CNI_PATH, and stdin. */
export interface PluginCall {
  readonly type: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly input: string;
}

export interface PluginAnswer {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class ConflistRunner {
  readonly conflist: Conflist;
  readonly #exec: (call: PluginCall) => Promise<PluginAnswer>;

  constructor(conflist: Conflist, exec: (call: PluginCall) => Promise<PluginAnswer>) {
    this.conflist = conflist;
    this.#exec = exec;
  }

  async #call(
    verb: Verb,
    plugin: PluginConfiguration,
    attachment: Attachment,
    previous: CniResult | undefined,
  ): Promise<PluginAnswer> {
    const { capabilities, ...configuration } = plugin;
    const wanted = Object.entries(attachment.runtimeConfig).filter(([key]) => capabilities?.[key] === true);
    const input = JSON.stringify({
      ...configuration,
      cniVersion: this.conflist.cniVersion,
      name: this.conflist.name,
      ...(wanted.length === 0 ? {} : { runtimeConfig: Object.fromEntries(wanted) }),
      ...(previous === undefined ? {} : { prevResult: previous }),
    });
    const environment = {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: attachment.containerId,
      CNI_NETNS: attachment.networkNamespace,
      CNI_IFNAME: attachment.interface,
      CNI_ARGS: Object.entries(attachment.arguments)
        .map(([key, value]) => `${key}=${value}`)
        .join(';'),
    };
    return await this.#exec({ type: plugin.type, environment, input });
  }

  /** The result of the last plugin. Throws CNI_LAB_ADD with the plugin's own words; what was attached is undone first. */
  async add(attachment: Attachment): Promise<CniResult> {
    let result: CniResult | undefined;
    for (const plugin of this.conflist.plugins) {
      const answer = await this.#call('ADD', plugin, attachment, result);
      if (answer.code !== 0) {
        // No result was kept, and a plugin that refuses its configuration may refuse DEL too; what ADD said is what counts.
        await this.del(attachment, undefined).catch(() => undefined);
        throw refused('ADD', plugin, attachment, answer);
      }
      result = JSON.parse(answer.stdout) as CniResult;
    }
    if (result === undefined) throw new AppError('CNI_LAB_ADD', `conflist ${this.conflist.name} has no plugin`, {});
    return result;
  }

  /** Throws CNI_LAB_DEL when any plugin fails; the others were called all the same. */
  async del(attachment: Attachment, result: CniResult | undefined): Promise<void> {
    let failure: AppError | undefined;
    for (const plugin of [...this.conflist.plugins].reverse()) {
      const answer = await this.#call('DEL', plugin, attachment, result);
      if (answer.code !== 0) failure ??= refused('DEL', plugin, attachment, answer);
    }
    if (failure !== undefined) throw failure;
  }

  /** Throws CNI_LAB_CHECK with the words of the first plugin that is not content. */
  async check(attachment: Attachment, result: CniResult): Promise<void> {
    for (const plugin of this.conflist.plugins) {
      const answer = await this.#call('CHECK', plugin, attachment, result);
      if (answer.code !== 0) throw refused('CHECK', plugin, attachment, answer);
    }
  }
}

function refused(verb: Verb, plugin: PluginConfiguration, attachment: Attachment, answer: PluginAnswer): AppError {
  const said = (answer.stdout.trim() || answer.stderr.trim() || 'no output').slice(0, 2000);
  return new AppError(`CNI_LAB_${verb}`, `${plugin.type} ${verb} of ${attachment.containerId}: ${said}`, {
    data: { plugin: plugin.type, verb, code: answer.code },
  });
}

/** Runs the plugins that lie in `folders` of a host. */
export class HostConflistRunner extends ConflistRunner {
  readonly host: Host;

  constructor(host: Host, conflist: Conflist, folders: readonly string[]) {
    super(conflist, async ({ type, environment, input }) => {
      // A runtime finds the executable in the folders of CNI_PATH; so does the shell, without a process of its own.
      const find = ['sh', '-c', 'PATH="$CNI_PATH:$PATH" exec "$0"', type];
      return await host.exec(find, { input, environment: { ...environment, CNI_PATH: folders.join(':') } });
    });
    this.host = host;
  }
}
