/** `flatroute routes` for people: a table of many routes, or the explanation of one destination. PURE. */
import type { KernelRouteAnswer, PodAnswer, RouteAnswerRow, RoutesAnswer } from '#status/answers.ts';
import { podName } from './node.ts';
import { type Column, renderTable, type TableOptions } from '../output/table.ts';
import { paint, printable, textWidth, wrap } from '../output/text.ts';

export function showRoutes(answer: RoutesAnswer, direction: string, options: TableOptions): readonly string[] {
  if (answer.routes.length === 0) return [`no ${direction} routes`];
  const ids = answer.routes.some((route) => route.pathId !== undefined);
  const whole = renderTable(routeColumns('whole', ids), answer.routes, { ...options, width: undefined });
  const fits = options.width === undefined || whole.every((line) => textWidth(line) <= (options.width ?? 0));
  const lines = fits ? [...whole] : [...renderTable(routeColumns('short', ids), answer.routes, options)];
  if (answer.more)
    lines.push('', `more than ${answer.routes.length} routes match; ask for more with --limit N, or name a prefix`);
  return lines;
}

/** `short` leaves out of a reason what the mark says already; `ids`: some path has an identifier. */
function routeColumns(reasons: 'whole' | 'short', ids: boolean): readonly Column<RouteAnswerRow>[] {
  return [
    { title: '', value: mark },
    { title: 'PREFIX', value: (r) => r.prefix },
    { title: 'NEXT HOP', value: (r) => r.nextHop ?? '' },
    { title: 'PEER', value: (r) => r.peer, shrinkTo: 10 },
    ...(ids ? [{ title: 'PATH ID', value: (r: RouteAnswerRow) => text(r.pathId), align: 'right' as const }] : []),
    { title: 'AS PATH', value: (r) => r.asPath, shrinkTo: 12 },
    { title: 'PREF', value: (r) => text(r.localPref), align: 'right', drop: 3 },
    { title: 'MED', value: (r) => text(r.med), align: 'right', drop: 4 },
    { title: 'COMMUNITIES', value: (r) => r.communities.join(' '), drop: 5, shrinkTo: 14 },
    {
      title: 'REASON',
      value: (r) =>
        `${reasons === 'short' ? r.reason.replace(markedReason, '') : r.reason}${r.stale ? ' (stale: the peer restarts)' : ''}`,
      colour: (r) => (r.accepted ? undefined : 'yellow'),
      shrinkTo: 20,
    },
  ];
}

const markedReason = /^(?:best|multipath|announced|refused): /;
const text = (value: number | undefined): string => (value === undefined ? '' : String(value));
const mark = (row: RouteAnswerRow): string => {
  if (!row.accepted) return '✘';
  if (row.best) return '✔';
  return row.multipath ? '=' : ' ';
};

/** One destination: each covering prefix with all its paths, what we announce of it, whose it is, what the kernel does. */
export function explainRoute(
  asked: string,
  received: RoutesAnswer,
  announced: readonly RouteAnswerRow[],
  pod: PodAnswer | undefined,
  options: TableOptions,
): readonly string[] {
  const lines: string[] = [];
  for (const [prefix, paths] of groupByPrefix(received.routes)) {
    lines.push(`${paint('bold', prefix, options.colour)}  ${summary(paths, received.kernel, prefix)}`);
    for (const path of paths) lines.push(...pathLines(path, options));
  }
  const ours = groupByPrefix(announced.filter((row) => !received.routes.some((r) => r.prefix === row.prefix)));
  for (const [prefix, rows] of ours) {
    const peers = [...new Set(rows.map((row) => row.peer))].join(', ');
    lines.push(`${paint('bold', prefix, options.colour)}  ours, announced to ${printable(peers)}`);
  }
  if (pod !== undefined)
    lines.push(
      ...indented(`pod: ${printable(podName(pod))} of this node, ${pod.state}, behind ${pod.hostInterface}`, options),
    );
  else if (ours.size > 0 && received.kernel?.type === 'blackhole')
    lines.push(...indented('pod: none has this address', options));
  if (lines.length === 0) lines.push(`${printable(asked)}  no peer has announced a route that covers it`);
  if (received.kernel !== undefined) lines.push(...indented(`kernel: ${kernelSentence(received.kernel)}`, options));
  return lines;
}

