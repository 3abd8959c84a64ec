/** `flatroute ipam check`: where kernel, books and container runtime disagree about pods, and what can be put right. */
import type { CheckAnswer } from '#status/answers.ts';
import type { Parsed } from './arguments.ts';
import { type Command, EXIT_USAGE } from './command.ts';
import type { CliIo } from './io.ts';
import { renderTable, type TableOptions } from './output/table.ts';
import type { Colour } from './output/text.ts';
import { outputOption, runQuery, socketOption } from './query.ts';

type Row = CheckAnswer['findings'][number];

const DEFAULT_AGE_SECONDS = 300;

const outcomes: Readonly<Record<NonNullable<Row['outcome']>, { readonly text: string; readonly colour: Colour }>> = {
  repaired: { text: 'repaired', colour: 'green' },
  wouldRepair: { text: 'would be repaired with --yes', colour: 'yellow' },
  left: { text: 'left', colour: 'red' },
};

export const ipamCheck: Command = {
  name: 'ipam check',
  summary: 'Where kernel, books and container runtime disagree about pods and addresses; repairs it if asked to.',
  arguments: [],
  options: [
    { name: 'repair', help: 'say what could be put right, with the proofs; nothing is changed without --yes' },
    { name: 'yes', help: 'with --repair: do it' },
    {
      name: 'older-than',
      value: 'SECONDS',
      help: `judge by what the runtime knows only attachments of this age (default ${DEFAULT_AGE_SECONDS})`,
    },
    outputOption,
    socketOption,
  ],
  examples: ['flatroute ipam check', 'flatroute ipam check --repair', 'flatroute ipam check --repair --yes'],
  run: runCheck,
};

async function runCheck(parsed: Parsed, io: CliIo): Promise<number> {
  const ageText = parsed.values.get('older-than') ?? String(DEFAULT_AGE_SECONDS);
  const wrong = !/^\d+(\.\d+)?$/.test(ageText)
    ? `--older-than ${ageText} is no number of seconds`
    : parsed.switches.has('yes') && !parsed.switches.has('repair')
      ? '--yes needs --repair'
      : undefined;
  if (wrong !== undefined) {
    io.err(`flatroute: ${wrong}\n`);
    return EXIT_USAGE;
  }
  const repair = !parsed.switches.has('repair') ? 'no' : parsed.switches.has('yes') ? 'apply' : 'plan';
  return await runQuery(
    {
      fetch: (client) => client.check(repair, Number(ageText)),
      show: (answer, _now, options) => showCheck(answer, options),
      fine: (answer) => answer.findings.every(({ outcome }) => outcome === 'repaired'),
    },
    parsed,
    io,
  );
}

/** PURE. */
export function showCheck(answer: CheckAnswer, options: TableOptions): readonly string[] {
  const unseen = answer.unseen.map((text) => `not seen: ${text}`);
  const compared = `${answer.pods} pods, ${answer.addresses} addresses taken`;
  if (answer.findings.length === 0) return [`kernel, books and runtime agree: ${compared}`, ...unseen];
  return [
    ...renderTable<Row>(
      [
        { title: 'WHAT', value: (row) => row.subject },
        { title: 'POD', value: (row) => row.pod, shrinkTo: 12, drop: 1 },
        {
          title: 'DISAGREEMENT',
          value: (row) => row.code,
          colour: ({ outcome }) => (outcome === undefined ? 'red' : outcomes[outcome].colour),
        },
      ],
      answer.findings,
      options,
      ({ text, action, outcome, reason }) => [
        { text },
        outcome === undefined
          ? { text: `to do: ${action}` }
          : { text: `${outcomes[outcome].text}: ${reason ?? ''}${outcome === 'left' ? `; to do: ${action}` : ''}` },
      ],
    ),
    `${answer.findings.length} disagreements; compared: ${compared}`,
    ...unseen,
  ];
}
