/**
 * Desired against what GoBGP says, as an ordered list of calls. PURE. Peers that must go go first, then paths, then peers that
 * come: GoBGP sends End-of-RIB when it has sent what it has. What carries no mark of ours is left alone and named as drift.
 */
import { dynamicOwner, type Desired, type DesiredPath, type DesiredPeer, ownPathId, ownerOf } from './desired.ts';
import type { Dialect } from './dialect.ts';
import type { DynamicNeighborMessage, GlobalMessage, PeerGroupMessage, PeerMessage } from './messages.ts';
import { familyMessage } from './desired.ts';
import type { Prefix } from '#lib/ip.ts';

export interface Step {
  readonly method: string;
  readonly request: object;
  /** For the log, without a password: `add peer tor-a`. */
  readonly what: string;
}

export interface ObservedPath {
  readonly prefix: Prefix;
  readonly own: boolean;
  readonly attributes: readonly Uint8Array[];
}

export interface Observed {
  /** `undefined`: BGP was not started there. */
  readonly global: GlobalMessage | undefined;
  readonly peers: readonly PeerMessage[];
  readonly groups: readonly PeerGroupMessage[];
  readonly dynamic: readonly DynamicNeighborMessage[];
  /** Those that begin in GoBGP. */
  readonly paths: readonly ObservedPath[];
}

export interface Plan {
  readonly before: readonly Step[];
  readonly paths: readonly Step[];
  readonly after: readonly Step[];
  /** Made by somebody else: one sentence each. */
  readonly drift: readonly string[];
  /** Peers that cannot be there because somebody else's stands in their place, by name, with the reason. */
  readonly conflicts: ReadonlyMap<string, string>;
}

/** Of somebody else's things. */
export type Foreign = 'Keep' | 'Remove';

export const nothingThere: Observed = { global: undefined, peers: [], groups: [], dynamic: [], paths: [] };

/** Peers that came from a listen range are made by GoBGP itself. */
const isDynamic = (peer: PeerMessage): boolean => dynamicOwner(peer) !== undefined;

export const addressOf = ({ conf, state }: PeerMessage): string =>
  state?.neighborAddress !== undefined && state.neighborAddress !== ''
    ? state.neighborAddress
    : (conf?.neighborAddress ?? '');

const sameBytes = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean =>
  a.length === b.length && a.every((bytes, i) => Buffer.compare(bytes, b[i] ?? new Uint8Array(0)) === 0);

/** NEXT_HOP and MP_REACH_NLRI come back as GoBGP writes them; what else we said must be the same. */
const told = (attributes: readonly Uint8Array[]): Uint8Array[] =>
  attributes.filter((bytes) => bytes[1] !== 3 && bytes[1] !== 14).sort((a, b) => (a[1] ?? 0) - (b[1] ?? 0));

const isSamePeer = ({ message }: DesiredPeer, { conf }: PeerMessage): boolean =>
  conf?.description === message.conf?.description && conf?.authPassword === message.conf?.authPassword;

const deletePeer = (address: string, what: string): Step => ({
  method: 'DeletePeer',
  request: { address, interface: '' },
  what,
});

export function pathStep(method: 'AddPath' | 'DeletePath', { table }: Dialect, path: DesiredPath, what: string): Step {
  const family = familyMessage(path.family);
  const message = {
    nlriBinary: path.nlri,
    pattrsBinary: path.attributes,
    family,
    identifier: ownPathId,
  };
  return { method, request: { tableType: table.global, family, path: message }, what };
}

export interface PlanInput {
  readonly observed: Observed;
  readonly desired: Desired;
  readonly dialect: Dialect;
  readonly foreign: Foreign;
  /** What our own paths were made of that may be there still. */
  readonly pathOf: (prefix: Prefix) => DesiredPath;
  /** Whether the peer of this name is told that we restart (RFC 4724 §4.1). */
  readonly isRestart: (name: string) => boolean;
}

export function planGobgp(input: PlanInput): Plan {
  const { observed, desired, dialect, foreign, isRestart } = input;
  const before: Step[] = [];
  const after: Step[] = [];
  const drift: string[] = [];
  const conflicts = new Map<string, string>();
  const byAddress = new Map(observed.peers.filter((it) => !isDynamic(it)).map((peer) => [addressOf(peer), peer]));
  const wanted = new Map(desired.peers.map((peer) => [peer.address, peer]));

  for (const [address, peer] of byAddress) {
    const owner = ownerOf(peer.conf?.description ?? '');
    const mine = wanted.get(address);
    if (owner === undefined && foreign === 'Keep') {
      drift.push(`peer ${address} was added to GoBGP by somebody else`);
      if (mine !== undefined)
        conflicts.set(
          mine.intent.name,
          `GoBGP has a peer ${address} that somebody else added; delete it there (gobgp neighbor del ${address})`,
        );
      continue;
    }
    const isKept = owner !== undefined && mine !== undefined && isSamePeer(mine, peer);
    if (!isKept) {
      before.push(deletePeer(address, `delete peer ${owner ?? address}`));
      byAddress.delete(address);
    }
  }

  groupSteps(input, before, after, drift);
  // Seconds that routes wait for what others have to say. GoBGP also waits for those that cannot say that they are done, and our own
  // routes are there before the first session.
  const passesOn = desired.peers.some(({ intent }) => intent.transit || intent.routeReflectorClient === true);
  for (const peer of desired.peers) {
    const { name } = peer.intent;
    const present = byAddress.get(peer.address);
    if (present === undefined) {
      const { gracefulRestart } = peer.message;
      const message = {
        ...peer.message,
        gracefulRestart: gracefulRestart && {
          ...gracefulRestart,
          deferralTime: passesOn ? gracefulRestart.restartTime : 1,
          localRestarting: gracefulRestart.enabled && isRestart(name),
        },
      };
      after.push({ method: 'AddPeer', request: { peer: message }, what: `add peer ${name}` });
    } else if (!conflicts.has(name)) after.push(...adminSteps(peer, present, dialect));
  }
  return { before, paths: pathSteps(input, drift), after, drift, conflicts };
}

