/** Results as tables for people: medians of the runs of one case, and the aims beside BIRD of the same case. */
import type { Answer, Profile } from './scene.ts';

export interface Case {
  readonly scenario: string;
  readonly size: number;
  readonly profile: Profile;
  readonly fib: boolean;
}

export interface Result extends Case {
  readonly subject: string;
  readonly answer: Answer;
}

/** A number inside an answer by its path, such as `single.sink.p50`; NaN when it is not known. */
function value(answer: Answer, path: string): number {
  let at: unknown = answer;
  for (const name of path.split('.')) at = typeof at === 'object' && at !== null ? Reflect.get(at, name) : undefined;
  return typeof at === 'number' ? at : Number.NaN;
}

function median(values: readonly number[]): number {
  const known = values.filter((one) => !Number.isNaN(one)).sort((a, b) => a - b);
  return known.length === 0
    ? Number.NaN
    : ((known[(known.length - 1) >> 1] ?? 0) + (known[known.length >> 1] ?? 0)) / 2;
}

interface Column {
  readonly title: string;
  readonly path: string;
  readonly unit: 's' | 'ms' | 'MiB' | 'count';
  /** Of several runs the worst counts, not the median. */
  readonly worst?: boolean;
}

const memory: readonly Column[] = [
  { title: 'peak MiB', path: 'peakMiB', unit: 'MiB' },
  { title: 'of it gobgpd', path: 'peaks.gobgpd', unit: 'MiB' },
];
const cost: readonly Column[] = [
  { title: 'CPU', path: 'cpu', unit: 's' },
  { title: 'of it gobgpd', path: 'threads.gobgpd', unit: 's' },
  ...memory,
];

const many: readonly Column[] = [
  { title: 'all at the last', path: 'reached.max', unit: 's' },
  { title: 'at the median', path: 'reached.p50', unit: 's' },
  ...cost,
  { title: 'sessions lost', path: 'lostSessions', unit: 'count', worst: true },
  { title: 'keepalive late p99', path: 'keepaliveLate.p99', unit: 'ms', worst: true },
  { title: 'max', path: 'keepaliveLate.max', unit: 'ms', worst: true },
];

const columns: Readonly<Record<string, readonly Column[]>> = {
  table: [
    { title: 'at the sink', path: 'converged', unit: 's' },
    { title: 'forwards', path: 'forwards', unit: 's' },
    { title: 'in the kernel', path: 'kernel', unit: 's' },
    ...cost,
    { title: 'one: sink', path: 'single.sink.p50', unit: 'ms' },
    { title: 'p99', path: 'single.sink.p99', unit: 'ms' },
    { title: 'kernel', path: 'single.kernel.p50', unit: 'ms' },
    { title: 'forwards', path: 'single.forwards.p50', unit: 'ms' },
    { title: 'withdrawn', path: 'single.withdrawnAtSink.p50', unit: 'ms' },
    { title: 'loss: sink', path: 'loss.sink', unit: 's' },
    { title: 'kernel', path: 'loss.kernel', unit: 's' },
    { title: 'CPU', path: 'loss.cpu', unit: 's' },
    { title: 'keepalive late', path: 'keepaliveLate.max', unit: 'ms', worst: true },
  ],
  peers: many,
  idle: many,
  restart: [
    { title: 'new route in the kernel', path: 'fresh', unit: 's' },
    { title: 'old route gone', path: 'swept', unit: 's' },
    { title: 'routes missing meanwhile', path: 'missing', unit: 'count', worst: true },
    ...cost,
  ],
  misfortunes: [
    { title: 'agent killed: right again', path: 'agentKilled.fresh', unit: 's' },
    { title: 'missing meanwhile', path: 'agentKilled.missing', unit: 'count', worst: true },
    { title: 'gobgpd hangs for 12 s: right again', path: 'gobgpdHangs.fresh', unit: 's' },
    { title: 'missing meanwhile', path: 'gobgpdHangs.missing', unit: 'count', worst: true },
    { title: 'gobgpd killed: right again', path: 'gobgpdKilled.fresh', unit: 's' },
    { title: 'missing meanwhile', path: 'gobgpdKilled.missing', unit: 'count', worst: true },
    ...memory,
  ],
  slow: [
    { title: 'at the fast sink', path: 'converged', unit: 's' },
    { title: 'slow had', path: 'slowHad', unit: 'count' },
    ...cost,
    { title: 'keepalive late', path: 'keepaliveLate.max', unit: 'ms', worst: true },
  ],
};

function shown(number: number, unit: Column['unit']): string {
  if (Number.isNaN(number)) return '-';
  if (unit === 'ms') return `${(1000 * number).toFixed(2)} ms`;
  if (unit === 's') return number < 1 ? `${(1000 * number).toFixed(0)} ms` : `${number.toFixed(2)} s`;
  return number.toFixed(0);
}

const key = ({ scenario, size, profile, fib }: Case): string => `${scenario} ${size} ${profile} ${fib ? 'on' : 'off'}`;

export const sizeText = (size: number): string =>
  size >= 1e6 ? `${size / 1e6}M` : size >= 1000 ? `${size / 1000}k` : String(size);

