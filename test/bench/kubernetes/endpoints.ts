/**
 * Is a keepalive late while the agent reads a large cluster for the first time? A real agent with a BGP session of 3 s of hold
 * time; its main thread lists all EndpointSlices of a real API server. The agent reads its resources from files here: a module that is
 * preloaded into it opens that watch with flatroute's own client, in the thread in which the agent reads the API.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Host } from '#lab/host.ts';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { seconds } from '#lib/time.ts';
import {
  agentProgram,
  bgpManifest,
  buildBundle,
  lateness,
  residentMebibytes,
  spentSince,
  threadSeconds,
} from '../pods/agent.ts';
import { percentile } from '../pods/tables.ts';
import type { Figure } from '../pods/tables.ts';
import { apiServerSeconds, createAll, openScene, progress } from './scene.ts';
import type { Scene } from './scene.ts';

const HEARTBEAT = '/run/bench-heartbeat';
const LIST = '/run/bench-list';
const RESOURCES = '/run/bench-resources';
const HOLD_SECONDS = 3;
/** What the EndpointSlice controller puts into one slice at most, unless it is told otherwise. */
const ENDPOINTS_OF_SLICE = 100;
const BASE_SECONDS = 15;

const resources: Readonly<Record<string, string>> = {
  'node.yaml': `apiVersion: v1
kind: Node
metadata:
  name: node-1
  annotations: { flatroute.io/bgp-address-ipv4: 192.0.2.11 }
spec: { podCIDRs: [10.60.0.0/24] }
`,
  'bgp.yaml': bgpManifest,
};

/** A slice as the controller writes it for a Deployment of a hundred pods. */
const slice = (index: number): Parameters<Scene['store']['create']>[1] => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    name: `service-${index}-abcde`,
    namespace: 'default',
    labels: {
      'kubernetes.io/service-name': `service-${index}`,
      'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
    },
  },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: Array.from({ length: ENDPOINTS_OF_SLICE }, (_, at) => ({
    addresses: [`10.${index >> 8}.${index & 255}.${at + 1}`],
    conditions: { ready: true, serving: true, terminating: false },
    nodeName: `node-${(index * 7 + at) % 500}`,
    targetRef: {
      kind: 'Pod',
      namespace: 'default',
      name: `service-${index}-7d4b9c8f6d-${String(at).padStart(5, '0')}`,
      uid: `8f3c2b6e-5d1a-4c7e-9b${String(index % 100).padStart(2, '0')}-${String(100000000000 + index * 1000 + at)}`,
    },
    zone: 'rack-1',
  })),
});

interface Subject {
  readonly node: Host;
  readonly agent: LabProcess;
  readonly peer: LabProcess;
}

async function startAgent({ lab, host: api, admin }: Scene): Promise<Subject> {
  const node = await lab.addHost('node-1', { forwarding: true });
  const tor = await lab.addHost('tor');
  await lab.link({ a: node, b: tor, addresses: [['192.0.2.11/24', '192.0.2.1/24']] });
  await lab.link({ a: node, b: api, addresses: [['203.0.113.1/31', '203.0.113.0/31']] });
  await node.ip(['route add 198.51.100.1/32 via 203.0.113.0']);
  const peer = await tor.spawn(
    [process.execPath, join(import.meta.dirname, 'peer.mjs'), '65100', String(HOLD_SECONDS), '192.0.2.1'],
    { log: 'peer' },
  );
  for (const [name, text] of Object.entries(resources)) await node.writeFile(`${RESOURCES}/${name}`, text);
  const preload = ['../pods/heartbeat.mjs', 'list-in-main.mjs'].map(
    (file) => `--import=${join(import.meta.dirname, file)}`,
  );
  const words = ['agent', '--resources', RESOURCES, '--node', 'node-1', '--log-level', 'warn'];
  const agent = await node.spawn([process.execPath, ...preload, agentProgram(), ...words], {
    log: 'agent',
    environment: {
      FLATROUTE_BENCH_HEARTBEAT: HEARTBEAT,
      FLATROUTE_BENCH_LIST: LIST,
      FLATROUTE_BENCH_KUBECONFIG: admin,
    },
  });
  await waitFor(
    'keepalives of the agent',
    async () => {
      if (agent.ended) return notYet(`the agent ended: ${(await agent.log()).slice(-500)}`);
      const times = await keepalives(peer);
      return times.length > 3 ? found(true) : notYet(`${times.length} so far`);
    },
    { deadline: seconds(60) },
  );
  return { node, agent, peer };
}

