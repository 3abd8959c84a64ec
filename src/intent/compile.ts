/**
 * From resources to what this node must do. PURE: the same resources and name give the same value, whatever order the
 * resources came in. What is wrong between objects becomes a condition on the object that loses, never an exception:
 * one bad object leaves the others as they are.
 */
import type { Announcement } from '#bgp/engine.ts';
import { comparePrefixes, familyOf, hostPrefix, inPrefixOrder, overlaps } from '#lib/ip.ts';
import type { IpAddress, Prefix } from '#lib/ip.ts';
import type { ResourceSet } from '#resources/resource-set.ts';
import type { ServiceView } from '#resources/service-view.ts';
import type { Advertisements } from './advertisements.ts';
import { advertisements, communitiesOf } from './advertisements.ts';
import { blocksOf } from './blocks.ts';
import type { Blocks } from './blocks.ts';
import { claimIntent, withClaimable } from './claims.ts';
import type { Compiled, Condition } from './node-intent.ts';
import { describeNode } from './node.ts';
import type { Complaint, ThisNode } from './node.ts';
import { peersOf } from './peers.ts';
import { excludingLabel, rangesOf, type RangesInForce, serviceAnnouncements, serviceIntent } from './services.ts';
import type { ServiceIntent } from './services.ts';
import { settingsFor } from './settings.ts';
import type { Settings } from './settings.ts';

export interface CompileOptions {
  /** The node may claim blocks: there is an API to claim them in. */
  readonly claims?: boolean;
  /** Services with an address in a configured range; `undefined`: they are not known (yet). */
  readonly services?: readonly ServiceView[] | undefined;
}

export function compile(resources: ResourceSet, nodeName: string, options: CompileOptions = {}): Compiled {
  const settings = settingsFor(resources.bgpConfigurations, nodeName);
  const object = resources.nodes.find((it) => it.metadata.name === nodeName);
  const node = describeNode(object, nodeName, settings);
  const assigned = blocksOf(resources, nodeName, node.labels, settings.addressSource);
  const claims =
    options.claims === true ? claimIntent(resources, nodeName, node.labels, settings.addressSource) : undefined;
  const pools = claims === undefined ? assigned.pools : withClaimable(assigned.pools, claims, resources);
  const blocks = assigned.blocks.map((it) => it.cidr).sort(comparePrefixes);
  const peers = peersOf(resources, node, settings, blocks);
  const nodePrefixes = addressesOf(node).map(hostPrefix);
  const advertised = advertisements(settings);
  const inForce = rangesOf(settings.services, {
    pools: resources.ipPools,
    blocks,
    nodeAddresses: addressesOf(node),
  });
  const { ranges } = inForce;
  const excluded = node.labels[excludingLabel] !== undefined;
  const services = serviceIntent(settings.services, ranges, excluded, options.services);

  return {
    nodeName,
    intent: {
      bgp: {
        asn: node.asn,
        routerId: node.routerId,
        // Without a peer there is nobody to accept a session from, and the port may be another daemon's.
        listenPort: settings.listenPort === 0 || peers.intents.length === 0 ? undefined : settings.listenPort,
        peers: peers.intents,
        announcements: announcementsOf(assigned, settings, nodePrefixes, advertised, services),
        ownPrefixes: distinct([...blocks, ...nodePrefixes, ...ranges.map((it) => it.cidr)]),
        multipath: settings.multipath,
        bestPath: settings.bestPath,
        ...(settings.installRoutes ? {} : { installRoutes: false }),
        ...(settings.engine === undefined ? {} : { engine: settings.engine }),
        ...clusterIdOf(node, settings),
      },
      pods: {
        ipam: {
          pools,
          reserved: reservedIn([...blocks, ...pools.flatMap((it) => it.claimable ?? [])], resources, nodePrefixes),
          ...(pools.some((it) => it.namespaces !== undefined)
            ? { knownNamespaces: resources.namespaces.map((it) => it.metadata.name) }
            : {}),
        },
        nodeAddresses: node.addresses,
        mtu: undefined,
      },
      dataplane: {
        blocks,
        nodeAddresses: node.addresses,
        natOutgoing: distinct(assigned.blocks.filter((it) => it.natOutgoing).map((it) => it.cidr)),
        poolPrefixes: distinct(resources.ipPools.map((it) => it.spec.cidr)),
        serviceRanges: distinct(ranges.map((it) => it.cidr)),
      },
    },
    conditions: [
      ...acceptedAsTheyAre(resources, nodeName, advertised, inForce),
      ...nodeConditions(node, assigned, resources, peers.intents.length),
      ...assigned.conditions,
      ...peers.conditions,
    ],
    peers: peers.origins,
    strays: {
      foreign: assigned.foreign,
      silent: resources.ipPools.filter((it) => it.spec.disableBGPExport).map((it) => it.spec.cidr),
      translated: resources.ipPools.filter((it) => it.spec.natOutgoing).map((it) => it.spec.cidr),
      advertised: advertised.entries,
    },
    releasing: assigned.releasing,
    services,
    claims,
  };
}

const clusterIdOf = (node: ThisNode, settings: Settings): { readonly clusterId?: IpAddress } => {
  const clusterId = node.clusterId ?? settings.clusterId;
  return clusterId === undefined ? {} : { clusterId };
};

const addressesOf = (node: ThisNode) =>
  [node.addresses.ipv4, node.addresses.ipv6].filter((address) => address !== undefined);

