/**
 * One chain of ours in nftables, kept as it was written. Anybody may flush a ruleset (a reload of nftables.service begins
 * with it); whether ours is still what it was is seen without the nft program, by the handles of its rules.
 */
import { AppError } from '#lib/result.ts';
import { NETLINK_NETFILTER } from '#linux/socket.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import {
  appendDumpRules,
  appendGetChain,
  appendGetTable,
  decodeChain,
  decodeRuleHandle,
  decodeTable,
  NF_DROP,
  NFPROTO,
  type RulesetChain,
  type RulesetTable,
} from '#netlink/wire/ruleset.ts';
import { NFT_TABLE } from '../../kernel-names.ts';
import type { Ruleset } from '../ruleset.ts';
import { applyRuleset } from './nft.ts';

interface ChainState {
  readonly rules: number;
  /** Another one after any change. */
  readonly mark: string;
}

/** `undefined` when the chain is not there or lets nothing through as it should. Errors: AppError `OS_*`. */
function observe({ family: word, chain }: Ruleset): ChainState | undefined {
  const family = word === 'arp' ? NFPROTO.ARP : NFPROTO.INET;
  const socket = NetlinkSocket.open({ protocol: NETLINK_NETFILTER });
  try {
    const batch = new MessageBatch(256);
    appendGetTable(batch, family, NFT_TABLE);
    appendGetChain(batch, family, NFT_TABLE, chain);
    let table: RulesetTable | undefined;
    let found: RulesetChain | undefined;
    socket.execute(batch, (_, reader, message) => {
      table = decodeTable(reader, message) ?? table;
      found = decodeChain(reader, message) ?? found;
    });
    if (table === undefined || table.flags !== 0 || found?.hook === undefined || found.policy === NF_DROP)
      return undefined;
    const rules = socket.dumpList((dump) => appendDumpRules(dump, family, NFT_TABLE, chain), decodeRuleHandle);
    if (!rules.ok) return undefined;
    return { rules: rules.value.length, mark: [table.handle, found.handle, ...rules.value].join(' ') };
  } finally {
    socket.close();
  }
}

/** Whoever made it. Errors: AppError `OS_*`. */
export const chainIsThere = (ruleset: Ruleset): boolean => observe(ruleset) !== undefined;

export class KeptChain {
  #written: { readonly ruleset: Ruleset; readonly mark: string } | undefined;

  /** The chain is there as it was written last. Costs a few system calls. */
  isAsWritten(): boolean {
    return this.#written !== undefined && observe(this.#written.ruleset)?.mark === this.#written.mark;
  }

  /** Errors: AppError `OS_NFT_MISSING`, `OS_NFT_REFUSED`. */
  async write(ruleset: Ruleset): Promise<void> {
    this.#written = undefined;
    try {
      await applyRuleset(ruleset.json);
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'OS_NFT_REFUSED') throw error;
      // A table that was put to sleep, for instance, takes no chain. The other chains in it are kept by whoever writes them.
      await applyRuleset(ruleset.anew);
    }
    const state = observe(ruleset);
    // Somebody was quicker: what is there now is not what was written.
    if (state?.rules !== ruleset.rules)
      throw new AppError('OS_NFT_REFUSED', `the chain ${ruleset.chain} was changed while it was written`, {
        retry: 'backoff',
      });
    this.#written = { ruleset, mark: state.mark };
  }
}
