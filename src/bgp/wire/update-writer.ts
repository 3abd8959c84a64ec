/**
 * Writes UPDATEs, as many prefixes in each as fit, one message after another into one growing buffer. In: attribute octets
 * of `encodeAttributes`, prefixes as numbers or octets. Out: whole messages (RFC 4271 §4.3, RFC 4760 §3, RFC 4760 §4,
 * RFC 4724 §2). MP_REACH_NLRI stands first, where RFC 7606 §5.1 wants it. Each prefix has its path identifier before it in
 * the families of `addPath.send` (RFC 7911 §3).
 *
 * Use: beginReach or beginWithdraw, then prefixes, then the next begin; take() gives all that was written.
 */
import type { Family } from '#lib/ip.ts';
import { ByteWriter, readU32 } from '#lib/bytes.ts';
import { ATTRIBUTE, FLAG } from './attribute-row.ts';
import { AFI, HEADER_BYTES, PATH_ID_BYTES, SAFI_UNICAST } from './codes.ts';
import { beginMessage, endMessage } from './header.ts';
import { MESSAGE_TYPE } from './messages.ts';
import type { WireContext } from './messages.ts';

/** Whoever has prefixes by number: how many octets one takes as NLRI, and writes them; answers the position behind. */
export interface NlriSource {
  nlriOctets(id: number): number;
  writeNlri(id: number, out: Uint8Array, at: number): number;
}

/** Octets from `from` to `to` of what was written are NLRI of this owner. */
export interface OwnedNlri {
  readonly owner: number;
  readonly from: number;
  readonly to: number;
}

type Section = 'none' | 'reach' | 'mpReach' | 'withdraw' | 'mpUnreach';

const MP_FLAGS = FLAG.optional | FLAG.extendedLength;
const nothing = new Uint8Array(0);
/** A length octet and the octets of a default route: one prefix at least must fit, of this size at most. */
const longestPrefix = { ipv4: 5, ipv6: 17 } as const;

export class UpdateWriter {
  private readonly writer = new ByteWriter(0);
  private readonly longest: number;
  private readonly idFamilies: readonly Family[];
  private count = 0;
  private section: Section = 'none';
  private family: Family = 'ipv4';
  /** Octets of the path identifier before each prefix. */
  private idOctets = 0;
  private attributes: Uint8Array = nothing;
  private nextHop: Uint8Array = nothing;
  /** Where the message began that is being written; -1: the next prefix starts one. */
  private start = -1;
  /** Where the length of the open field is to be patched, and where what it counts begins. */
  private lengthAt = 0;
  private owner = 0;
  /** Where the present owner's NLRI begin in the open message; -1: nowhere yet. */
  private ownedFrom = -1;
  private ownedRuns: OwnedNlri[] = [];
  /** The writer must not get beyond this with prefixes: what follows them needs the rest. */
  private limit = 0;

  constructor(context: Pick<WireContext, 'maximumMessageBytes' | 'addPath'>) {
    this.longest = context.maximumMessageBytes;
    this.idFamilies = context.addPath?.send ?? [];
  }

  /** NLRI written since the last `take` whose owner is not 0, in order. A run never goes beyond a message. */
  get owned(): readonly OwnedNlri[] {
    return this.ownedRuns;
  }

  /** Messages written since the last `take`, the open one included. */
  get messages(): number {
    return this.count;
  }

  /**
   * Announces what comes next. `nextHop` is undefined for the classic IPv4 field, whose NEXT_HOP is in `attributes`;
   * otherwise it is the next hop of MP_REACH_NLRI (`nextHopBytes`). False: the attributes leave no room for a prefix, and
   * nothing was begun (the route cannot be announced).
   */
  beginReach(attributes: Uint8Array, family: Family, nextHop: Uint8Array | undefined): boolean {
    this.end();
    if (!this.fits(attributes.length + (nextHop?.length ?? 0), family, nextHop !== undefined)) return false;
    if (nextHop === undefined && family === 'ipv6') throw new TypeError('IPv6 routes need a next hop in MP_REACH_NLRI');
    this.section = nextHop === undefined ? 'reach' : 'mpReach';
    this.choose(family);
    this.attributes = attributes;
    this.nextHop = nextHop ?? nothing;
    return true;
  }

  /** There is room for at least one prefix beside so many octets of attributes and next hop; `inMp`: in MP_REACH_NLRI. */
  fits(octets: number, family: Family, inMp: boolean): boolean {
    const fixed = HEADER_BYTES + 4 + octets + (inMp ? 4 + 5 : 0);
    return fixed + this.idOctetsOf(family) + longestPrefix[family] <= this.longest;
  }

  /** Withdraws what comes next: IPv4 in the classic field, IPv6 in MP_UNREACH_NLRI. */
  beginWithdraw(family: Family): void {
    this.end();
    this.section = family === 'ipv4' ? 'withdraw' : 'mpUnreach';
    this.choose(family);
  }

  private idOctetsOf(family: Family): number {
    return this.idFamilies.includes(family) ? PATH_ID_BYTES : 0;
  }

  private choose(family: Family): void {
    this.family = family;
    this.idOctets = this.idOctetsOf(family);
  }

  /** Writes the identifier where the family has one; answers the position behind it. */
  private pathId(buffer: Uint8Array, at: number, id: number): number {
    if (this.idOctets === 0) return at;
    buffer[at] = id >>> 24;
    buffer[at + 1] = id >>> 16;
    buffer[at + 2] = id >>> 8;
    buffer[at + 3] = id;
    return at + PATH_ID_BYTES;
  }

