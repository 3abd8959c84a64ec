/**
 * Kubernetes Events (events.k8s.io/v1): what an operator must know, said on an object. The same thing said again within six
 * minutes becomes a series of one Event, as Kubernetes' own components have it. Nothing waits for an Event: the queue is
 * bounded, what the API does not take within five minutes is dropped, and both are counted.
 */
import { type Clock, type Duration, type Instant, after, between, milliseconds, seconds } from '#lib/time.ts';
import { ApiError, type ResourceStore, type ResourceType } from './store.ts';

export const eventType: ResourceType = {
  group: 'events.k8s.io',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
};

/** Of an object that need not exist any more. */
export interface EventObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string | undefined;
}

export interface Note {
  readonly regarding: EventObject;
  readonly related?: EventObject;
  readonly type: 'Normal' | 'Warning';
  /** One word in CamelCase. */
  readonly reason: string;
  /** What was done or went wrong, one word. */
  readonly action: string;
  readonly text: string;
}

export interface EventFacts {
  readonly sent: number;
  /** The queue was full, or the API did not take it. */
  readonly dropped: number;
}

export interface EventModules {
  readonly store: ResourceStore;
  readonly clock: Clock;
  /** Wall-clock milliseconds since the epoch. */
  readonly wallClock: () => number;
  /** How long the next one waits, for what happens to many at once; `waiting`: others that are not sent yet. */
  readonly spread: (waiting: number) => Duration;
}

const longestQueue = 64;
const seriesEnds = seconds(360);
const seriesEvery = seconds(60);
const givesUp = seconds(300);
const retryEvery = seconds(15);
/** So many at once, then one a second. */
const burst = 10;
const longestText = 1024;

interface Series {
  readonly note: Note;
  name: string | undefined;
  count: number;
  /** Of `count` those that the API was told. */
  told: number;
  lastAt: Instant;
  lastWall: number;
  /** When it is sent next; `undefined`: there is nothing to send. */
  due: Instant | undefined;
  /** Since when it waits for the API. */
  since: Instant;
}

const keyOf = ({ regarding, related, type, reason }: Note): string =>
  [regarding.kind, regarding.namespace, regarding.name, related?.kind, related?.name, type, reason].join('\n');

export class EventSender {
  readonly #reporter: { readonly controller: string; readonly instance: string };
  readonly #modules: EventModules;
  readonly #series = new Map<string, Series>();
  #facts: EventFacts = { sent: 0, dropped: 0 };
  #tokens = burst;
  #tokensAt: Instant;
  #serial = 0;
  #cancel: (() => void) | undefined;
  #sending: Promise<void> | undefined;
  #stopped = false;

  /** `controller`: such as `flatroute.io/agent`; `instance`: which of them, such as the node. */
  constructor(reporter: { readonly controller: string; readonly instance: string }, modules: EventModules) {
    this.#reporter = reporter;
    this.#modules = modules;
    this.#tokensAt = modules.clock.now();
  }

  get facts(): EventFacts {
    return this.#facts;
  }

  tell(note: Note): void {
    if (this.#stopped) return;
    const now = this.#modules.clock.now();
    for (const [key, it] of this.#series)
      if (it.due === undefined && between(it.lastAt, now) > seriesEnds) this.#series.delete(key);
    const key = keyOf(note);
    const waiting = [...this.#series.values()].filter((it) => it.due !== undefined).length;
    const known = this.#series.get(key);
    if (known !== undefined) {
      known.count += 1;
      known.lastAt = now;
      known.lastWall = this.#modules.wallClock();
      if (known.due === undefined) {
        known.due = after(after(now, seriesEvery), this.#modules.spread(waiting));
        known.since = known.due;
      }
    } else {
      if (waiting >= longestQueue) return this.#drop(1);
      const due = after(now, this.#modules.spread(waiting));
      this.#series.set(key, {
        note,
        name: undefined,
        count: 1,
        told: 0,
        lastAt: now,
        lastWall: this.#modules.wallClock(),
        due,
        since: due,
      });
    }
    this.#arm();
  }

  /** What is under way ends first; the rest is dropped. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#sending;
  }

  #drop(count: number): void {
    this.#facts = { ...this.#facts, dropped: this.#facts.dropped + count };
  }

  #arm(): void {
    this.#cancel?.();
    if (this.#stopped || this.#sending !== undefined) return;
    const due = [...this.#series.values()].flatMap((it) => it.due ?? []).sort((a, b) => a - b)[0];
    if (due === undefined) return;
    const { clock } = this.#modules;
    const now = clock.now();
    this.#tokens = Math.min(burst, this.#tokens + between(this.#tokensAt, now) / seconds(1));
    this.#tokensAt = now;
    const allowed = this.#tokens >= 1 ? now : after(now, milliseconds((1 - this.#tokens) * 1000));
    this.#cancel = clock.at(due > allowed ? due : allowed, () => {
      this.#sending = this.#sendOne().finally(() => {
        this.#sending = undefined;
        this.#arm();
      });
    });
  }

  async #sendOne(): Promise<void> {
    const { clock } = this.#modules;
    const now = clock.now();
    const next = [...this.#series.entries()]
      .filter(([, it]) => it.due !== undefined && it.due <= now)
      .sort(([, a], [, b]) => (a.due ?? 0) - (b.due ?? 0))[0];
    if (next === undefined || this.#stopped) return;
    const [key, series] = next;
    this.#tokens -= 1;
    series.due = undefined;
    const count = series.count;
    try {
      await this.#send(series);
      this.#facts = { ...this.#facts, sent: this.#facts.sent + 1 };
      series.told = count;
      if (series.count > count) {
        series.due = after(after(now, seriesEvery), this.#modules.spread(0));
        series.since = series.due;
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const hopeless = error.retry === 'change' && error.code !== 'API_NOT_FOUND';
      if (hopeless || between(series.since, now) >= givesUp) {
        this.#drop(series.count - series.told);
        this.#series.delete(key);
        return;
      }
      if (error.code === 'API_NOT_FOUND') series.name = undefined;
      series.due = after(now, retryEvery);
    }
  }

  async #send(series: Series): Promise<void> {
    const { store, wallClock } = this.#modules;
    const { note } = series;
    // Events about objects without a namespace stand in this one.
    const namespace = note.regarding.namespace ?? 'default';
    const lastObservedTime = microTime(series.lastWall);
    if (series.name !== undefined) {
      await store.patch(eventType, series.name, { series: { count: series.count, lastObservedTime } }, { namespace });
      return;
    }
    // One after the other within a process, and of another process at another time.
    this.#serial += 1;
    const serial = (wallClock() * 1000 + (this.#serial % 1000)).toString(16);
    const name = `${note.regarding.name.slice(0, 230)}.${serial}`;
    await store.create(eventType, {
      metadata: { name, namespace },
      eventTime: lastObservedTime,
      reportingController: this.#reporter.controller,
      reportingInstance: this.#reporter.instance.slice(0, 128),
      type: note.type,
      reason: note.reason,
      action: note.action,
      regarding: note.regarding,
      ...(note.related === undefined ? {} : { related: note.related }),
      note: note.text.length > longestText ? `${note.text.slice(0, longestText - 1)}…` : note.text,
      ...(series.count > 1 ? { series: { count: series.count, lastObservedTime } } : {}),
    });
    series.name = name;
  }
}

/** metav1.MicroTime. */
const microTime = (milliseconds: number): string => new Date(milliseconds).toISOString().replace('Z', '000Z');
