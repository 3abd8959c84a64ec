/**
 * What the kernel does with one destination, for `flatroute routes ADDRESS`: the route of its tables that covers it.
 * In: an address; out: an answer, also for a destination that leads nowhere.
 */
import type { IpAddress } from '#lib/ip.ts';
import { EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH } from '#linux/errno.ts';
import { NetlinkSocket, type RequestFailure } from '#netlink/io/socket.ts';
import { MessageBatch } from '#netlink/wire/batch.ts';
import { RTN } from '#netlink/wire/constants.ts';
import { appendLookUpRoute } from '#netlink/wire/lookup.ts';
import { decodeRoute, type Route } from '#netlink/wire/route.ts';
import type { KernelRouteAnswer } from '#status/answers.ts';

const typeNames: ReadonlyMap<number, string> = new Map([
  [RTN.UNICAST, 'unicast'],
  [RTN.LOCAL, 'local'],
  [RTN.BLACKHOLE, 'blackhole'],
  [RTN.UNREACHABLE, 'unreachable'],
  [RTN.PROHIBIT, 'prohibit'],
]);

/** How the kernel answers for a destination that it sends nowhere (`fib_props` of net/ipv4/fib_semantics.c). */
const refusals: ReadonlyMap<number, Pick<KernelRouteAnswer, 'type' | 'error'>> = new Map([
  [EINVAL, { type: 'blackhole' }],
  [EACCES, { type: 'prohibit' }],
  [EHOSTUNREACH, { type: 'unreachable' }],
  [ENETUNREACH, { type: 'unreachable', error: 'no route' }],
]);

/** `name` gives the interface of an index. */
export function lookUpInKernel(address: IpAddress, name: (index: number) => string): KernelRouteAnswer {
  const socket = NetlinkSocket.open();
  try {
    const { route, failure } = ask(socket, address);
    if (route === undefined) {
      const error = failure?.text ?? failure?.name ?? 'no route';
      return {
        destination: address,
        hops: [],
        ...(refusals.get(failure?.errno ?? 0) ?? { type: 'unreachable', error }),
      };
    }
    const source = route.preferredSource;
    return {
      destination: address,
      prefix: route.prefix,
      protocol: route.protocol,
      metric: route.metric,
      ...(route.nexthopId === undefined ? {} : { nextHopId: route.nexthopId }),
      type: typeNames.get(route.type) ?? `type ${route.type}`,
      ...(source === undefined ? {} : { source }),
      hops: hopsOf(route).map(({ gateway, index }) => ({
        interface: name(index),
        ...(gateway === undefined ? {} : { gateway }),
      })),
    };
  } finally {
    socket.close();
  }
}

function hopsOf(route: Route): readonly { readonly gateway: IpAddress | undefined; readonly index: number }[] {
  if (route.multipath.length > 0)
    return route.multipath.map((hop) => ({ gateway: hop.gateway, index: hop.interfaceIndex }));
  return route.interfaceIndex === undefined ? [] : [{ gateway: route.gateway, index: route.interfaceIndex }];
}

function ask(
  socket: NetlinkSocket,
  address: IpAddress,
): { readonly route: Route | undefined; readonly failure: RequestFailure | undefined } {
  const batch = new MessageBatch(256);
  appendLookUpRoute(batch, address);
  let route: Route | undefined;
  const { failures } = socket.execute(batch, (_index, reader, message) => {
    route ??= decodeRoute(reader, message);
  });
  return { route, failure: failures[0] };
}