const keepalives = async (peer: LabProcess): Promise<readonly number[]> =>
  [...(await peer.log()).matchAll(/keepalive (\d+)/g)].map(([, at]) => Number(at));

/** By how much each silence between keepalives in that time was longer than a third of the hold time. */
async function silences(peer: LabProcess, from: number, to: number): Promise<readonly number[]> {
  const times = (await keepalives(peer)).filter((at) => at >= from && at <= to);
  return times.slice(1).map((at, index) => at - (times[index] ?? at) - (1000 * HOLD_SECONDS) / 3);
}

async function lateFigures({ node, peer }: Subject, what: string, from: number): Promise<Figure[]> {
  const beats = lateness(node, from);
  const silent = await silences(peer, from, Date.now());
  return [
    { what: `**${what}**: a timer of 50 ms of the bgp thread is late, p50`, value: percentile(beats, 50), unit: 'ms' },
    { what: '… p99', value: percentile(beats, 99), unit: 'ms' },
    { what: '… at most', value: Math.max(...beats), unit: 'ms' },
    { what: `… ${silent.length} keepalives at the peer are late, at most`, value: Math.max(...silent), unit: 'ms' },
  ];
}

export async function endpoints(count: number): Promise<Figure[]> {
  buildBundle();
  await using scene = await openScene('endpoints');
  const type = {
    group: 'discovery.k8s.io',
    version: 'v1',
    plural: 'endpointslices',
    kind: 'EndpointSlice',
    namespaced: true,
  };
  await createAll(scene.store, type, Math.ceil(count / ENDPOINTS_OF_SLICE), slice);
  progress(`${count} endpoints made`);
  const subject = await startAgent(scene);
  const { agent, node, peer } = subject;
  progress('the agent has its session');
  const quiet = Date.now();
  await delay(1000 * BASE_SECONDS);
  const before = await lateFigures(subject, 'before', quiet);
  const threads = threadSeconds(agent.pid);
  const memory = residentMebibytes(agent.pid);
  const serverBefore = apiServerSeconds(scene.plane);
  const began = Date.now();
  agent.kill('SIGUSR2');
  let peak = memory;
  const listed = await waitFor(
    'the list to be complete',
    async () => {
      peak = Math.max(peak, residentMebibytes(agent.pid));
      const said = readFileSync(node.path(LIST), 'utf8');
      if (said.includes('failed')) return notYet(said.trim());
      const [, at, addresses] = /listed (\d+) (\d+)/.exec(said) ?? [];
      return at === undefined ? notYet('not listed') : found({ at: Number(at), addresses: Number(addresses) });
    },
    { deadline: seconds(120) },
  );
  if (listed.addresses < count) throw new Error(`${listed.addresses} of ${count} addresses were listed`);
  progress(`listed after ${listed.at - began} ms`);
  // The collector's work on what the list left comes after it.
  await delay(2000);
  const server = apiServerSeconds(scene.plane) - serverBefore;
  const during = await lateFigures(subject, 'during the list', began);
  if ((await peer.log()).includes('closed')) throw new Error('the session was lost');
  return [
    { what: 'endpoints in EndpointSlices of 100', value: listed.addresses, unit: '' },
    { what: 'list, from the first request until all is there', value: (listed.at - began) / 1000, unit: 's' },
    ...spentSince(agent.pid, threads)
      .slice(0, 4)
      .map(([name, used]) => ({ what: `… CPU of thread ${name}`, value: 1000 * used, unit: 'ms' })),
    { what: '… CPU of the API server', value: 1000 * server, unit: 'ms' },
    { what: '… resident memory before', value: memory, unit: 'MiB' },
    { what: '… at most', value: peak, unit: 'MiB' },
    ...before,
    ...during,
  ];
}
