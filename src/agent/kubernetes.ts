/**
 * An agent in a cluster: resources from the API with a cache and the bootstrap directory behind it, what the node really does
 * written to its BGPNodeState, blocks claimed as it needs them, and Events on its Node. Loaded in this mode alone. The API may be away at any time: nothing
 * here is waited for by pods or sessions.
 */
import { join } from 'node:path';
import { needsOf } from '#intent/needs.ts';
import { settingsFor } from '#intent/settings.ts';
import { EventSender } from '#kubernetes/events.ts';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { apiStore } from '#kubernetes/io/client.ts';
import { KubernetesSource } from '#sources/kubernetes/kubernetes-source.ts';
import { ServiceWatch } from '#sources/kubernetes/services.ts';
import type { ResourceSet } from '#resources/resource-set.ts';
import { nodeState } from '#status/node-state.ts';
import type { ClusterFacts } from '#status/snapshot.ts';
import { bootIdentity } from './boot-identity.ts';
import { BlockClaimer } from './claims.ts';
import { programVersion } from './entries.ts';
import { eventSpread, nodeEvents } from './node-events.ts';
import { NodeStateWriter } from './node-state-writer.ts';
import type { Found, Surroundings } from './surroundings.ts';

export interface KubernetesOptions {
  /** `undefined`: the ServiceAccount of the pod. */
  readonly kubeconfig: string | undefined;
  /** Resource files at the lowest precedence; need not be there. */
  readonly bootstrap: string;
  /** Where the last valid resources are kept. */
  readonly stateDirectory: string;
}

/** Rejects with API_UNAUTHORIZED when there are no credentials. */
export async function joinCluster({ kubeconfig, bootstrap, stateDirectory }: KubernetesOptions): Promise<Found> {
  const access = await kubernetesAccess(kubeconfig);
  return ({ node, clock, log, snapshot, resources, growth, claimed, services }): Surroundings => {
    const requests = new Map<string, { readonly verb: string; readonly code: string; count: number }>();
    let receivedBytes = 0;
    const store = apiStore({
      access,
      userAgent: `flatroute-agent/${programVersion()}`,
      onRequest: (verb, code) => {
        const key = `${verb} ${code}`;
        const row = requests.get(key) ?? { verb, code, count: 0 };
        row.count += 1;
        requests.set(key, row);
      },
      onReceived: (bytes) => (receivedBytes += bytes),
    });
    const source = new KubernetesSource(
      { node, cacheFile: join(stateDirectory, 'resources.json'), bootstrapDirectory: bootstrap },
      { store, needs: (set) => needsOf(set, node) },
    );
    const claimer = new BlockClaimer(node, {
      store,
      clock,
      random: Math.random,
      settled: () => source.saved(),
      growth,
      facts: claimed,
      log,
    });
    const serviceWatch = new ServiceWatch({
      node,
      store,
      changed: (views, error) => services(views, error === undefined ? undefined : `${error.message}.`),
    });
    let known = new Map<string, { readonly uid: string | undefined; readonly generation: number | undefined }>();
    let { minSessions } = settingsFor([], node).readiness;
    const remember = (set: ResourceSet): void => {
      ({ minSessions } = settingsFor(set.bgpConfigurations, node).readiness);
      const all = Object.values(set).flat() as readonly {
        readonly kind: string;
        readonly metadata: { readonly name: string; readonly uid?: string; readonly generation?: number };
      }[];
      known = new Map(
        all.map(({ kind, metadata: { name, uid, generation } }) => [`${kind}/${name}`, { uid, generation }]),
      );
    };
    const nodeUID = (): string | undefined => known.get(`Node/${node}`)?.uid;
    const generationOf = (kind: string, name: string): number | undefined => known.get(`${kind}/${name}`)?.generation;
    const bootID = bootIdentity();
    const state = new NodeStateWriter(node, {
      store,
      clock,
      random: Math.random,
      status: (before) => nodeState(snapshot(), { bootID, generationOf }, before),
      starting: () => snapshot().state === 'starting',
      nodeUID,
      minSessions: () => minSessions,
      log,
    });
    const events = new EventSender(
      { controller: 'flatroute.io/agent', instance: node },
      {
        store,
        clock,
        wallClock: Date.now,
        spread: (waiting) => eventSpread(state.nodes, waiting, Math.random()),
      },
    );
    const notes = nodeEvents(node, {
      clock,
      tell: (note) => events.tell(note),
      conditions: () => snapshot().objectConditions,
      uidOf: (kind, name) => known.get(`${kind}/${name}`)?.uid,
    });
    let stopped = false;

    return {
      async start() {
        await source.start((set, problems) => {
          remember(set);
          resources(set, problems);
        });
      },
      changed() {
        if (stopped) return;
        state.changed();
        notes.look();
      },
      claim: (input) => claimer.learn(input),
      watchServices: (ranges) => serviceWatch.setRanges(ranges),
      facts: (): ClusterFacts => ({
        requests: [...requests.values()],
        receivedBytes,
        events: events.facts,
        stateWrites: state.writes,
      }),
      async stop() {
        stopped = true;
        notes.stop();
        // Nobody writes any more, then nobody reads, then nobody listens.
        await Promise.race([
          Promise.all([claimer.stop(), state.stop(), events.stop(), serviceWatch.stop(), source.stop()]),
          within(2000),
        ]);
        await store.close();
      },
    };
  };
}

const within = (time: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, time).unref();
  });
