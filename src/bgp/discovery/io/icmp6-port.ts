/**
 * The seam between discovery and the kernel: Router Advertisements and Solicitations of all links on one raw socket. What
 * arrives has come over no router (hop limit 255) and has a good checksum.
 */
import { createSocket } from 'node:dgram';
import type { IpAddress } from '#lib/ip.ts';
import { parseAddress } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { joinGroup, leaveGroup, openIcmp6Socket, sendIcmp6 } from '#linux/icmp6.ts';
import { ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION } from '../messages.ts';

const allNodes = 'ff02::1' as IpAddress;
const allRouters = 'ff02::2' as IpAddress;

export interface Icmp6Datagram {
  readonly bytes: Uint8Array;
  readonly source: IpAddress;
  /** Name of the interface. */
  readonly interface: string;
}

export interface Icmp6Port {
  /** What is sent to all routers of the link is received. Errors: AppError `OS_*`. */
  join(interfaceIndex: number): void;
  leave(interfaceIndex: number): void;
  /** To everyone on the link, or to its routers. Errors: AppError `OS_*`. */
  send(bytes: Uint8Array, to: 'nodes' | 'routers', interfaceIndex: number): void;
  close(): void;
}

/** Errors: AppError `OS_*`; `OS_EPERM` without CAP_NET_RAW. */
export type OpenIcmp6 = (received: (datagram: Icmp6Datagram) => void) => Icmp6Port;

export const openIcmp6Port: OpenIcmp6 = (received) => {
  const socket = createSocket('udp6');
  socket.on('message', (bytes, { address }) => {
    const [text = '', zone] = address.split('%');
    const source = parseAddress(text);
    if (source !== undefined && zone !== undefined) received({ bytes, source, interface: zone });
  });
  // Errors of a receiving socket are those of single datagrams, which come again.
  socket.on('error', () => undefined);
  const fd = openIcmp6Socket([ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT], (watched) => socket.bind({ fd: watched }));
  return {
    join(interfaceIndex) {
      try {
        joinGroup(fd, allRouters, interfaceIndex);
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'OS_EADDRINUSE') throw error;
      }
    },
    leave(interfaceIndex) {
      try {
        leaveGroup(fd, allRouters, interfaceIndex);
      } catch (error) {
        // The interface is gone, and the membership with it.
        if (!(error instanceof AppError)) throw error;
      }
    },
    send: (bytes, to, interfaceIndex) => sendIcmp6(fd, bytes, to === 'nodes' ? allNodes : allRouters, interfaceIndex),
    close: () => socket.close(),
  };
};
