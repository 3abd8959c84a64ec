/**
 * What one established peer was told of one family. In step, that is what the rows of its update group say, but for the
 * routes that came from the peer itself. Out of step it is the same with exceptions: for each row that changed meanwhile, what
 * the peer has instead. In: the group's changes while the peer cannot take them; out: packed UPDATEs until it is in step.
 *
 * A slow peer costs a number for each route that changed since, and never memory for messages.
 */
import type { FamilyRib } from './family-rib.ts';
import type { GroupRibOut } from './group-rib-out.ts';
import { NumberQueue, SparseColumn } from './sparse-column.ts';

/** The peer's session. */
export interface MemberPort {
  /** The socket is full. */
  readonly isBlocked: () => boolean;
  /** Whole messages. */
  readonly send: (bytes: Uint8Array) => void;
}

export class AdjRibOut {
  readonly slot: number;
  readonly #port: MemberPort;
  #group: GroupRibOut;
  /** Encoded attributes that the peer has for a row instead of the group's, plus 1; 0: no exception. */
  #exceptions = new SparseColumn();
  /** Rows with exceptions, and some that have none any more. */
  #queue = new NumberQueue();
  /** Next row of a walk over all of them; 0: none is on. */
  #walk = 1;
  /** The walk says again what the peer has already; otherwise nothing behind it was said but what an exception names. */
  #again = false;
  /** Some exceptions wait for the group. */
  #waits = false;
  #announced = 0;
  #closed = false;

  constructor(group: GroupRibOut, slot: number, port: MemberPort) {
    this.#group = group;
    this.slot = slot;
    this.#port = port;
  }

  get group(): GroupRibOut {
    return this.#group;
  }

  get rib(): FamilyRib {
    return this.#group.rib;
  }

  /** Routes that the peer has. */
  get announced(): number {
    return this.#announced;
  }

  /** The peer has what the group's rows say. */
  get inStep(): boolean {
    return this.#walk === 0 && this.#queue.size === 0;
  }

  /** Everything that is to be said was said. */
  get idle(): boolean {
    return this.inStep && this.#group.idle;
  }

  /** The peer was not told everything once yet. */
  get isNew(): boolean {
    return this.#walk !== 0 && !this.#again;
  }

  /** The group may write to it. */
  get isReady(): boolean {
    return this.inStep && !this.#port.isBlocked();
  }

  /** It could catch up if the group went on. */
  get isWaiting(): boolean {
    return this.#waits && !this.#port.isBlocked();
  }

  /** The encoded attributes that the peer has for a row, 0 for none. */
  sent(row: number): number {
    const exception = this.#exceptions.get(row);
    if (exception !== 0) return exception - 1;
    return this.#walk !== 0 && !this.#again && row >= this.#walk ? 0 : this.#said(row);
  }

