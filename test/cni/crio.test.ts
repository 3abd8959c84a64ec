// CRI-O is not in Debian 12, so this is a contract and not CRI-O: the plugin is driven exactly as CRI-O drives one, by what its
// source says (server/sandbox_network.go of cri-o/cri-o, pkg/ocicni of cri-o/ocicni, libcni/api.go). Where it differs from
// containerd: CHECK follows each ADD and its failure fails the pod; DEL takes configuration, runtimeConfig and result from libcni's
// cache, whatever lies in the directory by then; namespaces are pinned at /var/run/netns/UUID and may be gone at DEL; host ports
// are CRI-O's own work, so `portMappings` never comes; at its start it calls GC with the pods that it found valid.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { conflist } from '#cni/install.ts';
import type { Conflist, PluginConfiguration } from '#lab/conflist.ts';
import { createNamespace, type TestNamespace } from '../support/netns.ts';
import type { ErrorJson, ResultJson } from '../support/pod-calls.ts';
import { PodNode } from '../support/pod-node.ts';

/** `ocicni.PodNetwork`, as far as one default network goes. */
interface PodNetwork {
  readonly id: string;
  readonly name: string;
  readonly namespace: TestNamespace;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A file of /var/lib/cni/results. */
interface CacheEntry {
  readonly list: Conflist;
  readonly capabilityArgs: Readonly<Record<string, unknown>>;
  readonly result: ResultJson;
}

/** ocicni over libcni: one default network, the cache, GC. */
class Ocicni {
  /** What lies in the configuration directory now. */
  list: Conflist;
  readonly cache = new Map<string, { readonly pod: PodNetwork; readonly entry: CacheEntry }>();
  readonly #node: PodNode;

  constructor(node: PodNode, list: Conflist) {
    this.#node = node;
    this.list = list;
  }

