/**
 * The table of standards and daemons for one engine: what is judged by whom, and why not where it is not. The same for
 * docs/interop.md, before anything is played, and for the end of a run, with what failed in it.
 */
import type { EngineKind } from '#lab/gobgp-sidecar.ts';
import type { DaemonKind } from '#lab/routers/make.ts';
import { daemonKinds } from '#lab/routers/make.ts';
import { scenarios } from './all.ts';
import { engineLacks, lacks, versions } from './lacks.ts';
import type { Scenario } from './scenario.ts';
import type { Standard } from './standards.ts';
import { standardNames, standards } from './standards.ts';

/** Daemon and engine have all that the scenario judges, and what it takes to play it. */
export const isPlayed = ({ judges, except, exceptEngine }: Scenario, kind: DaemonKind, engine: EngineKind): boolean =>
  except?.[kind] === undefined &&
  exceptEngine?.[engine] === undefined &&
  judges.every((standard) => lacks[kind][standard] === undefined && engineLacks[engine][standard] === undefined);

export type Outcome = 'passed' | 'failed';
export type Outcomes = ReadonlyMap<Scenario, Outcome>;

/** What a run says beyond the plan: nothing of what was not played. */
function failedIn(standard: Standard, outcomes: Outcomes | undefined): boolean {
  return scenarios.some((it) => it.judges.includes(standard) && outcomes?.get(it) === 'failed');
}

const playedIn = (standard: Standard, kind: DaemonKind, engine: EngineKind): readonly Scenario[] =>
  scenarios.filter((it) => it.judges.includes(standard) && isPlayed(it, kind, engine));

/** `ran`: by daemon; without it the table says what a run judges. Markdown, also readable as it is. */
export function standardsTable(engine: EngineKind, ran?: ReadonlyMap<DaemonKind, Outcomes>): string {
  const notes: string[] = [];
  const noteOn = (text: string): string => {
    const known = notes.indexOf(text);
    return `(${known === -1 ? notes.push(text) : known + 1})`;
  };
  const cell = (standard: Standard, kind: DaemonKind): string => {
    const engineLack = engineLacks[engine][standard];
    if (engineLack !== undefined)
      return `engine has it not ${noteOn(`Engine ${engine}, ${standard}: ${engineLack.why}.`)}`;
    const lack = lacks[kind][standard];
    if (lack !== undefined) return `has it not ${noteOn(`${versions[kind]}, ${standard}: ${lack.why}.`)}`;
    const outcomes = ran?.get(kind);
    if (ran !== undefined && outcomes === undefined) return 'not run';
    if (failedIn(standard, outcomes)) return '**FAILED**';
    const played = playedIn(standard, kind, engine);
    if (outcomes !== undefined && !played.every((it) => outcomes.has(it))) return 'not run';
    const limits = scenarios
      .filter((it) => it.judges.includes(standard))
      .flatMap((it) => [
        ...(it.except?.[kind] === undefined ? [] : [`${versions[kind]}, without "${it.name}": ${it.except[kind]}.`]),
        ...(it.exceptEngine?.[engine] === undefined
          ? []
          : [`Engine ${engine}, without "${it.name}": ${it.exceptEngine[engine].why}.`]),
        ...(it.differs?.[engine] === undefined
          ? []
          : [`Engine ${engine}, in "${it.name}": ${it.differs[engine].why}.`]),
      ]);
    return [played.length === 0 ? 'not played' : 'passed', ...limits.map(noteOn)].join(' ');
  };
  const rows = [
    ['standard', 'what', ...daemonKinds.map((kind) => versions[kind])],
    ...standardNames.map((standard) => [
      standard,
      standards[standard],
      ...daemonKinds.map((kind) => cell(standard, kind)),
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((text, n) => text.padEnd(widths[n] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  const rule = line(widths.map((width) => '-'.repeat(width)));
  return [line(head), rule, ...body.map(line), '', ...notes.map((text, n) => `${n + 1}. ${text}`)].join('\n');
}
