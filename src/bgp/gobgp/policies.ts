/**
 * Policies of all peers as GoBGP has them: in force for everything, each with statements that ask for its own peer, since GoBGP asks a
 * peer's own policies for route-server clients alone. PURE. Names are digests of what they stand for: what is there under the
 * name is as it should be, a change is a new policy that takes the place of the other at once.
 * A path that no statement of its peer accepts is refused; what belongs to no peer of ours is left to those who made it.
 */
import { createHash } from 'node:crypto';
import type { Family, IpAddress, Prefix } from '#lib/ip.ts';
import { addressBits, families, familyOf, hostPrefix, parseAddress, prefixLength } from '#lib/ip.ts';
import { type BgpIntent, type Community, type FilterRule, type PeerIntent, isExternal } from '../engine.ts';
import { NO_ADVERTISE, staying } from '../policy/accepted-attributes.ts';
import { isClient } from '../policy/export.ts';
import { refusedRanges } from '../policy/import.ts';
import { GRACEFUL_SHUTDOWN } from '../policy/rewrite.ts';
import { familyMessage, ownPathId } from './desired.ts';
import type { Dialect } from './dialect.ts';
import type { DefinedSetMessage, PolicyMessage, StatementMessage } from './messages.ts';
import { type CommunityKind, communityText, compileOperations, pathExpression } from './policy-rules.ts';

export const policyMark = 'flatroute-';

/** What a policy is for stands in its name, so that one that is not in force any more can be told from the others. */
export const policyMarks = {
  import: `${policyMark}import-`,
  export: `${policyMark}export-`,
  withdrawal: `${policyMark}withdrawal-`,
  /** A set, for as long as BGP in GoBGP is the one that was started so. */
  started: `${policyMark}started-`,
} as const;

const action = { none: 0, accept: 1, reject: 2 } as const;
const route = { internal: 1, external: 2 } as const;

/** `peer`: name of the one whose paths it judges; `undefined`: all of ours. */
export interface PeerPolicy {
  readonly peer: string | undefined;
  readonly policy: PolicyMessage;
}

/** In the order in which they are asked. */
export interface Policies {
  readonly sets: readonly DefinedSetMessage[];
  readonly import: readonly PeerPolicy[];
  readonly export: readonly PeerPolicy[];
}

export interface PolicyModules {
  readonly dialect: Dialect;
  /** As GoBGP knows them, without an interface; `undefined`: not known yet. */
  readonly addressOf: (peer: PeerIntent) => IpAddress | undefined;
  /** What this node gives as IPv6 next hop over an IPv4 session, where GoBGP would write an IPv4-mapped address. */
  readonly ipv6NextHop: (peer: PeerIntent) => IpAddress | undefined;
}

/** A name in GoBGP: whose it is, and a digest of what it stands for. */
export const nameOfContent = (mark: string, value: unknown): string =>
  `${mark}${createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16)}`;

type Conditions = Readonly<Record<string, unknown>>;
type Actions = Readonly<Record<string, unknown>>;
interface Statement {
  readonly conditions: Conditions;
  readonly actions: Actions;
}

