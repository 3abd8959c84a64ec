/** RTM_NEWNETCONF: what the kernel tells when a sysctl of an interface, or of all, is written (uapi/linux/netconf.h). */
import { eachAttribute, type MessageHeader, type WireReader } from './reader.ts';

export const RTM_NEWNETCONF = 80;
export const RTM_DELNETCONF = 81;
/** Multicast groups of NETLINK_ROUTE. */
export const RTNLGRP_NETCONF = { ipv4: 24, ipv6: 25 } as const;
/** Length of a message about one setting; those of an interface that comes have all settings and are longer. */
export const NETCONF_ONE_BYTES = 36;

const NETCONFA_IFINDEX = 1;

/** Index of the interface whose setting was written, -1 for `conf.all` and -2 for `conf.default`; `undefined` when the message is another or is cut. */
export function decodeNetconfInterface(reader: WireReader, message: MessageHeader): number | undefined {
  if (message.type !== RTM_NEWNETCONF || message.end - message.payload < 4) return undefined;
  let index: number | undefined;
  // struct netconfmsg is one octet, the family.
  const whole = eachAttribute(reader, message.payload + 4, message.end, (type, at, length) => {
    if (type === NETCONFA_IFINDEX && length === 4) index = reader.i32(at);
  });
  return whole ? index : undefined;
}
