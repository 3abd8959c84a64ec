/**
 * A control plane of Kubernetes on a host of a lab: etcd and kube-apiserver, and for a cluster kube-controller-manager and
 * kube-scheduler, with what kubeadm sets: Node and RBAC authorization, NodeRestriction, bound tokens of service accounts,
 * client certificates of one authority. Its data is in the host's /run and goes with the host.
 *
 *   const plane = await ControlPlane.start({ host, address: '127.0.0.1', tools: kubernetesTools() });
 *   await plane.kubectl(['apply', '-f', '-'], manifest);
 */
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { milliseconds, seconds } from '#lib/time.ts';
import type { Host } from '../host.ts';
import type { CommandResult, LabProcess } from '../process.ts';
import { succeeded } from '../process.ts';
import { found, notYet, waitFor } from '../wait.ts';
import { sharedDirectory } from './directory.ts';
import { CertificateAuthority, type KeyPair, makeSigningKey } from './pki.ts';
import { Programs } from './programs.ts';
import type { KubernetesTools } from './tools.ts';

export interface ControlPlaneOptions {
  /** Where it runs; the address is one of this host's. */
  readonly host: Host;
  /** What clients connect to and the certificate is for. */
  readonly address: string;
  readonly tools: KubernetesTools;
  /** With kube-controller-manager and kube-scheduler. */
  readonly controllers?: boolean;
  /** Further arguments of kube-apiserver. */
  readonly apiServer?: readonly string[];
  /** Further arguments of kube-controller-manager, such as --allocate-node-cidrs. */
  readonly controllerManager?: readonly string[];
  /** Told what was started and how long it took. */
  readonly log?: (line: string) => void;
}

const PORT = 6443;
const ETCD = 'http://127.0.0.1:2379';
/** Dual stack; the first address of each is that of the service `kubernetes`. */
const SERVICE_RANGES = '10.96.0.0/16,fd00:96::/112';
const SERVICE_ADDRESSES = ['10.96.0.1', 'fd00:96::1'];
const READY_WITHIN = seconds(90);

type Program = 'etcd' | 'kube-apiserver' | 'kube-controller-manager' | 'kube-scheduler';

export class ControlPlane {
  readonly host: Host;
  /** `https://ADDRESS:6443`. */
  readonly url: string;
  /** PEM file of the authority of every certificate. */
  readonly ca: string;
  readonly #options: ControlPlaneOptions;
  readonly #authority: CertificateAuthority;
  readonly #kubeconfigs = new Map<string, Promise<string>>();
  readonly #programs: Programs<Program>;
  #apiServerArguments: readonly string[] = [];
  #admin = '';

  private constructor(options: ControlPlaneOptions, authority: CertificateAuthority) {
    this.host = options.host;
    this.url = `https://${options.address.includes(':') ? `[${options.address}]` : options.address}:${PORT}`;
    this.ca = authority.certificate;
    this.#options = options;
    this.#programs = new Programs(options.host, options.tools);
    this.#authority = authority;
  }

  /** Resolves when the API answers that it is ready. Throws OS_LAB_KUBERNETES with the end of the log of what failed. */
  static async start(options: ControlPlaneOptions): Promise<ControlPlane> {
    const authority = await CertificateAuthority.create(await sharedDirectory(options.host));
    const plane = new ControlPlane(options, authority);
    await plane.#start();
    return plane;
  }