  /** Whose prefixes come next, for `owned`; 0: nobody's. */
  own(owner: number): void {
    if (owner === this.owner) return;
    this.endOwned();
    this.owner = owner;
    if (this.start >= 0) this.ownedFrom = this.writer.length;
  }

  private endOwned(): void {
    const { owner, ownedFrom } = this;
    const to = this.writer.length;
    if (owner !== 0 && ownedFrom >= 0 && to > ownedFrom) this.ownedRuns.push({ owner, from: ownedFrom, to });
    this.ownedFrom = -1;
  }

  /** One prefix by its number. */
  route(source: NlriSource, id: number, pathId: number): void {
    const buffer = this.room(this.idOctets + source.nlriOctets(id));
    this.writer.length = source.writeNlri(id, buffer, this.pathId(buffer, this.writer.length, pathId));
  }

  /** One IPv4 prefix: the address as an unsigned 32-bit number, host bits zero. */
  prefix4(address: number, length: number, pathId = 0): void {
    const octets = (length + 7) >>> 3;
    const buffer = this.room(this.idOctets + 1 + octets);
    let at = this.pathId(buffer, this.writer.length, pathId);
    buffer[at++] = length;
    if (octets > 0) buffer[at++] = address >>> 24;
    if (octets > 1) buffer[at++] = address >>> 16;
    if (octets > 2) buffer[at++] = address >>> 8;
    if (octets > 3) buffer[at++] = address;
    this.writer.length = at;
  }

  /** One prefix whose address begins at `at`; only the octets that `length` bits need are read. Host bits zero. */
  prefix(bytes: Uint8Array, at: number, length: number, pathId = 0): void {
    const octets = (length + 7) >>> 3;
    const buffer = this.room(this.idOctets + 1 + octets);
    let to = this.pathId(buffer, this.writer.length, pathId);
    buffer[to++] = length;
    for (let i = at; i < at + octets; i++) buffer[to++] = bytes[i] as number;
    this.writer.length = to;
  }

  /** A run of well-formed NLRI, as `NlriBlock.bytes` has it: with identifiers exactly if the family has them. */
  nlri(run: Uint8Array): void {
    for (let at = 0; at < run.length; ) {
      const pathId = this.idOctets === 0 ? 0 : readU32(run, at);
      at += this.idOctets;
      const length = run[at] as number;
      this.prefix(run, at + 1, length, pathId);
      at += 1 + ((length + 7) >>> 3);
    }
  }

  /** Closes the open message, if there is one, and forgets what was begun. */
  end(): void {
    if (this.start >= 0) this.close();
    this.section = 'none';
    this.owner = 0;
  }

  /** RFC 4724 §2. */
  endOfRib(family: Family): void {
    this.end();
    const start = this.writer.length;
    beginMessage(this.writer, MESSAGE_TYPE.UPDATE);
    this.writer.u16(0);
    if (family === 'ipv4') this.writer.u16(0);
    else {
      this.writer.u16(6);
      this.writer.u8(FLAG.optional);
      this.writer.u8(ATTRIBUTE.mpUnreachNlri);
      this.writer.u8(3);
      this.writer.u16(AFI[family]);
      this.writer.u8(SAFI_UNICAST);
    }
    endMessage(this.writer, start);
    this.count += 1;
  }

  /** Everything written since the last `take`, in whole messages; empty when there is nothing. */
  take(): Uint8Array {
    this.end();
    this.count = 0;
    this.ownedRuns = [];
    return this.writer.take();
  }

  private room(size: number): Uint8Array {
    if (this.start >= 0 && this.writer.length + size > this.limit) this.close();
    if (this.start < 0) this.open();
    return this.writer.reserve(size);
  }

  private open(): void {
    const { writer } = this;
    if (this.section === 'none') throw new Error('a prefix without beginReach or beginWithdraw');
    this.start = writer.length;
    this.count += 1;
    beginMessage(writer, MESSAGE_TYPE.UPDATE);
    this.limit = this.start + this.longest;
    switch (this.section) {
      case 'reach':
        writer.u16(0);
        writer.u16(this.attributes.length);
        writer.bytes(this.attributes);
        break;
      case 'withdraw':
        this.lengthAt = writer.length;
        writer.u16(0);
        this.limit -= 2;
        break;
      case 'mpReach':
        this.openMp(ATTRIBUTE.mpReachNlri);
        writer.u8(this.nextHop.length);
        writer.bytes(this.nextHop);
        writer.u8(0);
        this.limit -= this.attributes.length;
        break;
      case 'mpUnreach':
        this.openMp(ATTRIBUTE.mpUnreachNlri);
        break;
    }
    this.ownedFrom = writer.length;
  }

  /** Withdrawn routes length, total attribute length (open), attribute header (length open), AFI, SAFI. */
  private openMp(code: number): void {
    const { writer } = this;
    writer.u16(0);
    this.lengthAt = writer.length;
    writer.u16(0);
    writer.u8(MP_FLAGS);
    writer.u8(code);
    writer.u16(0);
    writer.u16(AFI[this.family]);
    writer.u8(SAFI_UNICAST);
  }

  private close(): void {
    const { writer, lengthAt } = this;
    this.endOwned();
    if (this.section === 'withdraw') {
      writer.patchU16(lengthAt, writer.length - lengthAt - 2);
      writer.u16(0);
    } else if (this.section === 'mpReach' || this.section === 'mpUnreach') {
      // Six octets: total attribute length, flags, code, attribute length.
      writer.patchU16(lengthAt + 4, writer.length - lengthAt - 6);
      if (this.section === 'mpReach') writer.bytes(this.attributes);
      writer.patchU16(lengthAt, writer.length - lengthAt - 2);
    }
    endMessage(writer, this.start);
    this.start = -1;
  }
}
