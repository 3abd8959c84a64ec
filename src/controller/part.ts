/** One part of the leader's work, and what the parts share. */
import type { ApiObject, ResourceStore, ResourceType } from '#kubernetes/store.ts';
import type { Note } from '#kubernetes/events.ts';
import type { Clock, Instant } from '#lib/time.ts';
import { sameJson } from '#lib/json.ts';
import { conditionNotes } from './condition-notes.ts';
import type { NodeReports } from './report-index.ts';
import type { Task } from './tasks.ts';
import type { Watch } from './watches.ts';

export type LogFunction = (
  level: 'debug' | 'info' | 'warn' | 'error',
  event: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** What a gauge of the controller shows from now on, as long as this process leads; status/controller-metrics.ts has its name. */
export type Measured = (measure: string, rows: readonly Measurement[]) => void;

export interface Measurement {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface PartModules {
  /** Refuses writes once this process does not lead any more. */
  readonly store: ResourceStore;
  readonly clock: Clock;
  readonly log: LogFunction;
  /** A write that was tried, for metrics. */
  readonly wrote: (outcome: 'done' | 'failed') => void;
  /** While the part is made; parts that look at one kind share its watch. */
  readonly watch: Watch;
  /** While the part is made: what all nodes say, and who is told of the objects of which they say something else now (KIND/NAME). */
  readonly reports: (changed: (objects: ReadonlySet<string>) => void) => NodeReports;
  /** Something changed that no watch tells: all parts are asked again. */
  readonly changed: () => void;
  /** All parts are asked again by then; to be said anew each time that the part is asked. */
  readonly wake: (at: Instant) => void;
  readonly measured: Measured;
  /** An Event. */
  readonly tell: (note: Note) => void;
}

/** `now`: as it stands in conditions. */
export type Part = (modules: PartModules) => (now: string) => readonly Task[];

/** Of an object what a status is decided on. */
export const essence = ({ apiVersion = '', kind = '', metadata, status }: ApiObject): ApiObject => ({
  apiVersion,
  kind,
  metadata,
  status,
});

/** Nothing where the status stands there already. Once it is written, an Event says what of its conditions has turned. */
export function statusTask(
  type: ResourceType,
  object: ApiObject,
  status: object,
  { store, wrote, tell }: Pick<PartModules, 'store' | 'wrote' | 'tell'>,
): readonly Task[] {
  if (sameJson(status, object['status'])) return [];
  const { name, resourceVersion } = object.metadata;
  const run = async (): Promise<void> => {
    // A merge keeps what is not named: fields that are gone are said to be.
    const before = Object.keys(object['status'] ?? {});
    const gone = Object.fromEntries(before.filter((key) => !Object.hasOwn(status, key)).map((key) => [key, null]));
    const patch = { metadata: { resourceVersion }, status: { ...gone, ...status } };
    await store.patch(type, name, patch, { subresource: 'status' });
    wrote('done');
    for (const note of conditionNotes(type, object, status)) tell(note);
  };
  return [{ key: `${type.kind}/${name} status`, seldom: true, run }];
}
