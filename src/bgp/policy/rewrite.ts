/**
 * Operations of an accepting rule, compiled. In: the operations as the intent has them and the attributes of a path; out:
 * other attributes, never the same object changed. Equal lists of operations have equal keys, so that what they make of one
 * attribute set is interned once, whichever rule or peer they belong to.
 */
import type { PeerIntent, RouteOperation } from '../engine.ts';
import type { AsPathSegment, PathAttributes } from '../wire/messages.ts';
import { withCommunity, withoutCommunity } from './communities.ts';
import { firstAsn, remoteAsn, roleRules } from './roles.ts';

export interface Rewrite {
  readonly key: string;
  readonly apply: (path: PathAttributes) => PathAttributes;
  /** The last MED that the operations set; an export to another AS keeps this one only (RFC 4271 §5.1.4). */
  readonly med: number | undefined;
}

/** RFC 8326, unsigned. */
export const GRACEFUL_SHUTDOWN = 0xffff0000;

/** RFC 9494 §3.2. */
export const LLGR_STALE = 0xffff0006;
const NO_EXPORT = 0xffffff01;

/** `asns` in front of the path, the first of them first; a segment holds at most 255 (RFC 4271 §5.1.2). */
export function prependAll(asPath: readonly AsPathSegment[], asns: readonly number[]): AsPathSegment[] {
  const [first, ...rest] = asPath;
  return first?.type === 2 && first.asns.length + asns.length <= 255
    ? [{ type: 2, asns: [...asns, ...first.asns] }, ...rest]
    : [{ type: 2, asns }, ...asPath];
}

function applied(path: PathAttributes, operation: RouteOperation): PathAttributes {
  switch (operation.kind) {
    case 'addCommunity':
      return withCommunity(path, operation.community);
    case 'deleteCommunity':
      return withoutCommunity(path, operation.community);
    case 'prependAsPath':
      return { ...path, asPath: prependAll(path.asPath, operation.asns) };
    case 'setMed':
      return { ...path, med: operation.value };
    default:
      return { ...path, localPref: operation.value };
  }
}

/** RFC 8326 §4.1: from another AS the community means the lowest local preference. */
const shutDown = (path: PathAttributes): PathAttributes =>
  path.communities.includes(GRACEFUL_SHUTDOWN) ? { ...path, localPref: 0 } : path;

/** `undefined` for no operations; `last` is done after them, so a rule can take away what it would look at. */
export function compileRewrite(operations: readonly RouteOperation[], last?: Rewrite): Rewrite | undefined {
  if (operations.length === 0) return undefined;
  return {
    key: JSON.stringify([last?.key ?? '', operations]),
    apply(path) {
      const made = operations.reduce(applied, path);
      return last === undefined ? made : last.apply(made);
    },
    med: operations.findLast((it) => it.kind === 'setMed')?.value,
  };
}

/** What import does to every accepted path of an external peer, whatever the rules say. */
export function externalRewrite(peer: Pick<PeerIntent, 'role' | 'peerAsn' | 'localAsn'>): Rewrite {
  const marks = roleRules(peer)?.marksReceived === true;
  return {
    key: marks ? `external, OTC ${peer.peerAsn}` : 'external',
    apply(path) {
      const made = shutDown(path);
      // RFC 9234 §5, ingress.
      return marks && made.onlyToCustomer === undefined
        ? { ...made, onlyToCustomer: remoteAsn(peer, firstAsn(path)) }
        : made;
    },
    med: undefined,
  };
}

/** RFC 7705 §3.1: `localAsn` in front of a path that came. */
export const localAsRewrite = (localAsn: number): ((first: Rewrite | undefined) => Rewrite) =>
  following(`local AS ${localAsn}`, (path) => ({ ...path, asPath: prependAll(path.asPath, [localAsn]) }));

/** Each rewrite has one object for what it is with `then` behind it: caches know rewrites by identity. */
function following(
  key: string,
  then: (path: PathAttributes) => PathAttributes,
): (first: Rewrite | undefined) => Rewrite {
  const alone: Rewrite = { key, apply: then, med: undefined };
  const made = new WeakMap<Rewrite, Rewrite>();
  return (first) => {
    if (first === undefined) return alone;
    const known = made.get(first);
    if (known !== undefined) return known;
    const both: Rewrite = { key: `${key} ${first.key}`, apply: (path) => then(first.apply(path)), med: first.med };
    made.set(first, both);
    return both;
  };
}

/**
 * What a drained peer's routes become (RFC 8326 §4.1): its own have the lowest preference here; ours say so to it, by community
 * to another AS and by local preference within ours. What is reflected too, though its traffic does not pass here: the next step
 * takes it away, and whoever has no other reflector is to find another way before.
 */
export const drained = {
  import: following('drained', (path) => ({ ...path, localPref: 0 })),
  export: following('drained', (path) => ({ ...withCommunity(path, GRACEFUL_SHUTDOWN), localPref: 0 })),
} as const;

/** The mark of a path that is stale for long (RFC 9494 §4.2). */
export const longLivedRewrite = following('LLGR_STALE', (path) => withCommunity(path, LLGR_STALE));

/**
 * What RFC 9494 §4.6 asks of a path that is stale for long and goes to an internal peer that does not know such paths: the
 * lowest local preference, and never out of the AS.
 */
export const leastPreferredRewrite = following('least preferred', (path) => ({
  ...withCommunity(path, NO_EXPORT),
  localPref: 0,
}));
