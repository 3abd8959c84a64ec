/** Constant streams both ways between two ends of a lab, counted to the last datagram. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { families } from '#lib/ip.ts';
import type { Family, IpAddress } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import type { LabProcess } from '#lab/process.ts';
import { labScript } from '#lab/program.ts';
import type { StreamReport } from '#lab/streams.ts';
import { AppError } from '#lib/result.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { Look } from '#lab/wait.ts';

const PORT = 7000;

export interface StreamEnd {
  readonly endpoint: Endpoint;
  readonly address: Readonly<Record<Family, IpAddress>>;
}

/** What one direction of one family went through. */
export interface Direction {
  readonly name: string;
  readonly sent: number;
  readonly lost: number;
  readonly duplicates: number;
  readonly gaps: StreamReport['gaps'];
}

let started = 0;

export class Streams {
  readonly #ends: readonly [StreamEnd, StreamEnd];
  readonly #processes: readonly LabProcess[];

  private constructor(ends: readonly [StreamEnd, StreamEnd], processes: readonly LabProcess[]) {
    this.#ends = ends;
    this.#processes = processes;
  }

  /** `rate` datagrams a second each way in both families; resolves when the first of each have come. */
  static async start(a: StreamEnd, b: StreamEnd, rate: number, atMostSeconds: number): Promise<Streams> {
    const ends = [a, b] as const;
    // Logs are read to see what has happened, so each has its own.
    started += 1;
    const processes = await Promise.all(
      ends.map((end, i) => {
        const other = ends[1 - i] as StreamEnd;
        const pairs = families.map((family) => `${end.address[family]},${other.address[family]}`);
        const words = [PORT, rate, atMostSeconds].map(String);
        return end.endpoint.spawn(labScript('streams.ts', ...words, ...pairs), {
          log: `streams-${end.endpoint.name}-${started}.log`,
        });
      }),
    );
    const streams = new Streams(ends, processes);
    try {
      await waitFor('the streams to come through', () => streams.#say('running'), { deadline: seconds(60) });
    } catch (error) {
      throw new Error(`the streams do not come through: ${await streams.#account()}`, { cause: error });
    }
    return streams;
  }

  /** Until both have said the word; one that has ended says nothing more. */
  async #say(word: string): Promise<Look<void>> {
    const ends = await Promise.all(
      this.#processes.map(async (process, i) => ({
        name: this.#ends[i]?.endpoint.name,
        // Before its log is read: what it wrote last is in there.
        ended: process.ended,
        log: await process.log(),
      })),
    );
    const silent = ends.filter(({ log }) => !log.includes(word));
    if (silent.length === 0) return found(undefined);
    const text = ends.map(({ name, ended, log }) => `${name}${ended ? ' (ended)' : ''}: ${log.trim()}`).join(' | ');
    if (silent.some(({ ended }) => ended)) throw new AppError('OS_LAB_GONE', text, { retry: 'never' });
    return notYet(text);
  }

  /** What each end sent and heard, as it says itself when it is told to end. */
  async #account(): Promise<string> {
    for (const process of this.#processes) process.kill('SIGTERM');
    const ended = Promise.all(this.#processes.map(async (process) => await process.exited));
    await Promise.race([ended, delay(seconds(10), undefined, { ref: false })]);
    const logs = await Promise.all(this.#processes.map(async (process) => await process.log()));
    return logs.map((log, i) => `${this.#ends[i]?.endpoint.name}: ${log.trim()}`).join('\n');
  }

  /** Ends the streams; each direction's losses. Fails when a receiver's own socket had no room. */
  async stop(): Promise<readonly Direction[]> {
    for (const process of this.#processes) process.kill('SIGINT');
    // One end must not be gone while the other still sends.
    await waitFor('both ends to stop sending', () => this.#say('stopped'), { deadline: seconds(60) });
    for (const process of this.#processes) process.kill('SIGTERM');
    const reports = await Promise.all(
      this.#processes.map(async (process) => {
        await process.exited;
        const line = (await process.log()).split('\n').findLast((text) => text.startsWith('['));
        return JSON.parse(line ?? '[]') as readonly StreamReport[];
      }),
    );
    return this.#ends.flatMap((from, i) => {
      const to = this.#ends[1 - i] as StreamEnd;
      return families.map((family): Direction => {
        const sent = reports[i]?.find((report) => report.local === from.address[family]);
        const came = reports[1 - i]?.find((report) => report.remote === from.address[family]);
        assert.ok(sent !== undefined && came !== undefined, 'both ends report');
        assert.equal(came.overflowed, 0, `the receiver on ${to.endpoint.name} had no room for datagrams`);
        return {
          name: `${from.endpoint.name} to ${to.endpoint.name}, ${family}`,
          sent: sent.sent - came.firstNumber,
          lost: sent.sent - came.firstNumber - came.received,
          duplicates: came.duplicates,
          gaps: came.gaps,
        };
      });
    });
  }
}

/** Every direction lost nothing; what was going on at a gap stands in `timeline`. */
export function assertNothingLost(directions: readonly Direction[], timeline: readonly string[]): void {
  const lines = directions
    .filter(({ lost }) => lost > 0)
    .map(({ name, sent, lost, gaps }) => {
      const where = gaps.map(
        ({ first, last, from, to }) => `${first}-${last} sent between ${clock(from)} and ${clock(to)}`,
      );
      return `${name}: ${lost} of ${sent} lost: ${where.join('; ')}`;
    });
  assert.deepEqual(lines, [], `${lines.join('\n')}\n${timeline.join('\n')}`);
}

/** Wall clock of a gap or a happening, to the millisecond. */
export const clock = (at: number): string => (at === 0 ? '?' : new Date(at).toISOString().slice(11, 23));
