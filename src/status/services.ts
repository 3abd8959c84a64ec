/** Which addresses of Services this node announces, and why it does not announce the others. PURE. */
import type { ServiceOutcome, ServiceRow } from '#intent/service-outcomes.ts';
import type { ServiceAnswer } from './answers.ts';
import type { Snapshot } from './snapshot.ts';

const time = (milliseconds: number): string => new Date(milliseconds).toISOString();

const withheld: Readonly<Record<Exclude<ServiceOutcome, 'Announced' | 'InRange' | 'ProxyNotHealthy'>, string>> = {
  NoEndpoints: 'no endpoint is usable: none is ready, nor serving while it terminates',
  NoEndpointsHere: 'policy Local, and no usable endpoint is on this node',
  NodeExcluded: 'the label node.kubernetes.io/exclude-from-external-load-balancers of this Node',
  ProxyNotAsked: 'the proxy of this node has not answered yet',
  Delayed: 'it was withdrawn a moment ago, and waits for serviceAnnounceDelay',
  Gone: 'there is no such address any more',
};

function why({ outcome, verdict }: ServiceRow, problem: string | undefined): string {
  const { range, policy, service } = verdict;
  if (outcome === 'InRange') return `${range} is announced as a whole`;
  if (outcome === 'ProxyNotHealthy') return `the proxy of this node does not work: ${problem ?? 'it says so'}`;
  if (outcome !== 'Announced') return withheld[outcome];
  if (service === undefined) return 'every node with a working proxy announces the range as a whole';
  return policy === 'Local' ? 'there is a usable endpoint on this node' : 'there is a usable endpoint';
}

/** In one word, of what it was before. */
const shortly: Readonly<Record<ServiceOutcome, string>> = {
  Announced: 'announced',
  InRange: 'covered by its range',
  NoEndpoints: 'no usable endpoint',
  NoEndpointsHere: 'no usable endpoint here',
  NodeExcluded: 'node excluded',
  ProxyNotAsked: 'proxy not asked yet',
  ProxyNotHealthy: 'proxy not healthy',
  Delayed: 'waiting for the delay',
  Gone: 'gone',
};

export function serviceAnswers({ services, bgp }: Snapshot): readonly ServiceAnswer[] {
  if (services === undefined) return [];
  const announcedTo = new Map((bgp?.announced ?? []).map(({ prefix, peers }) => [prefix, peers]));
  return services.rows.map((row): ServiceAnswer => {
    const { verdict, outcome, since, before } = row;
    const { prefix, use, range, service, policy } = verdict;
    return {
      prefix,
      use,
      range,
      ...(service === undefined ? {} : { service }),
      ...(policy === undefined ? {} : { policy }),
      outcome,
      why: why(row, services.proxy?.problem),
      since: time(since),
      ...(before === undefined ? {} : { before: `${shortly[before.outcome]} since ${time(before.since)}` }),
      announcedTo: outcome === 'Announced' ? (announcedTo.get(prefix) ?? []) : [],
    };
  });
}
