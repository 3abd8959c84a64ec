/**
 * Notifications of the kernel. Node cannot watch a netlink socket, so a read of it waits in one thread of libuv's pool;
 * once that comes back, what else is queued is read at once. A parked read would keep the process from ending, so close()
 * wakes it by a NLMSG_NOOP to the socket's own port. When the kernel had to drop notifications the only right answer is
 * to look at everything again: `observeAgain`.
 */
import { read } from 'node:fs';
import { AppError } from '#lib/result.ts';
import { EAGAIN, EINTR, ENOBUFS } from '#linux/errno.ts';
import { inNamespace } from '#linux/namespace.ts';
import {
  bindNetlink,
  closeDescriptor,
  NETLINK_ROUTE,
  openNetlinkSocket,
  receiveDatagram,
  sendToNetlinkPort,
} from '#linux/socket.ts';
import {
  attachFilter,
  type FilterInstruction,
  NETLINK_ADD_MEMBERSHIP,
  setNetlinkOption,
  setSocketBuffers,
} from '#linux/socket-options.ts';
import { NLMSG } from '../wire/constants.ts';
import { eachMessage, type MessageHeader, WireReader } from '../wire/reader.ts';
import type { NamespaceTarget } from './datagram-port.ts';

export interface MonitorOptions {
  /** NETLINK_ROUTE by default. */
  readonly protocol?: number;
  /** RTNLGRP_* or the like of the protocol. */
  readonly groups: readonly number[];
  readonly namespace?: NamespaceTarget;
  /** Netlink ports whose own changes are not to be told; the kernel drops them before they are queued. */
  readonly ignorePorts?: readonly number[];
  /** Datagrams that begin with a message of another type are dropped by the kernel; `ignorePorts` counts for nothing then. */
  readonly onlyType?: number;
  /** Messages of these types pass only when they have just this length; 0 lets none pass. */
  readonly exactBytes?: ReadonlyMap<number, number>;
  readonly receiveBufferBytes?: number;
}

export interface MonitorCallbacks {
  /** One notification; the reader's memory is used again afterwards. */
  message(reader: WireReader, message: MessageHeader): void;
  /** Notifications were lost. */
  observeAgain(): void;
  /** The socket is broken; the monitor has stopped. */
  failed(error: AppError): void;
}

/** Where notifications come from; the kernel's socket, or a fake in tests. */
export interface MonitorPort {
  /** Waits for a datagram: its length, or an errno. One at a time. */
  wait(buffer: Uint8Array, done: (length: number, errno: number) => void): void;
  /** The next datagram that is there already. */
  next(buffer: Uint8Array): number | 'silent' | 'overrun';
  /** Makes a wait() end. */
  wake(): void;
  close(): void;
}

/** 8 MiB hold some ten thousand notifications: a burst of another routing daemon. */
const defaultReceiveBufferBytes = 8 * 1024 * 1024;
const datagramBytes = 64 * 1024;
/**
 * After a notification the socket rests so long before a read is parked again: in a burst each one would cost a thread of
 * the pool and a turn of the event loop. The first one is delivered at once.
 */
const restMilliseconds = 10;
/** Datagrams handled before other work of the thread gets its turn. */
const burst = 2000;

const BPF_LD_W_ABS = 0x20;
const BPF_LD_H_ABS = 0x28;
const BPF_JMP_JEQ_K = 0x15;
const BPF_RET_K = 0x06;
const nlmsgLengthOffset = 0;
const nlmsgTypeOffset = 4;
const nlmsgPidOffset = 12;

/** BPF loads in network order what the kernel wrote in its own. */
const swapped32 = (value: number): number => new DataView(new Uint32Array([value]).buffer).getUint32(0, false);
const swapped16 = (value: number): number => new DataView(new Uint16Array([value]).buffer).getUint16(0, false);

/** Drops what has not the length that its type asks for, and what carries one of these ports in nlmsg_pid. */
function dropSome(exactBytes: ReadonlyMap<number, number>, ports: readonly number[]): readonly FilterInstruction[] {
  const lengths = [...exactBytes].flatMap(([type, bytes]): FilterInstruction[] => [
    [BPF_LD_H_ABS, 0, 0, nlmsgTypeOffset],
    [BPF_JMP_JEQ_K, 0, 3, swapped16(type)],
    [BPF_LD_W_ABS, 0, 0, nlmsgLengthOffset],
    [BPF_JMP_JEQ_K, 1, 0, swapped32(bytes)],
    [BPF_RET_K, 0, 0, 0],
  ]);
  return [
    ...lengths,
    [BPF_LD_W_ABS, 0, 0, nlmsgPidOffset],
    ...ports.map((port, i): FilterInstruction => [BPF_JMP_JEQ_K, ports.length - i, 0, swapped32(port)]),
    [BPF_RET_K, 0, 0, 0xffffffff],
    [BPF_RET_K, 0, 0, 0],
  ];
}

/** Lets pass what begins with a message of this type, and the message that wakes the reader. */
function passType(type: number): readonly FilterInstruction[] {
  return [
    [BPF_LD_H_ABS, 0, 0, nlmsgTypeOffset],
    [BPF_JMP_JEQ_K, 1, 0, swapped16(type)],
    [BPF_JMP_JEQ_K, 0, 1, swapped16(NLMSG.NOOP)],
    [BPF_RET_K, 0, 0, 0xffffffff],
    [BPF_RET_K, 0, 0, 0],
  ];
}

