/**
 * Is a keepalive late while the agent reads a large cluster for the first time? A real agent in Kubernetes mode with a BGP session of
 * 3 s of hold time; a range of Services is configured, and its main thread lists all Services and EndpointSlices of a real API server.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LabProcess } from '#lab/process.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { bgpConfiguration } from '#resources/bgp-configuration.ts';
import { endpointSliceType, serviceType } from '#sources/kubernetes/services.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { bgpManifest, buildBundle, lateness, residentMebibytes, spentSince, threadSeconds } from '../pods/agent.ts';
import { percentile } from '../pods/tables.ts';
import type { Figure } from '../pods/tables.ts';
import { createNode, credentials, launch, makePlace, USER } from './place.ts';
import type { Place } from './place.ts';
import { apiServerSeconds, createAll, openScene, progress } from './scene.ts';
import type { Scene } from './scene.ts';
import { auditArguments, firstAsked, writeAuditPolicy } from './traffic.ts';

const HEARTBEAT = '/run/bench-heartbeat';
const NODE = 'node-1';
const HOLD_SECONDS = 3;
/** What the EndpointSlice controller puts into one slice at most, unless it is told otherwise. */
const ENDPOINTS_OF_SLICE = 100;
const BASE_SECONDS = 15;

/** Every address of a Service of the cluster. */
const ranges = { spec: { serviceClusterIPs: [{ cidr: '10.96.0.0/16' }], serviceProxy: { healthCheck: false } } };

const service = (index: number): Parameters<Scene['store']['create']>[1] => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: `service-${index}`, namespace: 'default' },
  spec: {
    selector: { app: `service-${index}` },
    ports: [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }],
  },
});

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
  readonly place: Place;
  readonly agent: LabProcess;
  readonly peer: LabProcess;
}

async function startAgent(scene: Scene): Promise<Subject> {
  const place = await makePlace(scene, bgpManifest);
  const peer = await place.tor.spawn(
    [process.execPath, join(import.meta.dirname, 'peer.mjs'), '65100', String(HOLD_SECONDS), '192.0.2.1'],
    { log: 'peer' },
  );
  await createNode(place, NODE);
  const agent = await launch(place, NODE, await credentials(place, NODE), {
    switches: [`--import=${join(import.meta.dirname, '../pods/heartbeat.mjs')}`],
    environment: { FLATROUTE_BENCH_HEARTBEAT: HEARTBEAT },
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
  return { place, agent, peer };
}

const keepalives = async (peer: LabProcess): Promise<readonly number[]> =>
  [...(await peer.log()).matchAll(/keepalive (\d+)/g)].map(([, at]) => Number(at));

/** By how much each silence between keepalives in that time was longer than a third of the hold time. */
async function silences(peer: LabProcess, from: number, to: number): Promise<readonly number[]> {
  const times = (await keepalives(peer)).filter((at) => at >= from && at <= to);
  return times.slice(1).map((at, index) => at - (times[index] ?? at) - (1000 * HOLD_SECONDS) / 3);
}

async function lateFigures({ place: { node }, peer }: Subject, what: string, from: number): Promise<Figure[]> {
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
  await using scene = await openScene('endpoints', auditArguments, writeAuditPolicy);
  const slices = Math.ceil(count / ENDPOINTS_OF_SLICE);
  await createAll(scene.store, serviceType, slices, service);
  await createAll(scene.store, endpointSliceType, slices, slice);
  progress(`${slices} Services with ${count} endpoints made`);
  const subject = await startAgent(scene);
  const { agent, peer } = subject;
  progress('the agent has its session');
  const quiet = Date.now();
  await delay(1000 * BASE_SECONDS);
  const before = await lateFigures(subject, 'before', quiet);
  const threads = threadSeconds(agent.pid);
  const memory = residentMebibytes(agent.pid);
  const serverBefore = apiServerSeconds(scene.plane);
  const began = Date.now();
  await scene.store.patch(typeOf(bgpConfiguration), 'default', ranges);
  let peak = memory;
  const listed = await waitFor(
    'the list to be complete',
    async () => {
      peak = Math.max(peak, residentMebibytes(agent.pid));
      const [list, watch] = ['list', 'watch'].map((verb) => firstAsked(scene.host, USER, `${verb} endpointslices`));
      if (list !== undefined && watch !== undefined) return found(watch - list);
      return notYet(await agent.log());
    },
    { deadline: seconds(120), every: milliseconds(100) },
  );
  progress(`listed in ${listed} ms`);
  // The collector's work on what the list left comes after it.
  await delay(2000);
  peak = Math.max(peak, residentMebibytes(agent.pid));
  const server = apiServerSeconds(scene.plane) - serverBefore;
  const during = await lateFigures(subject, 'during the list', began);
  if ((await peer.log()).includes('closed')) throw new Error('the session was lost');
  return [
    { what: `endpoints, ${ENDPOINTS_OF_SLICE} in a slice`, value: count, unit: '' },
    { what: 'EndpointSlices: from the first page asked for until all are there', value: listed / 1000, unit: 's' },
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
