/** The controller as a process: its access to the API, its log, its metrics and health, its orderly end. */
import type { CollectorOptions } from '#controller/block-collection.ts';
import { startController } from '#controller/controller.ts';
import { kubernetesAccess } from '#kubernetes/io/access.ts';
import { apiStore } from '#kubernetes/io/client.ts';
import { leaseTimes, usualLeaseTimes } from '#kubernetes/lease.ts';
import { type Duration, systemClock } from '#lib/time.ts';
import { createControllerMetrics } from '#status/controller-metrics.ts';
import { programVersion } from './entries.ts';
import { type Endpoint, serveHttp } from './http.ts';
import { createLog } from './log.ts';
import type { LogLevel } from './messages.ts';

export interface ControllerProcessOptions {
  /** `undefined`: the ServiceAccount of the pod this runs in. */
  readonly kubeconfig: string | undefined;
  readonly namespace: string;
  readonly identity: string;
  readonly collection: CollectorOptions;
  /** Of its Lease; `undefined`: the usual one. */
  readonly lease: Duration | undefined;
  readonly ownsDefaultClass: boolean;
  readonly metrics: Endpoint | undefined;
  readonly logLevel: LogLevel;
}

/** An API that does not answer keeps nobody from ending. */
const PATIENCE_MILLISECONDS = 5000;

/** Answers the exit code. Throws ApiError where there is no access, AppError AGENT_METRICS_ADDRESS. */
export async function runController(
  options: ControllerProcessOptions,
  modules: { readonly stop: AbortSignal },
): Promise<number> {
  const version = programVersion();
  const access = await kubernetesAccess(options.kubeconfig);
  const metrics = createControllerMetrics(version, () => controller.state());
  const log = createLog(options.logLevel, () => undefined);
  const store = apiStore({
    access,
    userAgent: `flatroute-controller/${version}`,
    onRequest: (verb, code) => metrics.requested(verb, code),
  });
  log.write('info', 'controller.starting', { version, identity: options.identity, server: access.server.host });
  const { lease } = options;
  const times = lease === undefined ? usualLeaseTimes : leaseTimes(lease);
  const controller = startController(
    { ...options, times },
    {
      store,
      clock: systemClock,
      now: () => new Date(),
      random: Math.random,
      log: log.write,
    },
  );
  const http =
    options.metrics === undefined
      ? undefined
      : await serveHttp(options.metrics, {
          metrics,
          health: () => ({ fine: true, problems: [] }),
          readiness: () => {
            const { problem } = controller.state();
            const problems = problem === undefined ? [] : [`the Lease cannot be read or written: ${problem.message}`];
            return { fine: problems.length === 0, problems };
          },
        });
  try {
    await stopped(modules.stop);
    return 0;
  } finally {
    log.write('info', 'controller.stopping', {});
    await Promise.race([controller.stop(), pause()]);
    await store.close();
    await http?.close();
    log.flush();
  }
}

const pause = async (): Promise<void> =>
  await new Promise((resolve) => setTimeout(resolve, PATIENCE_MILLISECONDS).unref());

const stopped = async (stop: AbortSignal): Promise<void> =>
  await new Promise((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener('abort', () => resolve(), { once: true });
  });
