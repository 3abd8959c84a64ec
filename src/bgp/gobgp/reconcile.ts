/**
 * One comparison: what is wanted against what GoBGP says, and the difference done. All of it is tried; the first refusal is what
 * people are told. In: calls; out: calls, and how it went.
 */
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { familyOf } from '#lib/ip.ts';
import { type BgpIntent, type PeerIntent, wantsSession } from '../engine.ts';
import { ownNextHop } from '../rib/own-next-hop.ts';
import { heldPeers } from './capabilities.ts';
import { type DesiredPath, desiredOf, nameOf, pathOf } from './desired.ts';
import { countByFamily, isUp } from './facts.ts';
import { type GobgpClient, isRefusal } from './io/client.ts';
import { observe, observePolicies } from './io/observe.ts';
import type { PeerMessage } from './messages.ts';
import type { Shared } from './modules.ts';
import type { Greetings } from './greetings.ts';
import { zonedAddress } from './neighbours.ts';
import { addressOf, type Foreign, planGobgp, type Step } from './plan.ts';
import { policiesOf, withdrawalMark } from './policies.ts';
import { isAmong, type PolicyPlan, planPolicies } from './policy-plan.ts';
import { planWithdrawals, readAnnounced, type WithdrawalInput } from './withdrawals.ts';

/** What GoBGP did not take, by what it was for. */
export type Refusals = Map<string, string>;

export interface Reconciliation {
  readonly client: GobgpClient;
  readonly shared: Shared;
  /** Where paths that begin in GoBGP were seen, ours and others'; what is wanted is added. */
  readonly local: Set<Prefix>;
  readonly greetings: Greetings;
}

export interface Reconciled {
  /** The first refusal. */
  readonly problem: string | undefined;
  /** Why a peer cannot be there, by its name. */
  readonly conflicts: ReadonlyMap<string, string>;
  readonly drift: readonly string[];
  /** Paths that begin in GoBGP, ours and others'. */
  readonly local: Readonly<Record<Family, number>>;
}

export const foreignOf = (intent: BgpIntent): Foreign => intent.engine?.foreign ?? 'Keep';

/** One call; what GoBGP refuses is put into `refused`, and everything else that fails is thrown. */
export async function perform(
  { client, shared }: Pick<Reconciliation, 'client' | 'shared'>,
  { method, request, what }: Step,
  refused: Refusals,
): Promise<void> {
  const { outputs } = shared.modules;
  try {
    await client.call(method, request);
    outputs.event('debug', 'gobgp.changed', { what });
  } catch (error) {
    if (!isRefusal(error)) throw error;
    refused.set(what, error.message);
    outputs.event('warn', 'gobgp.refused', { what, text: error.message });
  }
}

export async function reconcile(all: Reconciliation): Promise<Reconciled> {
  const { client, shared, local, greetings } = all;
  const { dialect } = client;
  const intent = shared.intent();
  const foreign = foreignOf(intent);
  const refused: Refusals = new Map();
  const policies = policiesOf(intent, {
    dialect,
    addressOf: (peer) => (peer.interface === undefined ? peer.address : shared.neighbours().get(peer.name)?.address),
    ipv6NextHop: (peer) => ipv6NextHop(peer, shared),
  });
  const policyPlan = planPolicies(policies, await observePolicies(client), foreign === 'Remove');
  // Read before and after the change: what a peer has and policy now refuses is withdrawn below.
  if (policyPlan.resume !== undefined) await perform(all, policyPlan.resume, refused);
  const before = await readAnnounced(client, policyPlan.changed.export);
  for (const step of policyPlan.before) await perform(all, step, refused);
  const now = before.size === 0 ? before : await readAnnounced(client, new Set(before.keys()));
  const isPolicyInForce = refused.size === 0;
  const desired = desiredOf(intent, zonedNeighbours(shared), heldPeers(intent, dialect.version));
  for (const prefix of desired.paths.keys()) local.add(prefix);
  const observed = await observe(client, local);
  const plan = planGobgp({
    observed,
    desired,
    dialect,
    foreign,
    pathOf: (prefix) => pathOf({ prefix, source: 'advertise' }),
    isRestart: (name) => greetings.isRestart(name),
  });
  // Without its policy no session is opened.
  const steps = [...plan.before, ...plan.paths, ...(isPolicyInForce ? plan.after : [])];
  for (const step of steps) await perform(all, step, refused);
  if (isPolicyInForce) for (const { intent: peer } of desired.peers) greetings.added(peer.name);
  const unfinished: Refusals = new Map();
  await judgeAnew(all, observed.peers, policyPlan.changed, unfinished);
  const sets = new Set(policies.sets.map(({ name }) => name));
  await withdraw(all, { before, now, exports: policyPlan.exports, keptSets: sets }, desired.paths, unfinished);
  for (const [what, text] of unfinished) refused.set(what, text);
  // Old policies go last: they say that a change is not finished, to whoever begins here anew.
  if (isPolicyInForce && unfinished.size === 0)
    for (const step of policyPlan.after) await perform(all, step, new Map());
  return {
    problem: [...refused.values()][0],
    conflicts: plan.conflicts,
    drift: [...plan.drift, ...policyPlan.drift],
    local: countByFamily([
      ...desired.paths.keys(),
      ...observed.paths.flatMap((it) => (it.own || foreign === 'Remove' ? [] : it.prefix)),
    ]),
  };
}

