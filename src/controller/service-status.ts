/** What a Service is told of its addresses: the load balancer's part of its status, and a condition. PURE. */
import type { ServicePlan } from '#ipam/services/intent.ts';
import { explain, noPool } from '#ipam/services/refusals.ts';
import type { Reason } from '#intent/reasons.ts';
import { type IpAddress, parseAddress } from '#lib/ip.ts';
import { sameJson } from '#lib/json.ts';
import { fieldOf, listOf, type StatusCondition, statusCondition } from './conditions.ts';
import { ADDRESS_CONDITION, ingressOf, type SeenService } from './service-object.ts';

interface Verdict {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: Reason;
  readonly message: string;
}

/** The fields of a merge patch; `undefined`: all stands there already. */
export interface StatusPatch {
  readonly status: Readonly<Record<string, unknown>>;
  /** What is new to people. */
  readonly verdict: Verdict | undefined;
}

/** `undefined`: nothing can be said yet. */
function verdictOf({ service, assigned, shows, refusal, without }: ServicePlan): Verdict | undefined {
  if (service.leaving) return undefined;
  if (refusal !== undefined) {
    const { reason, text } = explain(refusal);
    return { status: 'False', reason, message: shows.length > 0 ? `Keeps ${shows.join(' and ')}. ${text}` : text };
  }
  const has = assigned.map(({ address, pool }) => `${address} of IPPool ${pool}`).join(' and ');
  const rest = without === undefined ? '' : ` ${noPool(without, service.pools ?? [])}`;
  return { status: 'True', reason: 'AddressAssigned', message: `Has ${has}.${rest}` };
}

export function statusPatch(seen: SeenService, plan: ServicePlan, now: string): StatusPatch | undefined {
  return patchOf(seen, plan.shows, verdictOf(plan), now);
}

/** That addresses which it never showed, or does not show any more, go back: a write after which no older one counts. */
export const givesBack = (seen: SeenService, plan: ServicePlan, now: string): StatusPatch | undefined =>
  patchOf(
    seen,
    plan.shows,
    {
      status: 'Unknown',
      reason: 'AddressReturned',
      message: `Gives ${plan.extra.join(' and ')} back.`,
    },
    now,
  );

/** What is ours in the status of a Service that is not ours any more. */
export function farewell({ object, told }: SeenService, addresses: readonly IpAddress[]): StatusPatch | undefined {
  const ingress = ingressOf(object['status']);
  const left = ingress.filter(
    (one) => !addresses.some((address) => parseAddress(String(fieldOf(one, 'ip'))) === address),
  );
  if (!told && left.length === ingress.length) return undefined;
  const status = {
    ...(left.length === ingress.length ? {} : { loadBalancer: { ingress: left.length > 0 ? left : null } }),
    ...(told ? { conditions: otherConditions(object['status']) } : {}),
  };
  return { status, verdict: undefined };
}

function patchOf(
  { object }: SeenService,
  shows: readonly IpAddress[],
  verdict: Verdict | undefined,
  now: string,
): StatusPatch | undefined {
  const status = object['status'];
  const before = listOf(fieldOf(status, 'conditions')).find((one) => fieldOf(one, 'type') === ADDRESS_CONDITION);
  const condition: StatusCondition | undefined =
    verdict === undefined ? undefined : statusCondition({ type: ADDRESS_CONDITION, ...verdict }, object, now);
  const isSame = condition === undefined || sameJson(before, condition);
  const showsThem = sameJson(
    ingressOf(status).map(plainIngress),
    shows.map((ip) => ({ ip, ipMode: 'VIP' })),
  );
  if (isSame && showsThem) return undefined;
  const ingress = shows.length > 0 ? shows.map((ip) => ({ ip, ipMode: 'VIP' })) : null;
  const news = fieldOf(before, 'reason') === verdict?.reason && fieldOf(before, 'message') === verdict?.message;
  return {
    status: {
      ...(showsThem ? {} : { loadBalancer: { ingress } }),
      ...(isSame ? {} : { conditions: [...otherConditions(status), condition] }),
    },
    verdict: news ? undefined : verdict,
  };
}

const otherConditions = (status: unknown): readonly unknown[] =>
  listOf(fieldOf(status, 'conditions')).filter((one) => fieldOf(one, 'type') !== ADDRESS_CONDITION);

/** As we write it, whatever the spelling of the address; one with a host name or of another mode is not ours. */
function plainIngress(entry: unknown): unknown {
  const {
    ip,
    ipMode = 'VIP',
    hostname,
  } = Object.fromEntries(typeof entry === 'object' && entry !== null ? Object.entries(entry) : []) as Readonly<
    Record<string, unknown>
  >;
  return hostname === undefined ? { ip: parseAddress(String(ip)), ipMode } : entry;
}
