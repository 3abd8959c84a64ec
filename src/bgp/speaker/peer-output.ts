/**
 * What one established session is told: an adj-rib-out per family in its update group, End-of-RIB and refresh markers. In:
 * policy, next hops, requests for a refresh; out: bytes to the session while it takes them. What changed for all peers of a
 * group comes from the group.
 */
import type { Family } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import type { Negotiated } from '../io/session-port.ts';
import { compileExport, exportKey } from '../policy/export.ts';
import type { KeepRule } from '../rib/kept-next-hop.ts';
import { keepRule } from '../rib/kept-next-hop.ts';
import { ownNextHop } from '../rib/own-next-hop.ts';
import { AdjRibOut } from '../rib/adj-rib-out.ts';
import type { Adjacency } from '../rib/adjacency.ts';
import type { GroupTerms } from '../rib/update-groups.ts';
import { groupTerms } from '../rib/update-groups.ts';
import type { MpNextHop } from '../wire/messages.ts';
import { AFI, SAFI_UNICAST } from '../wire/codes.ts';
import { encodeRouteRefresh } from '../wire/message.ts';
import { takesLongLived } from '../wire/negotiate.ts';
import { UpdateWriter } from '../wire/update-writer.ts';
import type { Peer, PeerContext } from './peer.ts';

/** Routes looked at before the bytes are sent: enough to pack well, about 20 kB for IPv4. */
export const routesPerRun = 4096;

interface FamilyOutput {
  readonly ribOut: AdjRibOut;
  nextHop: MpNextHop;
  keep: KeepRule;
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
    if (policyChanged) this.#policyKey = exportKey(intent, this.#context.exportNode(), this.#takesLongLived);
    const keep = keepRule(
      {
        mode: intent.nextHopMode ?? 'Auto',
        external: this.#peer.external,
        multihop: intent.ebgpMultihop > 1 || (intent.ttlSecurity ?? 1) > 1,
      },
      this.#negotiated,
      this.#context.view(),
    );
    for (const family of this.#negotiated.context.families) {
      const nextHop = ownNextHop(family, this.#negotiated, this.#context.view());
      const present = this.#outputs.get(family);
      if (nextHop === undefined) this.#silence(family, present);
      else if (present === undefined) this.#open(family, nextHop, keep);
      else if (
        policyChanged ||
        keep.key !== present.keep.key ||
        nextHop.global !== present.nextHop.global ||
        nextHop.linkLocal !== present.nextHop.linkLocal
      ) {
        present.nextHop = nextHop;
        present.keep = keep;
        this.#context.core.groups.move(present.ribOut, this.#terms(family, nextHop, keep));
      }
    }
    this.#context.wake();
  }

  #terms(family: Family, nextHop: MpNextHop, keep: KeepRule): GroupTerms {
    const { intent, external } = this.#peer;
    const { context } = this.#negotiated;
    const node = this.#context.exportNode();
    return groupTerms(this.#policyKey, {
      family,
      paths: context.addPath?.send.includes(family) === true ? intent.addPath?.send : undefined,
      maxAnnounced: intent.maxAnnounced,
      rules: compileExport(intent, external, node, this.#takesLongLived, (hop) =>
        this.#context.core.nextHops.reachedBy(hop),
      ),
      external,
      clusterId: node.clusterId,
      localAsn: intent.localAsn,
      nextHop,
      keep,
      context,
    });
  }

  get #takesLongLived(): boolean {
    return takesLongLived(this.#negotiated.peerCapabilities);
  }

  #open(family: Family, nextHop: MpNextHop, keep: KeepRule): void {
    const group = this.#context.core.groups.group(this.#terms(family, nextHop, keep));
    const ribOut = new AdjRibOut(group, this.#adjacency.slot, {
      isBlocked: () => this.blocked,
      send: (bytes) => this.#send(bytes),
    });
    group.join(ribOut);
    this.#outputs.set(family, { ribOut, nextHop, keep, endOfRib: true, endOfRefresh: false, refreshWanted: false });
  }

  /** Our address of the family is gone: what was announced with it is withdrawn. */
  #silence(family: Family, present: FamilyOutput | undefined): void {
    if (present === undefined) return;
    this.#outputs.delete(family);
    present.ribOut.withdrawAll();
    this.#context.core.groups.leave(present.ribOut);
    this.#context.disposeRibOut(present.ribOut);
  }

  /** These are in other groups now. A refresh that was on begins again: what was said of it counts no more. */
  moved(ribOuts: ReadonlySet<AdjRibOut>): void {
    for (const output of this.#outputs.values())
      if (output.endOfRefresh && ribOuts.has(output.ribOut)) output.refreshWanted = true;
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

  /** One slice of catching up and of markers; answers whether more could be written now. */
  run(): boolean {
    let worked = false;
    for (const family of families) {
      const output = this.#outputs.get(family);
      if (output === undefined) continue;
      if (this.blocked) return false;
      if (output.refreshWanted && !output.ribOut.isNew) this.#beginRefresh(family, output);
      if (output.ribOut.run(routesPerRun)) worked = true;
      this.#markers(family, output);
    }
    return worked && !this.blocked;
  }

  #markers(family: Family, output: FamilyOutput): void {
    const { ribOut } = output;
    if (!(output.endOfRib || output.endOfRefresh) || output.refreshWanted) return;
    if (!ribOut.idle || ribOut.rib.undecidedCount > 0) return;
    const { group } = ribOut;
    // RFC 4724 §4.1: a restarting speaker sends its marker only when it knows what to announce.
    if (output.endOfRib && (group.learned || !group.policy.learnedToo)) {
      output.endOfRib = false;
      this.#writer.endOfRib(family);
      this.#send(this.#writer.take());
    }
    if (output.endOfRefresh) {
      output.endOfRefresh = false;
      this.#raw(encodeRouteRefresh({ afi: AFI[family], safi: SAFI_UNICAST, subtype: 2 }));
    }
  }

  #send(bytes: Uint8Array): void {
    this.#raw(bytes);
    this.#context.changed();
  }

  #raw(bytes: Uint8Array): void {
    if (this.#peer.session?.send(bytes) === false) this.blocked = true;
  }

  withdrawAll(): void {
    for (const { ribOut } of this.#outputs.values()) ribOut.withdrawAll();
  }

  /** Leaves the groups; what was noted is let go of in slices. */
  close(): void {
    for (const { ribOut } of this.#outputs.values()) {
      this.#context.core.groups.leave(ribOut);
      this.#context.disposeRibOut(ribOut);
    }
    this.#outputs.clear();
  }
}
