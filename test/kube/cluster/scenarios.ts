/**
 * The scenarios of a test file in one cluster, which is as kubeadm leaves it until flatroute comes from deploy/. Each goes on where
 * the one before it ended. What a scenario needs of those before it is done once by whoever is first, so that one can be run alone:
 *   npm run test:kube -- test/kube/cluster/cluster.test.ts --test-name-pattern='kube-proxy'
 */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { Cluster } from '#lab/kubernetes/cluster.ts';
import { keepLogsOnFailure, step } from '../steps.ts';
import { buildImage, install } from './install.ts';
import { startWorkloads } from './reach.ts';
import { sessionsUp } from './world.ts';

export interface Scenarios {
  /** In the cluster without flatroute. */
  readonly bare: (name: string, work: (cluster: Cluster) => Promise<void>) => void;
  /** With flatroute, sessions to both routers, and pods on every node. */
  readonly scenario: (name: string, work: (cluster: Cluster) => Promise<void>) => void;
}

/** Called once in a test file. `images`: tars of further images that every node has. */
export function scenariosOfCluster(
  title: string,
  images: readonly string[],
  define: (scenarios: Scenarios) => void,
): void {
  let cluster: Cluster;
  /** For the tar of our image: a node that joins later wants it too. */
  const directory = mkdtempSync(join(tmpdir(), 'flatroute-image-'));
  keepLogsOnFailure(() => cluster?.lab.hosts ?? []);
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  let installed: Promise<void> | undefined;
  async function withFlatroute(): Promise<void> {
    await step('install', install(cluster));
    await step('nodes Ready', cluster.nodesReady());
    await step('sessions', sessionsUp(cluster));
    await step('workloads', startWorkloads(cluster));
  }

  describe(title, { timeout: seconds(2400) }, () => {
    before(async () => {
      const tars = [step('image', buildImage(directory)), ...images];
      cluster = await step('control plane, routers, two nodes', Cluster.create({ nodes: 2, images: tars }));
    });
    define({
      bare: (name, work) => void test(name, async () => await work(cluster)),
      scenario: (name, work) =>
        void test(name, async () => {
          await (installed ??= withFlatroute());
          await work(cluster);
        }),
    });
  });
}
