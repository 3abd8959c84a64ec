/**
 * Brings the MTU of running pods to that of the uplinks, on both ends of their veths. The node's end is set from here; the
 * pod's end only from inside its namespace, which the kernel names by a number alone: a file that leads there is looked
 * for among what is named and what has processes (runtime-view.ts).
 */
import { AppError } from '#lib/result.ts';
import { closeNamespace, openNamespace } from '#linux/namespace.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { appendSetLink, type Link } from '#netlink/wire/link.ts';
import { type MtuPlan, planMtu } from '../mtu.ts';
import { observeRuntime } from './runtime-view.ts';
import { surveyPods } from './survey.ts';

export interface MtuTarget {
  readonly hostIndex: number;
  readonly hostInterface: string;
  readonly mtu: number;
}

export interface MtuOutcome {
  readonly followed: readonly string[];
  readonly failed: readonly { readonly hostInterface: string; readonly reason: string }[];
}

/**
 * `targets` is asked when all that takes time is done, so that no pod is touched that went meanwhile. Errors: AppError
 * `OS_*` when links cannot be read; what the kernel says of one pod is in the answer.
 */
export async function followMtu(targets: () => readonly MtuTarget[]): Promise<MtuOutcome> {
  const before = surveyPods().podEnds;
  const { namespaces } = await observeRuntime([]);
  const paths = new Map(namespaces.map(({ id, path }) => [id, path]));
  const { links, podEnds } = surveyPods();
  const hosts = new Map(links.map((link) => [link.index, link]));
  const followed: string[] = [];
  const failed: { hostInterface: string; reason: string }[] = [];
  const socket = NetlinkSocket.open();
  try {
    for (const target of targets()) {
      const host = hosts.get(target.hostIndex);
      if (host === undefined || host.name !== target.hostInterface) continue;
      const end = podEnds.get(target.hostIndex);
      const path = host.linkNamespace === undefined ? undefined : paths.get(host.linkNamespace);
      // Another end than before the search: the number may mean another namespace by now.
      const isSame = end !== undefined && before.get(target.hostIndex)?.address === end.address;
      const reason = isSame
        ? bring(socket, host, end, path, planMtu(target.mtu, host.mtu, end.mtu))
        : 'its other end cannot be seen';
      if (reason === undefined) followed.push(target.hostInterface);
      else failed.push({ hostInterface: target.hostInterface, reason });
    }
  } finally {
    socket.close();
  }
  return { followed, failed };
}

/**
 * The pod's end first: one that sent more than the node's end takes would lose it without a word. Where it cannot be
 * set the node's end is left too: then the node answers that packets are too big. Answers what went wrong.
 */
function bring(
  socket: NetlinkSocket,
  host: Link,
  end: Link,
  path: string | undefined,
  plan: MtuPlan,
): string | undefined {
  if (plan.pod !== end.mtu) {
    if (path === undefined) return 'no file and no process leads to its namespace';
    const problem = insideOf(path, (inside) => setMtu(inside, end.index, plan.pod));
    if (problem !== undefined) return problem;
  }
  return plan.host === host.mtu ? undefined : setMtu(socket, host.index, plan.host);
}

function insideOf(path: string, action: (socket: NetlinkSocket) => string | undefined): string | undefined {
  let fd: number | undefined;
  let socket: NetlinkSocket | undefined;
  try {
    fd = openNamespace(path);
    socket = NetlinkSocket.openBrief(fd);
    return action(socket);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return error.message;
  } finally {
    socket?.close();
    if (fd !== undefined) closeNamespace(fd);
  }
}

function setMtu(socket: NetlinkSocket, index: number, mtu: number): string | undefined {
  const batch = new MessageBatch(64);
  appendSetLink(batch, { index }, { mtu });
  const failure = socket.execute(batch).failures[0];
  return failure === undefined ? undefined : `the kernel refuses ${mtu}: ${failure.text ?? failure.name}`;
}
