/**
 * Events of what turns on this node: of its conditions those that a node tells of, regarding the Node, with the object that they
 * are about beside it.
 */
import type { Condition } from '#intent/node-intent.ts';
import type { EventObject, Note } from '#kubernetes/events.ts';
import { after, type Clock, type Duration, milliseconds, seconds } from '#lib/time.ts';
import { kindNamed } from '#sources/kubernetes/types.ts';
import { conditionNotes, isToldByNode, type Watchlist } from '#status/event-notes.ts';

export interface NodeEventsModules {
  readonly clock: Clock;
  readonly tell: (note: Note) => void;
  readonly conditions: () => readonly Condition[];
  /** UID of an object that was read. */
  readonly uidOf: (kind: string, name: string) => string | undefined;
}

export interface NodeEvents {
  /** Something may have changed. */
  look(): void;
  stop(): void;
}

/** What only takes a moment is looked at again. */
const again = seconds(5);

export function nodeEvents(node: string, { clock, tell, conditions, uidOf }: NodeEventsModules): NodeEvents {
  let watchlist: Watchlist = new Map();
  let cancel: (() => void) | undefined;
  let stopped = false;

  const noteOf = ({ kind, name, type, reason, message }: Condition, severity: Note['type']): Note => {
    const [object = name] = name.split('/');
    const related = kind === 'Node' ? undefined : kindNamed(kind);
    const about = (apiVersion: string): EventObject => ({ apiVersion, kind, name: object, uid: uidOf(kind, object) });
    return {
      regarding: { apiVersion: 'v1', kind: 'Node', name: node, uid: uidOf('Node', node) },
      ...(related === undefined ? {} : { related: about(related.apiVersion) }),
      type: severity,
      reason,
      action: type,
      text: kind === 'Node' ? message : `${kind} ${name}: ${message}`,
    };
  };
  function look(): void {
    cancel?.();
    cancel = undefined;
    if (stopped) return;
    const now = clock.now();
    const next = conditionNotes(watchlist, conditions().filter(isToldByNode), now);
    watchlist = next.watchlist;
    for (const { condition, type } of next.notes) tell(noteOf(condition, type));
    if (next.waits) cancel = clock.at(after(now, again), look);
  }

  return {
    look,
    stop() {
      stopped = true;
      cancel?.();
    },
  };
}

/** Events of all nodes about what happens to all of them: so many a second. */
const eventsPerSecond = 50;

/** When the next Event may be sent while `waiting` others of this node wait, each in its own part of the time. `random`: 0 to 1. */
export const eventSpread = (nodes: number, waiting: number, random: number): Duration =>
  milliseconds(((waiting + random) * nodes * 1000) / eventsPerSecond);