/** What peers had before and policy refuses now is taken from them. */
async function withdraw(
  all: Reconciliation,
  change: Pick<WithdrawalInput, 'before' | 'now' | 'exports' | 'keptSets'>,
  paths: ReadonlyMap<Prefix, DesiredPath>,
  refused: Refusals,
): Promise<void> {
  if (change.before.size === 0) return;
  const intent = all.shared.intent();
  const own = new Map(
    intent.announcements.flatMap((it) => {
      const path = paths.get(it.prefix);
      const marked = pathOf({ ...it, communities: [...(it.communities ?? []), withdrawalMark] });
      return path === undefined ? [] : [[it.prefix, { path, marked }] as const];
    }),
  );
  const several = (name: string): boolean => (intentOf(intent, name)?.addPath?.send ?? 1) > 1;
  const { dialect } = all.client;
  const { steps, reset } = planWithdrawals({ ...change, own, several, dialect });
  for (const step of steps) await perform(all, step, refused);
  for (const name of reset) await renew(all, name, change.now.get(name)?.peer, intent);
}

/** Where the unnumbered peers are, by name. */
const zonedNeighbours = ({ neighbours }: Shared): ReadonlyMap<string, string> =>
  new Map(
    [...neighbours()].flatMap(([name, it]) => {
      const address = zonedAddress(it);
      return address === undefined ? [] : [[name, address] as const];
    }),
  );

/** What this node says as IPv6 next hop over an IPv4 session. */
function ipv6NextHop({ address, sourceAddress }: PeerIntent, shared: Shared): IpAddress | undefined {
  const view = shared.view();
  const way = shared.best.nextHops.resolve(address, undefined);
  const link = way.ok ? view.interfaces.find(({ index }) => index === way.hop.interfaceIndex) : undefined;
  const localAddress = sourceAddress ?? link?.addresses.find((it) => familyOf(it.address) === 'ipv4')?.address;
  if (localAddress === undefined) return undefined;
  return ownNextHop('ipv6', { localAddress, remoteAddress: address, context: {} }, view)?.global;
}

/** Paths that are there are judged by the policy that has come into force. */
async function judgeAnew(
  all: Reconciliation,
  peers: readonly PeerMessage[],
  changed: PolicyPlan['changed'],
  refused: Refusals,
): Promise<void> {
  const { softReset } = all.client.dialect;
  for (const peer of peers) {
    const name = nameOf(peer);
    if (name === undefined || !isUp(peer)) continue;
    const isIn = isAmong(changed.import, name);
    const isOut = isAmong(changed.export, name);
    if (!isIn && !isOut) continue;
    const direction = isIn ? (isOut ? softReset.both : softReset.in) : softReset.out;
    const request = { address: addressOf(peer), soft: true, direction };
    await perform(all, { method: 'ResetPeer', request, what: `judge the paths of ${name} anew` }, refused);
  }
}

/** A session that is wanted still begins anew, so that the peer has nothing that policy refuses. */
async function renew(
  all: Reconciliation,
  name: string,
  peer: PeerMessage | undefined,
  intent: BgpIntent,
): Promise<void> {
  const wanted = intentOf(intent, name);
  if (
    peer === undefined ||
    wanted === undefined ||
    !wantsSession(wanted) ||
    heldPeers(intent, all.client.dialect.version).has(wanted.name)
  )
    return;
  const address = addressOf(peer);
  const steps: readonly Step[] = [
    {
      method: 'DisablePeer',
      request: { address, communication: 'export policy changed' },
      what: `end the session of ${name} for its export policy`,
    },
    { method: 'EnablePeer', request: { address }, what: `open the session of ${name} again` },
  ];
  // One that ended meanwhile needs none of it.
  for (const step of steps) await perform(all, step, new Map());
}

/** `name`: of a peer, or of one that came from its listen range. */
const intentOf = (intent: BgpIntent, name: string): PeerIntent | undefined =>
  intent.peers.find((peer) => peer.name === name || name.startsWith(`${peer.name}/`));
