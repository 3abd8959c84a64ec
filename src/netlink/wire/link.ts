/** RTM_*LINK: network interfaces, veth pairs and the per-interface settings that travel inside link messages. */
import {
  IFF,
  IFLA,
  IFLA_INET6_ADDR_GEN_MODE,
  IFLA_INET_CONF,
  IFLA_INFO,
  IPV4_DEVCONF,
  NLM_F,
  RTEXT_FILTER_SKIP_STATS,
  RTM,
  VETH_INFO_PEER,
  AF,
} from './constants.ts';
import type { MessageBatch } from './batch.ts';
import { eachAttribute, type MessageHeader, type WireReader } from './reader.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  /** ARPHRD_*: 1 is Ethernet, 772 loopback. */
  readonly hardwareType: number;
  /** IFF_* bits. */
  readonly flags: number;
  readonly mtu: number;
  /** `02:00:00:00:00:01`; empty when it has none. */
  readonly address: string;
  readonly alias: string;
  readonly group: number;
  /** `veth`, `bridge` and so on; empty for a physical interface. */
  readonly kind: string;
  /** Index of the bridge, bond or VRF it belongs to. */
  readonly master: number | undefined;
  /** Index of the interface it is stacked on, or of a veth's other end. */
  readonly link: number | undefined;
  /** Number of the namespace in which `link` is; `undefined`: in this one. */
  readonly linkNamespace: number | undefined;
  /** RFC 2863 state: 6 is up, 2 down, 0 unknown. */
  readonly operationalState: number;
  /** Own value of net.ipv4.conf.NAME.rp_filter, without the maximum with `all`. */
  readonly rpFilter: number | undefined;
  /** IN6_ADDR_GEN_MODE_*. */
  readonly addressGeneration: number | undefined;
}

/** Administratively up and with carrier. */
export const linkIsUp = (link: Link): boolean =>
  (link.flags & IFF.UP) !== 0 && (link.flags & (IFF.LOWER_UP | IFF.RUNNING)) !== 0;

/** What may be set in an interface that exists, or in one that is being made. */
export interface LinkSettings {
  readonly name?: string;
  readonly up?: boolean;
  /** Six bytes. */
  readonly address?: Uint8Array;
  readonly mtu?: number;
  readonly alias?: string;
  readonly group?: number;
  /** 0 takes it out of its bridge. */
  readonly master?: number;
  /** Moves it into the namespace of this open descriptor. */
  readonly namespaceFd?: number;
  /** IPV4_DEVCONF number to value; rp_filter and so on, without a sysctl file. */
  readonly ipv4Settings?: Readonly<Record<number, number>>;
  /** IN6_ADDR_GEN_MODE_*; set it to NONE before `up` and there is no link-local address. */
  readonly addressGeneration?: number;
}

export interface NewLink extends LinkSettings {
  readonly name: string;
  /** Own choice of index. Beware: EEXIST lets later messages by this index hit somebody else's interface. */
  readonly index?: number;
  readonly queues?: { readonly transmit: number; readonly receive: number };
}

export type LinkSelector = { readonly index: number } | { readonly name: string } | { readonly group: number };

function appendInfoHeader(batch: MessageBatch, index: number, up: boolean | undefined): void {
  batch
    .u8(AF.UNSPEC)
    .u8(0)
    .u16(0)
    .u32(index)
    .u32(up === true ? IFF.UP : 0)
    .u32(up === undefined ? 0 : IFF.UP);
}

function appendSettings(batch: MessageBatch, settings: LinkSettings): void {
  if (settings.name !== undefined) batch.attributeString(IFLA.IFNAME, settings.name);
  if (settings.address !== undefined) batch.attributeBytes(IFLA.ADDRESS, settings.address);
  if (settings.mtu !== undefined) batch.attributeU32(IFLA.MTU, settings.mtu);
  if (settings.group !== undefined) batch.attributeU32(IFLA.GROUP, settings.group);
  if (settings.master !== undefined) batch.attributeU32(IFLA.MASTER, settings.master);
  if (settings.alias !== undefined) batch.attributeString(IFLA.IFALIAS, settings.alias);
  if (settings.namespaceFd !== undefined) batch.attributeU32(IFLA.NET_NS_FD, settings.namespaceFd);
  if (settings.ipv4Settings === undefined && settings.addressGeneration === undefined) return;
  const families = batch.nestBegin(IFLA.AF_SPEC);
  if (settings.ipv4Settings !== undefined) {
    const inet = batch.nestBegin(AF.INET);
    const conf = batch.nestBegin(IFLA_INET_CONF);
    for (const [number, value] of Object.entries(settings.ipv4Settings)) batch.attributeU32(Number(number), value);
    batch.nestEnd(conf).nestEnd(inet);
  }
  if (settings.addressGeneration !== undefined) {
    const inet6 = batch.nestBegin(AF.INET6);
    batch.attributeU8(IFLA_INET6_ADDR_GEN_MODE, settings.addressGeneration).nestEnd(inet6);
  }
  batch.nestEnd(families);
}

