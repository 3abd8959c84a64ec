/**
 * Requests to the kernel, synchronous: a batch of messages goes out by one sendmsg and every answer has been read when
 * execute() returns. Only messages that failed and the last one are answered, so a batch of a thousand costs one read.
 * What the kernel says of a message is a value; what the operating system says of the socket is an AppError `OS_*`.
 */
import { AppError, type Result, fail, ok } from '#lib/result.ts';
import { errnoName } from '#linux/errno.ts';
import { NETLINK_ROUTE } from '#linux/socket.ts';
import { MessageBatch } from '../wire/batch.ts';
import { NLM_F, NLMSG } from '../wire/constants.ts';
import {
  type Acknowledgement,
  decodeDone,
  decodeError,
  eachMessage,
  type MessageHeader,
  WireReader,
} from '../wire/reader.ts';
import { type DatagramPort, type NamespaceTarget, openDatagramPort } from './datagram-port.ts';

/** What the kernel said of one message of a batch. */
export interface RequestFailure {
  /** The message's index in the batch. */
  readonly index: number;
  readonly errno: number;
  /** `EEXIST` for 17. */
  readonly name: string;
  /** The kernel's own words, when it had any. */
  readonly text: string | undefined;
  /** Position in the message that the words are about. */
  readonly offset: number | undefined;
}

export interface Executed {
  /** Messages that were refused; later ones of the batch were worked on all the same. */
  readonly failures: readonly RequestFailure[];
  /** Answers were lost: which messages failed is not known, so observe before the next decision. */
  readonly overrun: boolean;
}

export type DumpFailure =
  /** The table changed again and again while it was read. */
  | { readonly kind: 'dumpInterrupted'; readonly attempts: number }
  /** The kernel dropped answers. */
  | { readonly kind: 'overrun' }
  | { readonly kind: 'refused'; readonly errno: number; readonly name: string; readonly text: string | undefined };

export type MessageVisitor = (reader: WireReader, message: MessageHeader) => void;

/** Receives a dump; `begin` is called again, and what came before it is void, when the dump had to be started anew. */
export interface DumpSink {
  begin(): void;
  message: MessageVisitor;
}

const receiveBytes = 128 * 1024;
const requestBytes = 4096;
/** Acknowledgements, and the answer to a question about one link, which is the largest. */
const briefReceiveBytes = 8192;
const briefRequestBytes = 64;
/** A dump that the table's changes interrupt is read again this often before the caller is told. */
const dumpAttempts = 8;

export class NetlinkSocket {
  readonly #port: DatagramPort;
  readonly #reader: WireReader;
  readonly #request: MessageBatch;
  #sequence = 1;

  /** Takes the port over and closes it with close(). `buffer` bounds a datagram that can be read: dumps come in 32 KiB and more. */
  constructor(port: DatagramPort, buffer = receiveBytes, request = requestBytes) {
    this.#port = port;
    this.#request = new MessageBatch(request);
    this.#reader = new WireReader(new Uint8Array(buffer));
  }

  /** Opens a NETLINK_ROUTE (or other) socket here or in another namespace. Errors: AppError `OS_*`. */
  static open(options: { readonly namespace?: NamespaceTarget; readonly protocol?: number } = {}): NetlinkSocket {
    return new NetlinkSocket(openDatagramPort(options.protocol ?? NETLINK_ROUTE, options.namespace));
  }

  /** One for a few requests without dumps: cheaper to open, with little memory. Errors: AppError `OS_*`. */
  static openBrief(namespace: NamespaceTarget): NetlinkSocket {
    return new NetlinkSocket(openDatagramPort(NETLINK_ROUTE, namespace, true), briefReceiveBytes, briefRequestBytes);
  }

  /** Notifications caused by this socket's requests carry this port. */
  get portId(): number {
    return this.#port.portId;
  }

  close(): void {
    this.#port.close();
  }

