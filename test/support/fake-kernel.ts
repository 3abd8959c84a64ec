/**
 * A kernel of one IPv4 table that speaks netlink datagrams: creates, deletes and dumps routes as the real one does, and
 * can be told to misbehave. The contract in test/netns/netlink/contract.ts holds for it and for the real one.
 */
import type { DatagramPort } from '#netlink/io/datagram-port.ts';
import { NLM_F, NLMSG, RTM } from '#netlink/wire/constants.ts';
import { eachAttribute, eachMessage, type MessageHeader, WireReader } from '#netlink/wire/reader.ts';

const EEXIST = 17;
const ESRCH = 3;
const EOPNOTSUPP = 95;

export class FakeKernel implements DatagramPort {
  readonly portId = 4711;
  /** How many of the next dumps the table changes under. */
  interruptDumps = 0;
  /** Drops this many of the next answers, as a queue that is full does. */
  dropAnswers = 0;
  /** Answers nothing at all. */
  silent = false;
  /** A datagram that nobody asked for, sent before the next answers. */
  unasked: Uint8Array | undefined;
  closed = false;
  readonly datagrams: number[] = [];
  readonly #routes = new Map<string, Uint8Array>();
  #queue: Uint8Array[] = [];
  #overrun = false;

  send(bytes: Uint8Array, length: number): void {
    this.datagrams.push(length);
    if (this.unasked !== undefined) this.#queue.push(this.unasked);
    const reader = new WireReader(bytes.slice(0, length));
    eachMessage(reader, length, (message) => this.#request(reader, message));
  }

  receive(buffer: Uint8Array, _wait: boolean): number | 'silent' | 'overrun' {
    if (this.#overrun) {
      this.#overrun = false;
      return 'overrun';
    }
    const next = this.silent ? undefined : this.#queue.shift();
    if (next === undefined) return 'silent';
    buffer.set(next.subarray(0, buffer.length));
    return next.length;
  }

  close(): void {
    this.closed = true;
  }

  #request(reader: WireReader, message: MessageHeader): void {
    if (message.type === RTM.GETROUTE && (message.flags & NLM_F.DUMP) === NLM_F.DUMP) {
      this.#dump(message);
      return;
    }
    const errno = this.#change(reader, message);
    if (errno !== 0 || (message.flags & NLM_F.ACK) !== 0) this.#answer([this.#error(message, errno)]);
  }

  #change(reader: WireReader, message: MessageHeader): number {
    let key = '';
    eachAttribute(reader, message.payload + 12, message.end, (type, at, length) => {
      if (type === 1) key = reader.slice(at, length).join('.');
    });
    if (message.type === RTM.NEWROUTE) {
      if (this.#routes.has(key) && (message.flags & NLM_F.EXCL) !== 0) return EEXIST;
      this.#routes.set(key, reader.slice(message.payload, message.end - message.payload));
      return 0;
    }
    if (message.type === RTM.DELROUTE) return this.#routes.delete(key) ? 0 : ESRCH;
    return EOPNOTSUPP;
  }

  #dump(message: MessageHeader): void {
    const interrupted = this.interruptDumps > 0;
    if (interrupted) this.interruptDumps -= 1;
    const flags = NLM_F.MULTI | (interrupted ? NLM_F.DUMP_INTR : 0);
    for (const payload of this.#routes.values())
      this.#answer([frame(RTM.NEWROUTE, flags, message.sequence, this.portId, payload)]);
    this.#answer([frame(NLMSG.DONE, flags, message.sequence, this.portId, new Uint8Array(4))]);
  }

  #error(message: MessageHeader, errno: number): Uint8Array {
    const payload = new Uint8Array(20);
    new DataView(payload.buffer).setInt32(0, -errno, true);
    return frame(NLMSG.ERROR, NLM_F.CAPPED, message.sequence, this.portId, payload);
  }

  #answer(datagrams: readonly Uint8Array[]): void {
    for (const datagram of datagrams) {
      if (this.dropAnswers > 0) {
        this.dropAnswers -= 1;
        this.#overrun = true;
      } else this.#queue.push(datagram);
    }
  }
}

export function frame(type: number, flags: number, sequence: number, port: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  view.setUint32(12, port, true);
  bytes.set(payload, 16);
  return bytes;
}
