/**
 * The verbs of the CNI specification on this node's pods. In: a plugin's request. Out: exit code and stdout. Calls of one
 * attachment run one after the other; those of different ones do not wait for each other.
 */
import { AppError, ok } from '#lib/result.ts';
import { bootMilliseconds } from '#linux/boot-clock.ts';
import { type AttachmentKey, hostInterfaceName, networkHash } from '#dataplane/pod/attachment.ts';
import type { PodRecord } from '#dataplane/pod/registry.ts';
import { addPod, type Added, type AddRequest } from './add.ts';
import { type CallArguments, readCallArguments, readPodArguments } from './arguments.ts';
import { checkPod } from './check.ts';
import { type NetworkConfig, readAddOptions, readNetworkConfig, readValidAttachments } from './config.ts';
import { kernelFailure } from './failures.ts';
import { type Pods, rowData } from './pods.ts';
import type { PluginRequest, SpoolRecord } from './protocol.ts';
import { formatAddResult } from './result.ts';
import { Serial } from './serial.ts';
import type { Caller, Reply } from './server.ts';
import {
  atLeast,
  type CniFailure,
  type CniResult,
  cniCode,
  cniFailure,
  formatFailure,
  formatVersions,
  type SpecVersion,
  type Verb,
} from './spec.ts';

export interface VerbOptions {
  readonly announcementWaitMs: number;
  readonly deletionWaitMs: number;
}

