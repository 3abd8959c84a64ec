/** Samples as tables for people, in Markdown, and the aims beside them. */
import type { Sample } from './burst.ts';

export function median(values: readonly number[]): number {
  const known = values.filter((one) => !Number.isNaN(one)).sort((a, b) => a - b);
  return known.length === 0
    ? Number.NaN
    : ((known[(known.length - 1) >> 1] ?? 0) + (known[known.length >> 1] ?? 0)) / 2;
}

export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN;
}

type Pick = (sample: Sample) => number;

const shown = (value: number): string =>
  Number.isNaN(value) ? '' : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);

const columns: readonly (readonly [string, Pick])[] = [
  ['wall ms/pod', (s) => s.wallMs],
  ['gone ms/pod', (s) => s.goneMs ?? Number.NaN],
  ['p50 ms', (s) => s.p50Ms],
  ['p99 ms', (s) => s.p99Ms],
  ['CPU ms/pod', (s) => s.cpuMs],
  ['machine CPU ms/pod', (s) => s.machineMs],
];

const ours = 'flatroute';

const of = (samples: readonly Sample[], who: string, verb: string, at: number): readonly Sample[] =>
  samples.filter((one) => one.who === who && one.verb === verb && one.at === at);

/** One table for each number of calls at a time; in brackets how many times flatroute's figure that is. */
export function burstTables(samples: readonly Sample[]): string {
  const text: string[] = [];
  for (const at of new Set(samples.map((sample) => sample.at))) {
    text.push('', `${at} at a time:`, '', `| | | pods | ${columns.map(([title]) => title).join(' | ')} |`);
    text.push(`|---|---|---|${columns.map(() => '---|').join('')}`);
    for (const verb of ['ADD', 'DEL']) {
      const own = of(samples, ours, verb, at);
      for (const who of new Set(samples.map((sample) => sample.who))) {
        const group = of(samples, who, verb, at);
        const [first] = group;
        if (first === undefined) continue;
        const cells = columns.map(([, pick]) => {
          const value = median(group.map(pick));
          const times = value / median(own.map(pick));
          return Number.isNaN(value) || who === ours ? shown(value) : `${shown(value)} (${shown(times)})`;
        });
        const failed = group.some((one) => one.failed > 0)
          ? `, ${group.map((one) => one.failed).join('+')} failed`
          : '';
        text.push(`| ${verb} | ${who}${failed} | ${first.pods} | ${cells.join(' | ')} |`);
      }
    }
  }
  return text.join('\n');
}

export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
}

interface Aim {
  readonly what: string;
  /** NaN: was not measured. */
  readonly has: number;
  readonly aim: number;
  readonly atLeast: boolean;
  readonly unit: string;
}

function burstAims(samples: readonly Sample[], at: number): Aim[] {
  const value = (who: string, verb: string, pick: Pick): number => median(of(samples, who, verb, at).map(pick));
  const times = (verb: string, pick: Pick): number => value('ptp + host-local', verb, pick) / value(ours, verb, pick);
  const less = (what: string, has: number, aim: number): Aim => ({ what, has, aim, atLeast: true, unit: 'x less' });
  const late = samples.filter((one) => one.who === ours && one.at === at).flatMap((one) => one.late);
  const floor = value('C floor + one exec', 'ADD', (s) => s.wallMs);
  const sumOfFloors = value('C floor', 'ADD', (s) => s.wallMs);
  return [
    less(
      'ADD wall',
      times('ADD', (s) => s.wallMs),
      10,
    ),
    less(
      'ADD CPU',
      times('ADD', (s) => s.cpuMs),
      15,
    ),
    less(
      'ADD p99',
      times('ADD', (s) => s.p99Ms),
      8,
    ),
    {
      what: 'ADD wall against the C floor with one exec',
      has: value(ours, 'ADD', (s) => s.wallMs) / Math.max(floor, sumOfFloors),
      aim: 1.5,
      atLeast: false,
      unit: 'x',
    },
    less(
      'DEL wall of the calls',
      times('DEL', (s) => s.wallMs),
      20,
    ),
    less(
      'DEL until all interfaces are gone',
      times('DEL', (s) => s.goneMs ?? Number.NaN),
      5,
    ),
    { what: 'heartbeat lateness p99 in the bursts', has: percentile(late, 99), aim: 2, atLeast: false, unit: 'ms' },
  ];
}

/** The aims at 8 calls at a time against ptp + host-local, and those of a node at rest. */
export function aimsTable(samples: readonly Sample[], rest: readonly Figure[]): string {
  const figure = (what: string): number => rest.find((one) => one.what === what)?.value ?? Number.NaN;
  const aims = [
    ...burstAims(samples, 8),
    { what: IDLE, has: figure(IDLE), aim: 0.3, atLeast: false, unit: '% of a core' },
    { what: MEMORY, has: figure(MEMORY), aim: 110, atLeast: false, unit: 'MiB' },
  ].filter(({ has }) => !Number.isNaN(has));
  const rows = aims.map(({ what, has, aim, atLeast, unit }) => {
    const met = atLeast ? has >= aim : has <= aim;
    return `| ${what} | ${shown(has)} ${unit} | ${atLeast ? 'at least' : 'at most'} ${aim} | ${met ? 'yes' : 'no'} |`;
  });
  return rows.length === 0 ? '' : ['', '| aim | has | aim | met |', '|---|---|---|---|', ...rows].join('\n');
}

export const IDLE = 'idle agent';
export const MEMORY = 'resident memory';

export const figureTable = (title: string, figures: readonly Figure[]): string =>
  [
    '',
    title,
    '',
    '| | |',
    '|---|---|',
    ...figures.map(({ what, value, unit }) => `| ${what} | ${shown(value)} ${unit} |`),
  ].join('\n');
