/**
 * Clients in a process of their own: KUBECONFIG FROM TO. Each is one agent to the API server: it has connections of its own and
 * opens the watches that an agent opens. The parent is told when each has its first lists, and of each version that arrives.
 */
import { apiStore } from '#kubernetes/io/client.ts';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { standingScopes } from '#sources/kubernetes/scopes.ts';

export type FromWatchers =
  | { readonly what: 'ready' }
  | { readonly what: 'totals'; readonly requests: number; readonly bytes: number }
  /** Milliseconds of the machine's clock (CLOCK_MONOTONIC) at which watchers had the version. */
  | { readonly what: 'seen'; readonly version: string; readonly at: readonly number[] };

const [kubeconfig = '', from = '0', to = '0'] = process.argv.slice(2);
const tell = (message: FromWatchers): void => void process.send?.(message);

let requests = 0;
let bytes = 0;
const arrived = new Map<string, number[]>();
let telling: NodeJS.Immediate | undefined;

function seen(version: string): void {
  const at = Number(process.hrtime.bigint()) / 1e6;
  arrived.set(version, [...(arrived.get(version) ?? []), at]);
  telling ??= setImmediate(() => {
    telling = undefined;
    for (const [one, times] of arrived) tell({ what: 'seen', version: one, at: times });
    arrived.clear();
  });
}

async function watchAsAgent(index: number): Promise<void> {
  const store = apiStore({
    access: await kubernetesAccess(kubeconfig),
    userAgent: `flatroute-bench-${index}`,
    onRequest: () => (requests += 1),
    onReceived: (count) => (bytes += count),
  });
  const lists = standingScopes(`node-${index}`).map(
    ({ type, selection }) =>
      new Promise<void>((resolve) => {
        let listed = false;
        store.watch(type, {
          selection,
          keep: ({ metadata }) => metadata.resourceVersion ?? '',
          changed: (objects, keys) => {
            if (listed) for (const key of keys) seen(objects.get(key) ?? '');
            listed = true;
            resolve();
          },
        });
      }),
  );
  await Promise.all(lists);
}

process.on('message', () => tell({ what: 'totals', requests, bytes }));
process.once('disconnect', () => process.exit(0));

for (let index = Number(from); index < Number(to); index++) await watchAsAgent(index);
tell({ what: 'ready' });