/** What errors are written in when the request's own version cannot be read. */
const FALLBACK_VERSION = '1.0.0';
const since: Readonly<Partial<Record<Verb, SpecVersion>>> = { CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' };
const nothing = (): void => undefined;
const succeeded = (stdout: string, delivered: Reply['delivered'] = nothing): Reply => ({ code: 0, stdout, delivered });

export class Verbs {
  readonly #options: VerbOptions;
  readonly #pods: Pods;
  readonly #serial = new Serial();
  /** Of a pod's ADDs: one that somebody has taken stands, whatever becomes of the answer to a repetition. */
  readonly #answers = new WeakMap<PodRecord, { pending: number; taken: boolean }>();

  constructor(options: VerbOptions, pods: Pods) {
    this.#options = options;
    this.#pods = pods;
  }

  async handle(request: PluginRequest, caller: Caller): Promise<Reply> {
    try {
      return await this.#answer(request, caller);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      return this.#failed(FALLBACK_VERSION, request, {
        code: cniCode.tryAgain,
        msg: error.message,
        details: error.code,
      });
    }
  }

  async #answer(request: PluginRequest, caller: Caller): Promise<Reply> {
    const received = bootMilliseconds();
    const call = readCallArguments(request.environment);
    if (!call.ok) return this.#failed(FALLBACK_VERSION, request, call.error);
    const { verb } = call.value;
    if (verb === 'VERSION') return succeeded(formatVersions());
    const config = readNetworkConfig(request.stdin);
    if (verb === 'DEL') {
      const deleted = await this.#del(call.value, config.ok ? config.value : undefined, undefined);
      return deleted.ok
        ? succeeded('')
        : this.#failed(config.ok ? config.value.version : FALLBACK_VERSION, request, deleted.error);
    }
    if (!config.ok) return this.#failed(FALLBACK_VERSION, request, config.error);
    const { version } = config.value;
    const oldest = since[verb];
    const outcome: CniResult<Reply> =
      oldest !== undefined && !atLeast(version, oldest)
        ? cniFailure(cniCode.incompatibleVersion, `${verb} is not part of CNI ${version}`, `it came with ${oldest}`)
        : await this.#run(verb, call.value, config.value, caller, received);
    return outcome.ok ? outcome.value : this.#failed(version, request, outcome.error);
  }

  /** A DEL that the plugin wrote down; one that is older than the attachment it names speaks of an earlier one. */
  async handleRecord(record: SpoolRecord): Promise<'done' | 'keep' | 'foreign'> {
    const call = readCallArguments(record.request.environment);
    if (!call.ok || call.value.verb !== 'DEL') return 'foreign';
    const config = readNetworkConfig(record.request.stdin);
    const deleted = await this.#del(call.value, config.ok ? config.value : undefined, record.bootMilliseconds);
    if (!deleted.ok)
      this.#pods.event('error', 'cni_failed', `spooled DEL: ${deleted.error.msg}`, { details: deleted.error.details });
    return deleted.ok ? 'done' : 'keep';
  }

  async #run(
    verb: Verb,
    call: CallArguments,
    config: NetworkConfig,
    caller: Caller,
    received: number,
  ): Promise<CniResult<Reply>> {
    switch (verb) {
      case 'ADD':
        return this.#add(call, config, caller, received);
      case 'CHECK': {
        const key = keyOf(call, config);
        const request = { key, config, netns: call.netns, peer: caller.pid };
        const checked = await this.#serial.run(hostInterfaceName(key), () =>
          Promise.resolve(checkPod(this.#pods, request)),
        );
        return checked.ok ? ok(succeeded('')) : checked;
      }
      case 'GC':
        return this.#gc(config);
      case 'STATUS':
        return this.#status();
      default:
        return ok(succeeded(''));
    }
  }

  async #add(call: CallArguments, config: NetworkConfig, caller: Caller, received: number): Promise<CniResult<Reply>> {
    const pod = readPodArguments(call.args);
    if (!pod.ok) return pod;
    const options = readAddOptions(config, call.interfaceName, pod.value);
    if (!options.ok) return options;
    const key = keyOf(call, config);
    const hostInterface = hostInterfaceName(key);
    const request: AddRequest = {
      key,
      hostInterface,
      options: options.value,
      namespace: pod.value.namespace,
      pod: pod.value.pod,
      netns: call.netns,
      peer: caller.pid,
      bootMilliseconds: received,
      gone: caller.gone,
      announcementWaitMs: this.#options.announcementWaitMs,
      deletionWaitMs: this.#options.deletionWaitMs,
    };
    this.#pods.nameNetwork(key.networkHash, config.name);
    const added = await this.#serial.run(hostInterface, () => addPod(this.#pods, request));
    if (!added.ok) return added;
    const stdout = formatAddResult(config.version, resultOf(added.value, call, options.value.dns));
    const { record, repeated } = added.value;
    const answers = this.#answers.get(record) ?? { pending: 0, taken: repeated };
    this.#answers.set(record, answers);
    answers.pending += 1;
    return ok(
      succeeded(stdout, (taken) => {
        answers.pending -= 1;
        answers.taken ||= taken;
        if (answers.pending === 0 && !answers.taken) this.#takeBack(record);
      }),
    );
  }

  /** Nobody has the answer: the pod does not exist for its runtime. */
  #takeBack(record: PodRecord): void {
    if (this.#pods.registry.get(record.hostInterface) !== record || record.state !== 'live') return;
    const detached = this.#pods.detach(record);
    this.#pods.event(
      detached.ok ? 'info' : 'error',
      'pod_taken_back',
      detached.ok ? `${record.hostInterface}: the caller was gone before it had its answer` : detached.error.text,
      rowData(record),
    );
  }

  /** Succeeds for the unknown, opens no namespace. Without a readable configuration container and interface decide: a pod has one of each name. */
  async #del(
    call: CallArguments,
    config: NetworkConfig | undefined,
    notAfter: number | undefined,
  ): Promise<CniResult<undefined>> {
    const names =
      config === undefined
        ? this.#pods.registry
            .all()
            .filter(
              ({ attachment }) =>
                attachment.containerId === call.containerId && attachment.interfaceName === call.interfaceName,
            )
            .map((record) => record.hostInterface)
        : [hostInterfaceName(keyOf(call, config))];
    for (const name of names) {
      const deleted = await this.#serial.run(name, () => Promise.resolve(this.#delete(name, notAfter)));
      if (!deleted.ok) return deleted;
    }
    return ok(undefined);
  }

  #delete(hostInterface: string, notAfter: number | undefined): CniResult<undefined> {
    const record = this.#pods.registry.get(hostInterface);
    if (record === undefined || record.state === 'dying' || record.state === 'reaping') return ok(undefined);
    if (notAfter !== undefined && record.attachment.bootMilliseconds > notAfter) return ok(undefined);
    const detached = this.#pods.detach(record);
    if (!detached.ok) return { ok: false, error: kernelFailure(detached.error) };
    this.#pods.event('info', 'pod_detached', `${hostInterface} is fenced and on its way out`, rowData(record));
    return ok(undefined);
  }

  /** CNI specification 1.1.0, GC: all is tried, then all failures are told. */
  async #gc(config: NetworkConfig): Promise<CniResult<Reply>> {
    if (config.disableGc) return ok(succeeded(''));
    const valid = readValidAttachments(config);
    if (!valid.ok) return valid;
    const hash = networkHash(config.name);
    const wanted = new Set(valid.value.map((one) => hostInterfaceName({ ...one, networkHash: hash })));
    const failures: CniFailure[] = [];
    for (const { attachment, hostInterface, state } of this.#pods.registry.all()) {
      if (attachment.networkHash !== hash || wanted.has(hostInterface) || state === 'building') continue;
      const deleted = await this.#serial.run(hostInterface, () =>
        Promise.resolve(this.#delete(hostInterface, undefined)),
      );
      if (!deleted.ok) failures.push(deleted.error);
    }
    const [first] = failures;
    if (first === undefined) return ok(succeeded(''));
    return cniFailure(
      first.code,
      `${failures.length} attachments could not be removed`,
      failures.map((one) => `${one.msg}: ${one.details}`).join('; '),
    );
  }

  /** An error here makes the node NotReady and evicts healthy pods, so only what fails every ADD counts; full does not. */
  #status(): CniResult<Reply> {
    if (!this.#pods.hasIntent)
      return cniFailure(cniCode.unavailable, 'the agent does not know this node yet', 'no resources were read so far');
    const { rulesProblem } = this.#pods;
    if (rulesProblem !== undefined)
      return cniFailure(cniCode.unavailable, 'the rules against forged sources are not in force', rulesProblem);
    if (!this.#pods.allocator.servable)
      return cniFailure(
        cniCode.unavailable,
        'this node has no block of addresses',
        'no enabled pool has a block here; give the Node podCIDRs, or an IPBlock',
      );
    return ok(succeeded(''));
  }

  #failed(version: string, request: PluginRequest, failure: CniFailure): Reply {
    this.#pods.event('warn', 'cni_failed', `${request.environment.get('CNI_COMMAND') ?? '?'}: ${failure.msg}`, {
      code: failure.code,
      details: failure.details,
      container: request.environment.get('CNI_CONTAINERID') ?? '',
    });
    return { code: 1, stdout: formatFailure(version, failure), delivered: nothing };
  }
}

const keyOf = (call: CallArguments, config: NetworkConfig): AttachmentKey => ({
  networkHash: networkHash(config.name),
  containerId: call.containerId,
  interfaceName: call.interfaceName,
});

const resultOf = (
  added: Added,
  call: CallArguments,
  dns: Readonly<Record<string, unknown>>,
): Parameters<typeof formatAddResult>[1] => ({
  hostInterface: added.record.hostInterface,
  interfaceName: call.interfaceName,
  netns: call.netns,
  mac: added.record.mac,
  mtu: added.mtu,
  addresses: added.addresses,
  routes: added.routes,
  dns,
});
