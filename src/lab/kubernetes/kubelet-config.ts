/**
 * What a node's programs are told: the configuration files of kubelet and kube-proxy, and what the node's own mount namespace
 * needs before them. Everything kubeadm would set that matters to a network is set as kubeadm sets it.
 */
import type { Prefix } from '#lib/ip.ts';
import type { Hierarchy } from '../cgroups.ts';

export const ROUTING_TAINT = 'flatroute.io/routing-not-ready';
export const STATIC_PODS = '/etc/kubernetes/manifests';
export const CONTAINERD_SOCKET = 'unix:///run/containerd/containerd.sock';

/** A file of `kubelet.config.k8s.io/v1beta1`; `cgroup`: where the node's pods are. */
export const kubeletConfiguration = (it: {
  readonly ca: string;
  readonly cgroup: string;
  readonly taint: boolean;
}): string =>
  JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: it.ca } },
    authorization: { mode: 'Webhook' },
    containerRuntimeEndpoint: CONTAINERD_SOCKET,
    registerWithTaints: it.taint ? [{ key: ROUTING_TAINT, effect: 'NoSchedule' }] : [],
    cgroupDriver: 'cgroupfs',
    cgroupRoot: it.cgroup,
    // The default of 1.35 and later; here the machine decides which version of cgroups there is.
    failCgroupV1: false,
    failSwapOn: false,
    // A container of the tests may lack CAP_SYS_RESOURCE.
    oomScoreAdj: 0,
    maxPods: 250,
    staticPodPath: STATIC_PODS,
    resolvConf: '',
    volumePluginDir: '/var/lib/kubelet/volume-plugins',
    // All nodes share the machine's memory and disk, and no image can be pulled again.
    evictionHard: Object.fromEntries(
      [
        'memory.available',
        'nodefs.available',
        'nodefs.inodesFree',
        'imagefs.available',
        'imagefs.inodesFree',
        'pid.available',
      ].map((signal) => [signal, '0%']),
    ),
    imageGCHighThresholdPercent: 100,
    imageMinimumGCAge: '24h',
    serializeImagePulls: false,
    fileCheckFrequency: '1s',
    nodeStatusUpdateFrequency: '2s',
    rotateCertificates: false,
    shutdownGracePeriod: '0s',
    kubeAPIQPS: 100,
    kubeAPIBurst: 200,
  });

/** A file of `kubeproxy.config.k8s.io/v1alpha1`. What comes from outside `podRanges` to a Service is masqueraded. */
export const proxyConfiguration = (it: {
  readonly node: string;
  readonly kubeconfig: string;
  readonly podRanges: readonly Prefix[];
  readonly mode: 'iptables' | 'nftables';
}): string =>
  JSON.stringify({
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: it.mode,
    clusterCIDR: it.podRanges.join(','),
    clientConnection: { kubeconfig: it.kubeconfig },
    hostnameOverride: it.node,
    oomScoreAdj: 0,
    // These sysctls belong to the whole machine.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    // The next change of a Service is written at once.
    iptables: { minSyncPeriod: '0s' },
  });

/**
 * The mount namespace of a node before its first program, as a script for `sh`. $1: the node's cgroup.
 * Mounts are shared as systemd shares them, cgroups are mounted as the machine has them, and what the node's programs and
 * pods would write on the machine's disk is a file system of its own.
 */
export const nodePreparation = (cgroups: readonly Hierarchy[]): string => `
set -e
mount --make-rshared /
for d in /var/log /opt /var/lib/kubelet; do mkdir -p $d; mount -t tmpfs -o mode=755 tmpfs $d; done
mkdir -p /var/log/pods /var/log/containers /opt/cni/bin ${STATIC_PODS}
${cgroupMounts(cgroups)}
`;

function cgroupMounts(cgroups: readonly Hierarchy[]): string {
  const [only] = cgroups;
  if (only?.type === 'cgroup2' && cgroups.length === 1)
    return `mount -t cgroup2 cgroup2 /sys/fs/cgroup\n${inOrder('/sys/fs/cgroup')}`;
  return [
    'mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup',
    ...cgroups.map(({ type, mountPoint, options }) => {
      const at = `/sys/fs/cgroup/${mountPoint.split('/').at(-1)}`;
      const how = type === 'cgroup' ? `-o ${options} ` : '';
      return `mkdir -p ${at}; mount -t ${type} ${how}${type} ${at}\n${inOrder(at)}`;
    }),
  ].join('\n');
}

/** Makes the node's cgroup from the top; a new cgroup of version 1 has no processors and no memory until it is told. */
const inOrder = (root: string): string => `
d=${root}
for part in $(echo "$1" | tr / ' '); do
  parent=$d; d=$d/$part
  mkdir -p $d
  for f in cpuset.cpus cpuset.mems; do
    [ ! -e ${root}/cpuset.cpus ] || [ -n "$(cat $d/$f)" ] || cat $parent/$f > $d/$f
  done
done
`;
