/** Lines of the demo. PURE: results in, lines out; widths in columns. */
import { paint, printable, textWidth, truncate, wrap } from '../output/text.ts';
import type { CheckResult } from './checks.ts';
import { Unexpected } from './checks.ts';

export interface Style {
  readonly width: number;
  readonly colour: boolean;
}

/** Columns of mark, time and the gaps around them. */
const LEAD = 11;
const TITLE = 28;
/** Narrower than this, the detail goes below the title. */
const TWO_COLUMNS = 84;
/** Columns before the output of a command. */
export const OUTPUT_INDENT = 4;

export const secondsText = (ms: number): string => {
  const value = ms / 1000;
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} s`;
};

const mark = (passed: boolean, colour: boolean): string =>
  passed ? paint('green', '✔', colour) : paint('red', '✘', colour);

/** One check: mark, time since the beginning, title, what was seen. */
export function checkLines(result: CheckResult, style: Style): readonly string[] {
  const lead = ` ${mark(result.passed, style.colour)} ${secondsText(result.atMilliseconds).padStart(6)}  `;
  if (!result.passed) return [`${lead}${paint('red', result.title, style.colour)}`, ...failureLines(result, style)];
  if (style.width < TWO_COLUMNS) {
    const room = Math.max(20, style.width - LEAD - 2);
    const [title = '', ...more] = wrap(result.title, room);
    const below = wrap(result.detail, room).map((line) => paint('dim', line, style.colour));
    return [`${lead}${title}`, ...[...more, ...below].map((line) => `${' '.repeat(LEAD + 2)}${line}`)];
  }
  const room = style.width - LEAD - TITLE - 2;
  const [first = '', ...rest] =
    textWidth(result.title) > TITLE ? ['', ...wrap(result.detail, room)] : wrap(result.detail, room);
  return [
    `${lead}${first === '' ? result.title : result.title.padEnd(TITLE)}  ${first}`.trimEnd(),
    ...rest.map((line) => `${' '.repeat(LEAD + TITLE + 2)}${line}`),
  ];
}

/** What was expected, what was seen, and the command that shows it. */
export function failureLines(result: CheckResult, style: Style): readonly string[] {
  const room = Math.max(20, style.width - LEAD - 12);
  const part = (name: string, text: string): string[] =>
    text.split('\n').flatMap((line, i) =>
      wrap(printable(line), room).map((piece, j) => {
        const label = i === 0 && j === 0 ? name : '';
        return `${' '.repeat(LEAD)}${paint('red', label.padEnd(10), style.colour)}${piece}`;
      }),
    );
  const { failure } = result;
  if (!(failure instanceof Unexpected)) return part('failed', result.detail);
  return [
    ...part('expected', failure.expected),
    ...part('seen', failure.seen),
    ...(failure.command === undefined ? [] : part('look with', failure.command)),
  ];
}

/** Output of a real command under the prompt at which it was given. */
export function outputLines(
  where: string,
  command: string,
  output: string,
  style: Style,
  limit = 20,
): readonly string[] {
  const all = output
    .replace(/\s+$/, '')
    .split('\n')
    .map((line) => line.replaceAll('\t', '    '));
  const shown = all.slice(0, limit);
  return [
    `    ${paint('dim', `${where}$ ${command}`, style.colour)}`,
    ...shown.map((line) => `    ${truncate(printable(line), style.width - OUTPUT_INDENT)}`),
    ...(all.length > limit ? [`    ${paint('dim', `… ${all.length - limit} more lines`, style.colour)}`] : []),
  ];
}

/** Everything in the table at the end but the titles. */
const SUMMARY_COLUMNS = 25;

/** The table at the end. */
export function summaryLines(results: readonly CheckResult[], elapsed: number, style: Style): readonly string[] {
  const titleWidth = Math.min(
    Math.max(...results.map((result) => textWidth(result.title)), 5),
    Math.max(8, style.width - SUMMARY_COLUMNS),
  );
  const failed = results.filter((result) => !result.passed).length;
  const passed = results.length - failed;
  const verdict = `checks ${passed} passed, ${failed} failed · ${secondsText(elapsed)}`;
  return [
    paint('bold', ` ${'#'.padStart(2)}  ${'CHECK'.padEnd(titleWidth)}  ${'TOOK'.padStart(8)}  RESULT`, style.colour),
    ...results.map((result, i) => {
      const took = `${(result.tookMilliseconds / 1000).toFixed(2)} s`;
      const verdict = `${mark(result.passed, style.colour)} ${result.passed ? 'passed' : paint('red', 'failed', style.colour)}`;
      return ` ${String(i + 1).padStart(2)}  ${truncate(result.title, titleWidth).padEnd(titleWidth)}  ${took.padStart(8)}  ${verdict}`;
    }),
    '',
    ` ${failed === 0 ? paint('green', verdict, style.colour) : paint('red', verdict, style.colour)}`,
  ];
}