const distinct = (prefixes: readonly Prefix[]): Prefix[] => [...new Set(prefixes)].sort(comparePrefixes);

function announcementsOf(
  assigned: Blocks,
  settings: Settings,
  nodePrefixes: readonly Prefix[],
  advertised: Advertisements,
  services: ServiceIntent,
): Announcement[] {
  const found = new Map<Prefix, Announcement>();
  const add = (prefix: Prefix, source: Announcement['source']): void => {
    if (!found.has(prefix)) found.set(prefix, { prefix, source, ...communitiesOf(prefix, advertised.entries) });
  };
  for (const block of assigned.blocks)
    if (block.announced) add(block.cidr, block.fixedAddress ? 'fixedAddress' : 'block');
  if (settings.advertise.nodeAddresses) for (const prefix of nodePrefixes) add(prefix, 'nodeAddress');
  for (const prefix of settings.advertise.prefixes) add(prefix, 'advertise');
  for (const prefix of serviceAnnouncements(services)) add(prefix, 'service');
  return inPrefixOrder(found.values(), ({ prefix }) => prefix);
}

/** What no pod may get of the node's blocks: reservations, and an address of the node itself. */
function reservedIn(blocks: readonly Prefix[], resources: ResourceSet, nodePrefixes: readonly Prefix[]): Prefix[] {
  const reserved = resources.ipReservations.flatMap((it) => it.spec.reservedCIDRs);
  return distinct([...reserved, ...nodePrefixes].filter((prefix) => blocks.some((block) => overlaps(block, prefix))));
}

/** Kinds whose objects are wrong only by themselves, which their source has checked. */
function acceptedAsTheyAre(
  resources: ResourceSet,
  nodeName: string,
  advertised: Advertisements,
  ranges: RangesInForce,
): Condition[] {
  const configurations = resources.bgpConfigurations.filter((it) =>
    ['default', `node.${nodeName}`].includes(it.metadata.name),
  );
  const complaints = [
    ...(advertised.complaint === undefined ? [] : [{ of: advertised.of, ...advertised.complaint }]),
    ...ranges.complaints,
  ];
  return [...configurations, ...resources.bgpFilters, ...resources.bfdProfiles, ...resources.ipReservations].map(
    (it): Condition => {
      const { name } = it.metadata;
      const base = { kind: it.kind, name, type: 'Accepted' } as const;
      const about = it.kind === 'BGPConfiguration' ? complaints.filter(({ of }) => of === name) : [];
      const [first] = about;
      return first === undefined
        ? { ...base, status: 'True', reason: 'Accepted', message: `${it.kind} ${name} is in force.` }
        : { ...base, status: 'False', reason: first.reason, message: about.map(({ message }) => message).join(' ') };
    },
  );
}

function nodeConditions(node: ThisNode, assigned: Blocks, resources: ResourceSet, peers: number): Condition[] {
  const base = { kind: 'Node', name: node.name } as const;
  const complaints = [...node.complaints, ...assigned.complaints, ...missingAddresses(node, assigned)];
  const [first] = complaints;
  const conditions: Condition[] = [
    first === undefined
      ? { ...base, type: 'Accepted', status: 'True', reason: 'Accepted', message: `Node ${node.name} is in force.` }
      : {
          ...base,
          type: 'Accepted',
          status: 'False',
          reason: first.reason,
          message: complaints.map((it) => it.message).join(' '),
        },
    peers > 0
      ? {
          ...base,
          type: 'PeersConfigured',
          status: 'True',
          reason: 'PeersConfigured',
          message: `${peers} BGPPeer${peers === 1 ? ' names' : 's name'} ${node.name}.`,
        }
      : {
          ...base,
          type: 'PeersConfigured',
          status: 'False',
          reason: 'NoPeers',
          message: `No BGPPeer names ${node.name} (there are ${resources.bgpPeers.length} in all), so its pods are announced to nobody. Add one, or correct node, nodeSelector or the labels of the Node.`,
        },
    assigned.blocks.length > 0
      ? {
          ...base,
          type: 'BlocksAssigned',
          status: 'True',
          reason: 'BlocksAssigned',
          message: `Pods of ${node.name} get addresses of ${assigned.blocks.map((it) => it.cidr).join(', ')}.`,
        }
      : {
          ...base,
          type: 'BlocksAssigned',
          status: 'False',
          reason: 'NoBlocks',
          message: `${node.name} has no addresses for pods. Set spec.podCIDRs of its Node, or addressSource IPPools and an IPBlock whose spec.node is ${node.name}.`,
        },
  ];
  return conditions;
}

function missingAddresses(node: ThisNode, assigned: Blocks): Complaint[] {
  const complaints: Complaint[] = [];
  for (const family of ['ipv4', 'ipv6'] as const) {
    const blocks = assigned.blocks.filter((it) => familyOf(it.cidr) === family);
    if (node.addresses[family] !== undefined || blocks.length === 0) continue;
    const nat = blocks.some((it) => it.natOutgoing)
      ? ', and natOutgoing of that family has no source to translate to'
      : '';
    complaints.push({
      reason: 'NodeAddressMissing',
      message: `Node ${node.name} has pods with ${family} addresses and no ${family} address of its own: routes have no preferred source${nat}. Add an InternalIP to its status.addresses, or the annotation flatroute.io/bgp-address-${family}.`,
    });
  }
  return complaints;
}
