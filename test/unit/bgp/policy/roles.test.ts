// Only to Customer (RFC 9234 §5): for each role of ours what comes in as it is, with the mark or as a leak, and what goes out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Prefix } from '#lib/ip.ts';
import type { BgpRole, FilterIntent, PeerIntent } from '#bgp/engine.ts';
import { summarize } from '#bgp/policy/accepted-attributes.ts';
import { compileExport, exportedAttributes, ownPath } from '#bgp/policy/export.ts';
import { compileImport, neverImported } from '#bgp/policy/import.ts';
import { prefixWords } from '#bgp/policy/words.ts';
import type { PathAttributes } from '#bgp/wire/messages.ts';
import { asn, ip, peerIntent } from '../speaker/network.ts';

/** The peer is AS 65002, we are 65001. */
const path = (onlyToCustomer?: number, communities: readonly number[] = []): PathAttributes => ({
  origin: 0,
  asPath: [{ type: 2, asns: [65002, 65003] }],
  nextHop: ip('192.0.2.2'),
  med: undefined,
  localPref: undefined,
  atomicAggregate: false,
  aggregator: undefined,
  communities,
  originatorId: undefined,
  clusterList: [],
  extendedCommunities: [],
  largeCommunities: [],
  onlyToCustomer,
  unknown: [],
});
const { words, length } = prefixWords('198.51.100.0/24' as Prefix);

/** The reason of a refusal, or the value that the accepted path carries. */
function received(peer: Partial<PeerIntent>, attributes: PathAttributes): string | number | undefined {
  const rules = compileImport(
    peerIntent({ name: 'p', ...peer }),
    { asn: asn(65001), routerId: ip('10.255.0.1') },
    neverImported([]),
  );
  const accepted = summarize(attributes);
  const refused = rules.attributes(accepted);
  if (refused !== undefined) return refused.reason;
  const judgement = rules.prefix('ipv4', ...words, length, accepted);
  return (rules.rewrite(judgement, accepted)?.apply(attributes) ?? attributes).onlyToCustomer;
}

const leak = (words_: string): string => `refused: route leak: ${words_}`;
const inRows: readonly (readonly [BgpRole | undefined, number | undefined, string | number | undefined])[] = [
  [undefined, undefined, undefined],
  [undefined, 64500, 64500],
  ['Customer', undefined, 65002],
  ['Customer', 64500, 64500],
  ['RouteServerClient', undefined, 65002],
  ['RouteServerClient', 64500, 64500],
  ['Peer', undefined, 65002],
  ['Peer', 65002, 65002],
  ['Peer', 64500, leak('OTC 64500 came from peer AS 65002')],
  ['Provider', undefined, undefined],
  ['Provider', 65002, leak('OTC 65002 came from a customer')],
  ['RouteServer', undefined, undefined],
  ['RouteServer', 64500, leak("OTC 64500 came from a route server's client")],
];
for (const [role, value, expected] of inRows)
  test(`in: our role is ${role}, OTC ${value}`, () => assert.equal(received({ role }, path(value)), expected));

test('in: an AS that only the peer knows is the one with which its paths begin', () => {
  assert.equal(received({ role: 'Customer', peerAsn: 'external' }, path()), 65002);
  assert.match(String(received({ role: 'Peer', peerAsn: 'external' }, path(64500))), /from peer AS 65002/);
});

test('in: internal peers have no role', () => {
  assert.equal(received({ role: 'Provider', peerAsn: asn(65001) }, path(64500)), 64500);
});

test('in: the mark comes beside what a rule does, and beside GRACEFUL_SHUTDOWN', () => {
  const filter: FilterIntent = {
    name: 'f',
    import: {
      ipv4: [{ action: 'Accept', match: undefined, operations: [{ kind: 'setMed', value: 5 }] }],
      ipv6: [],
    },
    export: { ipv4: [], ipv6: [] },
    default: undefined,
  };
  assert.equal(received({ role: 'Customer', filters: [filter] }, path()), 65002);
  assert.equal(received({ role: 'Customer' }, path(undefined, [0xffff0000])), 65002);
});

/** The reason of a refusal, or the value that is sent; for a learned path and for one of our own. */
function sent(role: BgpRole | undefined, learned: PathAttributes | undefined): string | number | undefined {
  const rules = compileExport(peerIntent({ name: 'p', transit: true, role }), true, { reflects: false, clusterId: 0 });
  if (learned !== undefined) {
    const from = { external: true, client: false };
    const judgement = rules.learned(summarize(learned), from, 1, 'ipv4', ...words, length);
    if (!judgement.accepted) return judgement.reason;
  }
  return exportedAttributes(learned ?? ownPath([]), rules.target, undefined).onlyToCustomer;
}

const heldBack = 'not announced: OTC 64500, for customers only';
const outRows: readonly (readonly [BgpRole | undefined, number | undefined, string | number | undefined])[] = [
  [undefined, undefined, undefined],
  [undefined, 64500, 64500],
  ['Provider', undefined, 65001],
  ['Provider', 64500, 64500],
  ['RouteServer', undefined, 65001],
  ['RouteServer', 64500, 64500],
  ['Peer', undefined, 65001],
  ['Peer', 64500, heldBack],
  ['Customer', undefined, undefined],
  ['Customer', 64500, heldBack],
  ['RouteServerClient', undefined, undefined],
  ['RouteServerClient', 64500, heldBack],
];
for (const [role, value, expected] of outRows)
  test(`out: our role is ${role}, OTC ${value}`, () => {
    assert.equal(sent(role, path(value)), expected);
    if (value === undefined) assert.equal(sent(role, undefined), expected, 'our own route');
  });
