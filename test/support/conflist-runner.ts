/**
 * What a container runtime does with a configuration list (CNI specification 1.1.0, sections 3 and 4): every plugin gets
 * name, version, the result before it and the runtimeConfig of its capabilities; DEL goes backwards.
 */
export interface PluginCall {
  readonly type: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly stdin: string;
}

export interface PluginOutcome {
  readonly code: number;
  readonly stdout: string;
}

export interface Conflist {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly ({
    readonly type: string;
    readonly capabilities?: Readonly<Record<string, boolean>>;
  } & Readonly<Record<string, unknown>>)[];
}

export interface Attachment {
  readonly containerId: string;
  readonly interfaceName: string;
  readonly netns: string;
  readonly args?: string;
  /** Values of capabilities, for instance portMappings. */
  readonly capabilityArgs?: Readonly<Record<string, unknown>>;
}

export interface ListOutcome extends PluginOutcome {
  /** Type of the plugin that failed. */
  readonly failed: string | undefined;
}

export class ConflistRunner {
  readonly #exec: (call: PluginCall) => Promise<PluginOutcome>;
  readonly #results = new Map<string, unknown>();

  constructor(exec: (call: PluginCall) => Promise<PluginOutcome>) {
    this.#exec = exec;
  }

  async run(verb: 'ADD' | 'DEL' | 'CHECK', list: Conflist, attachment: Attachment): Promise<ListOutcome> {
    const key = `${list.name} ${attachment.containerId} ${attachment.interfaceName}`;
    const plugins = verb === 'DEL' ? [...list.plugins].reverse() : list.plugins;
    let previous = verb === 'ADD' ? undefined : this.#results.get(key);
    let last: PluginOutcome = { code: 0, stdout: '' };
    for (const plugin of plugins) {
      last = await this.#call(verb, list, plugin, attachment, previous);
      if (last.code !== 0) return { ...last, failed: plugin.type };
      if (verb === 'ADD') previous = JSON.parse(last.stdout);
    }
    if (verb === 'ADD') this.#results.set(key, previous);
    if (verb === 'DEL') this.#results.delete(key);
    return { ...last, failed: undefined };
  }

  /** The final result of the list's ADD. */
  result(list: Conflist, attachment: Attachment): unknown {
    return this.#results.get(`${list.name} ${attachment.containerId} ${attachment.interfaceName}`);
  }

  #call(
    verb: string,
    list: Conflist,
    plugin: Conflist['plugins'][number],
    attachment: Attachment,
    previous: unknown,
  ): Promise<PluginOutcome> {
    const { capabilities = {}, ...options } = plugin;
    const given = Object.entries(attachment.capabilityArgs ?? {}).filter(([name]) => capabilities[name] === true);
    const config = {
      ...options,
      cniVersion: list.cniVersion,
      name: list.name,
      ...(given.length > 0 ? { runtimeConfig: Object.fromEntries(given) } : {}),
      ...(previous === undefined ? {} : { prevResult: previous }),
    };
    return this.#exec({
      type: plugin.type,
      environment: {
        CNI_COMMAND: verb,
        CNI_CONTAINERID: attachment.containerId,
        CNI_NETNS: attachment.netns,
        CNI_IFNAME: attachment.interfaceName,
        CNI_ARGS: attachment.args ?? '',
        CNI_PATH: '/usr/lib/cni',
      },
      stdin: JSON.stringify(config),
    });
  }
}
