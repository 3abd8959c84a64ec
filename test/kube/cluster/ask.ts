/** Who is asked by whom, and the address that the answer says the question came from. */
import assert from 'node:assert/strict';
import { familyOf } from '#lib/ip.ts';
import type { Family, IpAddress } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import type { PodEndpoint } from '#lab/pod-endpoint.ts';
import { staticProgram } from '#lab/runtime/images.ts';
import { found, notYet } from '#lab/wait.ts';
import { print } from './world.ts';

export interface Question {
  readonly from: Endpoint;
  /** What the reader of the table is told of both ends. */
  readonly label: readonly [from: string, to: string];
  readonly address: IpAddress;
  readonly port: number;
  /** Who may answer, nobody where it is empty, and which addresses it may see. */
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
  if (code !== 0)
    return { question, name: undefined, saw: `no answer: ${stderr.trim()}`, right: question.answers.length === 0 };
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
    right ? '' : `expected ${question.answers.join('|') || 'nobody'} to see ${question.sees.join(' or ')}`,
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

export const askAll = async (questions: readonly Question[]): Promise<readonly Answer[]> =>
  await Promise.all(questions.map(async (question) => await ask(question)));

export const wrongOf = (answers: readonly Answer[]): readonly string[] =>
  answers
    .filter(({ right }) => !right)
    .map(({ question, saw }) => `${question.label.join(' -> ')} ${question.address}: ${saw}`);

/** Asks until every answer is the right one, as what changes the rules of a node takes its time, and prints the table. */
export async function untilAllRight(
  cluster: Cluster,
  what: string,
  questions: () => Promise<readonly Question[]>,
): Promise<readonly Answer[]> {
  const answers = await cluster.until(
    what,
    async () => {
      const all = await askAll(await questions());
      const wrong = wrongOf(all);
      return wrong.length === 0 ? found(all) : notYet(wrong.join('; '));
    },
    seconds(180),
  );
  for (const line of answerTable(answers)) print(line);
  return answers;
}

/** Asks so many times in a row, and all of them again until each was answered by one of `names`: a router tells its kernel a moment later. */
export async function untilAnswered(
  cluster: Cluster,
  { from, address, port }: Pick<Question, 'from' | 'address' | 'port'>,
  names: readonly string[],
  times = 1,
): Promise<readonly Answer[]> {
  return await cluster.until(`${from.name} to be answered ${times} times by ${address} ${port}`, async () => {
    const answers: Answer[] = [];
    for (let n = 0; n < times; n++) {
      const answer = await ask({ from, label: [from.name, ''], address, port, answers: names, sees: [] });
      if (!names.includes(answer.name ?? '')) return notYet(`${answer.name ?? ''} ${answer.saw}`);
      answers.push(answer);
    }
    return found(answers);
  });
}

/** The pods of a workload, in which questions can be asked. */
export async function endpointsOf(cluster: Cluster, app: string): Promise<readonly PodEndpoint[]> {
  const pods = await cluster.pods('default', `app=${app}`);
  return await Promise.all(pods.map(async (pod) => await cluster.endpoint(pod)));
}

export function onNode(pods: readonly PodEndpoint[], node: string): PodEndpoint {
  const pod = pods.find(({ host }) => host.name === node);
  assert.ok(pod !== undefined, `no such pod on ${node}`);
  return pod;
}

/** Every address that a node may give a packet of its own, or one that it masquerades. */
export async function addressesOf(host: Endpoint, family: Family): Promise<readonly string[]> {
  const text = await host.run(['ip', '-j', family === 'ipv4' ? '-4' : '-6', 'address', 'show', 'scope', 'global']);
  const links = JSON.parse(text) as readonly { readonly addr_info: readonly { readonly local: string }[] }[];
  return links.flatMap((link) => link.addr_info.map(({ local }) => local));
}