/** Defined sets, each once under the digest of its content. */
class Sets {
  readonly #dialect: Dialect;
  readonly made = new Map<string, DefinedSetMessage>();

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  #name(set: Omit<DefinedSetMessage, 'name'>): string {
    const name = nameOfContent(policyMark, set);
    this.made.set(name, { name, ...set });
    return name;
  }

  neighbors(list: readonly Prefix[]): object {
    const { setType, match } = this.#dialect;
    return { type: match.any, name: this.#name({ definedType: setType.neighbor, list, prefixes: [] }) };
  }

  /** One family. */
  prefixes(prefixes: DefinedSetMessage['prefixes'], inverted = false): object {
    const { setType, match } = this.#dialect;
    const name = this.#name({ definedType: setType.prefix, list: [], prefixes });
    return { type: inverted ? match.invert : match.any, name };
  }

  all(kind: CommunityKind | 'asPath', list: readonly string[]): object {
    const { setType, match } = this.#dialect;
    return { type: match.all, name: this.#name({ definedType: setType[kind], list, prefixes: [] }) };
  }

  any(kind: CommunityKind, list: readonly string[]): object {
    return { ...this.all(kind, list), type: this.#dialect.match.any };
  }
}

const range = (prefix: Prefix, least = prefixLength(prefix), most: number = addressBits(familyOf(prefix))) => ({
  ipPrefix: prefix,
  maskLengthMin: least,
  maskLengthMax: most,
});

const conditionNames: Readonly<Record<CommunityKind, string>> = {
  community: 'communitySet',
  extCommunity: 'extCommunitySet',
  largeCommunity: 'largeCommunitySet',
};

function communityConditions(communities: readonly Community[], sets: Sets): Conditions {
  const conditions: Record<string, unknown> = {};
  for (const kind of ['community', 'extCommunity', 'largeCommunity'] as const) {
    const texts = communities.flatMap((it) => {
      const text = communityText(it);
      return text?.kind === kind ? [text.text] : [];
    });
    if (texts.length > 0) conditions[conditionNames[kind]] = sets.all(kind, texts);
  }
  return conditions;
}

function ruleConditions(
  { match, communities, asPaths, med, localPref }: FilterRule,
  family: Family,
  sets: Sets,
): Conditions {
  const patterns = (asPaths ?? []).map(pathExpression);
  return {
    afiSafiIn: [familyMessage(family)],
    ...(match && {
      prefixSet: sets.prefixes(
        [range(match.cidr, match.minLength, match.maxLength)],
        match.operator === 'NotEqual' || match.operator === 'NotIn',
      ),
    }),
    ...communityConditions(communities ?? [], sets),
    ...(patterns.length > 0 && { asPathSet: sets.all('asPath', patterns) }),
    // Only version 4 has these; with version 3 the session is not opened.
    ...(med !== undefined && { medEq: { value: med } }),
    ...(localPref !== undefined && { localPrefEq: { value: localPref } }),
  };
}

/** GoBGP takes 0 for no action: the least that it can say is 1. */
const localPrefAction = (value: number): object => ({ value: Math.max(1, value) });

/** `undefined`: an operation that GoBGP does not have; the rule then refuses, and the session is not opened anyway. */
function ruleActions(rule: FilterRule, dialect: Dialect): Actions {
  if (rule.action === 'Reject') return { routeAction: action.reject };
  const compiled = compileOperations(rule.operations ?? []);
  if (!compiled.ok) return { routeAction: action.reject };
  const { communities, prepend, med, localPref } = compiled.actions;
  const change = (kind: CommunityKind): object | undefined => {
    const it = communities[kind];
    if (it === undefined) return undefined;
    const { communityAction: type } = dialect;
    return it.add.length > 0 ? { type: type.add, communities: it.add } : { type: type.remove, communities: it.remove };
  };
  const [community, extCommunity, largeCommunity] = (['community', 'extCommunity', 'largeCommunity'] as const).map(
    change,
  );
  return {
    routeAction: action.accept,
    ...(community && { community }),
    ...(extCommunity && { extCommunity }),
    ...(largeCommunity && { largeCommunity }),
    ...(prepend && { asPrepend: prepend }),
    ...(med !== undefined && { med: { type: dialect.replaceMed, value: med } }),
    ...(localPref !== undefined && { localPref: localPrefAction(localPref) }),
  };
}

function filterStatements(peer: PeerIntent, direction: 'import' | 'export', dialect: Dialect, sets: Sets): Statement[] {
  const kind = isExternal(peer) ? 'eBGP' : 'iBGP';
  return peer.filters.flatMap((filter) => [
    ...families.flatMap((family) =>
      filter[direction][family]
        .filter((rule) => rule.peerType === undefined || rule.peerType === kind)
        .flatMap((rule): Statement[] => {
          const conditions = ruleConditions(rule, family, sets);
          const actions = ruleActions(rule, dialect);
          if (rule.source === undefined || direction === 'import') return [{ conditions, actions }];
          return [route.internal, route.external].map((routeType) => ({
            conditions: { ...conditions, routeType },
            actions,
          }));
        }),
    ),
    ...(filter.default === undefined
      ? []
      : [{ conditions: {}, actions: { routeAction: filter.default === 'Accept' ? action.accept : action.reject } }]),
  ]);
}

const accept: Statement = { conditions: {}, actions: { routeAction: action.accept } };
const reject: Statement = { conditions: {}, actions: { routeAction: action.reject } };

function importStatements(peer: PeerIntent, { dialect }: PolicyModules, sets: Sets): Statement[] {
  const shutdown = communityConditions([GRACEFUL_SHUTDOWN], sets);
  const least = { routeAction: action.none, localPref: localPrefAction(0) };
  const defaults: readonly Prefix[] = ['0.0.0.0/0', '::/0'] as Prefix[];
  return [
    // RFC 8326 §4.1, and a peer that is drained.
    ...(isExternal(peer) ? [{ conditions: shutdown, actions: least }] : []),
    ...(peer.drain === undefined ? [] : [{ conditions: {}, actions: least }]),
    ...filterStatements(peer, 'import', dialect, sets),
    ...(peer.importPolicy === 'All' ? [accept] : []),
    ...(peer.importPolicy === 'DefaultRoute'
      ? defaults.map((prefix) => ({
          conditions: { afiSafiIn: [familyMessage(familyOf(prefix))], prefixSet: sets.prefixes([range(prefix, 0, 0)]) },
          actions: accept.actions,
        }))
      : []),
    reject,
  ];
}

/** Which learned paths may go on; from one internal peer to another GoBGP reflects by itself. */
function learnedStatements(peer: PeerIntent): Statement[] {
  const refuse = (routeType: number): Statement => ({ conditions: { routeType }, actions: reject.actions });
  if (peer.transit) return [];
  if (isExternal(peer)) return [refuse(route.internal), refuse(route.external)];
  return isClient(peer) ? [] : [refuse(route.external)];
}

/** Learned paths that stay here, in front of whatever a filter accepts: GoBGP looks at no well-known community by itself. */
function stayingStatements(peer: PeerIntent, sets: Sets): Statement[] {
  const external = isExternal(peer);
  if (external && !peer.transit) return [];
  const communities = [NO_ADVERTISE, ...(external ? staying.map(([community]) => community) : [])];
  const list = communities.flatMap((it) => communityText(it)?.text ?? []);
  return [route.internal, route.external].map((routeType) => ({
    conditions: { routeType, communitySet: sets.any('community', list) },
    actions: reject.actions,
  }));
}

function nextHopStatements(peer: PeerIntent, { ipv6NextHop }: PolicyModules): Statement[] {
  const external = isExternal(peer);
  const statements: Statement[] = [];
  const set = (conditions: Conditions, nexthop: object): void =>
    void statements.push({ conditions, actions: { routeAction: action.none, nexthop } });
  if (peer.nextHopMode === 'Keep') {
    for (const routeType of [route.internal, route.external]) set({ routeType }, { unchanged: true });
  } else if (!external) {
    set({ routeType: route.external }, { self: true });
    if (peer.nextHopMode === 'Self') set({ routeType: route.internal }, { self: true });
  }
  if (familyOf(peer.address) === 'ipv6' || peer.interface !== undefined || !peer.families.includes('ipv6'))
    return statements;
  const afiSafiIn = [familyMessage('ipv6')];
  const own = ipv6NextHop(peer);
  if (own === undefined) return [{ conditions: { afiSafiIn }, actions: reject.actions }, ...statements];
  if (external && peer.nextHopMode !== 'Keep') set({ afiSafiIn }, { address: own });
  else {
    // Local ones, and those that are ours by the rules above; GoBGP has no condition for a path that begins in it but this.
    set({ afiSafiIn, routeType: localRoute }, { address: own });
    if (peer.nextHopMode !== 'Keep') set({ afiSafiIn, routeType: route.external }, { address: own });
    if (peer.nextHopMode === 'Self') set({ afiSafiIn, routeType: route.internal }, { address: own });
  }
  return statements;
}
const localRoute = 3;

function exportStatements(peer: PeerIntent, modules: PolicyModules, sets: Sets): Statement[] {
  if (peer.drain !== undefined && peer.drain !== 'deprefer') return [reject];
  const { dialect } = modules;
  const shutdown = communityText(GRACEFUL_SHUTDOWN);
  const community = { type: dialect.communityAction.add, communities: [shutdown?.text ?? ''] };
  return [
    ...learnedStatements(peer),
    ...stayingStatements(peer, sets),
    ...nextHopStatements(peer, modules),
    ...(peer.drain === undefined ? [] : [{ conditions: {}, actions: { routeAction: action.none, community } }]),
    ...filterStatements(peer, 'export', dialect, sets),
    accept,
  ];
}

/** AS 0 in a path as GoBGP writes it. */
const asZero = '(^|[ {,(])0([ },)]|$)';

/** AS 0, at which GoBGP does not look; own prefixes and what no table of routes has a place for, by family: for all peers at once. */
function refusals(ownPrefixes: readonly Prefix[], sets: Sets): Statement[] {
  const ofPaths = { conditions: { asPathSet: sets.all('asPath', [asZero]) }, actions: reject.actions };
  const ofPrefixes = families.map((family) => ({
    conditions: {
      afiSafiIn: [familyMessage(family)],
      prefixSet: sets.prefixes(
        [...refusedRanges, ...ownPrefixes].filter((it) => familyOf(it) === family).map((prefix) => range(prefix)),
      ),
    },
    actions: reject.actions,
  }));
  return [ofPaths, ...ofPrefixes];
}

export interface Withdrawal {
  /** As GoBGP knows the neighbour, without an interface. */
  readonly neighbor: IpAddress;
  readonly prefixes: readonly Prefix[];
}

/** On a path of ours while it is withdrawn from some peers; it goes to none. */
export const withdrawalMark: Community = [0, ownPathId, 0];

/**
 * GoBGP withdraws from a peer what policy refuses only when a path that it accepts is replaced by one that it refuses. Put before
 * the policy that refuses the prefixes, this one accepts them there without the mark and refuses them with it.
 */
export function withdrawalPolicy(
  withdrawals: readonly Withdrawal[],
  dialect: Dialect,
): { readonly sets: readonly DefinedSetMessage[]; readonly policy: PolicyMessage } {
  const sets = new Sets(dialect);
  const marked = communityConditions([withdrawalMark], sets);
  const text = communityText(withdrawalMark)?.text ?? '';
  const judged = withdrawals.flatMap(({ neighbor, prefixes }) =>
    families.flatMap((family) => {
      const these = prefixes.filter((prefix) => familyOf(prefix) === family);
      if (these.length === 0) return [];
      const conditions = {
        afiSafiIn: [familyMessage(family)],
        neighborSet: sets.neighbors([hostPrefix(neighbor)]),
        prefixSet: sets.prefixes(these.map((prefix) => range(prefix, prefixLength(prefix), prefixLength(prefix)))),
      };
      return [
        { conditions: { ...conditions, ...marked }, actions: reject.actions },
        { conditions, actions: accept.actions },
      ];
    }),
  );
  const largeCommunity = { type: dialect.communityAction.remove, communities: [text] };
  const unmark = { conditions: marked, actions: { routeAction: action.none, largeCommunity } };
  return { policy: policyOf('withdrawal', [...judged, unmark]), sets: [...sets.made.values()] };
}

function policyOf(kind: 'import' | 'export' | 'withdrawal', statements: readonly Statement[]): PolicyMessage {
  const name = nameOfContent(policyMarks[kind], statements);
  return {
    name,
    statements: statements.map((statement, i): StatementMessage => ({ name: `${name}-${i}`, ...statement })),
  };
}

export function policiesOf(intent: BgpIntent, modules: PolicyModules): Policies {
  const sets = new Sets(modules.dialect);
  const neighborsOf = (peer: PeerIntent): Prefix[] => {
    if (peer.listenRange !== undefined) return [peer.listenRange.prefix];
    const address = modules.addressOf(peer);
    return address === undefined || parseAddress(address) === undefined ? [] : [hostPrefix(address)];
  };
  // Named peers before ranges that hold their addresses.
  const rows = intent.peers
    .map((peer) => ({ peer, neighbors: neighborsOf(peer) }))
    .filter(({ neighbors }) => neighbors.length > 0)
    .sort((a, b) => Number(a.peer.listenRange !== undefined) - Number(b.peer.listenRange !== undefined));
  const of = (statements: readonly Statement[], neighbors: readonly Prefix[]): Statement[] => {
    const neighborSet = sets.neighbors(neighbors);
    return statements.map(({ conditions, actions }) => ({ conditions: { ...conditions, neighborSet }, actions }));
  };
  const ofPeers = (way: 'import' | 'export', statementsOf: (peer: PeerIntent) => readonly Statement[]): PeerPolicy[] =>
    rows.map(({ peer, neighbors }) => ({
      peer: peer.name,
      policy: policyOf(way, of(statementsOf(peer), neighbors)),
    }));
  const everybody = [...new Set(rows.flatMap(({ neighbors }) => neighbors))];
  const never = everybody.length === 0 ? [] : of(refusals(intent.ownPrefixes, sets), everybody);
  return {
    import: [
      ...(never.length === 0 ? [] : [{ peer: undefined, policy: policyOf('import', never) }]),
      ...ofPeers('import', (peer) => importStatements(peer, modules, sets)),
    ],
    export: ofPeers('export', (peer) => exportStatements(peer, modules, sets)),
    sets: [...sets.made.values()],
  };
}
