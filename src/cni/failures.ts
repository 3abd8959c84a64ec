/** PURE: what other rooms answer, in the words of a CNI error: what happened, to what, and what to do. */
import type { KernelRefusal } from '#dataplane/pod/io/pod-links.ts';
import type { NamespaceFailure } from '#dataplane/pod/io/peer-namespace.ts';
import type { AddressFailure } from '#ipam/allocator.ts';
import { assertNever } from '#lib/result.ts';
import { type CniFailure, cniCode } from './spec.ts';

const failure = (code: number, msg: string, details: string): CniFailure => ({ code, msg, details });

export function addressFailure(why: AddressFailure): CniFailure {
  switch (why.kind) {
    case 'noPool':
      return failure(
        cniCode.tryAgain,
        'this node has no block of addresses yet',
        'no enabled pool with automatic assignment has a block here',
      );
    case 'unknownPool':
      return failure(
        cniCode.invalidConfig,
        `there is no pool ${why.pool} on this node`,
        why.known.length === 0 ? 'this node has no pools' : `it has ${why.known.join(', ')}`,
      );
    case 'disabledPool':
      return failure(cniCode.invalidConfig, `the pool ${why.pool} is disabled`, 'it gives no new addresses');
    case 'full': {
      const fenced = why.fenced === 0 ? '' : `; ${why.fenced} are free when their pods are gone for good`;
      return failure(
        cniCode.addressesExhausted,
        `no free ${why.family} address in ${why.pools.join(', ')}`,
        `every address of this node's blocks is in use${fenced}`,
      );
    }
    case 'notAssignable': {
      const details =
        why.automaticPool === undefined
          ? 'it is in no block of this node, or reserved'
          : `pool ${why.automaticPool} assigns automatically; fixed addresses come from pools with assignmentMode Manual`;
      return failure(cniCode.invalidConfig, `the address ${why.address} cannot be given`, details);
    }
    case 'taken':
      return why.fenced
        ? failure(
            cniCode.tryAgain,
            `the address ${why.address} is still being released; try again`,
            'the veth of the pod that had it is not gone yet',
          )
        : failure(cniCode.invalidConfig, `the address ${why.address} is in use`, 'another pod of this node has it');
    default:
      return assertNever(why, 'address failure');
  }
}

export function namespaceFailure(why: NamespaceFailure): CniFailure {
  switch (why.kind) {
    case 'absent':
      return failure(
        cniCode.containerUnknown,
        `the network namespace ${why.path} cannot be opened`,
        `${why.reason}; the pod may be gone`,
      );
    case 'notANamespace':
      return failure(cniCode.invalidEnvironment, `CNI_NETNS ${why.path} is no network namespace`, '');
    case 'ourOwn':
      return failure(
        cniCode.invalidEnvironment,
        `CNI_NETNS ${why.path} is the node's own network namespace`,
        'a pod of the host network needs no interface',
      );
    default:
      return assertNever(why, 'namespace failure');
  }
}

export const kernelFailure = (why: KernelRefusal): CniFailure =>
  failure(cniCode.kernel, `the kernel refused to ${why.step}`, why.text);
