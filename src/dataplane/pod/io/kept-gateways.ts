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
/** The rest of a list takes a fraction of a second; this is for a machine with no time left. */
const AT_MOST_MS = 30_000;

interface Kept {
  readonly socket: NetlinkSocket;
  readonly messages: MessageBatch;
  readonly still: () => boolean;
  readonly until: number;
}

export class KeptGateways {
  readonly #kept = new Set<Kept>();
  #timer: NodeJS.Timeout | undefined;

  /** Takes the socket over, which holds the pod's namespace: it is closed when `still` answers false. */
  keep(socket: NetlinkSocket, podIndex: number, gateways: readonly IpAddress[], still: () => boolean): void {
    const messages = new MessageBatch(256);
    for (const gateway of gateways) appendGatewayNeighbour(messages, podIndex, gateway);
    this.#kept.add({ socket, messages, still, until: performance.now() + AT_MOST_MS });
    this.#timer ??= setInterval(() => this.#putBack(), EVERY_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    for (const { socket } of this.#kept) socket.close();
    this.#kept.clear();
  }

  #putBack(): void {
    const now = performance.now();
    for (const kept of this.#kept) {
      if (now < kept.until && kept.still() && put(kept)) continue;
      kept.socket.close();
      this.#kept.delete(kept);
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
