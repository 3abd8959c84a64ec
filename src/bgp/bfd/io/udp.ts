/**
 * UDP for BFD. Received by one socket per family and port, told apart by the runner; sent by one socket per session, with
 * a source port of its own (RFC 5881 §4), TTL 255 (RFC 5881 §5) and the DSCP of network control. Node has no
 * words for most of it, so descriptors are made by hand and the receiving ones are given to `dgram`.
 */
import { createSocket } from 'node:dgram';
import { randomInt } from 'node:crypto';
import { type Family, type IpAddress, familyOf, parseAddress, unspecifiedAddress } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import {
  attachFilter,
  bindToDevice,
  type FilterInstruction,
  setHopLimit,
  setIpv6Only,
  setTrafficClass,
} from '#linux/socket-options.ts';
import { bindInternet, closeDescriptor, openUdpSocket, sendInternet } from '#linux/socket.ts';

export const SINGLE_HOP_PORT = 3784;
export const MULTI_HOP_PORT = 4784;
/** RFC 5881 §4. */
const SOURCE_PORTS = { first: 49_152, last: 65_535 } as const;
const PORT_TRIES = 64;
const HOP_LIMIT = 255;
/** CS6, what routers send their own protocols with. */
const NETWORK_CONTROL = 0xc0;

export interface Datagram {
  readonly bytes: Uint8Array;
  readonly source: IpAddress;
  /** Of a link-local source. */
  readonly interface: string | undefined;
}

export interface Receiver {
  /** Another filter for what comes from now on. */
  setFilter(program: readonly FilterInstruction[]): void;
  close(): void;
}

export interface Sender {
  /** Throws AppError `OS_<ERRNO>`. */
  send(bytes: Uint8Array): void;
  close(): void;
}

/** The world as the runner sees it. */
export interface BfdUdp {
  /** Throws AppError: `OS_EADDRINUSE` when another program has the port. */
  receive(
    family: Family,
    port: number,
    filter: readonly FilterInstruction[],
    datagram: (datagram: Datagram) => void,
  ): Receiver;
  /** Throws AppError: `OS_EADDRNOTAVAIL` when the source address is not on this node. */
  sender(target: SendTarget): Sender;
}

export interface SendTarget {
  readonly remote: IpAddress;
  readonly port: number;
  readonly local: IpAddress | undefined;
  readonly interface: string | undefined;
}

/** Passes on what `make` made with a new descriptor; when it throws, the descriptor is closed. */
function withDescriptor<T>(family: Family, make: (fd: number) => T): T {
  const fd = openUdpSocket(family);
  try {
    return make(fd);
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

export const systemUdp: BfdUdp = {
  receive: (family, port, filter, datagram) =>
    withDescriptor(family, (fd) => {
      if (family === 'ipv6') setIpv6Only(fd);
      // Before the port is ours: nothing may come in unfiltered.
      attachFilter(fd, filter);
      bindInternet(fd, unspecifiedAddress(family), port);
      const socket = createSocket(family === 'ipv4' ? 'udp4' : 'udp6');
      socket.on('message', (bytes, { address }) => {
        const [text = '', zone] = address.split('%');
        const source = parseAddress(text);
        if (source !== undefined) datagram({ bytes, source, interface: zone });
      });
      // A receiving socket has no errors but those of single datagrams, which are lost anyway.
      socket.on('error', () => undefined);
      socket.bind({ fd });
      return { setFilter: (program) => attachFilter(fd, program), close: () => socket.close() };
    }),

  sender: ({ remote, port, local, interface: interfaceName }) => {
    const family = familyOf(remote);
    return withDescriptor(family, (fd) => {
      if (interfaceName !== undefined) bindToDevice(fd, interfaceName);
      setHopLimit(fd, family, HOP_LIMIT);
      setTrafficClass(fd, family, NETWORK_CONTROL);
      bindSourcePort(fd, local ?? unspecifiedAddress(family));
      return {
        send: (bytes) => sendInternet(fd, bytes, remote, port),
        close: () => closeDescriptor(fd),
      };
    });
  },
};

function bindSourcePort(fd: number, local: IpAddress): void {
  for (let tries = 1; ; tries++) {
    try {
      bindInternet(fd, local, randomInt(SOURCE_PORTS.first, SOURCE_PORTS.last + 1));
      return;
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'OS_EADDRINUSE' || tries === PORT_TRIES) throw error;
    }
  }
}
