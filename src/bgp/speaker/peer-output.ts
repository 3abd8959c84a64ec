/**
 * What one established session is told: an adj-rib-out per family, its update group, End-of-RIB and refresh markers. In:
 * changed prefixes, policy and next hops; out: bytes to the session while it takes them.
 */
import type { Family } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import type { Negotiated } from '../io/session-port.ts';
import { compileExport, exportKey } from '../policy/export.ts';
import { ownNextHop } from '../rib/own-next-hop.ts';
import { AdjRibOut } from '../rib/adj-rib-out.ts';
import type { Adjacency } from '../rib/adjacency.ts';
import type { MpNextHop } from '../wire/messages.ts';
import { AFI, SAFI_UNICAST } from '../wire/codes.ts';
import { encodeRouteRefresh } from '../wire/message.ts';
import { UpdateWriter } from '../wire/update-writer.ts';
import type { Peer, PeerContext } from './peer.ts';

/** Prefixes looked at before the bytes are sent: enough to pack well, about 20 kB for IPv4. */
const prefixesPerRun = 4096;

interface FamilyOutput {
  readonly ribOut: AdjRibOut;
  nextHop: MpNextHop;
  /** End-of-RIB is due when all is said for the first time. */
  endOfRib: boolean;
  /** RFC 7313: the end marker of a refresh is due when all is said again. */
  endOfRefresh: boolean;
  /** ROUTE-REFRESH came and was not begun yet. */
  refreshWanted: boolean;
}

export class PeerOutput {
  /** The socket is full; nothing is written until it says it has room. */
  blocked = false;
  readonly #peer: Peer;
  readonly #negotiated: Negotiated;
  readonly #adjacency: Adjacency;
  readonly #context: PeerContext;
  readonly #writer: UpdateWriter;
  readonly #outputs = new Map<Family, FamilyOutput>();
  #policyKey = '';
  /** Where letting go stands, once the session is over. */
  #disposing = 1;

  constructor(peer: Peer, negotiated: Negotiated, adjacency: Adjacency, context: PeerContext) {
    this.#peer = peer;
    this.#negotiated = negotiated;
    this.#adjacency = adjacency;
    this.#context = context;
    this.#writer = new UpdateWriter(negotiated.context);
    this.review(true);
  }

  get noNextHop(): readonly Family[] {
    return this.#negotiated.context.families.filter((family) => !this.#outputs.has(family));
  }

  ribOut(family: Family): AdjRibOut | undefined {
    return this.#outputs.get(family)?.ribOut;
  }