const caseText = ({ scenario, size, profile, fib }: Case): string =>
  scenario === 'table'
    ? `${sizeText(size)} ${profile}, ${fib ? 'with' : 'without'} kernel routes`
    : `${scenario} ${sizeText(size)} ${profile}`;

const of = (results: readonly Result[], column: Column): number => {
  const values = results.map(({ answer }) => value(answer, column.path));
  const known = values.filter((one) => !Number.isNaN(one));
  if (column.worst === true) return known.length === 0 ? Number.NaN : Math.max(...known);
  return median(values);
};

/** One table in Markdown for each case, in the order of the results. */
export function tables(results: readonly Result[]): string {
  const cases = new Map<string, Result[]>();
  for (const result of results) cases.set(key(result), [...(cases.get(key(result)) ?? []), result]);
  const text: string[] = [];
  for (const group of cases.values()) {
    const [first] = group;
    if (first === undefined) continue;
    const all = columns[first.scenario] ?? [];
    const used = all.filter((column) => group.some(({ answer }) => !Number.isNaN(value(answer, column.path))));
    text.push(`${caseText(first)}:`, '');
    text.push(
      `| | runs | ${used.map(({ title }) => title).join(' | ')} |`,
      `|---|---|${used.map(() => '---|').join('')}`,
    );
    for (const subject of new Set(group.map((result) => result.subject))) {
      const own = group.filter((result) => result.subject === subject);
      const failed = own.filter(({ answer }) => value(answer, 'whole') !== 1 || value(answer, 'wrong') !== 0).length;
      const runs = failed === 0 ? String(own.length) : `${own.length}, ${failed} failed`;
      text.push(`| ${subject} | ${runs} | ${used.map((column) => shown(of(own, column), column.unit)).join(' | ')} |`);
    }
    text.push('');
  }
  return text.join('\n');
}

interface Aim {
  readonly what: string;
  readonly path: string;
  readonly size: number;
  readonly fib: boolean | undefined;
  /** Times BIRD in the same case, or in the value's own unit. */
  readonly limit: { readonly times: number } | { readonly absolute: number };
}

const aims: readonly Aim[] = [
  { what: 'convergence', path: 'converged', size: 1e4, fib: undefined, limit: { absolute: 0.06 } },
  { what: 'convergence', path: 'converged', size: 1e5, fib: undefined, limit: { times: 1 } },
  { what: 'convergence', path: 'converged', size: 1e6, fib: undefined, limit: { times: 0.8 } },
  { what: 'CPU', path: 'cpu', size: 1e4, fib: undefined, limit: { absolute: 0.1 } },
  { what: 'CPU', path: 'cpu', size: 1e5, fib: undefined, limit: { times: 1.5 } },
  { what: 'CPU', path: 'cpu', size: 1e6, fib: undefined, limit: { times: 0.9 } },
  { what: 'all in the kernel', path: 'kernel', size: 1e4, fib: true, limit: { times: 1 } },
  { what: 'all in the kernel', path: 'kernel', size: 1e5, fib: true, limit: { times: 0.6 } },
  { what: 'one route to the sink', path: 'single.sink.p50', size: 1e5, fib: undefined, limit: { times: 2 } },
  { what: 'one route to the kernel', path: 'single.kernel.p50', size: 1e5, fib: true, limit: { times: 1.5 } },
  { what: 'peak memory, MiB', path: 'peakMiB', size: 1e5, fib: undefined, limit: { absolute: 150 } },
  { what: 'peak memory, MiB', path: 'peakMiB', size: 1e6, fib: undefined, limit: { absolute: 250 } },
];

/** Each aim with what flatroute has, beside BIRD. */
export function aimsTable(results: readonly Result[]): string {
  const rows = ['| aim | case | flatroute | bird | has | aim | |', '|---|---|---|---|---|---|---|'];
  for (const aim of aims) {
    for (const profile of ['inet', 'k8s'] as const) {
      for (const fib of aim.fib === undefined ? [false, true] : [aim.fib]) {
        const wanted = key({ scenario: 'table', size: aim.size, profile, fib });
        const group = results.filter((result) => key(result) === wanted);
        const column: Column = { title: '', path: aim.path, unit: 's' };
        const ours = of(
          group.filter(({ subject }) => subject === 'flatroute'),
          column,
        );
        const birds = of(
          group.filter(({ subject }) => subject === 'bird'),
          column,
        );
        const has = 'times' in aim.limit ? ours / birds : ours;
        const limit = 'times' in aim.limit ? aim.limit.times : aim.limit.absolute;
        if (Number.isNaN(has)) continue;
        const sign = 'times' in aim.limit ? 'x' : '';
        rows.push(
          `| ${aim.what} | ${caseText({ scenario: 'table', size: aim.size, profile, fib })} | ${ours.toPrecision(3)} | ${Number.isNaN(birds) ? '-' : birds.toPrecision(3)} | ${has.toPrecision(2)}${sign} | ${limit}${sign} | ${has <= limit ? 'yes' : 'no'} |`,
        );
      }
    }
  }
  return rows.join('\n');
}
