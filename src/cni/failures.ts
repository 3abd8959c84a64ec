/** PURE: what other rooms answer, in the words of a CNI error: what happened, to what, and what to do. */
import type { KernelRefusal } from '#dataplane/pod/io/pod-links.ts';
import type { NamespaceFailure } from '#dataplane/pod/io/peer-namespace.ts';
import type { AddressFailure } from '#ipam/allocator.ts';
import type { ClaimProblem } from '#ipam/claims/intent.ts';
import { familyOf } from '#lib/ip.ts';
import { assertNever } from '#lib/result.ts';
import { type CniFailure, cniCode, quote } from './spec.ts';

const familyName = { ipv4: 'IPv4', ipv6: 'IPv6' } as const;
/** Annotations may hold anything. */
const quoteName = (name: string): string => (/^[a-z0-9.-]{1,63}$/.test(name) ? name : quote(name));

/** As a caller wrote it; what is long or would do something to a terminal is quoted and cut. */
const path = (text: string): string => (/^[\x21-\x7e]{1,100}$/.test(text) ? text : quote(text));

const failure = (code: number, msg: string, details: string): CniFailure => ({ code, msg, details });

/** `problem`: why no block can be claimed now, where one could help. */
export function addressFailure(why: AddressFailure, problem?: ClaimProblem): CniFailure {
  switch (why.kind) {
    case 'noPool':
      return failure(
        cniCode.tryAgain,
        'this node has no addresses for this pod',
        `no enabled pool with automatic assignment${why.namespace === '' ? '' : ` for namespace ${why.namespace}`} has a block here; give the node one`,
      );
    case 'unknownPool':
      return failure(
        cniCode.invalidConfig,
        `there is no pool ${quoteName(why.pool)} with a block on this node`,
        why.known.length === 0
          ? 'this node has no pools'
          : `it has ${why.known.join(', ')}; name one of these, or give the node a block of that pool`,
      );
    case 'disabledPool':
      return failure(
        cniCode.invalidConfig,
        `the pool ${why.pool} gives no new addresses here`,
        'spec.disabled, its nodeSelector or an overlap with another pool; flatroute conditions says which',
      );
    case 'otherNamespace':
      return failure(
        cniCode.invalidConfig,
        `the pool ${why.pool} is not for pods of ${why.namespace === '' ? 'no namespace' : `namespace ${why.namespace}`}`,
        `its namespaceSelector is ${why.selector}; name another pool, or label the namespace`,
      );
    case 'unknownNamespace':
      return failure(
        cniCode.tryAgain,
        `the labels of namespace ${why.namespace} are not known`,
        `${why.pools.join(', ')} ${why.pools.length === 1 ? 'is' : 'are'} for namespaces with certain labels; add the Namespace to the resources`,
      );
    case 'full': {
      const pools = why.pools.join(', ');
      const where =
        why.capacity === 0
          ? `${pools}: every one on this node is reserved (IPReservation)`
          : `${pools}: none of ${why.capacity} is free on this node`;
      return why.fenced > 0
        ? failure(
            cniCode.tryAgain,
            `no free ${familyName[why.family]} address in ${where}; try again`,
            `${why.fenced} are being released: the veths of the pods that had them are not gone yet`,
          )
        : why.claimable
          ? failure(
              cniCode.tryAgain,
              `no free ${familyName[why.family]} address in ${where}, and no block was claimed; try again`,
              problem?.text ?? 'another block is being claimed',
            )
          : failure(
              cniCode.addressesExhausted,
              `no free ${familyName[why.family]} address in ${where}`,
              'give the node another block of the pool, or move pods away; flatroute pools shows how full each is',
            );
    }
    case 'unclaimed':
      return failure(
        cniCode.tryAgain,
        `the address ${why.address} of pool ${why.pool} is not claimed for this node; try again`,
        problem?.text ?? 'it is being claimed, or given back first',
      );
    case 'noBlock':
      return failure(
        cniCode.invalidConfig,
        `the address ${why.address} is not this node's to give`,
        'fixed addresses are IPBlocks of this node in a pool with assignmentMode Manual; add the block, or ask for another address',
      );
    case 'automaticPool':
      return failure(
        cniCode.invalidConfig,
        `the address ${why.address} cannot be chosen: pool ${why.pool} assigns automatically`,
        'fixed addresses come from pools with assignmentMode Manual',
      );
    case 'reserved':
      return failure(
        cniCode.invalidConfig,
        `the address ${why.address} is reserved`,
        why.reservation
          ? "by an IPReservation, or it is the node's own; ask for another one"
          : `${why.block} has it as its ${familyOf(why.address) === 'ipv4' ? 'network or broadcast' : 'router anycast'} address; ask for another one`,
      );
    case 'taken':
      return why.fenced
        ? failure(
            cniCode.tryAgain,
            `the address ${why.address} is still being released; try again`,
            'the veth of the pod that had it is not gone yet',
          )
        : failure(
            cniCode.invalidConfig,
            `the address ${why.address} is in use`,
            'another pod of this node has it; ask for another one, or delete that pod',
          );
    default:
      return assertNever(why, 'address failure');
  }
}

export function namespaceFailure(why: NamespaceFailure): CniFailure {
  switch (why.kind) {
    case 'absent':
      return failure(
        cniCode.containerUnknown,
        `the network namespace ${path(why.path)} cannot be opened`,
        `${why.reason}; the pod may be gone`,
      );
    case 'notANamespace':
      return failure(
        cniCode.invalidEnvironment,
        `CNI_NETNS ${path(why.path)} is no network namespace`,
        'a path such as /run/netns/NAME or /proc/PID/ns/net is expected',
      );
    case 'ourOwn':
      return failure(
        cniCode.invalidEnvironment,
        `CNI_NETNS ${path(why.path)} is the node's own network namespace`,
        'a pod of the host network needs no interface',
      );
    default:
      return assertNever(why, 'namespace failure');
  }
}

export const kernelFailure = (why: KernelRefusal): CniFailure =>
  failure(cniCode.kernel, `the kernel refused to ${why.step}`, why.text);
