/** Who is asked by whom, and the address that the answer says the question came from. */
import { familyOf } from '#lib/ip.ts';
import type { IpAddress } from '#lib/ip.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import { staticProgram } from '#lab/runtime/images.ts';

export interface Question {
  readonly from: Endpoint;
  /** What the reader of the table is told of both ends. */
  readonly label: readonly [from: string, to: string];
  readonly address: IpAddress;
  readonly port: number;
  /** Who may answer, and which addresses it may see. */
  readonly answers: readonly string[];
  readonly sees: readonly string[];
}

export interface Answer {
  readonly question: Question;
  /** Host name of the one that answered; undefined when nobody did. */
  readonly name: string | undefined;
  /** The address that it saw, or why there was no answer. */
  readonly saw: string;
  readonly right: boolean;
}

export async function ask(question: Question): Promise<Answer> {
  const { from, address, port } = question;
  const { code, stdout, stderr } = await from.exec([staticProgram('witness'), 'ask', address, String(port)]);
  if (code !== 0) return { question, name: undefined, saw: `no answer: ${stderr.trim()}`, right: false };
  const [name = '', saw = ''] = stdout.trim().split(' ');
  return { question, name, saw, right: question.answers.includes(name) && question.sees.includes(saw) };
}

/** A line for each answer, in columns. */
export function answerTable(answers: readonly Answer[]): readonly string[] {
  const rows = answers.map(({ question, name, saw, right }) => [
    right ? 'ok' : 'WRONG',
    familyOf(question.address) === 'ipv4' ? 'IPv4' : 'IPv6',
    question.label[0],
    question.label[1],
    `${question.address} ${question.port}`,
    name ?? '-',
    saw,
    right ? '' : `expected ${question.answers.join('|')} to see ${question.sees.join(' or ')}`,
  ]);
  const all = [['', '', 'FROM', 'TO', 'ASKED', 'ANSWERED', 'SAW', ''], ...rows];
  const widths = all[0]?.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0))) ?? [];
  return all.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