  async #exec(
    verb: string,
    plugin: PluginConfiguration,
    injected: Readonly<Record<string, unknown>>,
    environment: Readonly<Record<string, string>>,
  ): Promise<string> {
    // libcni leaves `capabilities` in what the plugin reads, and sets variables that have no value to the empty string.
    const input = JSON.stringify({ ...plugin, ...injected });
    const none = { CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '', CNI_ARGS: '' };
    const answer = await this.#node.plugin({
      type: plugin.type,
      environment: { CNI_COMMAND: verb, ...none, ...environment },
      input,
    });
    if (answer.code === 0) return answer.stdout;
    const { code, msg, details } = JSON.parse(answer.stdout) as ErrorJson;
    throw Object.assign(new Error(`plugin type="${plugin.type}" failed (${verb.toLowerCase()}): ${msg}; ${details}`), {
      code,
    });
  }

  async #call(
    verb: 'ADD' | 'CHECK' | 'DEL',
    pod: PodNetwork,
    { list, capabilityArgs }: Omit<CacheEntry, 'result'>,
    previous: ResultJson | undefined,
    plugin: PluginConfiguration,
  ): Promise<string> {
    const wanted = Object.entries(capabilityArgs).filter(([key]) => plugin.capabilities?.[key] === true);
    const injected = {
      name: list.name,
      cniVersion: list.cniVersion,
      ...(previous === undefined ? {} : { prevResult: previous }),
      ...(wanted.length === 0 ? {} : { runtimeConfig: Object.fromEntries(wanted) }),
    };
    return await this.#exec(verb, plugin, injected, {
      CNI_CONTAINERID: pod.id,
      CNI_NETNS: pinned(pod),
      CNI_IFNAME: 'eth0',
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod.name};K8S_POD_INFRA_CONTAINER_ID=${pod.id};K8S_POD_UID=${pod.id.slice(0, 8)}`,
    });
  }

  /** `networkStart`: SetUpPod, then GetPodNetworkStatus; whatever fails is followed by `networkStop`. */
  async setUpPod(pod: PodNetwork): Promise<readonly string[]> {
    const { list } = this;
    const capabilityArgs = {
      'io.kubernetes.cri.pod-annotations': pod.annotations,
      cgroupPath: `/kubepods.slice/crio-${pod.id}.scope`,
    };
    try {
      let result: ResultJson | undefined;
      for (const plugin of list.plugins)
        result = JSON.parse(await this.#call('ADD', pod, { list, capabilityArgs }, result, plugin)) as ResultJson;
      assert.ok(result !== undefined);
      this.cache.set(pod.id, { pod, entry: { list, capabilityArgs, result } });
      return await this.podIps(pod);
    } catch (error) {
      await this.tearDownPod(pod);
      throw error;
    }
  }

  /** `getSandboxIPs`: CHECK, and the addresses out of the cache. */
  async podIps(pod: PodNetwork): Promise<readonly string[]> {
    const cached = this.cache.get(pod.id);
    assert.ok(cached !== undefined);
    for (const plugin of cached.entry.list.plugins)
      await this.#call('CHECK', pod, cached.entry, cached.entry.result, plugin);
    return cached.entry.result.ips.map(({ address }) => address.replace(/\/\d+$/, ''));
  }

  async tearDownPod(pod: PodNetwork): Promise<void> {
    const cached = this.cache.get(pod.id)?.entry ?? { list: this.list, capabilityArgs: {}, result: undefined };
    for (const plugin of [...cached.list.plugins].reverse())
      await this.#call('DEL', pod, cached, cached.result, plugin);
    this.cache.delete(pod.id);
  }

  /** libcni deletes what is in its cache and not valid, then, from CNI 1.1.0, asks the plugins. A list without an entry is null in Go's JSON. */
  async gc(valid: readonly PodNetwork[]): Promise<void> {
    const ids = new Set(valid.map(({ id }) => id));
    for (const { pod } of [...this.cache.values()]) if (!ids.has(pod.id)) await this.tearDownPod(pod);
    if (this.list.cniVersion !== '1.1.0') return;
    const attachments = valid.length === 0 ? null : valid.map(({ id }) => ({ containerID: id, ifname: 'eth0' }));
    await this.#askAll('GC', { 'cni.dev/valid-attachments': attachments, 'cni.dev/attachments': attachments });
  }

  /** Also what containerd from 2.0 on does on each of kubelet's looks, every 5 s. */
  async status(): Promise<void> {
    if (this.list.cniVersion === '1.1.0') await this.#askAll('STATUS', {});
  }

  async #askAll(verb: string, injected: Readonly<Record<string, unknown>>): Promise<void> {
    const { name, cniVersion } = this.list;
    for (const plugin of this.list.plugins) await this.#exec(verb, plugin, { name, cniVersion, ...injected }, {});
  }

  /** ValidateNetworkList, before a list of the directory is taken. */
  async validate(): Promise<void> {
    const dummy = { CNI_NETNS: 'dummy', CNI_IFNAME: 'dummy', CNI_PATH: 'dummy' };
    for (const { type } of this.list.plugins) {
      const call = { type, environment: { CNI_COMMAND: 'VERSION', ...dummy }, input: '{"cniVersion":"1.1.0"}' };
      const { code, stdout } = await this.#node.plugin(call);
      assert.equal(code, 0, stdout);
      const { supportedVersions } = JSON.parse(stdout) as { readonly supportedVersions: readonly string[] };
      assert.ok(supportedVersions.includes(this.list.cniVersion), `${type}: ${supportedVersions.join(' ')}`);
    }
  }
}

/** `pinns` puts them there; /var/run is a link to /run. */
const pinned = ({ namespace }: PodNetwork): string => `/var/run/netns/${namespace.name}`;

const installed = conflist({}) as Conflist;
/** Of CNI 1.1.0, as an operator with CRI-O writes it: without portmap, which CRI-O has no use for. */
const newer: Conflist = { ...(conflist({ portmap: false }) as Conflist), cniVersion: '1.1.0' };

describe('as CRI-O drives a plugin', { concurrency: false }, () => {
  let node: PodNode;
  const namespaces: TestNamespace[] = [];
  before(async () => {
    node = await PodNode.create();
    await node.startAgent();
  });
  afterEach(async () => {
    for (const namespace of namespaces.splice(0)) await namespace.dispose();
    await node.nothingLeft();
  });
  after(async () => await node.dispose());

  const pod = async (name: string, annotations: Readonly<Record<string, string>> = {}): Promise<PodNetwork> => {
    const namespace = await createNamespace('frt-crio');
    namespaces.push(namespace);
    const id = `${randomUUID()}${randomUUID()}`.replaceAll('-', '');
    const own = { 'kubernetes.io/config.seen': '2026-01-01T00:00:00Z', 'kubernetes.io/config.source': 'api' };
    return { id, name, namespace, annotations: { ...own, ...annotations } };
  };

  for (const list of [installed, newer])
    test(`CNI ${list.cniVersion}: the list is valid, ADD and CHECK give the addresses, CHECK again too, DEL frees them`, async () => {
      const crio = new Ocicni(node, list);
      await crio.validate();
      await crio.status();
      const one = await pod('one', { 'flatroute.io/ip-addresses': '10.98.0.7' });
      const addresses = await crio.setUpPod(one);
      assert.equal(addresses[0], '10.98.0.7');
      assert.deepEqual(await crio.podIps(one), addresses);
      const two = await pod('two');
      assert.equal((await crio.setUpPod(two)).length, 2);
      for (const it of [one, two]) await crio.tearDownPod(it);
    });

  test('STATUS, which containerd from 2.0 asks in the same way, stays well when a pool is full: other pods are not evicted', async () => {
    const crio = new Ocicni(node, newer);
    const tiny = { 'flatroute.io/ip-pools': 'tiny' };
    const full = [await pod('full-1', tiny), await pod('full-2', tiny)];
    for (const it of full) await crio.setUpPod(it);
    await assert.rejects(crio.setUpPod(await pod('full-3', tiny)), /failed \(add\): .*tiny/);
    await crio.status();
    for (const it of full) await crio.tearDownPod(it);
  });

  test('a pod whose CHECK fails is taken down, and the pod gets another chance', async () => {
    const crio = new Ocicni(node, installed);
    const it = await pod('unlucky');
    await crio.setUpPod(it);
    await it.namespace.run(['ip', 'link', 'del', 'eth0']);
    await assert.rejects(crio.podIps(it), /failed \(check\)/);
    await crio.tearDownPod(it);
    assert.equal((await crio.setUpPod(it)).length, 2);
    await crio.tearDownPod(it);
  });

  test('DEL frees a pod whose conflist is another one by now, and whose namespace is gone', async () => {
    const crio = new Ocicni(node, installed);
    const it = await pod('renamed');
    await crio.setUpPod(it);
    crio.list = { ...newer, name: 'another' };
    await it.namespace.dispose();
    await crio.tearDownPod(it);
    // Not in the cache any more: kubelet asks again, and the list of the directory is used.
    await crio.tearDownPod(it);
  });

  test('a start with valid pods keeps them and frees the others, also those that the cache does not know', async () => {
    const crio = new Ocicni(node, newer);
    const [valid, stale, unknown] = [await pod('valid'), await pod('stale'), await pod('unknown')];
    for (const it of [valid, stale, unknown]) await crio.setUpPod(it);
    crio.cache.delete(unknown.id);
    await crio.gc([valid]);
    assert.deepEqual(
      (await node.rows()).filter(({ state }) => state === 'live').map((row) => row.pod),
      ['valid'],
    );
    assert.equal((await crio.podIps(valid)).length, 2);
    await crio.tearDownPod(valid);
  });

  test('a start without a single pod, whose list is null, frees everything', async () => {
    const crio = new Ocicni(node, newer);
    const it = await pod('forgotten');
    await crio.setUpPod(it);
    crio.cache.clear();
    await crio.gc([]);
  });
});
