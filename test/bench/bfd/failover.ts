/**
 * How long a flow is cut when a router dies without a word: a node under two routers with BFD at 50 ms x 3, a pod that sends 1000
 * datagrams a second in each family to a VM behind both, and as many learned routes as wanted. The router that carries the flow
 * stops forwarding and its daemons are frozen; its links stay up. A datagram that is lost is a millisecond.
 */
import { parseArgs } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import type { Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { LabRouter } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { Rack } from '../../support/rack.ts';
import { Streams } from '../../support/streams.ts';

const RATE = 1000;

/** Half of them of each family. */
function routesOf(count: number): Prefix[] {
  const rows: string[] = [];
  for (let i = 0; i < count / 2; i++) {
    rows.push(`${20 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}.0/24`);
    rows.push(`2001:db8:${(i + 1).toString(16)}::/48`);
  }
  return rows.slice(0, count) as unknown as Prefix[];
}

async function sentOver(rack: Rack): Promise<readonly number[]> {
  const files = rack.routers.map((router) => `/sys/class/net/${router.host.name}/statistics/tx_packets`);
  return (await rack.node.run(['cat', ...files])).trim().split('\n').map(Number);
}

/** The router to which the node sends most. */
async function carrier(rack: Rack): Promise<LabRouter> {
  const before = await sentOver(rack);
  await delay(500);
  const sent = (await sentOver(rack)).map((count, i) => count - (before[i] ?? 0));
  const router = rack.routers[sent.indexOf(Math.max(...sent))];
  if (router === undefined) throw new RangeError('a rack has routers');
  return router;
}

const forwarding = (router: LabRouter, on: 0 | 1): Promise<string> =>
  router.host.run(['sysctl', '-q', '-w', `net.ipv4.ip_forward=${on}`, `net.ipv6.conf.all.forwarding=${on}`]);

interface Row {
  readonly accepted: { readonly ipv4: number; readonly ipv6: number };
  readonly bfd?: { readonly state: string; readonly detectionTimeMilliseconds?: number };
}

/** Both routers are used for everything, and BFD is up with both. */
async function whole(rack: Rack, routes: number): Promise<void> {
  await rack.restored();
  await waitFor(
    `${routes} routes by both routers`,
    async () => {
      const { peers } = JSON.parse(await rack.agent.text(['peers', '-o', 'json'])) as {
        readonly peers: readonly Row[];
      };
      const isUp = peers.every(({ bfd }) => bfd?.state === 'Up' && bfd.detectionTimeMilliseconds === 150);
      const accepted = peers.map(({ accepted: { ipv4, ipv6 } }) => ipv4 + ipv6);
      const hops = (await rack.node.routes())
        .filter(({ prefix }) => prefix === '10.9.9.9/32' || prefix === 'fd09::9/128')
        .map(({ nextHops }) => nextHops.length);
      return isUp && accepted.every((count) => count >= routes) && hops.join() === '2,2'
        ? found(undefined)
        : notYet(`${accepted.join(' and ')} routes, the VM by ${hops.join(' and ')} next hops`);
    },
    { deadline: seconds(120) },
  );
}

async function round(rack: Rack, pod: Awaited<ReturnType<Rack['addPod']>>, routes: number): Promise<string> {
  const streams = await Streams.start(Rack.podEnd(pod), rack.vmEnd(), RATE, 120);
  const router = await carrier(rack);
  await forwarding(router, 0);
  const moment = Date.now();
  await router.signal('SIGSTOP');
  await delay(2000);
  const directions = await streams.stop();
  const deleted = await rack.agent.nexthopsDeleted(router.host.name, moment);
  await router.signal('SIGCONT');
  await forwarding(router, 1);
  await whole(rack, routes);
  const lost = directions.filter(({ name }) => name.startsWith('pod to')).map((it) => it.lost);
  const times = [deleted?.afterMilliseconds, deleted?.tookMilliseconds, ...lost];
  const cells = [String(routes), router.host.name, ...times.map((ms) => `${ms ?? '?'} ms`)];
  return cells.map((cell, i) => (i === 1 ? cell.padEnd(8) : cell.padStart(10))).join('  ');
}

const { values } = parseArgs({
  options: {
    routers: { type: 'string', default: 'bird' },
    routes: { type: 'string', default: '10,100000' },
    rounds: { type: 'string', default: '5' },
  },
});
for (const kind of values.routers.split(',')) {
  if (kind !== 'bird' && kind !== 'frr') throw new RangeError(`--routers ${kind}: bird and frr have BFD`);
  console.log(`\nBFD at 50 ms x 3, routers: ${kind}; the flow's cut, and from the freeze to the nexthops' deletion\n`);
  console.log('    routes  router      deleted        took   cut, IPv4   cut, IPv6');
  for (const count of values.routes.split(',').map(Number)) {
    await using rack = await Rack.create(kind, { bfd: {}, announce: routesOf(count) });
    const pod = await rack.addPod('pod');
    await whole(rack, count);
    for (let i = 0; i < Number(values.rounds); i++) console.log(await round(rack, pod, count));
  }
}
