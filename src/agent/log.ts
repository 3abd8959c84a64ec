/**
 * The log: one JSON line per event, from all threads, written by main. A line has `level`, `time`, `event` (a constant
 * name) and fields; the same lines are the event stream of the admin API. Secrets never come here.
 */
import { once } from 'node:events';
import pino from 'pino';
import type { EventAnswer } from '#status/answers.ts';
import type { LogLevel } from './messages.ts';

export type LogFunction = (level: LogLevel, event: string, fields: Readonly<Record<string, unknown>>) => void;

export interface Log {
  readonly write: LogFunction;
  /** Every line from now on, whatever the level of the log; the returned function ends it. */
  readonly subscribe: (listener: (event: EventAnswer) => void) => () => void;
  /** Puts out what is still in memory. */
  readonly flush: () => void;
  /** Waits until all is put out, for a process that ends itself at once; nothing may be logged after it. */
  readonly close: () => Promise<void>;
}

/** Lines that a full pipe cannot take are dropped beyond this, rather than held without end. */
const BUFFER_BYTES = 8 * 1024 * 1024;

/** A reader who takes nothing holds up no end. */
const CLOSE_MILLISECONDS = 500;

export function createLog(level: LogLevel, counted: (level: 'warn' | 'error') => void): Log {
  const destination = pino.destination({ fd: 1, sync: false, minLength: 0, maxLength: BUFFER_BYTES });
  // Whoever read our output is gone: the agent works on without a log.
  destination.on('error', () => undefined);
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  const listeners = new Set<(event: EventAnswer) => void>();
  return {
    write: (at, event, fields) => {
      logger[at]({ event, ...fields });
      if (at === 'warn' || at === 'error') counted(at);
      if (listeners.size === 0) return;
      const line: EventAnswer = { at: new Date().toISOString(), level: at, event, fields };
      for (const listener of listeners) listener(line);
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    flush: () => {
      try {
        destination.flushSync();
      } catch {
        // Nobody reads any more.
      }
    },
    close: async () => {
      const late = new AbortController();
      const closed = once(destination, 'close', { signal: late.signal }).catch(() => undefined);
      const timer = setTimeout(() => late.abort(), CLOSE_MILLISECONDS);
      destination.end();
      await closed;
      clearTimeout(timer);
    },
  };
}