/** Opens and subscribes. Errors: AppError `OS_*`. */
export function openMonitorPort(options: MonitorOptions): MonitorPort {
  const open = (): number => openNetlinkSocket(options.protocol ?? NETLINK_ROUTE);
  const fd = options.namespace === undefined ? open() : inNamespace(options.namespace, open);
  try {
    setSocketBuffers(fd, options.receiveBufferBytes ?? defaultReceiveBufferBytes, 65536);
    const ignored = options.ignorePorts ?? [];
    const exactBytes = options.exactBytes ?? new Map();
    if (options.onlyType !== undefined) attachFilter(fd, passType(options.onlyType));
    else if (ignored.length + exactBytes.size > 0) attachFilter(fd, dropSome(exactBytes, ignored));
    const portId = bindNetlink(fd);
    for (const group of options.groups) setNetlinkOption(fd, NETLINK_ADD_MEMBERSHIP, group);
    return {
      wait(buffer, done) {
        read(fd, buffer, 0, buffer.length, null, (error, length) =>
          error === null ? done(length, 0) : done(0, Math.abs(error.errno ?? 0)),
        );
      },
      next(buffer) {
        try {
          return receiveDatagram(fd, buffer, false) ?? 'silent';
        } catch (error) {
          if (error instanceof AppError && error.data['errno'] === ENOBUFS) return 'overrun';
          throw error;
        }
      },
      wake() {
        const noop = new Uint8Array(16);
        const header = new DataView(noop.buffer);
        new Uint32Array(noop.buffer)[0] = 16;
        new Uint16Array(noop.buffer)[2] = NLMSG.NOOP;
        header.setUint32(12, 0);
        // A full queue ends the parked read by itself.
        sendToNetlinkPort(fd, noop, portId);
      },
      close: () => closeDescriptor(fd),
    };
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

export class NetlinkMonitor {
  readonly #port: MonitorPort;
  readonly #callbacks: MonitorCallbacks;
  readonly #reader = new WireReader(new Uint8Array(datagramBytes));
  #state: 'idle' | 'reading' | 'closing' | 'closed' = 'idle';
  #closed: (() => void) | undefined;
  #resting: NodeJS.Timeout | undefined;

  /** Takes the port over and closes it with close(). */
  constructor(port: MonitorPort, callbacks: MonitorCallbacks) {
    this.#port = port;
    this.#callbacks = callbacks;
  }

  static open(options: MonitorOptions, callbacks: MonitorCallbacks): NetlinkMonitor {
    return new NetlinkMonitor(openMonitorPort(options), callbacks);
  }

  /** Subscribed since it was opened; from now on notifications are delivered. */
  start(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'reading';
    this.#wait();
  }

  /** Ends the parked read and closes the socket; must be awaited before the thread ends. */
  close(): Promise<void> {
    if (this.#state === 'idle') {
      this.#state = 'closed';
      this.#port.close();
    }
    if (this.#state === 'closed') return Promise.resolve();
    return new Promise((resolve) => {
      const before = this.#closed;
      this.#closed = () => {
        before?.();
        resolve();
      };
      if (this.#state === 'closing') return;
      this.#state = 'closing';
      if (this.#resting === undefined) this.#port.wake();
      else this.#end();
    });
  }

  #wait(): void {
    this.#port.wait(this.#reader.bytes, (length, errno) => {
      if (this.#state === 'closing') {
        this.#end();
        return;
      }
      if (errno === ENOBUFS) this.#callbacks.observeAgain();
      else if (errno !== 0 && errno !== EAGAIN && errno !== EINTR) {
        this.#end();
        this.#callbacks.failed(
          new AppError('OS_NETLINK_MONITOR', `reading kernel notifications failed with errno ${errno}`, {
            retry: 'backoff',
            data: { errno },
          }),
        );
        return;
      } else if (length > 0) this.#deliver(length);
      this.#drain();
      if (this.#isClosing()) this.#end();
      else this.#rest();
    });
  }

  #rest(): void {
    this.#resting = setTimeout(() => {
      this.#resting = undefined;
      const some = this.#drain();
      if (this.#isClosing()) this.#end();
      else if (some) this.#rest();
      else this.#wait();
    }, restMilliseconds);
  }

  /** A callback may have closed us. */
  #isClosing(): boolean {
    return this.#state === 'closing';
  }

  /** Answers whether there was anything. */
  #drain(): boolean {
    for (let i = 0; i < burst && this.#state === 'reading'; i++) {
      const length = this.#port.next(this.#reader.bytes);
      if (length === 'silent') return i > 0;
      if (length === 'overrun') this.#callbacks.observeAgain();
      else this.#deliver(length);
    }
    return true;
  }

  #deliver(length: number): void {
    const whole = eachMessage(this.#reader, length, (message) => {
      if (message.type >= 16) this.#callbacks.message(this.#reader, message);
    });
    // A datagram that was cut is one that we do not know.
    if (!whole) this.#callbacks.observeAgain();
  }

  #end(): void {
    this.#state = 'closed';
    clearTimeout(this.#resting);
    this.#resting = undefined;
    this.#port.close();
    this.#closed?.();
    this.#closed = undefined;
  }
}
