/**
 * The pods thread: the CNI server, addresses, and the netlink requests of ADD and of the fast part of DEL. Veths on their
 * way out go to the background thread, which reports when they are gone.
 */
import { join } from 'node:path';
import type { MessagePort } from 'node:worker_threads';
import { PodService } from '#cni/pod-service.ts';
import type { ReaperRequest } from '#dataplane/pod/reaping.ts';
import { AppError } from '#lib/result.ts';
import type { BackgroundToPods, PodsToBackground } from '../messages.ts';
import { runThread, type ThreadHost, type ThreadWork } from './thread.ts';

function makePods(host: ThreadHost<'pods'>): ThreadWork<'pods'> {
  let background: MessagePort | undefined;
  /** For a reaper that is not there yet, or for the end of this turn: a burst of DELs is one message. */
  let unsent: ReaperRequest[] = [];
  let sending: NodeJS.Immediate | undefined;
  const { runDirectory } = host.data;

  const send = (): void => {
    sending = undefined;
    if (background === undefined || unsent.length === 0) return;
    const request: ReaperRequest = {
      kind: 'reap',
      links: unsent.flatMap((one) => one.links),
      urgent: unsent.some((one) => one.urgent),
    };
    unsent = [];
    background.postMessage({ kind: 'reap', request } satisfies PodsToBackground);
  };
  const reap = (request: ReaperRequest): void => {
    unsent.push(request);
    sending ??= setImmediate(send);
  };
  const service = new PodService(
    { socketPath: join(runDirectory, 'cni.sock'), spoolDirectory: join(runDirectory, 'spool') },
    {
      reap,
      facts: (facts) => host.facts(facts),
      served: (verb, seconds, succeeded) => {
        if (verb === 'ADD' && succeeded) host.attached(seconds);
      },
      // Names are constant words; the log has them with a dot, as all others.
      event: ({ level, name, text, data }) => host.log(level, name.replace('_', '.'), { ...data, text }),
    },
  );

  return {
    command: (command) => {
      if (command.kind === 'gate') service.gate(command.gate);
      else service.apply(command.intent, command.generation);
    },
    requests: {
      start: async () => {
        await service.start();
        return undefined;
      },
      rows: () => service.rows(),
      check: (request) => service.check(request),
      stop: async () => {
        await service.stop();
        send();
        background?.close();
        return undefined;
      },
    },
    connect: (to, port) => {
      if (to !== 'background') throw new AppError('BUG_THREAD_CONNECT', `pods has nothing to say to ${to}`);
      background = port;
      port.postMessage({ kind: 'self', netlinkPort: service.netlinkPort } satisfies PodsToBackground);
      port.on('message', (message: BackgroundToPods) => {
        if (message.kind === 'reaped') service.reaped(message.report);
        else service.kernelChanged(message.change);
      });
      send();
    },
    release: () => undefined,
  };
}

runThread('pods', makePods);
