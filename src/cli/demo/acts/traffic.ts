/** Traffic that goes on while something is broken: UDP flows from the VM to pods, and what they went through. */
import { milliseconds, seconds } from '#lib/time.ts';
import type { Endpoint } from '#lab/endpoint.ts';
import type { LabProcess } from '#lab/process.ts';
import { labScript } from '#lab/program.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { FlowReport } from '#lab/witness.ts';
import { WITNESS_PORT } from '../topology.ts';

/** Time between two probes of one flow. */
const EVERY_MILLISECONDS = 5;
const AT_MOST_SECONDS = 60;

export class Traffic {
  readonly #process: LabProcess;
  readonly #from: Endpoint;

  private constructor(process: LabProcess, from: Endpoint) {
    this.#process = process;
    this.#from = from;
  }

  /** Starts one flow to each address and resolves when they run. */
  static async start(from: Endpoint, addresses: readonly string[], log: string): Promise<Traffic> {
    const words = [WITNESS_PORT, EVERY_MILLISECONDS, AT_MOST_SECONDS].map(String);
    const process = await from.spawn(labScript('witness.ts', 'flows', ...words, ...addresses), { log });
    await waitFor(
      `traffic from ${from.name}`,
      async () => ((await process.log()).includes('running') ? found(undefined) : notYet('not running yet')),
      { deadline: seconds(10) },
    );
    return new Traffic(process, from);
  }

  /** Ends the flows and says what became of them. */
  async stop(): Promise<TrafficReport> {
    this.#process.kill('SIGINT');
    await this.#process.exited;
    const line = (await this.#process.log()).split('\n').findLast((text) => text.startsWith('['));
    const flows = JSON.parse(line ?? '[]') as readonly FlowReport[];
    const sum = (value: (flow: FlowReport) => number): number => flows.reduce((total, flow) => total + value(flow), 0);
    const sent = sum((flow) => flow.sent);
    return {
      from: this.#from.name,
      flows,
      sent,
      lost: sent - sum((flow) => flow.answered),
      longestGap: Math.max(0, ...flows.map((flow) => flow.longestGapMilliseconds)),
      silent: flows.filter((flow) => flow.silentAtEndMilliseconds > SILENT_AFTER),
    };
  }
}

/** A flow without an answer for so long at the end was cut off. */
const SILENT_AFTER = milliseconds(500);

export interface TrafficReport {
  readonly from: string;
  readonly flows: readonly FlowReport[];
  readonly sent: number;
  readonly lost: number;
  /** Longest time without an answer in any flow. */
  readonly longestGap: number;
  readonly silent: readonly FlowReport[];
}

export const lossText = (report: TrafficReport): string =>
  `${report.lost} of ${report.sent.toLocaleString('en')} packets lost in ${report.flows.length} flows, longest gap ${report.longestGap} ms`;

/** What each flow that lost something went through. */
export const flowsText = (report: TrafficReport): string =>
  report.flows
    .filter((flow) => flow.answered < flow.sent)
    .map((flow) => {
      const gap = `no answer for ${flow.longestGapMilliseconds} ms from ${(flow.gapAtMilliseconds / 1000).toFixed(1)} s on`;
      return `${flow.address} from port ${flow.sourcePort}: ${flow.sent - flow.answered} of ${flow.sent} lost, ${gap}`;
    })
    .join('\n');
