/** `flatroute pods`, `blocks`, `conditions` and `drift` for people. PURE. */
import type { BlockAnswer, ConditionAnswer, DriftAnswer, PodAnswer } from '#status/answers.ts';
import { ageSince } from '../output/age.ts';
import { renderTable, type TableOptions } from '../output/table.ts';
import type { Colour } from '../output/text.ts';

export const podName = ({ namespace, pod, container }: PodAnswer): string =>
  pod === '' ? container : `${namespace}/${pod}`;

export function showPods(pods: readonly PodAnswer[], now: number, options: TableOptions): readonly string[] {
  if (pods.length === 0) return ['no pods on this node'];
  return renderTable<PodAnswer>(
    [
      { title: 'POD', value: podName, shrinkTo: 20 },
      { title: 'ADDRESSES', value: (p) => p.addresses.join('  ') },
      { title: 'INTERFACE', value: (p) => p.hostInterface },
      { title: 'IN POD', value: (p) => p.interface, drop: 2 },
      { title: 'NETWORK', value: (p) => p.network, drop: 3 },
      { title: 'CONTAINER', value: (p) => p.container.slice(0, 12), drop: 1 },
      { title: 'AGE', value: (p) => ageSince(p.since, now), align: 'right' },
      { title: 'STATE', value: (p) => p.state, colour: (p) => (p.state === 'live' ? 'green' : 'yellow') },
    ],
    pods,
    options,
  );
}

/** A fixed address is announced with its pod. */
const isIdle = (block: BlockAnswer): boolean => block.fixedAddress && block.used === 0;

export function showBlocks(blocks: readonly BlockAnswer[], options: TableOptions): readonly string[] {
  if (blocks.length === 0)
    return ['this node has no blocks: give its Node a spec.podCIDRs, or make an IPPool and an IPBlock'];
  return renderTable<BlockAnswer>(
    [
      { title: 'BLOCK', value: (b) => b.cidr },
      { title: 'POOL', value: (b) => b.pool, shrinkTo: 8 },
      { title: 'USED', value: (b) => String(b.used), align: 'right' },
      { title: 'FENCED', value: (b) => String(b.fenced), align: 'right', drop: 2 },
      {
        title: 'FREE',
        value: (b) => (b.free >= 2 ** 32 ? 'plenty' : String(b.free)),
        align: 'right',
        colour: (b) => (b.free === 0 && !b.fixedAddress ? 'red' : undefined),
      },
      {
        title: 'BLACKHOLE',
        value: (b) => (b.blackhole ? 'yes' : 'no'),
        colour: (b) => (b.blackhole ? undefined : 'red'),
        drop: 1,
      },
      {
        title: 'ANNOUNCED TO',
        value: (b) => (isIdle(b) ? 'not in use' : b.announcedTo.length === 0 ? 'nobody' : b.announcedTo.join(', ')),
        colour: (b) => (isIdle(b) || b.announcedTo.length > 0 ? undefined : 'yellow'),
        shrinkTo: 12,
      },
    ],
    blocks,
    options,
  );
}

const severityColour: Readonly<Record<ConditionAnswer['severity'], Colour>> = {
  error: 'red',
  warning: 'yellow',
  info: 'dim',
};

export function showConditions(conditions: readonly ConditionAnswer[], options: TableOptions): readonly string[] {
  if (conditions.length === 0) return ['nothing is wrong'];
  return renderTable<ConditionAnswer>(
    [
      { title: 'OBJECT', value: (c) => c.object },
      { title: 'CONDITION', value: (c) => c.type },
      { title: 'STATUS', value: (c) => c.status, drop: 1 },
      { title: 'REASON', value: (c) => c.reason, colour: (c) => severityColour[c.severity] },
    ],
    conditions,
    options,
    (c) => (c.message === '' ? [] : [{ text: c.message }]),
  );
}

export function showDrift(drift: DriftAnswer, options: TableOptions): readonly string[] {
  const rows: { readonly what: string; readonly detail: string; readonly colour: Colour | undefined }[] = [];
  for (const [what, count] of Object.entries(drift.repairs)) {
    if (count > 0) rows.push({ what: 'repaired', detail: `${what}: ${count}`, colour: undefined });
  }
  for (const conflict of drift.routeConflicts) {
    rows.push({
      what: 'in the way',
      detail: `${conflict.prefix} is held by a route of protocol ${conflict.protocol}`,
      colour: 'red',
    });
  }
  for (const problem of drift.problems) rows.push({ what: problem.code, detail: problem.text, colour: 'yellow' });
  for (const link of drift.foreignLinks) {
    rows.push({
      what: 'not ours',
      detail: `${link} is in our link group, but its alias is not ours; left alone`,
      colour: 'yellow',
    });
  }
  if (rows.length === 0) return ['the kernel is as it should be; nothing was repaired since the agent started'];
  return renderTable(
    [
      { title: 'WHAT', value: (r) => r.what, colour: (r) => r.colour },
      { title: 'DETAIL', value: (r) => r.detail },
    ],
    rows,
    options,
  );
}

export const driftIsFine = (drift: DriftAnswer): boolean =>
  drift.routeConflicts.length === 0 && drift.problems.length === 0;