function groupByPrefix(rows: readonly RouteAnswerRow[]): ReadonlyMap<string, readonly RouteAnswerRow[]> {
  const groups = new Map<string, RouteAnswerRow[]>();
  for (const row of rows) {
    const group = groups.get(row.prefix);
    if (group === undefined) groups.set(row.prefix, [row]);
    else group.push(row);
  }
  return groups;
}

function summary(paths: readonly RouteAnswerRow[], kernel: KernelRouteAnswer | undefined, prefix: string): string {
  const accepted = paths.filter((path) => path.accepted);
  if (accepted.length === 0) return `refused (${paths.length} path${paths.length === 1 ? '' : 's'})`;
  const used = accepted.filter((path) => path.best || path.multipath).length;
  const first = used > 1 ? `${used} of ${paths.length} used together` : `best of ${paths.length}`;
  if (kernel === undefined || kernel.prefix !== prefix) return first;
  return kernel.nextHopId === undefined
    ? `${first}, in the kernel`
    : `${first}, in the kernel as group ${kernel.nextHopId}`;
}

function pathLines(path: RouteAnswerRow, options: TableOptions): readonly string[] {
  const sign = path.accepted ? paint('green', '✔', options.colour) : paint('red', '✘', options.colour);
  const words = [
    path.nextHop === undefined ? 'local' : `via ${path.nextHop}`,
    path.peer,
    ...(path.pathId === undefined ? [] : [`path ${path.pathId}`]),
    path.asPath === '' ? 'no AS path' : `AS path ${path.asPath}`,
    ...(path.localPref === undefined ? [] : [`pref ${path.localPref}`]),
    ...(path.med === undefined ? [] : [`med ${path.med}`]),
    ...(path.originatorId === undefined ? [] : [`originator ${path.originatorId}`]),
    ...(path.clusterList === undefined || path.clusterList.length === 0
      ? []
      : [`clusters ${path.clusterList.join(' ')}`]),
    ...(path.onlyToCustomer === undefined ? [] : [`OTC ${path.onlyToCustomer}`]),
    ...(path.communities.length === 0 ? [] : [`communities ${path.communities.join(' ')}`]),
  ];
  const flags = [
    path.best ? 'best' : '',
    path.multipath && !path.best ? 'multipath' : '',
    path.stale ? `stale: kept while ${path.peer} is away` : '',
  ];
  const ending = [printable(path.reason), ...flags.filter((flag) => flag !== '')].join(' · ');
  const whole = `${words.map(printable).join('  ')}   ${ending}`;
  const room = options.width === undefined ? Number.POSITIVE_INFINITY : Math.max(20, options.width - 4);
  return wrapKeepingGaps(whole, room).map((line, i) => `${i === 0 ? `  ${sign} ` : '      '}${line}`);
}

/** Two columns in, further lines two more. */
function indented(text: string, options: TableOptions): readonly string[] {
  const room = options.width === undefined ? Number.POSITIVE_INFINITY : Math.max(20, options.width - 4);
  return wrapKeepingGaps(text, room).map((line, i) => `${i === 0 ? '  ' : '    '}${line}`);
}

/** Lines that fit are left as they are, with their gaps. */
const wrapKeepingGaps = (line: string, room: number): readonly string[] =>
  line.length <= room ? [line] : wrap(line, room);

export function kernelSentence(kernel: KernelRouteAnswer): string {
  if (kernel.error !== undefined) return `${kernel.destination}: ${printable(kernel.error)}`;
  const route = [
    kernel.prefix ?? kernel.destination,
    ...(kernel.nextHopId === undefined ? [] : [`nhid ${kernel.nextHopId}`]),
    ...(kernel.protocol === undefined ? [] : [`proto ${kernel.protocol}`]),
    ...(kernel.metric === undefined ? [] : [`metric ${kernel.metric}`]),
  ].join(' ');
  if (kernel.type !== 'unicast') return `${route} · packets to ${kernel.destination}: ${kernel.type}`;
  const links = [...new Set(kernel.hops.map((hop) => hop.interface))].join(' and ');
  const source = kernel.source === undefined ? '' : `, from ${kernel.source} when they start here`;
  return `${route} · packets to ${kernel.destination} leave by ${links}${source}`;
}

/** Something leads there: an accepted route, one of ours, or any unicast route of the kernel. */
export const destinationIsFine = (received: RoutesAnswer, announced: readonly RouteAnswerRow[]): boolean =>
  received.routes.some((row) => row.accepted) ||
  announced.length > 0 ||
  received.kernel?.type === 'unicast' ||
  received.kernel?.type === 'local';
