/**
 * `flatroute ipam check`: kernel, books and runtime compared, and put right on request. Two looks with a pause between must
 * agree before anything is told, so that pods that come and go meanwhile are no disagreement. Nothing is freed without two
 * independent proofs that nobody uses it: of the kernel (no process, no name of its namespace) and of the runtime (no result).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '#lib/result.ts';
import { bootMilliseconds } from '#linux/boot-clock.ts';
import { auditKernel, auditRuntime, type Disagreement, keepsResults } from '#dataplane/pod/audit.ts';
import { decodeAlias } from '#dataplane/pod/alias.ts';
import { observeRuntime, type RuntimeView } from '#dataplane/pod/io/runtime-view.ts';
import { type PodSurvey, surveyPods } from '#dataplane/pod/io/survey.ts';
import type { PodCheck, PodCheckRequest } from '#ipam/intent.ts';
import type { Pods } from './pods.ts';

export interface PodCheckModules {
  readonly pods: Pods;
  /** A plugin's caller was seen with its process id: we see the processes of the runtime's containers. */
  readonly processesVisible: () => boolean;
  readonly resultDirectories: readonly string[] | undefined;
  /** Between two looks that only have to agree. */
  readonly confirmMilliseconds: number;
  /** Between two looks after which something may be freed. */
  readonly repairMilliseconds: number;
}

interface Look {
  readonly found: ReadonlyMap<string, Disagreement>;
  readonly survey: PodSurvey;
  readonly runtime: RuntimeView;
  readonly pods: number;
  readonly addresses: number;
  readonly unseen: readonly string[];
}

type Outcome = Pick<PodCheck['findings'][number], 'outcome' | 'reason'>;

const keyOf = ({ code, subject, pod, text, index }: Disagreement): string =>
  `${code} ${subject} ${pod} ${index ?? ''} ${code === 'PodGone' ? '' : text}`;

export class PodChecker {
  readonly #modules: PodCheckModules;

  constructor(modules: PodCheckModules) {
    this.#modules = modules;
  }

