/**
 * The steps of claims against the API. Each reads the live object first and writes under its resourceVersion, so that a
 * step from old knowledge changes nothing. Errors: ApiError. docs/decisions/0006-overlapping-blocks.md says why this is enough.
 */
import { Ground } from '#ipam/claims/ground.ts';
import type { BlockState } from '#ipam/claims/intent.ts';
import { overlaps, type Prefix } from '#lib/ip.ts';
import { ApiError, apiVersionOf, type ApiObject, isApiError, type ResourceStore } from '#kubernetes/store.ts';
import { areaOf, blockName, blockOfName, ipBlock } from '#resources/ip-block.ts';
import { ipBlockType, type LiveBlock, liveBlock, withSpec } from '#sources/kubernetes/ip-blocks.ts';

/** In whose name blocks are claimed. */
export interface Claimant {
  readonly node: string;
  /** `undefined`: there is no Node of that name, and what has it is taken for ours. */
  readonly uid: string | undefined;
  readonly machineID: string | undefined;
}

/** What the API has of a block now; `undefined`: nothing. */
export interface Seen {
  readonly name: string;
  readonly block: LiveBlock | undefined;
}

const seen = (name: string, object: ApiObject | undefined): Seen => ({
  name,
  block: object === undefined ? undefined : liveBlock(object),
});

const read = async (store: ResourceStore, name: string): Promise<Seen> =>
  seen(name, await store.get(ipBlockType, name));

const write = async (store: ResourceStore, object: ApiObject, spec: Readonly<Record<string, unknown>>): Promise<Seen> =>
  seen(object.metadata.name, await store.replace(ipBlockType, withSpec(object, spec)));

const isOurs = (who: Claimant, { block }: Seen): boolean =>
  block !== undefined &&
  block.node === who.node &&
  (who.uid === undefined || block.nodeUID === undefined || block.nodeUID === who.uid);

/** A list of one area costs the server a fifteenth of a list of everything, among 20,000 blocks. */
const MOST_AREAS = 12;

/** Blocks that there are, by the names of their objects, with the UID of each. */
export interface Look {
  readonly ground: Ground;
  readonly uids: ReadonlyMap<Prefix, string | undefined>;
}

/** One read of the whole cluster's blocks, metadata only: all pages are of one moment, not before the call. */
export async function look(store: ResourceStore): Promise<Look> {
  return seenIn(await store.list(ipBlockType, { metadataOnly: true }));
}

/**
 * Every block that can overlap one of these: those of their areas, then those that name no area, which nobody can add to an
 * object later. An API server of older definitions knows no areas and is asked for all.
 */
export async function lookAround(store: ResourceStore, cidrs: readonly Prefix[]): Promise<Look> {
  const areas = new Set(cidrs.map(areaOf));
  if (areas.has(undefined) || areas.size > MOST_AREAS) return await look(store);
  const found: ApiObject[] = [];
  try {
    for (const area of [...areas, ''])
      found.push(...(await store.list(ipBlockType, { metadataOnly: true, fieldSelector: `spec.area=${area}` })));
  } catch (error) {
    if (isApiError(error, 'API_INVALID')) return await look(store);
    throw error;
  }
  return seenIn(found);
}

function seenIn(objects: readonly ApiObject[]): Look {
  const uids = new Map<Prefix, string | undefined>();
  for (const { metadata } of objects) {
    const cidr = blockOfName(metadata.name);
    if (cidr !== undefined) uids.set(cidr, metadata.uid);
  }
  return { ground: new Ground(uids.keys()), uids };
}

/** Creates the object, which is the claim. What comes back may be another node's. */
export async function claim(store: ResourceStore, who: Claimant, cidr: Prefix): Promise<Seen> {
  const name = blockName(cidr);
  const object: ApiObject = {
    apiVersion: apiVersionOf(ipBlockType),
    kind: ipBlock.kind,
    metadata: { name },
    spec: {
      cidr,
      node: who.node,
      nodeUID: who.uid,
      ...(who.machineID === undefined ? {} : { machineID: who.machineID }),
      area: areaOf(cidr),
      state: 'Pending',
    },
  };
  try {
    return seen(name, await store.create(ipBlockType, object));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.code !== 'API_ALREADY_EXISTS' && !error.maybeDone) throw error;
    const found = await read(store, name);
    // The answer was lost before anything happened.
    if (found.block === undefined && error.maybeDone) throw error;
    return found;
  }
}

