// A cluster of thousands of nodes in virtual time: each agent's writer of BGPNodeState and its Events, the leading controller's
// parts, and an API server that takes everything at once and notes who wrote when. Two routers stand in each rack, and each is a
// BGPPeer of its own.
import { eventSpread, nodeEvents } from '#agent/node-events.ts';
import { NodeStateWriter } from '#agent/node-state-writer.ts';
import { lead } from '#controller/leader.ts';
import { poolPart } from '#controller/pool-part.ts';
import { statusPart } from '#controller/status-part.ts';
import type { Condition } from '#intent/node-intent.ts';
import { EventSender, eventType } from '#kubernetes/events.ts';
import { type ApiObject, keyOf, type ResourceStore, type ResourceType, type WatchOptions } from '#kubernetes/store.ts';
import { bgpNodeState, type BGPNodeStatus } from '#resources/bgp-node-state.ts';
import { bgpPeer } from '#resources/bgp-peer.ts';
import { node as nodeKind } from '#resources/core.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from './clock.ts';

export interface WorldOptions {
  readonly nodes: number;
  readonly nodesOfRack: number;
  readonly seed: number;
}

/** Who writes. */
export const writers = ['states', 'nodeEvents', 'statuses', 'controllerEvents'] as const;

export interface Figure {
  readonly count: number;
  /** The most within ten seconds. */
  readonly busiest: number;
}

export type Story = Readonly<Record<(typeof writers)[number], Figure>> & {
  readonly name: string;
  readonly minutes: number;
};

interface SimAgent {
  readonly up: boolean[];
  readonly since: string[];
  readonly changed: () => void;
}

const [stateType, peerType, nodeType] = [typeOf(bgpNodeState), typeOf(bgpPeer), typeOf(nodeKind)];
const start = Date.UTC(2026, 0, 1);

/** Objects of one kind and whoever watches them. */
class Shelf {
  readonly objects = new Map<string, ApiObject>();
  readonly #watchers: ((key: string, object: ApiObject) => void)[] = [];
  readonly #clock: VirtualClock;
  #version = 0;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  put(object: ApiObject): ApiObject {
    const key = keyOf(object.metadata);
    const before = this.objects.get(key)?.metadata;
    const metadata = { generation: 1, ...before, ...object.metadata, resourceVersion: String(++this.#version) };
    const next = { ...object, metadata };
    this.objects.set(key, next);
    for (const tell of this.#watchers) tell(key, next);
    return next;
  }

  watch<T>({ keep, changed }: WatchOptions<T>): void {
    const kept = new Map([...this.objects].map(([key, object]) => [key, keep(object)]));
    let keys = new Set(kept.keys());
    const flush = (): void => {
      const now = keys;
      keys = new Set();
      changed(kept, now);
    };
    this.#clock.after(0, flush);
    this.#watchers.push((key, object) => {
      kept.set(key, keep(object));
      if (keys.size === 0) this.#clock.after(0, flush);
      keys.add(key);
    });
  }
}

