/** Whether the container runtime is told of this network, and of no other before it. PURE. */
import type { Condition, Facts } from './node-intent.ts';

export function conflistConditions(nodeName: string, { conflist }: Facts): Condition[] {
  if (conflist === undefined) return [];
  const base = { kind: 'Node', name: nodeName, type: 'NetworkConfigured' } as const;
  const { file, foreign, problem, inPlace } = conflist;
  if (problem !== undefined) return [{ ...base, status: 'False', reason: 'ConflistNotWritten', message: problem }];
  if (foreign.length > 0) {
    const names = foreign.slice(0, 5).join(', ');
    const message = `${names} in the directory of ${file} come${foreign.length === 1 ? 's' : ''} before it, so the container runtime puts new pods on that network. Remove ${names}, or rename so that it sorts behind.`;
    return [{ ...base, status: 'False', reason: 'ForeignConflist', message }];
  }
  if (!inPlace)
    return [
      {
        ...base,
        status: 'Unknown',
        reason: 'ConflistWaits',
        message: `${file} is written as soon as the agent can serve pods.`,
      },
    ];
  return [
    { ...base, status: 'True', reason: 'NetworkConfigured', message: `${file} is what the container runtime reads.` },
  ];
}