function adminSteps({ intent, address, message }: DesiredPeer, present: PeerMessage, { adminState }: Dialect): Step[] {
  const isDown = present.state?.adminState === adminState.down;
  if (message.conf?.adminDown === isDown) return [];
  if (isDown) return [{ method: 'EnablePeer', request: { address }, what: `enable peer ${intent.name}` }];
  const communication = intent.enabled ? 'drained' : (intent.shutdownText ?? 'peer disabled');
  return [{ method: 'DisablePeer', request: { address, communication }, what: `disable peer ${intent.name}` }];
}

/** A group that changed is made anew, and with it the sessions that came from its range. */
function groupSteps({ observed, desired, foreign }: PlanInput, before: Step[], after: Step[], drift: string[]): void {
  const wanted = new Map(desired.groups.map((group) => [group.name, group]));
  const kept = new Set<string>();
  for (const { conf } of observed.groups) {
    const name = conf?.peerGroupName ?? '';
    const mine = wanted.get(name);
    const isOurs = ownerOf(conf?.description ?? '') !== undefined;
    if (!isOurs && foreign === 'Keep') {
      drift.push(`peer group ${name} was added to GoBGP by somebody else`);
      continue;
    }
    const isSame =
      mine !== undefined &&
      conf?.description === mine.message.conf['description'] &&
      conf?.authPassword === mine.message.conf['authPassword'];
    if (isSame) {
      kept.add(name);
      continue;
    }
    for (const { prefix, peerGroup } of observed.dynamic)
      if (peerGroup === name)
        before.push({
          method: 'DeleteDynamicNeighbor',
          request: { prefix, peerGroup },
          what: `close listen range ${prefix}`,
        });
    for (const peer of observed.peers)
      if (dynamicOwner(peer) === name)
        before.push(deletePeer(addressOf(peer), `delete peer ${name}/${addressOf(peer)}`));
    before.push({ method: 'DeletePeerGroup', request: { name }, what: `delete peer group ${name}` });
  }
  for (const { name, prefix, message } of desired.groups) {
    if (!kept.has(name))
      after.push({ method: 'AddPeerGroup', request: { peerGroup: message }, what: `add peer group ${name}` });
    if (!kept.has(name) || !observed.dynamic.some((it) => it.prefix === prefix && it.peerGroup === name))
      after.push({
        method: 'AddDynamicNeighbor',
        request: { dynamicNeighbor: { prefix, peerGroup: name } },
        what: `open listen range ${prefix}`,
      });
  }
}

function pathSteps({ observed, desired, dialect, foreign, pathOf }: PlanInput, drift: string[]): Step[] {
  const steps: Step[] = [];
  const present = new Map<Prefix, ObservedPath>();
  for (const path of observed.paths) {
    if (path.own) {
      present.set(path.prefix, path);
      if (!desired.paths.has(path.prefix))
        steps.push(pathStep('DeletePath', dialect, pathOf(path.prefix), `withdraw ${path.prefix}`));
      continue;
    }
    if (foreign === 'Keep') drift.push(`path ${path.prefix} was added to GoBGP by somebody else`);
    else {
      const { family, path: message } = foreignPath(path, pathOf(path.prefix));
      const request = { tableType: dialect.table.global, family, path: message };
      steps.push({ method: 'DeletePath', request, what: `delete path ${path.prefix} of somebody else` });
    }
  }
  for (const path of desired.paths.values()) {
    const there = present.get(path.prefix);
    if (there === undefined || !sameBytes(told(there.attributes), told(path.attributes)))
      steps.push(pathStep('AddPath', dialect, path, `announce ${path.prefix}`));
  }
  return steps;
}

const foreignPath = (
  { attributes }: ObservedPath,
  { family, nlri }: DesiredPath,
): { family: object; path: object } => ({
  family: familyMessage(family),
  path: { nlriBinary: nlri, pattrsBinary: attributes, family: familyMessage(family), identifier: 0 },
});
