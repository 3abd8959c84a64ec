/**
 * Puts the neighbour entries of a pod's gateways back for a while after its ADD. Setting a link's MAC address, even to what it
 * is, empties its neighbour tables, permanent entries included (NETDEV_CHANGEADDR), and a plugin later in the list does that
 * (tuning with `mac`). Nothing tells the node of it, and ARP and neighbour discovery of pods are not heard.
 */
import { AppError } from '#lib/result.ts';
import type { IpAddress } from '#lib/ip.ts';
import type { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { appendGatewayNeighbour } from '../wiring.ts';

const EVERY_MS = 100;
/** The rest of a list takes a fraction of a second … */
const SELDOM_AFTER_MS = 3000;
const SELDOM_MS = 1000;
/** … and this is for a machine with no time left. */
const AT_MOST_MS = 30_000;

interface Kept {
  readonly socket: NetlinkSocket;
  readonly messages: MessageBatch;
  readonly still: () => boolean;
  /** Milliseconds of performance.now(). */
  readonly since: number;
  next: number;
}

export class KeptGateways {
  readonly #kept = new Map<string, Kept>();
  #timer: NodeJS.Timeout | undefined;

  /** Takes the socket over, which holds the pod's namespace: it is closed when `still` answers false, or for the next of this name. */
  keep(
    name: string,
    socket: NetlinkSocket,
    podIndex: number,
    gateways: readonly IpAddress[],
    still: () => boolean,
  ): void {
    const messages = new MessageBatch(256);
    for (const gateway of gateways) appendGatewayNeighbour(messages, podIndex, gateway);
    this.#kept.get(name)?.socket.close();
    const since = performance.now();
    this.#kept.set(name, { socket, messages, still, since, next: since });
    this.#timer ??= setInterval(() => this.#putBack(), EVERY_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const { socket } of this.#kept.values()) socket.close();
    this.#kept.clear();
  }

  #putBack(): void {
    const now = performance.now();
    for (const [name, kept] of this.#kept) {
      const age = now - kept.since;
      const isWanted = age < AT_MOST_MS && kept.still();
      if (isWanted && now < kept.next) continue;
      kept.next = now + (age < SELDOM_AFTER_MS ? 0 : SELDOM_MS);
      if (isWanted && put(kept)) continue;
      kept.socket.close();
      this.#kept.delete(name);
    }
    if (this.#kept.size === 0) this.close();
  }
}

/** False when the interface is gone or nothing can be said to it any more. */
function put({ socket, messages }: Kept): boolean {
  try {
    return socket.execute(messages).failures.length === 0;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return false;
  }
}