export class StatusWorld {
  readonly clock = new VirtualClock();
  /** When, in milliseconds. */
  readonly #writes: Record<(typeof writers)[number], number[]> = {
    ...{ states: [], nodeEvents: [], statuses: [], controllerEvents: [] },
  };
  readonly racks: number;
  readonly #options: WorldOptions;
  readonly #agents: SimAgent[] = [];
  readonly #shelves = new Map<string, Shelf>();
  readonly #random;
  /** Since the promises were last let go on. */
  #calls = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.racks = Math.ceil(options.nodes / options.nodesOfRack);
    for (let rack = 0; rack < this.racks; rack++)
      for (const side of ['a', 'b'])
        this.#shelf(peerType).put({
          ...{ apiVersion: bgpPeer.apiVersion, kind: bgpPeer.kind, metadata: { name: `tor-${side}-${rack}` } },
          spec: { peerIP: '192.0.2.1', asNumber: 65100, nodeSelector: `rack == '${rack}'` },
        });
    for (let i = 0; i < options.nodes; i++) {
      const metadata = { name: `node-${i}`, uid: `uid-${i}` };
      this.#shelf(nodeType).put({ metadata, status: { conditions: [{ type: 'Ready', status: 'True' }] } });
    }
    for (let i = 0; i < options.nodes; i++) this.#agents.push(this.#agent(i));
    lead(
      {
        namespace: 'flatroute-system',
        identity: 'controller',
        store: this.#store(this.#writes.statuses, this.#writes.controllerEvents),
        clock: this.clock,
        now: () => new Date(start + this.clock.now()),
        log: () => undefined,
        wrote: () => undefined,
        measured: () => undefined,
        ownsDefaultClass: false,
      },
      [statusPart, poolPart],
    );
  }

  /** Nodes of a rack. */
  rack(rack: number): readonly number[] {
    const { nodes, nodesOfRack } = this.#options;
    return Array.from({ length: nodesOfRack }, (_, i) => rack * nodesOfRack + i).filter((node) => node < nodes);
  }

  /** A session of a node goes down or comes back. */
  session(node: number, side: 0 | 1, up: boolean): void {
    const agent = this.#agents[node];
    if (agent === undefined) return;
    agent.up[side] = up;
    agent.since[side] = this.#time();
    agent.changed();
  }

  /** Facts came that change nothing. */
  facts(): void {
    for (const { changed } of this.#agents) changed();
  }

  async runUntil(milliseconds: number): Promise<void> {
    await this.clock.runUntil(milliseconds, async () => {
      await Promise.resolve();
      while (this.#calls > 0) {
        this.#calls = 0;
        for (let turn = 0; turn < 4; turn++) await Promise.resolve();
      }
    });
  }

  /** What was written after that time. */
  since(from: number): Record<(typeof writers)[number], Figure> {
    const figure = (times: readonly number[]): Figure => {
      const after = times.filter((at) => at > from);
      const slots = Map.groupBy(after, (at) => Math.floor(at / 10_000));
      return { count: after.length, busiest: Math.max(0, ...[...slots.values()].map((it) => it.length)) };
    };
    const { states, nodeEvents: ofNodes, statuses, controllerEvents } = this.#writes;
    return {
      states: figure(states),
      nodeEvents: figure(ofNodes),
      statuses: figure(statuses),
      controllerEvents: figure(controllerEvents),
    };
  }

  /** In the status of the BGPPeer of a rack. */
  established(rack: number): unknown {
    const status = this.#shelf(peerType).objects.get(`tor-a-${rack}`)?.['status'];
    return (status as { readonly established?: number } | undefined)?.established;
  }

  #time(): string {
    return new Date(start + this.clock.now()).toISOString();
  }

  #shelf({ plural }: ResourceType): Shelf {
    const known = this.#shelves.get(plural) ?? new Shelf(this.clock);
    this.#shelves.set(plural, known);
    return known;
  }

  #agent(i: number): SimAgent {
    const { clock } = this;
    const name = `node-${i}`;
    const names = ['a', 'b'].map((side) => `tor-${side}-${Math.floor(i / this.#options.nodesOfRack)}`);
    const [up, since] = [
      [true, true],
      [this.#time(), this.#time()],
    ];
    const conditions = (): Condition[] =>
      names.map((peer, side) => ({
        ...{ kind: 'BGPPeer', name: peer, type: 'Established' },
        ...(up[side] === true
          ? { status: 'True', reason: 'Established', message: 'Up.' }
          : { status: 'False', reason: 'NotEstablished', message: `The session with ${peer} is down.` }),
      }));
    const status = (before: BGPNodeStatus | undefined): BGPNodeStatus => ({
      ...{ version: '0.1.0', bootID: 'boot', asNumber: 65001, routerID: '192.0.2.2', drift: undefined },
      ...{ peers: names.length, established: up.filter(Boolean).length },
      routing: {
        ...{ peers: names.length, established: up.filter(Boolean).length },
        unannounced: up.includes(true) ? 0 : 1,
      },
      sessions: names.map((peer, side) => ({
        ...{ peer, address: '192.0.2.1', asNumber: 65100, since: since[side], families: ['ipv4'], capabilities: [] },
        ...{ state: up[side] === true ? 'Established' : 'Active', lastError: undefined },
      })),
      blocks: [{ cidr: '10.60.1.0/26', pool: 'node', announced: up.includes(true), used: 5 }],
      conditions: conditions()
        .filter((it) => it.status !== 'True')
        .map(({ kind, name: peer, ...it }) => {
          const object = `${kind}/${peer}`;
          const known = before?.conditions?.find((one) => one.object === object);
          return {
            ...it,
            object,
            observedGeneration: 1,
            lastTransitionTime: known?.lastTransitionTime ?? this.#time(),
          };
        }),
    });
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name, uid: `uid-${i}` }];
    this.#shelf(stateType).put({ metadata: { name, ownerReferences }, status: status(undefined) });
    const random = (): number => this.#random.unit();
    const store = this.#store(this.#writes.states, this.#writes.nodeEvents);
    const writer = new NodeStateWriter(name, {
      ...{ store, clock, random, status },
      starting: () => false,
      minSessions: () => 1,
      nodeUID: () => `uid-${i}`,
      log: () => undefined,
    });
    const events = new EventSender(
      { controller: 'flatroute.io/agent', instance: name },
      {
        ...{ store, clock },
        wallClock: () => start + clock.now(),
        spread: (waiting) => eventSpread(writer.nodes, waiting, random()),
      },
    );
    const notes = nodeEvents(name, {
      ...{ clock, conditions },
      tell: (note) => events.tell(note),
      uidOf: () => undefined,
    });
    return {
      up,
      since,
      changed: () => {
        writer.changed();
        notes.look();
      },
    };
  }

  #store(written: number[], events: number[]): ResourceStore {
    const write = (type: ResourceType, object: ApiObject): Promise<ApiObject> => {
      this.#calls += 1;
      (type === eventType ? events : written).push(this.clock.now());
      return Promise.resolve(type === eventType ? object : this.#shelf(type).put(object));
    };
    return {
      get: (type, name) => Promise.resolve(this.#shelf(type).objects.get(name)),
      list: (type) => Promise.resolve([...this.#shelf(type).objects.values()]),
      count: (type) => Promise.resolve(this.#shelf(type).objects.size),
      create: write,
      replace: write,
      patch: (type, name, patch) =>
        write(type, { ...this.#shelf(type).objects.get(name), ...patch, metadata: { name } }),
      remove: () => Promise.reject(new Error('nobody removes')),
      watch: (type, options) => {
        this.#shelf(type).watch(options);
        return { stop: () => Promise.resolve() };
      },
    };
  }
}