function appendQueues(batch: MessageBatch, link: NewLink): void {
  if (link.queues === undefined) return;
  batch.attributeU32(IFLA.NUM_TX_QUEUES, link.queues.transmit).attributeU32(IFLA.NUM_RX_QUEUES, link.queues.receive);
}

/**
 * Makes a veth pair; the peer may be born in another namespace (`namespaceFd`). The kernel refuses a peer that is
 * up, and ignores the alias and the per-interface settings of what is being made: those take a message of their own. With NLM_F_ECHO in
 * `extraFlags` the answer carries the index (Linux 6.2 and later; before that, ask by name).
 */
export function appendNewVeth(batch: MessageBatch, host: NewLink, peer: NewLink, extraFlags = 0): number {
  const index = batch.begin(RTM.NEWLINK, NLM_F.CREATE | NLM_F.EXCL | extraFlags);
  appendInfoHeader(batch, host.index ?? 0, host.up);
  appendSettings(batch, host);
  appendQueues(batch, host);
  const info = batch.nestBegin(IFLA.LINKINFO);
  batch.attributeString(IFLA_INFO.KIND, 'veth');
  const data = batch.nestBegin(IFLA_INFO.DATA);
  const other = batch.nestBegin(VETH_INFO_PEER);
  appendInfoHeader(batch, peer.index ?? 0, peer.up);
  appendSettings(batch, peer);
  appendQueues(batch, peer);
  batch.nestEnd(other).nestEnd(data).nestEnd(info);
  batch.end();
  return index;
}

/** Makes an interface of a kind that needs no data of its own, such as `bridge` or `dummy`. */
export function appendNewLink(batch: MessageBatch, kind: string, link: NewLink, extraFlags = 0): number {
  const index = batch.begin(RTM.NEWLINK, NLM_F.CREATE | NLM_F.EXCL | extraFlags);
  appendInfoHeader(batch, link.index ?? 0, link.up);
  appendSettings(batch, link);
  appendQueues(batch, link);
  const info = batch.nestBegin(IFLA.LINKINFO);
  batch.attributeString(IFLA_INFO.KIND, kind).nestEnd(info);
  batch.end();
  return index;
}

/** Changes one interface, or all of a group; a name in `settings` renames the one that `selector` gives by index. */
export function appendSetLink(batch: MessageBatch, selector: LinkSelector, settings: LinkSettings): number {
  const index = batch.begin(RTM.NEWLINK, 0);
  appendInfoHeader(batch, 'index' in selector ? selector.index : 0, settings.up);
  if ('name' in selector) batch.attributeString(IFLA.IFNAME, selector.name);
  if ('group' in selector) batch.attributeU32(IFLA.GROUP, selector.group);
  appendSettings(batch, settings);
  batch.end();
  return index;
}

/** Deletes one interface, or with one request all of a group. ENODEV: there is none. */
export function appendDelLink(batch: MessageBatch, selector: LinkSelector): number {
  const index = batch.begin(RTM.DELLINK, 0);
  appendInfoHeader(batch, 'index' in selector ? selector.index : 0, undefined);
  if ('name' in selector) batch.attributeString(IFLA.IFNAME, selector.name);
  if ('group' in selector) batch.attributeU32(IFLA.GROUP, selector.group);
  batch.end();
  return index;
}