  #said(row: number): number {
    return this.#group.saidTo(this.slot, row);
  }

  /** Whether the peer has any path of the prefix. */
  hasPrefix(prefix: number): boolean {
    const { rows } = this.#group;
    for (let row = rows.first(prefix); row !== 0; row = rows.next(row)) if (this.sent(row) !== 0) return true;
    return false;
  }

  /** The group's row is about to change and the peer is not told now. */
  keep(row: number): void {
    if (this.#exceptions.get(row) !== 0) return;
    // The walk will say what there is then.
    if (this.#walk !== 0 && !this.#again && row >= this.#walk) return;
    this.#except(row, this.#said(row));
  }

  #except(row: number, sent: number): void {
    this.#exceptions.set(row, sent + 1);
    if (sent !== 0) this.#group.encoded.retain(sent);
    this.#group.rows.hold(row);
    this.#queue.push(row);
  }

  /** The group's batch, which makes `announced` more routes, or fewer, for every member. */
  hear(bytes: Uint8Array, announced: number): void {
    this.#announced += announced;
    if (bytes.length > 0 && !this.#closed) this.#port.send(bytes);
  }

  /** What is different about this member in the group's count. */
  count(announced: number): void {
    this.#announced += announced;
  }

  /** Says alone what the group says of these rows. */
  tell(rows: readonly number[]): void {
    for (const row of rows) this.#group.packer.add(row, this.#said(row), 0);
    this.#send();
  }

  #send(): void {
    const bytes = this.#group.pack();
    if (bytes !== undefined && !this.#closed) this.#port.send(bytes);
  }

  /** Says everything again (RFC 2918 §4): the peer keeps what it has until it is replaced or withdrawn. Not while it is new. */
  resendAll(): void {
    this.#walk = 1;
    this.#again = true;
  }

  /** Catches up by looking at `count` rows, twice at most. Answers whether there was anything to say. */
  run(count: number): boolean {
    if (this.inStep) return false;
    const isWalking = this.#walk !== 0;
    if (isWalking) {
      this.#walkSome(count);
      // What is said again must be out before what has changed since.
      this.#send();
    }
    // In front of a first walk no exception means that nothing was said, so those that are there must stay.
    const settled = this.isNew ? [] : this.#drain(count);
    this.#send();
    for (let i = 0; i < settled.length; i += 2) this.#release(settled[i] as number, settled[i + 1] as number);
    return isWalking || settled.length > 0;
  }

  /** Answers rows and what the peer had of them, which is to be let go of when all is written. */
  #drain(count: number): number[] {
    const settled: number[] = [];
    this.#waits = false;
    for (let left = Math.min(count, this.#queue.size); left > 0; left--) {
      const row = this.#queue.shift();
      const exception = this.#exceptions.get(row);
      if (exception === 0) continue;
      const sent = exception - 1;
      if (this.#group.isOpen(row) || (this.#said(row) === 0 && this.#group.mayComeBack(row))) {
        this.#waits = true;
        this.#queue.push(row);
        continue;
      }
      this.#exceptions.set(row, 0);
      this.#say(row, sent, false);
      settled.push(row, sent);
    }
    if (this.#queue.size === 0) {
      this.#exceptions = new SparseColumn();
      this.#queue = new NumberQueue();
    }
    return settled;
  }

  #walkSome(count: number): void {
    const again = this.#again;
    let row = this.#nextUsed(this.#walk);
    for (let i = 0; i < count && row !== undefined; i++) {
      // What is true now of an exception is left to the queue.
      const exception = this.#exceptions.get(row);
      if (exception === 0) this.#visit(row);
      else if (again && exception !== 1) this.#group.packer.add(row, exception - 1, 0);
      row = this.#nextUsed(row + 1);
    }
    this.#walk = row ?? 0;
  }

  /** First row at or behind `from` of which the group says something or the peer has something. */
  #nextUsed(from: number): number | undefined {
    const { rows } = this.#group;
    const said = rows.nextUsed(from);
    const excepted = this.#exceptions.nextWritten(from);
    if (excepted === undefined || excepted >= rows.limit) return said;
    return said === undefined ? excepted : Math.min(said, excepted);
  }

  #visit(row: number): void {
    const said = this.#said(row);
    if (this.#again) this.#say(row, said, true);
    else if (said !== 0 && this.#group.isOpen(row)) this.#except(row, 0);
    else this.#say(row, 0, false);
  }

  /** The peer has `sent` for the row and gets what the group says. */
  #say(row: number, sent: number, again: boolean): void {
    const encoded = this.#said(row);
    if (encoded === sent && !(again && encoded !== 0)) return;
    this.#group.packer.add(row, encoded, 0);
    this.#announced += Number(encoded !== 0) - Number(sent !== 0);
  }

  #release(row: number, sent: number): void {
    if (sent !== 0) this.#group.encoded.release(sent);
    this.#group.rows.unhold(row);
  }

  /** Another group says from now on what the peer is told. What it has stays known. */
  moveTo(group: GroupRibOut): void {
    const { rows, encoded } = this.#group;
    const exceptions = new SparseColumn();
    const queue = new NumberQueue();
    if (group.members.size === 0) group.takeOver(this.#group);
    const except = (row: number, sent: number): void => {
      exceptions.set(row, sent + 1);
      if (sent !== 0) encoded.retain(sent);
      group.rows.hold(row);
      queue.push(row);
    };
    // Encoded attributes have the same numbers in all groups.
    for (let row = this.#nextUsed(1); row !== undefined; row = this.#nextUsed(row + 1)) {
      const sent = this.sent(row);
      if (sent === 0) continue;
      const there = group.rows.intern(rows.prefixOf(row), rows.pathId(row));
      if (group.saidTo(this.slot, there) !== sent) except(there, sent);
    }
    for (let row = group.rows.nextUsed(1); row !== undefined; row = group.rows.nextUsed(row + 1)) {
      if (group.saidTo(this.slot, row) === 0 || exceptions.get(row) !== 0) continue;
      const here = rows.find(group.rows.prefixOf(row), group.rows.pathId(row));
      if (here === 0 || this.sent(here) === 0) except(row, 0);
    }
    this.dispose(Number.POSITIVE_INFINITY);
    this.#group = group;
    this.#exceptions = exceptions;
    this.#queue = queue;
    this.#walk = 0;
    this.#again = false;
  }

  /** Withdraws all that was sent, for a session that ends in order. */
  withdrawAll(): void {
    const { packer } = this.#group;
    for (let row = this.#nextUsed(1); row !== undefined; row = this.#nextUsed(row + 1))
      if (this.sent(row) !== 0) packer.add(row, 0, 0);
    this.#send();
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#closed = true;
  }

  /** Lets go of up to `count` exceptions; answers whether some are left. */
  dispose(count: number): boolean {
    for (let i = 0; i < count && this.#queue.size > 0; i++) {
      const row = this.#queue.shift();
      const exception = this.#exceptions.get(row);
      if (exception === 0) continue;
      this.#exceptions.set(row, 0);
      this.#release(row, exception - 1);
    }
    return this.#queue.size > 0;
  }
}
