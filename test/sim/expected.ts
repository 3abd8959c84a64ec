/** What every kernel should hold, by breadth-first search over the whole fabric: no BGP in it. */
import type { Fabric, Host } from './fabric.ts';

/** For each host: prefix to the addresses of all neighbours on a shortest way, sorted. */
export function expectedTables(fabric: Fabric): Map<Host, Map<string, readonly string[]>> {
  const tables = new Map(fabric.hosts.map((host) => [host, new Map<string, readonly string[]>()]));
  const origins = new Map<string, Host[]>();
  for (const host of fabric.hosts)
    for (const prefix of host.announced) origins.set(prefix, [...(origins.get(prefix) ?? []), host]);
  for (const [prefix, from] of origins) {
    const distance = new Map<Host, number>(from.map((host) => [host, 0]));
    for (let reached = from, steps = 1; reached.length > 0; steps++) {
      const next: Host[] = [];
      for (const host of reached) {
        // Nodes pass nothing on but what is their own.
        if (host.role === 'node' && steps > 1) continue;
        for (const { far } of host.ports) {
          if (distance.has(far)) continue;
          distance.set(far, steps);
          next.push(far);
        }
      }
      reached = next;
    }
    for (const host of fabric.hosts) {
      const own = distance.get(host);
      if (own === undefined || own === 0) continue;
      const hops = host.ports
        .filter(({ far }) => {
          const theirs = distance.get(far);
          return theirs === own - 1 && (far.role !== 'node' || theirs === 0);
        })
        .map(({ remote }) => remote);
      tables.get(host)?.set(prefix, hops.toSorted());
    }
  }
  return tables;
}