  /** The kernel's view or the peer's policy changed: next hops and groups follow, and what differs is sent. */
  review(policyChanged: boolean): void {
    const { intent } = this.#peer;
    if (policyChanged) this.#policyKey = exportKey(intent, this.#context.exportNode());
    for (const family of this.#negotiated.context.families) {
      const nextHop = ownNextHop(family, this.#negotiated, this.#context.view());
      const present = this.#outputs.get(family);
      if (nextHop === undefined) this.#silence(family, present);
      else if (present === undefined) this.#open(family, nextHop);
      else if (
        policyChanged ||
        nextHop.global !== present.nextHop.global ||
        nextHop.linkLocal !== present.nextHop.linkLocal
      ) {
        const observed = present.ribOut.group;
        present.nextHop = nextHop;
        present.ribOut.group = this.#join(family, nextHop);
        this.#context.core.leaveGroup(observed);
        present.ribOut.walkAll();
      }
    }
    this.#context.wake();
  }

  #join(family: Family, nextHop: MpNextHop): AdjRibOut['group'] {
    const { intent, external } = this.#peer;
    const node = this.#context.exportNode();
    return this.#context.core.joinGroup(this.#policyKey, {
      family,
      rules: compileExport(intent, external, node),
      external,
      clusterId: node.clusterId,
      localAsn: intent.localAsn,
      nextHop,
      context: this.#negotiated.context,
    });
  }

  #open(family: Family, nextHop: MpNextHop): void {
    const { core } = this.#context;
    const ribOut = new AdjRibOut(
      core.ribs[family],
      this.#join(family, nextHop),
      this.#adjacency.slot,
      core.encoded,
      this.#context.mayAnnounceLearned(),
    );
    this.#outputs.set(family, { ribOut, nextHop, endOfRib: true, endOfRefresh: false, refreshWanted: false });
  }

  /** Our address of the family is gone: what was announced with it is withdrawn. */
  #silence(family: Family, present: FamilyOutput | undefined): void {
    if (present === undefined) return;
    this.#outputs.delete(family);
    present.ribOut.withdrawAll(this.#writer);
    this.#send();
    this.#context.core.leaveGroup(present.ribOut.group);
    disposeNow(present.ribOut);
  }

  decided(family: Family, prefix: number): void {
    this.#outputs.get(family)?.ribOut.decided(prefix);
  }

  /** Learned routes may be announced from now on. */
  releaseLearned(): void {
    for (const { ribOut } of this.#outputs.values()) {
      ribOut.learned = true;
      ribOut.walkAll();
    }
  }

  /** The peer wants everything again; asked for often before the next slice, it gets it once. */
  refresh(family: Family): void {
    const output = this.#outputs.get(family);
    if (output !== undefined) output.refreshWanted = true;
  }

  #beginRefresh(family: Family, output: FamilyOutput): void {
    output.refreshWanted = false;
    // RFC 7313 §4: no beginning before the End-of-RIB.
    if (this.#peer.enhancedRefresh && !output.endOfRefresh && !output.endOfRib) {
      this.#raw(encodeRouteRefresh({ afi: AFI[family], safi: SAFI_UNICAST, subtype: 1 }));
      output.endOfRefresh = true;
    }
    output.ribOut.resendAll();
  }

  /** One slice; answers whether more could be written now. */
  run(): boolean {
    if (this.blocked) return false;
    let worked = false;
    for (const family of families) {
      const output = this.#outputs.get(family);
      if (output === undefined) continue;
      if (output.refreshWanted) this.#beginRefresh(family, output);
      if (output.ribOut.run(this.#writer, prefixesPerRun)) worked = true;
      this.#markers(family, output);
      if (this.blocked) return false;
    }
    return worked;
  }

  #markers(family: Family, output: FamilyOutput): void {
    const { ribOut } = output;
    const saidAll = ribOut.idle && ribOut.rib.undecidedCount === 0;
    // RFC 4724 §4.1: a restarting speaker sends its marker only when it knows what to announce.
    if (saidAll && output.endOfRib && (ribOut.learned || !ribOut.group.learnedToo)) {
      output.endOfRib = false;
      this.#writer.endOfRib(family);
    }
    this.#send();
    if (saidAll && output.endOfRefresh) {
      output.endOfRefresh = false;
      this.#raw(encodeRouteRefresh({ afi: AFI[family], safi: SAFI_UNICAST, subtype: 2 }));
    }
  }

  #send(): void {
    if (this.#writer.messages === 0) return;
    this.#raw(this.#writer.take());
    this.#context.changed();
  }

  #raw(bytes: Uint8Array): void {
    if (this.#peer.session?.send(bytes) === false) this.blocked = true;
  }

  withdrawAll(): void {
    for (const { ribOut } of this.#outputs.values()) ribOut.withdrawAll(this.#writer);
    this.#send();
  }

  /** Leaves the groups; what was sent is let go of in slices by `disposeSome`. */
  close(): void {
    for (const { ribOut } of this.#outputs.values()) this.#context.core.leaveGroup(ribOut.group);
  }

  /** Answers whether something is left. */
  disposeSome(count: number): boolean {
    const [first] = this.#outputs;
    if (first === undefined) return false;
    const [family, { ribOut }] = first;
    this.#disposing = ribOut.dispose(this.#disposing, count);
    if (this.#disposing === 0) {
      this.#outputs.delete(family);
      this.#disposing = 1;
    }
    return this.#outputs.size > 0;
  }
}

function disposeNow(ribOut: AdjRibOut): void {
  for (let at = 1; at !== 0; ) at = ribOut.dispose(at, 65_536);
}
