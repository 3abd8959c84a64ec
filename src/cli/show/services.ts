/** `flatroute services` for people. PURE. */
import type { ServiceAnswer } from '#status/answers.ts';
import { contains, parseAddress, parsePrefix } from '#lib/ip.ts';
import { ageSince } from '../output/age.ts';
import { renderTable, type TableOptions } from '../output/table.ts';
import { printable } from '../output/text.ts';

/** What should be announced reaches a router. */
export const serviceIsFine = ({ outcome, announcedTo }: ServiceAnswer): boolean =>
  outcome !== 'ProxyNotHealthy' && (outcome !== 'Announced' || announcedTo.length > 0);

/** `word`: an address or prefix (what covers it), `NAMESPACE/NAME` or a name. */
export function concerns(word: string, { prefix, service }: ServiceAnswer): boolean {
  const [asked, range] = [parseAddress(word) ?? parsePrefix(word), parsePrefix(prefix)];
  if (asked !== undefined) return range !== undefined && contains(range, asked);
  return service === word || service?.endsWith(`/${word}`) === true;
}

function nothingOf(word: string | undefined): string {
  if (word === undefined) return 'no address of a Service is';
  const isAddress = (parseAddress(word) ?? parsePrefix(word)) !== undefined;
  return isAddress ? `${word} is not` : `no address of Service ${printable(word)} is`;
}

export function showServices(
  services: readonly ServiceAnswer[],
  word: string | undefined,
  now: number,
  options: TableOptions,
): readonly string[] {
  if (services.length === 0)
    return [
      `${nothingOf(word)} in a range that this node announces: see serviceClusterIPs, serviceExternalIPs and serviceLoadBalancerIPs of BGPConfiguration`,
    ];
  return renderTable<ServiceAnswer>(
    [
      { title: 'PREFIX', value: (s) => s.prefix },
      { title: 'SERVICE', value: (s) => s.service ?? '(whole range)', shrinkTo: 12 },
      { title: 'USE', value: (s) => s.use, drop: 2 },
      { title: 'POLICY', value: (s) => s.policy ?? '', drop: 3 },
      {
        title: 'ANNOUNCED TO',
        value: (s) => (s.outcome === 'Announced' ? s.announcedTo.join(', ') || 'nobody' : 'no'),
        colour: (s) => (serviceIsFine(s) ? undefined : 'red'),
        shrinkTo: 12,
      },
      { title: 'SINCE', value: (s) => ageSince(s.since, now), align: 'right', drop: 1 },
    ],
    services,
    options,
    ({ why, before }) => [{ text: before === undefined ? why : `${why}; before: ${before}` }],
  );
}
