/**
 * Keeps the configuration list of the container runtime: written once the agent can serve, and again whenever somebody took
 * it away or changed it. It stays when the agent stops and when the machine reboots: without a list containerd cannot even tear
 * a pod down. In: whether the agent can serve, and the directory. Out: facts.
 */
import { existsSync, type FSWatcher, readdirSync, readFileSync, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { conflistText, PLUGIN_NAME, writeConflist } from '#cni/install.ts';
import type { ConflistFacts } from '#intent/node-intent.ts';
import { type Clock, type Instant, after, milliseconds, seconds } from '#lib/time.ts';

export interface ConflistOptions {
  /** Usually /etc/cni/net.d/05-flatroute.conflist. */
  readonly file: string;
  /** Its text is written as it is, instead of the default list. */
  readonly from: string | undefined;
  /** portmap and bandwidth are in the default list when they are here. */
  readonly binaryDirectory: string;
}

export interface ConflistModules {
  readonly clock: Clock;
  readonly facts: (facts: ConflistFacts) => void;
  readonly log: (level: 'info' | 'warn', event: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** What changes together is looked at together; and two programs that undo each other do no more than this often. */
const settle = milliseconds(100);
const betweenWrites = seconds(2);
/** Without any event; a directory that was made anew is not seen otherwise. */
const lookEvery = seconds(30);

export class ConflistKeeper {
  readonly #options: ConflistOptions;
  readonly #modules: ConflistModules;
  #serving = false;
  #facts: ConflistFacts | undefined;
  #restored = 0;
  #lastWrite: Instant | undefined;
  /** It was seen as it should be: from then on a difference is somebody's doing. */
  #wasInPlace = false;
  #watcher: FSWatcher | undefined;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: ConflistOptions, modules: ConflistModules) {
    this.#options = options;
    this.#modules = modules;
  }

  start(): void {
    this.#look();
  }

  /** From now on pods can be attached; before that a node that is new must not be called ready by its list. */
  serve(): void {
    if (this.#serving) return;
    this.#serving = true;
    this.#look();
  }

  /** The list stays. */
  stop(): void {
    this.#stopped = true;
    this.#watcher?.close();
    this.#cancel?.();
  }

  #arm(wait: number): void {
    const { clock } = this.#modules;
    this.#cancel?.();
    if (!this.#stopped) this.#cancel = clock.at(after(clock.now(), milliseconds(wait)), () => this.#look());
  }

  #watch(directory: string): void {
    if (this.#watcher !== undefined || this.#stopped) return;
    const again = (): void => {
      this.#watcher?.close();
      this.#watcher = undefined;
    };
    try {
      this.#watcher = watch(directory, { persistent: false }, () => {
        // A directory that is taken away takes its watch along.
        if (!existsSync(directory)) again();
        this.#arm(settle);
      });
      this.#watcher.on('error', again);
    } catch {
      this.#watcher = undefined;
    }
  }

  #look(): void {
    if (this.#stopped) return;
    const { file } = this.#options;
    this.#watch(dirname(file));
    let wait: number = lookEvery;
    let problem: string | undefined;
    let inPlace = false;
    try {
      const wanted = this.#wanted();
      inPlace = textOf(file) === wanted;
      if (!inPlace && this.#serving) {
        const { clock } = this.#modules;
        const now = clock.now();
        const next = this.#lastWrite === undefined ? now : after(this.#lastWrite, betweenWrites);
        if (next > now) wait = next - now;
        else {
          this.#lastWrite = now;
          writeConflist(file, wanted);
          inPlace = true;
          if (this.#wasInPlace) this.#restored += 1;
          this.#modules.log(this.#wasInPlace ? 'warn' : 'info', 'conflist.written', {
            file,
            restored: this.#wasInPlace,
          });
          this.#watch(dirname(file));
        }
      }
      if (inPlace) this.#wasInPlace = true;
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
    const facts = { file, inPlace, problem, foreign: foreignLists(file), restored: this.#restored };
    if (!isDeepStrictEqual(facts, this.#facts)) {
      this.#facts = facts;
      this.#modules.facts(facts);
    }
    this.#arm(wait);
  }

  #wanted(): string {
    const { from, binaryDirectory } = this.#options;
    if (from === undefined) {
      const has = (name: string): boolean => existsSync(join(binaryDirectory, name));
      return conflistText({ portmap: has('portmap'), bandwidth: has('bandwidth') });
    }
    const text = readFileSync(from, 'utf8');
    if (pluginsOf(text)?.includes(PLUGIN_NAME) !== true)
      throw new Error(`${from} is not a CNI configuration list with a plugin of type ${PLUGIN_NAME}; correct it.`);
    return text;
  }
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Types of the plugins of a list or of a single configuration; `undefined`: it is neither. */
function pluginsOf(text: string | undefined): readonly string[] | undefined {
  try {
    const raw = JSON.parse(text ?? '') as { readonly type?: unknown; readonly plugins?: unknown } | null;
    const plugins: unknown[] = Array.isArray(raw?.plugins) ? raw.plugins : [raw];
    const types = plugins.map((it) => (it as { readonly type?: unknown } | null)?.type);
    return types.every((it) => typeof it === 'string') ? types : undefined;
  } catch {
    return undefined;
  }
}

/** What libcni takes for a configuration. */
const isConfiguration = (name: string): boolean => /\.(conf|conflist|json)$/.test(name);

/**
 * Configurations that a runtime takes before `file`, because it takes the first by name. Multus calls what its own
 * configuration names, and a list of somebody's own may have flatroute in it; what is no configuration is passed over.
 */
function foreignLists(file: string): readonly string[] {
  const directory = dirname(file);
  let names: readonly string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  return names
    .filter((name) => isConfiguration(name) && name < basename(file))
    .filter((name) => {
      const types = pluginsOf(textOf(join(directory, name)));
      return types !== undefined && !types.some((type) => type === PLUGIN_NAME || type.startsWith('multus'));
    })
    .sort();
}
