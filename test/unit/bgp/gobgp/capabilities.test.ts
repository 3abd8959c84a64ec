import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BgpIntent, FilterIntent, FilterRule, PeerIntent } from '#bgp/engine.ts';
import { capabilities, heldPeers, unsupported } from '#bgp/gobgp/capabilities.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import { asn, intent, ip, peerIntent, prefix } from '../speaker/network.ts';

const withPeer = (peer: Partial<PeerIntent>, more: Partial<BgpIntent> = {}): BgpIntent =>
  intent({
    engine: { kind: 'gobgp', address: '/run/gobgp.sock' },
    peers: [peerIntent({ name: 'tor', address: ip('192.0.2.2'), peerAsn: asn(65002), ...peer })],
    ...more,
  });

const filtering = (rule: Partial<FilterRule>): FilterIntent => ({
  name: 'some',
  import: { ipv4: [], ipv6: [{ action: 'Accept', match: undefined, ...rule }] },
  export: { ipv4: [], ipv6: [] },
  default: undefined,
});

/** What asks for each field that GoBGP does not have as it is meant. */
const asking: Readonly<Record<string, { readonly intent: BgpIntent; readonly version?: 3 | 4 }>> = {
  'BGPPeer authentication': {
    intent: withPeer({ tcpAo: [{ sendId: 1, receiveId: 1, algorithm: 'hmac-sha1', key: 'secret' }] }),
  },
  'BGPPeer role': { intent: withPeer({ role: 'Customer' }) },
  'BGPPeer localASOptions': { intent: withPeer({ localAsn: asn(65009), innerAsn: asn(65001) }) },
  'BGPPeer maxAnnounced': { intent: withPeer({ maxAnnounced: 10 }) },
  'BGPPeer dynamicASN': { intent: withPeer({ peerAsn: 'external' }) },
  'BGPPeer holdTime': { intent: withPeer({ holdTime: milliseconds(0) }) },
  'BGPPeer password': {
    intent: withPeer({ password: 'secret', listenRange: { prefix: prefix('192.0.2.0/24'), limit: 5 } }),
  },
  'BGPPeer listenRange.limit': {
    intent: withPeer({ listenRange: { prefix: prefix('192.0.2.0/24'), limit: 5 } }),
  },
  'BGPPeer longLivedGracefulRestart.staleTime': {
    intent: withPeer({ longLivedGracefulRestart: { staleTime: seconds(60), families: ['ipv4'] } }),
  },
  'BGPConfiguration bestPath.missingMEDAsWorst': {
    intent: withPeer({}, { bestPath: { alwaysCompareMed: false, missingMedAsWorst: true, preferOlder: false } }),
  },
  'BGPFilter interface': { intent: withPeer({ filters: [filtering({ interface: 'eth0' })] }) },
  'BGPFilter med': { intent: withPeer({ filters: [filtering({ med: 5 })] }), version: 3 },
  'BGPFilter localPref': { intent: withPeer({ filters: [filtering({ localPref: 5 })] }), version: 3 },
  'BGPFilter communities': { intent: withPeer({ filters: [filtering({ communities: [[0x43000000, 1]] })] }) },
  'BGPFilter operations': {
    intent: withPeer({ filters: [filtering({ operations: [{ kind: 'deleteCommunity', community: '*' }] })] }),
  },
};

describe('what GoBGP can do of what resources ask for', () => {
  test('whoever asks for a field that differs is told of it by its name, and of nothing else', () => {
    const rows = capabilities.filter(({ asks }) => asks !== undefined);
    assert.deepEqual(
      rows.map(({ kind, field }) => `${kind} ${field}`).sort(),
      Object.keys(asking).sort(),
      'each row has a case here',
    );
    for (const { kind, field, support } of rows) {
      const { intent: asked, version } = asking[`${kind} ${field}`] ?? { intent: withPeer({}) };
      const found = unsupported(asked, version);
      // Whoever asks for a password of a listen range has a listen range, too.
      const own = found.filter((it) => it.field === field || field !== 'password');
      assert.deepEqual(
        own.map((it) => [it.peer, it.kind, it.field, it.held]),
        [['tor', kind, field, support === 'held']],
      );
      assert.notEqual(own[0]?.text, '');
      assert.equal(heldPeers(asked, version).has('tor'), support === 'held');
    }
  });

  test('no secret is in what is said', () => {
    for (const { intent: asked } of Object.values(asking))
      assert.doesNotMatch(JSON.stringify(unsupported(asked, 3)), /secret/);
  });

  test('a plain peer, and one of the embedded engine that asks for everything, are told nothing', () => {
    assert.deepEqual(unsupported(withPeer({}), 3), []);
    for (const { intent: asked } of Object.values(asking))
      assert.deepEqual(unsupported({ ...asked, engine: undefined }, 3), []);
  });

  test('a password on an interface is nothing for version 3', () => {
    const asked = withPeer({ password: 'secret', interface: 'eth0' });
    assert.deepEqual([...heldPeers(asked, 3)], ['tor']);
    assert.deepEqual([...heldPeers(asked, 4)], []);
  });

  test('an internal peer has no role to ask for', () => {
    assert.deepEqual(unsupported(withPeer({ role: 'Customer', peerAsn: asn(65001) }), 3), []);
  });
});