  async #start(): Promise<void> {
    const { address, controllers } = this.#options;
    const started = performance.now();
    await this.#startEtcd();
    const loopback = address === '::1' || address.startsWith('127.');
    const [server, kubeletClient, tokens] = await Promise.all([
      this.#issueServer(this.#authority),
      this.#authority.issueClient('kube-apiserver-kubelet-client', ['system:masters']),
      makeSigningKey(this.#authority.directory, 'service-accounts'),
    ]);
    this.#admin = await this.kubeconfig('kubernetes-admin', ['system:masters']);
    this.#apiServerArguments = [
      `--advertise-address=${address}`,
      `--secure-port=${PORT}`,
      `--etcd-servers=${ETCD}`,
      `--tls-cert-file=${server.certificate}`,
      `--tls-private-key-file=${server.key}`,
      `--client-ca-file=${this.ca}`,
      `--kubelet-client-certificate=${kubeletClient.certificate}`,
      `--kubelet-client-key=${kubeletClient.key}`,
      // A node's name stands in no DNS of a lab.
      '--kubelet-preferred-address-types=InternalIP',
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      '--enable-bootstrap-token-auth=true',
      '--allow-privileged=true',
      '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
      `--service-account-key-file=${tokens.publicKey}`,
      `--service-account-signing-key-file=${tokens.key}`,
      `--service-cluster-ip-range=${SERVICE_RANGES}`,
      // The endpoint of a service may be no loopback address.
      ...(loopback ? ['--endpoint-reconciler-type=none'] : []),
      '--profiling=false',
      ...(this.#options.apiServer ?? []),
    ];
    await this.startApiServer();
    this.#say('API server ready', started);
    if (controllers === true) await this.#startControllers(tokens.key);
  }

