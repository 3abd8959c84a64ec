/**
 * What pods asked for lately and only a claim can give. In: the failures of ADDs, by attachment; a runtime calls again, so
 * one attachment counts once and is forgotten a while after its last call. Out: the demand, for whoever claims blocks.
 */
import type { AttachmentKey } from '#dataplane/pod/attachment.ts';
import type { AddressFailure } from '#ipam/allocator.ts';
import type { ClaimProblem } from '#ipam/claims/intent.ts';
import type { Demand, DemandedChoice } from '#ipam/intent.ts';
import type { IpAddress } from '#lib/ip.ts';

/** A kubelet tries a sandbox again within a minute and a half; pods that went away instead ask for nothing. */
const REMEMBERED_MS = 120_000;

/** Failures that a claim can end. */
export type Want = Extract<AddressFailure, { readonly kind: 'full' | 'unclaimed' }>;

export const claimable = (error: AddressFailure): error is Want =>
  error.kind === 'unclaimed' || (error.kind === 'full' && error.claimable);

/** Why the claim that this waits for does not come. */
export const problemOf = (want: Want, problems: readonly ClaimProblem[] = []): ClaimProblem | undefined =>
  problems.find(({ kind, pools, address }) => {
    if (kind === 'api' || kind === 'noNode') return true;
    if (want.kind === 'unclaimed') return address === want.address;
    return address === undefined && want.pools.every((pool) => pools.includes(pool));
  });

export class Demands {
  readonly #wants = new Map<string, { readonly want: Want; readonly at: number }>();

  asked(key: AttachmentKey, want: Want, at: number): void {
    this.#wants.set(keyText(key), { want, at });
  }

  served(key: AttachmentKey): void {
    this.#wants.delete(keyText(key));
  }

  now(at: number): Demand {
    const choices = new Map<string, DemandedChoice>();
    const addresses = new Set<IpAddress>();
    for (const [key, { want, at: asked }] of this.#wants) {
      if (at - asked > REMEMBERED_MS) this.#wants.delete(key);
      else if (want.kind === 'unclaimed') addresses.add(want.address);
      else {
        const { pools, family } = want;
        const of = `${family} ${pools.join(' ')}`;
        choices.set(of, { pools, family, count: (choices.get(of)?.count ?? 0) + 1 });
      }
    }
    return { choices: [...choices.values()], addresses: [...addresses].sort() };
  }
}

const keyText = ({ containerId, interfaceName, networkHash }: AttachmentKey): string =>
  `${networkHash} ${containerId} ${interfaceName}`;
