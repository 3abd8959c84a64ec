/**
 * The fake API server as a process of its own in the namespace of a node, told what to do over a unix socket (argv[2]): each
 * request is one JSON object, each answer too. The API listens on 127.0.0.1:6443 there.
 */
import { createServer } from 'node:http';
import { bgpNodeState } from '#resources/bgp-node-state.ts';
import { serviceAddress } from '#resources/service-address.ts';
import { eventType } from '#kubernetes/events.ts';
import { leaseType } from '#kubernetes/lease.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { endpointSliceType, serviceType } from '#sources/kubernetes/services.ts';
import { typeOf } from '#sources/kubernetes/types.ts';
import { clusterTypes } from './cluster-types.ts';
import { type FakeType, fakeApi } from './fake-api.ts';

export const API_PORT = 6443;

export type FakeOrder =
  /** Refused with a sentence where the kind says so. */
  | { readonly do: 'put'; readonly kind: string; readonly object: ApiObject }
  | { readonly do: 'remove'; readonly kind: string; readonly key: string }
  | { readonly do: 'objects'; readonly kind: string }
  /** Requests since the last time they were asked for, as `VERB plural`. */
  | { readonly do: 'requests' }
  | { readonly do: 'stop' | 'start' };

export const allTypes: readonly FakeType[] = [
  ...clusterTypes.filter((it) => it.kind !== 'BGPNodeState'),
  { ...typeOf(bgpNodeState), status: true },
  { ...typeOf(serviceAddress), status: true },
  { ...serviceType, status: true },
  eventType,
  endpointSliceType,
  leaseType,
  { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true },
  { group: 'networking.k8s.io', version: 'v1', plural: 'networkpolicies', kind: 'NetworkPolicy', namespaced: true },
];

const [, program = '', socket] = process.argv;
if (program.endsWith('fake-api-process.ts') && socket !== undefined) {
  const api = await fakeApi(allTypes, API_PORT);
  const type = (kind: string): FakeType => {
    const found = allTypes.find((it) => it.kind === kind);
    if (found === undefined) throw new Error(`no kind ${kind}`);
    return found;
  };
  const obey = async (order: FakeOrder): Promise<unknown> => {
    switch (order.do) {
      case 'put':
        return api.put(type(order.kind), order.object);
      case 'remove':
        return api.remove(type(order.kind), order.key);
      case 'objects':
        return api.objects.all(type(order.kind));
      case 'requests':
        return api.requests.splice(0).map(({ verb, type: { plural } }) => `${verb} ${plural}`);
      case 'stop':
        return await api.stop();
      default:
        return await api.start();
    }
  };
  createServer((request, response) => {
    void (async () => {
      let body = '';
      for await (const part of request) body += String(part);
      try {
        response.end(JSON.stringify({ answer: (await obey(JSON.parse(body) as FakeOrder)) ?? null }));
      } catch (error) {
        response.end(JSON.stringify({ error: String(error) }));
      }
    })();
  }).listen(socket);
}
