/** What the agent knows of BFD, for conditions, metrics and people. */
import type { ObservedBfdSession } from './control-messages.ts';

export interface BfdFacts {
  readonly daemon: BfdDaemon;
  /** What the process observed last; empty while none answers. */
  readonly sessions: readonly ObservedBfdSession[];
}

/** `absent`: none answers, and that is why; `seeking`: it is being started, or looked for. */
export type BfdDaemon =
  | { readonly state: 'unwanted' | 'seeking' }
  | { readonly state: 'absent'; readonly problem: string }
  | {
      readonly state: 'running';
      readonly pid: number;
      readonly program: string;
      /** Why the process runs without real-time priority, if it does. */
      readonly notRealTime: string | undefined;
      /** It shares the agent's fate, and says so to the neighbours (C=0). */
      readonly endsWithAgent?: boolean | undefined;
    };

export const noBfd: BfdFacts = { daemon: { state: 'unwanted' }, sessions: [] };

/** RFC 5880 §4.1, for people; of a number that it does not name, the number. */
const diagnostics: readonly string[] = [
  'no diagnostic',
  'no packet came for the detection time',
  'the echo function failed',
  'the neighbour signalled that its session is down',
  'the forwarding plane was reset',
  'the path is down',
  'a concatenated path is down',
  'the session is administratively down',
  'a reverse concatenated path is down',
];

export const diagnosticText = (diagnostic: number): string => diagnostics[diagnostic] ?? `diagnostic ${diagnostic}`;

/** A peer's own session, or those of the peers that its listen range let in. */
export const bfdSessionsOf = (peer: string, { sessions }: BfdFacts): readonly ObservedBfdSession[] =>
  sessions.filter(({ name }) => name === peer || name.startsWith(`${peer}/`));