export interface Confirmed extends Seen {
  readonly outcome: 'claimed' | 'overlapped' | undefined;
  /** What overlaps it, for which it gave way. */
  readonly overlaps: readonly Prefix[];
}

/**
 * Blocks that were just made are used only after a look that began when they stood shows nothing that overlaps them.
 * Whoever sees an overlap gives way, whoever the other is.
 */
export async function confirm(
  store: ResourceStore,
  who: Claimant,
  names: readonly string[],
): Promise<{ readonly blocks: readonly Confirmed[]; readonly look: Look }> {
  const standing: Seen[] = [];
  for (const name of names) standing.push(await read(store, name));
  const looked = await lookAround(
    store,
    standing.flatMap(({ block }) => block?.cidr ?? []),
  );
  const blocks: Confirmed[] = [];
  for (const one of standing) {
    const { block } = one;
    if (block === undefined || !isOurs(who, one) || block.state !== 'Pending') {
      blocks.push({ ...one, outcome: undefined, overlaps: [] });
      continue;
    }
    // Gone, or made anew, between the two: it is looked at again.
    if (looked.uids.get(block.cidr) !== block.object.metadata.uid) continue;
    const others = [...looked.uids.keys()].filter((it) => it !== block.cidr && overlaps(it, block.cidr));
    const now = others.length === 0 ? await write(store, block.object, { state: 'Claimed' }) : await drop(store, one);
    blocks.push({ ...now, outcome: others.length === 0 ? 'claimed' : 'overlapped', overlaps: others });
  }
  return { blocks, look: looked };
}

async function drop(store: ResourceStore, { name, block }: Seen): Promise<Seen> {
  const { uid, resourceVersion } = block?.object.metadata ?? {};
  await store.remove(ipBlockType, name, {
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  });
  return { name, block: undefined };
}

/** From one state to another, if it is ours and in the first one; otherwise what it is. */
export async function turn(
  store: ResourceStore,
  who: Claimant,
  name: string,
  [from, to]: readonly [BlockState, BlockState],
): Promise<Seen> {
  const now = await read(store, name);
  if (now.block === undefined || !isOurs(who, now) || now.block.state !== from) return now;
  return write(store, now.block.object, { state: to });
}

/** The block of an earlier Node of this name on this very machine. Pending stays so: nobody has looked at it. */
export async function adopt(store: ResourceStore, who: Claimant, name: string): Promise<Seen> {
  const now = await read(store, name);
  const { block } = now;
  if (block === undefined || block.node !== who.node || block.nodeUID === who.uid) return now;
  if (who.machineID === undefined || block.machineID !== who.machineID) return now;
  return write(store, block.object, {
    nodeUID: who.uid,
    state: block.state === 'Pending' ? 'Pending' : 'Claimed',
  });
}

/** Deletes a block that nothing on this node knows any more. */
export async function remove(store: ResourceStore, who: Claimant, name: string): Promise<Seen> {
  const now = await read(store, name);
  if (now.block === undefined || !isOurs(who, now) || now.block.state === 'Claimed') return now;
  return drop(store, now);
}

/** The owners of what overlaps these addresses on the ground. What is not there any more is left out. */
export async function ownersOf(
  store: ResourceStore,
  ground: Ground,
  addresses: readonly Prefix[],
): Promise<readonly { readonly cidr: Prefix; readonly node: string }[]> {
  const found: { readonly cidr: Prefix; readonly node: string }[] = [];
  for (const cidr of new Set(addresses.flatMap((address) => ground.overlapping(address)))) {
    const { block } = await read(store, blockName(cidr));
    if (block !== undefined) found.push({ cidr, node: block.node });
  }
  return found;
}
