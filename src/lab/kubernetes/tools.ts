/** Where the programs of Kubernetes are that a lab starts. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '#lib/result.ts';

export interface KubernetesTools {
  /**
   * Holds kube-apiserver, etcd, kubectl and, for a cluster, kube-controller-manager, kube-scheduler, kubelet, kube-proxy; some have
   * containerd, its shim and ctr too.
   */
  readonly directory: string;
}

/** Set by `npm run test:kube` to what it found or built; KUBEBUILDER_ASSETS is what other projects' tests take. */
const VARIABLES = ['FLATROUTE_KUBERNETES', 'KUBEBUILDER_ASSETS'] as const;

/** Throws OS_LAB_SETUP when no directory was named, or the one that was lacks a program. */
export function kubernetesTools(programs: readonly string[] = ['kube-apiserver', 'etcd', 'kubectl']): KubernetesTools {
  const directory = VARIABLES.map((name) => process.env[name]).find((value) => value !== undefined && value !== '');
  if (directory === undefined)
    throw new AppError(
      'OS_LAB_SETUP',
      `no programs of Kubernetes: run this by \`npm run test:kube\`, or name their directory in ${VARIABLES[0]}`,
      { retry: 'never' },
    );
  const missing = programs.filter((program) => !existsSync(join(directory, program)));
  if (missing.length > 0)
    throw new AppError(
      'OS_LAB_SETUP',
      `${directory} has no ${missing.join(', ')}; put it there, or name no directory and let \`npm run test:kube\` build it`,
      { retry: 'never' },
    );
  return { directory };
}

/** A containerd beside the machine's own. */
export const hasContainerd = ({ directory }: KubernetesTools): boolean =>
  ['containerd', 'containerd-shim-runc-v2', 'ctr'].every((program) => existsSync(join(directory, program)));
