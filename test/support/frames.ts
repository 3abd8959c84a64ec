/** Ethernet frames as hex, with right checksums, whatever they claim. */
import { addressBytes, familyOf, type IpAddress } from '#lib/ip.ts';

const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
export const PROTOCOL = { icmp: 1, udp: 17, icmpv6: 58 } as const;

const macBytes = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');
const u16 = (...values: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => bytes.writeUInt16BE(value, 2 * i));
  return bytes;
};
const ip = (address: string): Buffer => Buffer.from(addressBytes(address as IpAddress));

/** RFC 1071. */
function checksum(...parts: readonly Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] ?? 0) * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return 0xffff - sum;
}

export interface Ends {
  readonly fromMac: string;
  readonly toMac: string;
  readonly from: string;
  readonly to: string;
}

const ethernet = (ends: Pick<Ends, 'fromMac' | 'toMac'>, type: number, payload: Buffer): string =>
  Buffer.concat([macBytes(ends.toMac), macBytes(ends.fromMac), u16(type), payload]).toString('hex');

/** An IP packet; its protocol's checksum is written at `checksumAt` of the payload. */
export function packet(ends: Ends, protocol: number, payload: Buffer, checksumAt: number): string {
  const [from, to] = [ip(ends.from), ip(ends.to)];
  const pseudo = protocol === PROTOCOL.icmp ? [] : [from, to, u16(payload.length, protocol)];
  const body = Buffer.from(payload);
  body.writeUInt16BE(0, checksumAt);
  body.writeUInt16BE(checksum(...pseudo, body), checksumAt);
  if (familyOf(ends.to as IpAddress) === 'ipv6') {
    const header = Buffer.concat([u16(0x6000, 0, body.length), Buffer.from([protocol, 255]), from, to]);
    return ethernet(ends, ETHERTYPE.ipv6, Buffer.concat([header, body]));
  }
  const header = Buffer.concat([u16(0x4500, 20 + body.length, 1, 0), Buffer.from([255, protocol]), u16(0), from, to]);
  header.writeUInt16BE(checksum(header), 10);
  return ethernet(ends, ETHERTYPE.ipv4, Buffer.concat([header, body]));
}

export const udp = (ends: Ends, port: number, text: string, fromPort = 4000): string =>
  packet(ends, PROTOCOL.udp, Buffer.concat([u16(fromPort, port, 8 + text.length, 0), Buffer.from(text)]), 6);

/** RFC 826: 1 asks, 2 answers. */
export const arp = (ends: Ends, operation: 1 | 2): string =>
  ethernet(
    ends,
    ETHERTYPE.arp,
    Buffer.concat([
      u16(1, ETHERTYPE.ipv4),
      Buffer.from([6, 4]),
      u16(operation),
      macBytes(ends.fromMac),
      ip(ends.from),
      operation === 1 ? Buffer.alloc(6) : macBytes(ends.toMac),
      ip(ends.to),
    ]),
  );

/** RFC 792, "Redirect": what went from the pod at `about` to `destination` shall go by `gateway`. */
export function redirect(ends: Ends, gateway: string, about: string, destination: string): string {
  const inner = Buffer.from(packet({ ...ends, from: about, to: destination }, PROTOCOL.udp, Buffer.alloc(8), 6), 'hex');
  return packet(ends, PROTOCOL.icmp, Buffer.concat([Buffer.from([5, 1, 0, 0]), ip(gateway), inner.subarray(14)]), 2);
}

const linkLayer = (type: number, mac: string): Buffer => Buffer.concat([Buffer.from([type, 1]), macBytes(mac)]);

/** RFC 4861 §4.2. */
export const routerAdvertisement = (ends: Ends): string =>
  packet(
    ends,
    PROTOCOL.icmpv6,
    Buffer.concat([Buffer.from([134, 0, 0, 0, 64, 0]), u16(1800, 0, 0, 0, 0), linkLayer(1, ends.fromMac)]),
    2,
  );

/** RFC 4861 §4.3 and §4.4: 135 asks, 136 says. */
export const neighbourMessage = (ends: Ends, type: 135 | 136, target: string): string =>
  packet(
    ends,
    PROTOCOL.icmpv6,
    Buffer.concat([
      Buffer.from([type, 0, 0, 0, type === 136 ? 0x60 : 0, 0, 0, 0]),
      ip(target),
      linkLayer(type === 136 ? 2 : 1, ends.fromMac),
    ]),
    2,
  );

/** RFC 4861 §4.5. */
export const redirect6 = (ends: Ends, target: string, destination: string): string =>
  packet(
    ends,
    PROTOCOL.icmpv6,
    Buffer.concat([Buffer.from([137, 0, 0, 0, 0, 0, 0, 0]), ip(target), ip(destination)]),
    2,
  );

/** RFC 3810 §5.2, without a record. */
export const groupReport = (ends: Ends): string =>
  packet(ends, PROTOCOL.icmpv6, Buffer.from([143, 0, 0, 0, 0, 0, 0, 0]), 2);