  /**
   * Sends all messages of the batch as one datagram and reads what the kernel answers. `visit` gets the answers that are
   * no acknowledgement (NLM_F_ECHO, a GET) with the index of their message. The batch is not cleared.
   */
  execute(batch: MessageBatch, visit?: (index: number, reader: WireReader, message: MessageHeader) => void): Executed {
    if (batch.count === 0) return { failures: [], overrun: false };
    const first = this.#sequence;
    const last = batch.number(first);
    this.#sequence = (last + 1) % 0xf0000000 || 1;
    this.#port.send(batch.memory, batch.byteLength);
    const failures: RequestFailure[] = [];
    let overrun = false;
    const progress = { finished: false };
    while (!progress.finished) {
      const length = this.#receive(!overrun);
      if (length === 'overrun') {
        overrun = true;
        continue;
      }
      // The acknowledgement itself may be among the answers that were lost.
      if (length === 'silent') break;
      this.#each(length, (message) => {
        if (message.sequence < first || message.sequence > last || message.port !== this.#port.portId) return;
        if (message.type !== NLMSG.ERROR) {
          visit?.(message.sequence - first, this.#reader, message);
          return;
        }
        const said = decodeError(this.#reader, message);
        if (said !== undefined && said.errno !== 0) failures.push(failureOf(message.sequence - first, said));
        if (message.sequence === last) progress.finished = true;
      });
    }
    return { failures, overrun };
  }

  /** Reads a table. `append` writes the one request; an interrupted dump is read again, a bounded number of times. */
  dump(append: (batch: MessageBatch) => void, sink: DumpSink): Result<undefined, DumpFailure> {
    for (let attempt = 0; attempt < dumpAttempts; attempt++) {
      sink.begin();
      const outcome = this.#dumpOnce(append, sink.message);
      if (outcome !== 'interrupted') return outcome;
    }
    return fail({ kind: 'dumpInterrupted', attempts: dumpAttempts });
  }

  /** A dump as a list; messages that `decode` answers `undefined` for are left out. */
  dumpList<T>(
    append: (batch: MessageBatch) => void,
    decode: (reader: WireReader, message: MessageHeader) => T | undefined,
  ): Result<readonly T[], DumpFailure> {
    let list: T[] = [];
    const outcome = this.dump(append, {
      begin: () => {
        list = [];
      },
      message: (reader, message) => {
        const value = decode(reader, message);
        if (value !== undefined) list.push(value);
      },
    });
    return outcome.ok ? ok(list) : outcome;
  }

  #dumpOnce(
    append: (batch: MessageBatch) => void,
    visit: MessageVisitor,
  ): Result<undefined, DumpFailure> | 'interrupted' {
    this.#request.clear();
    append(this.#request);
    const sequence = this.#request.number(this.#sequence);
    this.#sequence = (sequence + 1) % 0xf0000000 || 1;
    this.#port.send(this.#request.memory, this.#request.byteLength);
    let interrupted = false;
    let overrun = false;
    const progress: { end: Acknowledgement | undefined } = { end: undefined };
    while (progress.end === undefined) {
      const length = this.#receive(!overrun);
      if (length === 'overrun') overrun = true;
      else if (length === 'silent') break;
      else
        this.#each(length, (message) => {
          if (message.sequence !== sequence || message.port !== this.#port.portId) return;
          if ((message.flags & NLM_F.DUMP_INTR) !== 0) interrupted = true;
          if (message.type === NLMSG.DONE) progress.end = decodeDone(this.#reader, message) ?? malformed;
          else if (message.type === NLMSG.ERROR) progress.end = decodeError(this.#reader, message) ?? malformed;
          else if (!interrupted && !overrun) visit(this.#reader, message);
        });
    }
    const { end } = progress;
    if (overrun || end === undefined) return fail({ kind: 'overrun' });
    if (end.errno !== 0) return fail({ kind: 'refused', errno: end.errno, name: errnoName(end.errno), text: end.text });
    return interrupted ? 'interrupted' : ok(undefined);
  }

  #receive(wait: boolean): number | 'silent' | 'overrun' {
    const length = this.#port.receive(this.#reader.bytes, wait);
    if (length === 'silent' && wait)
      throw new AppError('OS_NETLINK_SILENT', 'the kernel did not answer a netlink request in time', {
        retry: 'backoff',
      });
    return length;
  }

  #each(length: number, visit: (message: MessageHeader) => void): void {
    if (length > this.#reader.bytes.length || !eachMessage(this.#reader, length, visit))
      throw new AppError(
        'OS_NETLINK_MALFORMED',
        `the kernel sent a netlink datagram of ${length} bytes that cannot be read`,
      );
  }
}

const malformed: Acknowledgement = { errno: 22, text: 'the answer was cut', offset: undefined };

function failureOf(index: number, said: Acknowledgement): RequestFailure {
  return { index, errno: said.errno, name: errnoName(said.errno), text: said.text, offset: said.offset };
}