/** `namespace`: the number of another namespace in which the interface is (`linkNamespace` of its peer); Linux 4.17 and later. */
export function appendGetLink(
  batch: MessageBatch,
  selector: { readonly index: number } | { readonly name: string },
  namespace?: number,
): number {
  const index = batch.begin(RTM.GETLINK, 0);
  appendInfoHeader(batch, 'index' in selector ? selector.index : 0, undefined);
  if ('name' in selector) batch.attributeString(IFLA.IFNAME, selector.name);
  batch.attributeU32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  if (namespace !== undefined) batch.attributeU32(IFLA.TARGET_NETNSID, namespace);
  batch.end();
  return index;
}

/** Asks for all interfaces, without their statistics; the kernel does not filter by group. */
export function appendDumpLinks(batch: MessageBatch): void {
  batch.begin(RTM.GETLINK, NLM_F.DUMP);
  appendInfoHeader(batch, 0, undefined);
  batch.attributeU32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  batch.end();
}

const hexPairs = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'));

export function hardwareAddressText(reader: WireReader, at: number, length: number): string {
  let text = '';
  for (let i = 0; i < length; i++) text += (i === 0 ? '' : ':') + (hexPairs[reader.u8(at + i)] ?? '');
  return text;
}

/** Six bytes of `02:00:00:00:00:01`. */
export function hardwareAddressBytes(text: string): Uint8Array {
  const bytes = new Uint8Array((text.length + 1) / 3);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(3 * i, 3 * i + 2), 16);
  return bytes;
}

/**
 * Reads RTM_NEWLINK and RTM_DELLINK; `undefined` when the message is cut, or is of another family: a bridge tells in the
 * same group that a port left it, by a RTM_DELLINK of AF_BRIDGE.
 */
export function decodeLink(reader: WireReader, message: MessageHeader): Link | undefined {
  const { payload, end } = message;
  if (end - payload < 16 || reader.u8(payload) !== AF.UNSPEC) return undefined;
  let name = '';
  let mtu = 0;
  let address = '';
  let alias = '';
  let group = 0;
  let kind = '';
  let master: number | undefined;
  let link: number | undefined;
  let linkNamespace: number | undefined;
  let operationalState = 0;
  let rpFilter: number | undefined;
  let addressGeneration: number | undefined;
  const whole = eachAttribute(reader, payload + 16, end, (type, at, length) => {
    if (type === IFLA.IFNAME) name = reader.text(at, length);
    else if (type === IFLA.ADDRESS) address = hardwareAddressText(reader, at, length);
    else if (type === IFLA.IFALIAS) alias = reader.text(at, length);
    else if (type === IFLA.OPERSTATE && length >= 1) operationalState = reader.u8(at);
    else if (type === IFLA.LINKINFO) {
      eachAttribute(reader, at, at + length, (inner, innerAt, innerLength) => {
        if (inner === IFLA_INFO.KIND) kind = reader.text(innerAt, innerLength);
      });
    } else if (type === IFLA.AF_SPEC) {
      eachAttribute(reader, at, at + length, (family, familyAt, familyLength) => {
        eachAttribute(reader, familyAt, familyAt + familyLength, (inner, innerAt, innerLength) => {
          // In answers the settings of IPv4 are an array of numbers, not attributes.
          if (family === AF.INET && inner === IFLA_INET_CONF && innerLength >= 4 * IPV4_DEVCONF.RP_FILTER)
            rpFilter = reader.u32(innerAt + 4 * (IPV4_DEVCONF.RP_FILTER - 1));
          else if (family === AF.INET6 && inner === IFLA_INET6_ADDR_GEN_MODE && innerLength >= 1)
            addressGeneration = reader.u8(innerAt);
        });
      });
    } else if (length >= 4) {
      if (type === IFLA.MTU) mtu = reader.u32(at);
      else if (type === IFLA.GROUP) group = reader.u32(at);
      else if (type === IFLA.MASTER) master = reader.u32(at);
      else if (type === IFLA.LINK) link = reader.u32(at);
      else if (type === IFLA.LINK_NETNSID) linkNamespace = reader.i32(at);
    }
  });
  if (!whole) return undefined;
  return {
    index: reader.i32(payload + 4),
    name,
    hardwareType: reader.u16(payload + 2),
    flags: reader.u32(payload + 8),
    mtu,
    address,
    alias,
    group,
    kind,
    master,
    link,
    linkNamespace,
    operationalState,
    rpFilter,
    addressGeneration,
  };
}
