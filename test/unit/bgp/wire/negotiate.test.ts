import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Asn, Family } from '#lib/ip.ts';
import type { Capability, OpenMessage } from '#bgp/wire/messages.ts';
import { checkOpen, identifierText, negotiate, openMessage } from '#bgp/wire/negotiate.ts';
import type { OpenTerms } from '#bgp/wire/negotiate.ts';
import { toHex } from './contexts.ts';

const terms: OpenTerms = {
  localAsn: 64512 as Asn,
  identifier: 0x0a000001,
  holdTimeSeconds: 90,
  families: ['ipv4', 'ipv6'],
  enhancedRouteRefresh: true,
  extendedMessage: true,
  extendedNextHop: true,
  gracefulRestart: { restarted: false, notification: false, restartTimeSeconds: 120, families: [] },
};
const local = openMessage(terms);
const peerOpen = (changes: Partial<OpenTerms> = {}): OpenMessage =>
  openMessage({ ...terms, localAsn: 64513 as Asn, identifier: 0x0a000002, ...changes });
const without = (open: OpenMessage, ...kinds: Capability['kind'][]): OpenMessage => ({
  ...open,
  capabilities: open.capabilities.filter((c) => !kinds.includes(c.kind)),
});

describe('checkOpen', () => {
  const expected = {
    peerAsn: 64513 as Asn,
    localAsn: 64512 as Asn,
    localIdentifier: 0x0a000001,
    families: ['ipv4', 'ipv6'] as readonly Family[],
  };
  const internal = { ...expected, peerAsn: 64512 as Asn };

  test('lets the expected peer pass', () => assert.equal(checkOpen(peerOpen(), expected), undefined));

  test('RFC 6286: an external peer may have our identifier', () => {
    assert.equal(checkOpen(peerOpen({ identifier: 0x0a000001 }), expected), undefined);
  });

  test('without the multiprotocol capability a peer speaks IPv4', () => {
    const old = without(peerOpen(), 'multiprotocol');
    assert.equal(checkOpen(old, { ...expected, families: ['ipv4'] }), undefined);
    assert.equal(checkOpen(old, { ...expected, families: ['ipv6'] })?.subcode, 7);
  });

  test('a peer whose AS number is left to it', () => {
    const [other, ours] = [peerOpen(), peerOpen({ localAsn: 64512 as Asn })];
    assert.equal(checkOpen(other, { ...expected, peerAsn: 'external' }), undefined);
    assert.equal(checkOpen(ours, { ...expected, peerAsn: 'internal' }), undefined);
    assert.equal(
      checkOpen(ours, { ...expected, peerAsn: 'external' })?.text,
      'peer says AS 64512, which is ours; expected is an external peer (RFC 4271 §6.2)',
    );
    assert.equal(
      checkOpen(other, { ...expected, peerAsn: 'internal' })?.text,
      'peer says AS 64513, expected is AS 64512 (RFC 4271 §6.2)',
    );
  });

  const refusals: readonly (readonly [string, OpenMessage, typeof expected, number, string])[] = [
    ['another AS number', peerOpen({ localAsn: 64999 as Asn }), expected, 2, ''],
    ['a four-octet AS number that is another', peerOpen({ localAsn: 4200000001 as Asn }), expected, 2, ''],
    [
      'our own identifier from an internal peer',
      peerOpen({ localAsn: 64512 as Asn, identifier: 0x0a000001 }),
      internal,
      3,
      '',
    ],
    [
      'no family in common, naming ours',
      peerOpen({ families: ['ipv6'] }),
      { ...expected, families: ['ipv4'] },
      7,
      '010400010001',
    ],
  ];
  for (const [name, open, wanted, subcode, data] of refusals) {
    test(`refuses ${name}`, () => {
      const reset = checkOpen(open, wanted);
      assert.ok(reset !== undefined);
      assert.deepEqual([reset.code, reset.subcode, toHex(reset.data)], [2, subcode, data]);
    });
  }
});