  /** Errors: AppError `OS_*`. */
  async check(request: PodCheckRequest): Promise<PodCheck> {
    const first = await this.#look(request);
    if (first.found.size === 0) return answer(first, []);
    const { confirmMilliseconds, repairMilliseconds } = this.#modules;
    await delay(request.repair === 'no' ? confirmMilliseconds : repairMilliseconds);
    const second = await this.#look(request);
    const agreed = [...second.found].filter(([key]) => first.found.has(key));
    if (request.repair === 'no')
      return answer(
        second,
        agreed.map(([, one]) => one),
      );
    const planned = agreed.map(([key, one]) => ({ key, one, plan: this.#plan(one, [first, second]) }));
    if (request.repair === 'plan')
      return answer(
        second,
        planned.map(({ one, plan }) => ({ ...one, ...plan.says })),
      );
    for (const { plan } of planned) plan.act?.();
    await this.#putBack();
    const after = await this.#look(request);
    return answer(
      after,
      planned.map(({ key, one, plan }) => ({
        ...one,
        ...(plan.says.outcome === 'left'
          ? plan.says
          : after.found.has(key)
            ? ({ outcome: 'left', reason: 'it is still so after the repair; see the log' } as const)
            : { ...plan.says, outcome: 'repaired' as const }),
      })),
    );
  }

  async #look(request: PodCheckRequest): Promise<Look> {
    const { pods, processesVisible, resultDirectories } = this.#modules;
    const runtime = await observeRuntime(resultDirectories);
    // From here on nothing waits: books and kernel are of one moment.
    const books = pods.books();
    const survey = surveyPods();
    const judgement = {
      bornBefore: bootMilliseconds() - request.olderThanSeconds * 1000,
      processesVisible: processesVisible(),
    };
    const found = [
      ...(pods.rulesStand ? [] : [rulesMissing]),
      ...auditKernel(books, survey),
      ...auditRuntime(books, survey, runtime, judgement),
    ];
    const live = books.records.filter((record) => record.state === 'live');
    const unseen: string[] = [];
    if (live.length > 0 && !judgement.processesVisible)
      unseen.push('whether processes run in the pods: no call of the runtime was seen with its process id so far');
    if (live.length > 0 && !keepsResults(books, runtime))
      unseen.push(
        runtime.results === undefined
          ? 'what the runtime knows of the pods: it keeps no results of libcni that are visible here'
          : 'what the runtime knows of the pods: of none of them there is a result of libcni here',
      );
    return {
      found: new Map(found.map((one) => [keyOf(one), one])),
      survey,
      runtime,
      pods: live.length,
      addresses: books.taken.size,
      unseen,
    };
  }

  /** What may be done about it after two looks, and the proofs. */
  #plan(one: Disagreement, looks: readonly [Look, Look]): { readonly says: Outcome; readonly act?: () => void } {
    const would = (reason: string): Outcome => ({ outcome: 'wouldRepair', reason });
    const left = (reason: string): { readonly says: Outcome } => ({ says: { outcome: 'left', reason } });
    const { pods } = this.#modules;
    switch (one.code) {
      case 'LinkMissing':
      case 'RouteWrong':
      case 'NeighbourWrong':
      case 'LinkUnknown':
      case 'AddressNotHeld':
      case 'RulesMissing':
        return { says: would('put back as the books and the records of the interfaces have it') };
      case 'LinkChanged':
        return one.action.startsWith('nothing')
          ? { says: would('put back as the books have it') }
          : left('only its runtime can make it anew');
      case 'RouteUnexpected':
      case 'NeighbourUnexpected': {
        const { address, index } = one;
        const link = looks[1].survey.links.find((candidate) => candidate.index === index);
        const claims = link !== undefined && decodeAlias(link.alias)?.addresses.includes(address as never) === true;
        if (address === undefined || index === undefined || claims)
          return left('the record of the interface says that it belongs there');
        return {
          says: would('no pod in the books has it there, and the record of the interface does not either'),
          act: () => {
            const refused = pods.links.removeStray(index, address, one.code === 'RouteUnexpected');
            if (refused === undefined) pods.repaired('podStray');
          },
        };
      }
      case 'PodGone': {
        const proofs = this.#proofs(one, looks);
        if (proofs.length < 2) return left(`only one proof: ${proofs.join('') || 'none'}; two are needed`);
        return {
          says: would(`in two looks the same: ${proofs.join(', and ')}`),
          act: () => {
            const { record } = one;
            if (record?.state !== 'live' || pods.registry.get(record.hostInterface) !== record) return;
            const detached = pods.detach(record);
            if (!detached.ok) return;
            pods.repaired('podLeftover');
            pods.event('warn', 'pod_leftover_removed', `${record.hostInterface}: ${proofs.join(', and ')}`, {
              hostInterface: record.hostInterface,
              pod: one.pod,
              addresses: record.attachment.addresses.join(' '),
            });
          },
        };
      }
      default:
        return left('nobody but a person can say which side is right');
    }
  }

  /** Each of another source, and each true in both looks. Processes in the namespace outweigh all of them. */
  #proofs({ index }: Disagreement, looks: readonly [Look, Look]): readonly string[] {
    const seen = looks.map((look) => {
      const id = look.survey.links.find((link) => link.index === index)?.linkNamespace;
      return look.runtime.namespaces.find((namespace) => namespace.id === id);
    });
    if (seen.some((namespace) => (namespace?.processes ?? 0) > 0)) return [];
    const proofs: string[] = [];
    // That there is a finding although results are kept says that there is none of it.
    if (looks.every((look) => keepsResults(this.#modules.pods.books(), look.runtime)))
      proofs.push('the runtime keeps results of its pods and none of this one');
    if (this.#modules.processesVisible()) proofs.push('no process is in its namespace');
    if (seen.every((namespace) => (namespace?.names.length ?? 0) === 0) && looks.every(seesNames))
      proofs.push('nothing names its namespace, as others are');
    return proofs;
  }

  async #putBack(): Promise<void> {
    const { pods } = this.#modules;
    try {
      pods.lookAgain();
      await pods.putRules();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      pods.event('error', 'pods_look_failed', error.message, { code: error.code });
    }
  }
}

const rulesMissing: Disagreement = {
  code: 'RulesMissing',
  subject: 'nftables',
  pod: '',
  text: 'the rules against forged sources are not there or not whole',
  action: 'nothing: the agent puts them back at its next look, at once with --repair --yes',
};

/** Namespaces of pods have names here: a namespace without one is an exception. */
const seesNames = ({ runtime }: Look): boolean => runtime.namespaces.some(({ names }) => names.length > 0);

const answer = (look: Look, findings: readonly (Disagreement & Outcome)[]): PodCheck => ({
  findings: findings.map(({ code, subject, pod, text, action, outcome, reason }) => ({
    code,
    subject,
    pod,
    text,
    action,
    ...(outcome === undefined ? {} : { outcome }),
    ...(reason === undefined ? {} : { reason }),
  })),
  pods: look.pods,
  addresses: look.addresses,
  unseen: look.unseen,
});
