/**
 * Withdrawal of what a changed export policy refuses. GoBGP's soft reset sends what passes and withdraws nothing, so what each
 * peer had is compared with what it is to have; paths that begin in GoBGP are replaced in a way that makes GoBGP withdraw them. For
 * learned paths there is no such way: the session has to be a new one.
 */
import type { Prefix } from '#lib/ip.ts';
import { type DesiredPath, nameOf } from './desired.ts';
import { isUp } from './facts.ts';
import type { GobgpClient } from './io/client.ts';
import { announcedTo, readPeers } from './io/observe.ts';
import type { PeerMessage } from './messages.ts';
import { bareAddress } from './paths.ts';
import { addressOf, pathStep, type Step } from './plan.ts';
import { type Withdrawal, withdrawalPolicy } from './policies.ts';
import { assign, type Changed, isAmong } from './policy-plan.ts';

export type Announced = ReadonlyMap<string, { readonly peer: PeerMessage; readonly prefixes: ReadonlySet<Prefix> }>;

/** What GoBGP's policy of this moment lets through to each established peer of these, by its name. */
export async function readAnnounced(client: GobgpClient, whose: Changed): Promise<Announced> {
  if (whose !== 'all' && whose.size === 0) return new Map();
  const found = new Map<string, { peer: PeerMessage; prefixes: ReadonlySet<Prefix> }>();
  for (const peer of await readPeers(client)) {
    const name = nameOf(peer);
    if (name === undefined || !isAmong(whose, name) || !isUp(peer)) continue;
    const prefixes = new Set(await announcedTo(client, addressOf(peer)));
    found.set(name, { peer, prefixes });
  }
  return found;
}

export interface WithdrawalPlan {
  readonly steps: readonly Step[];
  /** Names of peers whose sessions must be new ones, since GoBGP withdraws nothing of the kind. */
  readonly reset: readonly string[];
}

export interface WithdrawalInput {
  readonly before: Announced;
  readonly now: Announced;
  /** What begins in GoBGP and stays there, as it is and with the mark. */
  readonly own: ReadonlyMap<Prefix, { readonly path: DesiredPath; readonly marked: DesiredPath }>;
  /** Names of peers to which several paths of a prefix go: GoBGP withdraws none of those. */
  readonly several: (name: string) => boolean;
  /** Names of the export policies in force. */
  readonly exports: readonly string[];
  readonly keptSets: ReadonlySet<string>;
  readonly dialect: GobgpClient['dialect'];
}

/** PURE. */
export function planWithdrawals(input: WithdrawalInput): WithdrawalPlan {
  const { before, now, own, several, exports, keptSets, dialect } = input;
  const withdrawals: Withdrawal[] = [];
  const reset: string[] = [];
  for (const [name, { peer, prefixes }] of before) {
    const left = now.get(name)?.prefixes;
    if (left === undefined) continue;
    const gone = [...prefixes].filter((prefix) => !left.has(prefix));
    const neighbor = bareAddress(addressOf(peer));
    if (gone.length === 0) continue;
    if (neighbor === undefined || several(name) || gone.some((prefix) => !own.has(prefix))) reset.push(name);
    else withdrawals.push({ neighbor, prefixes: gone });
  }
  if (withdrawals.length === 0) return { steps: [], reset };
  const { sets, policy } = withdrawalPolicy(withdrawals, dialect);
  const paths = [...new Set(withdrawals.flatMap(({ prefixes }) => prefixes))].flatMap(
    (prefix) => own.get(prefix) ?? [],
  );
  return {
    reset,
    steps: [
      ...sets.map((definedSet) => ({
        method: 'AddDefinedSet',
        request: { definedSet },
        what: `add set ${definedSet.name}`,
      })),
      { method: 'AddPolicy', request: { policy }, what: `add policy ${policy.name}` },
      assign('export', [policy.name, ...exports]),
      ...paths.map(({ marked }) => pathStep('AddPath', dialect, marked, `mark ${marked.prefix}`)),
      assign('export', exports),
      ...paths.map(({ path }) => pathStep('AddPath', dialect, path, `announce ${path.prefix}`)),
      {
        method: 'DeletePolicy',
        request: { policy: { name: policy.name }, all: true },
        what: `delete policy ${policy.name}`,
      },
      ...sets
        .filter(({ name }) => !keptSets.has(name))
        .map((definedSet) => ({
          method: 'DeleteDefinedSet',
          request: { definedSet, all: true },
          what: `delete set ${definedSet.name}`,
        })),
    ],
  };
}