  async #issueServer(authority: CertificateAuthority): Promise<KeyPair> {
    const names = ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
    return await authority.issueServer('kube-apiserver', [this.#options.address, ...names, ...SERVICE_ADDRESSES]);
  }

  /**
   * From its next start on the API server's certificate is of another authority, of which the file is answered. Who reads `ca` trusts it
   * too from now on.
   */
  async replaceServerAuthority(): Promise<string> {
    const directory = join(this.#authority.directory, 'replaced');
    await mkdir(directory);
    const authority = await CertificateAuthority.create(directory);
    const { certificate, key } = await this.#issueServer(authority);
    this.#apiServerArguments = [
      ...this.#apiServerArguments,
      `--tls-cert-file=${certificate}`,
      `--tls-private-key-file=${key}`,
    ];
    await appendFile(this.ca, await readFile(authority.certificate));
    return authority.certificate;
  }

  async #startEtcd(): Promise<void> {
    await this.#programs.start('etcd', [
      '--name=lab',
      '--data-dir=/run/etcd',
      `--listen-client-urls=${ETCD}`,
      `--advertise-client-urls=${ETCD}`,
      '--listen-peer-urls=http://127.0.0.1:2380',
      '--initial-advertise-peer-urls=http://127.0.0.1:2380',
      '--initial-cluster=lab=http://127.0.0.1:2380',
      '--unsafe-no-fsync',
      '--log-level=warn',
    ]);
  }

  async #startControllers(tokenKey: string): Promise<void> {
    const [manager, scheduler] = await Promise.all([
      this.kubeconfig('system:kube-controller-manager'),
      this.kubeconfig('system:kube-scheduler'),
    ]);
    const common = ['--leader-elect=false', '--bind-address=127.0.0.1', '--profiling=false'];
    await this.#programs.start('kube-controller-manager', [
      ...common,
      `--kubeconfig=${manager}`,
      `--service-account-private-key-file=${tokenKey}`,
      `--root-ca-file=${this.ca}`,
      '--use-service-account-credentials=true',
      ...(this.#options.controllerManager ?? []),
    ]);
    await this.#programs.start('kube-scheduler', [...common, `--kubeconfig=${scheduler}`]);
  }

  /** The same server on the same address, with what etcd kept. Resolves when it is ready. */
  async startApiServer(): Promise<void> {
    await this.#programs.start('kube-apiserver', this.#apiServerArguments);
    await waitFor(
      `the API server at ${this.url} to be ready`,
      async () => {
        await this.#programs.expectAlive();
        const { code, stderr } = await this.kubectl(['get', '--raw=/readyz']);
        if (code !== 0) return notYet(stderr.trim());
        // It is there a moment after the server is ready, and everything lives in a namespace.
        const namespace = await this.kubectl(['get', 'namespace', 'default', 'kube-system']);
        return namespace.code === 0 ? found(undefined) : notYet(namespace.stderr.trim());
      },
      { deadline: READY_WITHIN, every: milliseconds(100) },
    );
  }

  /** At once, as when its machine loses power: connections end, etcd and the nodes go on. */
  async stopApiServer(): Promise<void> {
    await this.#programs.end('kube-apiserver');
  }

  /**
   * Path of a kubeconfig, readable from this machine and its hosts alike, with a client certificate of this user. It is made
   * once for each user and set of groups.
   */
  async kubeconfig(user: string, groups: readonly string[] = []): Promise<string> {
    const key = [user, ...groups].join('\n');
    const made = this.#kubeconfigs.get(key) ?? this.#makeKubeconfig(user, groups, this.#kubeconfigs.size);
    this.#kubeconfigs.set(key, made);
    return await made;
  }

  async #makeKubeconfig(user: string, groups: readonly string[], index: number): Promise<string> {
    const { certificate, key } = await this.#authority.issueClient(user, groups);
    return await this.#writeKubeconfig(`${index}.kubeconfig`, user, {
      'client-certificate': certificate,
      'client-key': key,
    });
  }

  /** Path of a kubeconfig that shows this bearer token. */
  async tokenKubeconfig(name: string, token: string): Promise<string> {
    return await this.#writeKubeconfig(`token-${name}.kubeconfig`, name, { token });
  }

  async #writeKubeconfig(file: string, name: string, user: object): Promise<string> {
    const path = join(this.#authority.directory, file);
    const content = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'lab', cluster: { server: this.url, 'certificate-authority': this.ca } }],
      users: [{ name, user }],
      contexts: [{ name: 'lab', context: { cluster: 'lab', user: name } }],
      'current-context': 'lab',
    };
    await writeFile(path, JSON.stringify(content), { mode: 0o600 });
    return path;
  }

  /** kubectl as the administrator, on the host; a code other than 0 is an answer. */
  async kubectl(args: readonly string[], stdin?: string): Promise<CommandResult> {
    const argv = [join(this.#options.tools.directory, 'kubectl'), `--kubeconfig=${this.#admin}`, ...args];
    return await this.host.exec(argv, {
      timeout: seconds(120),
      environment: { HOME: '/run' },
      ...(stdin === undefined ? {} : { input: stdin }),
    });
  }

  /** Like kubectl; answers stdout, throws OS_LAB_COMMAND with kubectl's words when the code is not 0. */
  async run(args: readonly string[], stdin?: string): Promise<string> {
    return succeeded(this.host.name, ['kubectl', ...args], await this.kubectl(args, stdin));
  }

  /** What `jsonpath` is of each object that there is and whenever one changes, in the log of the process; it ends when it is killed. */
  async watch(resource: string, jsonpath: string): Promise<LabProcess> {
    const argv = [join(this.#options.tools.directory, 'kubectl'), `--kubeconfig=${this.#admin}`];
    return await this.host.spawn([...argv, 'get', resource, '--watch', '-o', `jsonpath=${jsonpath}`], {
      environment: { HOME: '/run' },
      log: `watch-${resource}`,
    });
  }

  /** Applies the custom resource definitions of a directory of this machine; resolves when all are served. */
  async define(directory: string): Promise<void> {
    await this.run(['apply', '--server-side', '-f', resolve(directory)]);
    await this.run(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
  }

  /** A token as the kubelet asks one for a pod: bound to the pod, and by it to the pod's node, where one is named. */
  async serviceAccountToken(namespace: string, name: string, boundPod?: string): Promise<string> {
    const bound = boundPod === undefined ? [] : ['--bound-object-kind=Pod', `--bound-object-name=${boundPod}`];
    return (await this.run(['create', 'token', name, `--namespace=${namespace}`, ...bound])).trim();
  }

  /** As this machine sees it, for whoever measures it. Throws OS_LAB_KUBERNETES when it does not run. */
  pidOf(program: Program): number {
    return this.#programs.pidOf(program);
  }

  /** Ends every process; the host and the files stay until it is disposed of. */
  async stop(): Promise<void> {
    await this.#programs.endAll();
  }

  #say(what: string, since: number): void {
    this.#options.log?.(`${what} after ${((performance.now() - since) / 1000).toFixed(1)} s`);
  }
}
