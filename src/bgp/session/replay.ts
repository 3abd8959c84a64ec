/**
 * Plays a record (`record.ts`) again through the session machine. In: its lines. Out: what the machine makes of each event now,
 * and whether that is what it made of it then. PURE.
 */
import type { Effect, Event } from './events.ts';
import { transition } from './machine.ts';
import { type RecordBegin, formatLine, parseLine, stepLine } from './record.ts';
import type { SessionConfig } from './config.ts';
import type { State } from './state.ts';

export type Replayed =
  | { readonly kind: 'begin'; readonly line: number; readonly begin: RecordBegin }
  | {
      readonly kind: 'step';
      readonly line: number;
      readonly event: Event;
      readonly before: State;
      readonly after: State;
      readonly effects: readonly Effect[];
      /** The line that would be written today, when it is not the one that was. */
      readonly differs: string | undefined;
    }
  | { readonly kind: 'broken'; readonly line: number; readonly problem: string };

/** Takes the lines one after the other, without their ends; an empty one is nothing. Line numbers count from 1. */
export function replayer(): (text: string) => Replayed | undefined {
  let playing: { readonly config: SessionConfig; state: State } | undefined;
  let number = 0;
  return (text) => {
    number++;
    if (text.trim() === '') return undefined;
    const line = parseLine(text);
    if (!line.ok) {
      // What was done after it cannot be known until the next beginning.
      playing = undefined;
      return { kind: 'broken', line: number, problem: line.error };
    }
    if (line.value.kind === 'begin') {
      playing = { config: line.value.config, state: line.value.state };
      return { kind: 'begin', line: number, begin: line.value };
    }
    if (playing === undefined)
      return { kind: 'broken', line: number, problem: 'is a step without a beginning before it' };
    const { event } = line.value;
    const before = playing.state;
    const { state, effects } = transition(playing.config, before, event);
    playing.state = state;
    const now = formatLine(stepLine(event, state, effects));
    const differs = says(JSON.parse(now), JSON.parse(formatLine(line.value))) ? undefined : now;
    return { kind: 'step', line: number, event, before, after: state, effects, differs };
  };
}

/** Whether `now` says all that `then` said. It may say more: later versions write down what earlier ones did not know. */
function says(now: unknown, then: unknown): boolean {
  if (typeof now !== 'object' || typeof then !== 'object' || now === null || then === null) return now === then;
  if (Array.isArray(now) && Array.isArray(then) && now.length !== then.length) return false;
  return Object.entries(then).every(([key, value]) => key in now && says((now as Record<string, unknown>)[key], value));
}
