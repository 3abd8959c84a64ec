/**
 * The seam between netlink and the kernel: datagrams. Everything above it is tested both against the real kernel and
 * against fakes that answer bytes.
 */
import { AppError } from '#lib/result.ts';
import { hold } from '#linux/descriptors.ts';
import { ENOBUFS } from '#linux/errno.ts';
import { inNamespace } from '#linux/namespace.ts';
import { bindNetlink, closeDescriptor, openNetlinkSocket, receiveDatagram, sendDatagram } from '#linux/socket.ts';
import {
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NETLINK_GET_STRICT_CHK,
  setNetlinkOption,
  setReceiveTimeout,
  setSocketBuffers,
} from '#linux/socket-options.ts';

export interface DatagramPort {
  /** The netlink port: what notifications carry that our requests caused. */
  readonly portId: number;
  /** The first `length` bytes as one datagram; on return the kernel has worked on all of it. Errors: AppError `OS_*`. */
  send(bytes: Uint8Array, length: number): void;
  /**
   * Next datagram: its true length, `silent` when there is none (with `wait`: none in time), `overrun` when the kernel had
   * to drop some.
   */
  receive(buffer: Uint8Array, wait: boolean): number | 'silent' | 'overrun';
  close(): void;
}

/** Where to open: `undefined` is the thread's own namespace, otherwise a path or an open descriptor. */
export type NamespaceTarget = string | number | undefined;

/** Answers are in the queue when send() returns, so this wait only bounds a kernel that never answers. */
const answerTimeoutMs = 10_000;
/** A batch of 1000 requests that all fail queues about 1 MiB of errors. */
const receiveBufferBytes = 4 * 1024 * 1024;
const sendBufferBytes = 2 * 1024 * 1024;

/**
 * A kernel socket with short acknowledgements, the kernel's words in errors, and strictly checked dumps. A `brief` one is
 * for a few requests and keeps the system's buffers, which hold some hundred answers. Errors: AppError `OS_*`.
 */
export function openDatagramPort(protocol: number, namespace?: NamespaceTarget, brief = false): DatagramPort {
  const open = (): number => hold(openNetlinkSocket(protocol));
  const fd = namespace === undefined ? open() : inNamespace(namespace, open);
  try {
    setNetlinkOption(fd, NETLINK_EXT_ACK, 1);
    setNetlinkOption(fd, NETLINK_CAP_ACK, 1);
    if (!brief) {
      setNetlinkOption(fd, NETLINK_GET_STRICT_CHK, 1);
      setSocketBuffers(fd, receiveBufferBytes, sendBufferBytes);
    }
    setReceiveTimeout(fd, answerTimeoutMs);
    const portId = bindNetlink(fd);
    return {
      portId,
      send: (bytes, length) => sendDatagram(fd, bytes, length),
      receive(buffer, wait) {
        try {
          return receiveDatagram(fd, buffer, wait) ?? 'silent';
        } catch (error) {
          if (error instanceof AppError && error.data['errno'] === ENOBUFS) return 'overrun';
          throw error;
        }
      },
      close: () => closeDescriptor(fd),
    };
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}
