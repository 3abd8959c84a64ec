/**
 * Services as an agent knew them last, in its run directory, which no boot outlives. One that is restarted while the API server
 * is away goes on with what the agent before it announced; the proxy of the node does the same. Only what has an endpoint is
 * kept: of the rest nothing is announced that Services decide about.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePrefix } from '#lib/ip.ts';
import { after, type Clock, seconds } from '#lib/time.ts';
import { isRecord } from '#lib/json.ts';
import type { ServiceView } from '#resources/service-view.ts';
import type { LogFunction } from './log.ts';

/** After a change; endpoints come and go in bursts. */
const rest = seconds(2);

export class ServiceMemory {
  readonly #file: string;
  readonly #modules: { readonly clock: Clock; readonly log: LogFunction };
  #views: readonly ServiceView[] = [];
  #cancel: (() => void) | undefined;

  constructor(runDirectory: string, modules: { readonly clock: Clock; readonly log: LogFunction }) {
    this.#file = join(runDirectory, 'services.json');
    this.#modules = modules;
  }

  /** `undefined`: there is nothing, or nothing of ours. */
  read(): readonly ServiceView[] | undefined {
    try {
      const value: unknown = JSON.parse(readFileSync(this.#file, 'utf8'));
      return Array.isArray(value) && value.every(isView) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  remember(views: readonly ServiceView[]): void {
    this.#views = views;
    const { clock } = this.#modules;
    this.#cancel ??= clock.at(after(clock.now(), rest), () => this.#write());
  }

  /** Nobody asks any more, and what is kept would be of another day when somebody does. */
  forget(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#change(() => rmSync(this.#file, { force: true }));
  }

  /** What was not written yet is. */
  stop(): void {
    if (this.#cancel !== undefined) this.#write();
  }

  #write(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const kept = this.#views.filter(({ endpoints: { ipv4, ipv6 } }) => ipv4 !== 'none' || ipv6 !== 'none');
    this.#change(() => {
      writeFileSync(`${this.#file}.new`, JSON.stringify(kept), { mode: 0o600 });
      renameSync(`${this.#file}.new`, this.#file);
    });
  }

  #change(change: () => void): void {
    try {
      change();
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#modules.log('warn', 'services.not-remembered', { error: text });
    }
  }
}

/** Written by this program, perhaps by another version of it. */
function isView(value: unknown): value is ServiceView {
  if (!isRecord(value) || typeof value['service'] !== 'string') return false;
  const { addresses, endpoints } = value;
  const isPlace = (it: unknown): boolean => ['none', 'elsewhere', 'here'].includes(String(it));
  return (
    isRecord(endpoints) &&
    isPlace(endpoints['ipv4']) &&
    isPlace(endpoints['ipv6']) &&
    Array.isArray(addresses) &&
    addresses.every(
      (it: unknown) =>
        isRecord(it) &&
        ['ClusterIP', 'ExternalIP', 'LoadBalancer'].includes(String(it['use'])) &&
        ['Cluster', 'Local'].includes(String(it['policy'])) &&
        parsePrefix(String(it['prefix'])) === it['prefix'] &&
        parsePrefix(String(it['range'])) === it['range'],
    )
  );
}
