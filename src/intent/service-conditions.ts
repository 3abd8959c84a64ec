/** Whether this node announces Services as it should. PURE; only where a range is configured. */
import { proxyServes, servable, wanted } from './gate.ts';
import type { Compiled, Condition, Facts } from './node-intent.ts';

export function serviceConditions(compiled: Compiled, facts: Facts): Condition[] {
  const { services, nodeName } = compiled;
  if (services.ranges.length === 0) return [];
  const base = { kind: 'Node', name: nodeName, type: 'ServicesAnnounced' } as const;
  return [{ ...base, ...verdict(compiled, facts) }];
}

function verdict(compiled: Compiled, facts: Facts): Pick<Condition, 'status' | 'reason' | 'message'> {
  const { services, nodeName } = compiled;
  const { proxy, servicesProblem, bgp } = facts;
  if (services.excluded)
    return {
      status: 'True',
      reason: 'NodeExcluded',
      message: `${nodeName} announces no Services, as its label node.kubernetes.io/exclude-from-external-load-balancers asks.`,
    };
  if (!proxyServes(compiled, facts))
    return proxy?.healthy === false
      ? {
          status: 'False',
          reason: 'ProxyNotHealthy',
          message: `Services are not announced from ${nodeName} while the proxy that translates their addresses does not work: ${proxy.problem ?? 'it is not healthy'}. Look at kube-proxy of this node; if another proxy is in its place, see serviceProxy of BGPConfiguration.`,
        }
      : { status: 'Unknown', reason: 'Pending', message: 'The proxy of this node has not answered yet.' };
  if (servicesProblem !== undefined)
    return {
      status: 'False',
      reason: 'ServicesNotRead',
      message: `Services cannot be read, so that ${services.known ? 'what was announced before the agent was restarted stays as it is' : 'none is announced by its own address'}: ${servicesProblem} Agents need to get, list and watch services and endpointslices.`,
    };
  if (!services.known) return { status: 'Unknown', reason: 'Pending', message: 'Services were not read yet.' };
  const announced = wanted(compiled, facts).filter((it) => it.source === 'service');
  // What the speaker has not heard of yet is on its way.
  const told = new Map(bgp?.announced.map(({ prefix, peers }) => [prefix, peers.length]));
  const waiting = servable(compiled, facts).size - announced.length;
  const also =
    waiting === 0 ? '' : ` ${waiting} more, withdrawn a moment ago, wait to be announced again (serviceAnnounceDelay).`;
  const heard = announced.filter(({ prefix }) => told.has(prefix));
  if (heard.length > 0 && heard.every(({ prefix }) => told.get(prefix) === 0))
    return {
      status: 'False',
      reason: 'NotAnnounced',
      message: `${announced.length} addresses and ranges of Services are announced to no peer. Look at condition Established of the BGPPeers of ${nodeName}.`,
    };
  return {
    status: 'True',
    reason: 'ServicesAnnounced',
    message: `${announced.length} addresses and ranges of Services are announced.${also}`,
  };
}