describe('negotiate', () => {
  test('two modern speakers agree on everything', () => {
    const agreed = negotiate(local, peerOpen({ holdTimeSeconds: 30 }));
    assert.deepEqual(agreed.context, {
      fourOctetAs: true,
      external: true,
      families: ['ipv4', 'ipv6'],
      maximumMessageBytes: 65535,
      peerAsn: 64513,
      extendedNextHop: true,
      enforceFirstAs: true,
      addPath: undefined,
    });
    assert.equal(agreed.holdTimeSeconds, 30);
    assert.equal(agreed.maximumReceiveBytes, 65535);
    assert.deepEqual([agreed.routeRefresh, agreed.enhancedRouteRefresh], [true, true]);
    assert.equal(agreed.gracefulRestart?.restartTimeSeconds, 120);
  });

  test('with a speaker of old nothing is assumed that it did not say', () => {
    const agreed = negotiate(local, { ...peerOpen(), capabilities: [] });
    assert.deepEqual(agreed.context, {
      fourOctetAs: false,
      external: true,
      families: ['ipv4'],
      maximumMessageBytes: 4096,
      peerAsn: 64513,
      extendedNextHop: false,
      enforceFirstAs: true,
      addPath: undefined,
    });
    assert.deepEqual(
      [agreed.routeRefresh, agreed.enhancedRouteRefresh, agreed.gracefulRestart],
      [false, false, undefined],
    );
  });

  test('RFC 7911 §5: paths of a family come with identifiers where one end offers to send them and the other to take them', () => {
    const offers = (receive: boolean, send: boolean): Partial<OpenTerms> => ({ addPath: { receive, send } });
    const agreed = (ours: Partial<OpenTerms>, theirs: Partial<OpenTerms>): unknown =>
      negotiate(openMessage({ ...terms, ...ours }), peerOpen(theirs)).context.addPath;
    const both = ['ipv4', 'ipv6'];
    assert.deepEqual(agreed(offers(true, true), offers(true, true)), { receive: both, send: both });
    assert.deepEqual(agreed(offers(true, false), offers(true, true)), { receive: both, send: [] });
    assert.deepEqual(agreed(offers(false, true), offers(true, false)), { receive: [], send: both });
    assert.equal(agreed(offers(true, false), offers(true, false)), undefined);
    assert.equal(agreed(offers(true, true), {}), undefined);
    assert.deepEqual(agreed(offers(true, true), { ...offers(true, true), families: ['ipv6'] }), {
      receive: ['ipv6'],
      send: ['ipv6'],
    });
  });

  test('hold time 0 on either side turns it off', () => {
    assert.equal(negotiate(local, peerOpen({ holdTimeSeconds: 0 })).holdTimeSeconds, 0);
  });

  test('long messages are taken when we offered them and sent when both did', () => {
    const deaf = negotiate(local, peerOpen({ extendedMessage: false }));
    assert.deepEqual([deaf.maximumReceiveBytes, deaf.context.maximumMessageBytes], [65535, 4096]);
    const shy = negotiate(without(local, 'extendedMessage'), peerOpen());
    assert.deepEqual([shy.maximumReceiveBytes, shy.context.maximumMessageBytes], [4096, 4096]);
  });

  test('the same AS number makes an internal session; graceful restart needs both ends', () => {
    const agreed = negotiate(local, peerOpen({ localAsn: 64512 as Asn, gracefulRestart: undefined }));
    assert.equal(agreed.context.external, false);
    assert.equal(agreed.gracefulRestart, undefined);
  });

  test('families are those of both, in our order', () => {
    assert.deepEqual(negotiate(local, peerOpen({ families: ['ipv6'] })).context.families, ['ipv6']);
  });
});

test('openMessage writes AS_TRANS for a number of four octets', () => {
  const open = peerOpen({ localAsn: 4200000001 as Asn });
  assert.equal(open.myAs, 23456);
  assert.deepEqual(open.capabilities.at(-1), { kind: 'fourOctetAs', asn: 4200000001 });
});

test('identifierText writes four octets', () => assert.equal(identifierText(0xffffff01), '255.255.255.1'));

describe('roles', () => {
  const names = ['Provider', 'RouteServer', 'RouteServerClient', 'Customer', 'Peer'] as const;
  const fits = [
    'Provider Customer',
    'RouteServer RouteServerClient',
    'RouteServerClient RouteServer',
    'Customer Provider',
  ];
  const expected = {
    peerAsn: 64513 as Asn,
    localAsn: 64512 as Asn,
    localIdentifier: 0x0a000001,
    families: ['ipv4'] as readonly Family[],
  };
  for (const ours of names)
    for (const theirs of names)
      test(`ours is ${ours}, the peer's ${theirs}`, () => {
        const refused = checkOpen(peerOpen({ role: theirs }), { ...expected, role: ours });
        if ([...fits, 'Peer Peer'].includes(`${ours} ${theirs}`)) assert.equal(refused, undefined);
        else assert.deepEqual([refused?.code, refused?.subcode], [2, 11]);
      });

  test('a peer without a role is right unless one is required', () => {
    assert.equal(checkOpen(peerOpen(), { ...expected, role: 'Customer' }), undefined);
    const refused = checkOpen(peerOpen(), { ...expected, role: 'Customer', roleRequired: true });
    assert.equal(refused?.subcode, 11);
    assert.match(refused?.text ?? '', /peer says no role, and one is required; ours is Customer/);
  });

  test('one that is not ours to judge passes', () =>
    assert.equal(checkOpen(peerOpen({ role: 'Peer' }), expected), undefined));

  test('the same role twice is one, two different ones are none', () => {
    const open = peerOpen({ role: 'Provider' });
    const twice = (value: number): OpenMessage => ({
      ...open,
      capabilities: [...open.capabilities, { kind: 'role', value }],
    });
    assert.equal(checkOpen(twice(0), { ...expected, role: 'Customer' }), undefined);
    const refused = checkOpen(twice(4), { ...expected, role: 'Customer' });
    assert.match(refused?.text ?? '', /several roles: Provider, Peer/);
  });

  test('a role of tomorrow is no counterpart', () => {
    const open = { ...peerOpen(), capabilities: [...peerOpen().capabilities, { kind: 'role' as const, value: 9 }] };
    assert.match(checkOpen(open, { ...expected, role: 'Customer' })?.text ?? '', /peer's role is role 9/);
  });

  test('the capability is one octet', () => {
    const capability = openMessage({ ...terms, role: 'Customer' }).capabilities.find(({ kind }) => kind === 'role');
    assert.deepEqual(capability, { kind: 'role', value: 3 });
  });
});
