// BFD of a peer: from its resources, and what a user reads of it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ObservedBfdSession } from '#bgp/bfd/control-messages.ts';
import type { BfdFacts } from '#bgp/bfd/facts.ts';
import type { PeerFacts } from '#bgp/engine.ts';
import { compile } from '#intent/compile.ts';
import { conditions } from '#intent/conditions.ts';
import type { Compiled, Condition, Facts } from '#intent/node-intent.ts';
import { milliseconds } from '#lib/time.ts';
import { readDocuments } from '#sources/directory/documents.ts';
import { severityOf } from '#intent/severity.ts';
import { nodeYaml, own, resources } from '../../support/resources.ts';
import { bfdRuns, bfdSession, bgpFacts, peerFacts } from '../../support/snapshot.ts';

const node = nodeYaml('node-1', '192.0.2.11', '10.60.1.0/26');
const fast = own('BFDProfile', 'fast', 'receiveInterval: 50, transmitInterval: 60, detectMultiplier: 5');
const peer = (spec: string): string => own('BGPPeer', 'tor-a', `peerIP: 192.0.2.1, ${spec}`);
const external = (spec: string): string => peer(`asNumber: 65100, ${spec}`);

const compiled = (...yaml: readonly string[]): Compiled => compile(resources(node, ...yaml), 'node-1');
const bfdOf = (...yaml: readonly string[]) => compiled(...yaml).intent.bgp?.peers[0]?.bfd;

describe('BFD of a peer', () => {
  test('without bfd there is none', () => assert.equal(bfdOf(external('')), undefined));

  test('an empty bfd has the defaults of a profile, which are those of a profile that says nothing', () => {
    const defaults = bfdOf(external('bfd: {}'));
    assert.deepEqual(defaults, {
      receiveInterval: milliseconds(300),
      transmitInterval: milliseconds(300),
      detectMultiplier: 3,
      passive: false,
      minimumTtl: 254,
      multihop: false,
    });
    assert.deepEqual(bfdOf(external('bfd: {profile: plain}'), own('BFDProfile', 'plain', '')), defaults);
  });

  test("a profile is named by bfd.profile or by MetalLB's bfdProfile", () => {
    const wanted = bfdOf(external('bfd: {profile: fast}'), fast);
    assert.equal(wanted?.receiveInterval, 50);
    assert.equal(wanted?.transmitInterval, 60);
    assert.equal(wanted?.detectMultiplier, 5);
    assert.deepEqual(bfdOf(external('bfdProfile: fast'), fast), wanted);
  });

  const hops: readonly (readonly [string, string, boolean | undefined])[] = [
    ['an external peer', 'asNumber: 65100, bfd: {}', false],
    ['an external peer over several hops', 'asNumber: 65100, ebgpMultihop: 2, bfd: {}', true],
    ['an internal peer, of whom the node must see where it is', 'asNumber: 64512, bfd: {}', undefined],
    ['an internal peer of whom the resource says it', 'asNumber: 64512, bfd: {multihop: true}', true],
    ['an external peer of whom the resource says otherwise', 'asNumber: 65100, bfd: {multihop: true}', true],
  ];
  for (const [name, spec, multihop] of hops)
    test(`multi hop or not: ${name}`, () => assert.equal(bfdOf(peer(spec))?.multihop, multihop));

  test('a missing profile leaves the session up without BFD, and is a fault', () => {
    const result = compiled(external('bfd: {profile: fats}'), fast);
    assert.deepEqual([result.intent.bgp?.peers[0]?.enabled, result.intent.bgp?.peers[0]?.bfd], [true, undefined]);
    const condition = read(result, {}, 'BGPPeer tor-a', 'BFDUp');
    assert.equal(condition?.reason, 'BFDProfileMissing');
    assert.match(condition.message, /BFDProfile fats, which does not exist.*noticed after the hold time, 90 s at most/);
    assert.equal(severityOf(condition), 'error');
  });

  const refused: readonly (readonly [string, string, string])[] = [
    ['echo', own('BFDProfile', 'x', 'echoMode: true'), 'spec.echoMode: BFD echo is not spoken here'],
    ['two profiles', external('bfdProfile: a, bfd: {profile: a}'), 'spec.bfdProfile: says the same as bfd.profile'],
    [
      'an interval of seconds',
      own('BFDProfile', 'x', 'receiveInterval: 5'),
      'spec.receiveInterval: 5 is out of bounds',
    ],
  ];
  for (const [name, yaml, sentence] of refused)
    test(`is refused: ${name}`, () => {
      const [problem] = readDocuments('f.yaml', yaml).problems;
      assert.ok(`${problem?.field}: ${problem?.text}`.startsWith(sentence), `${problem?.field}: ${problem?.text}`);
    });
});

function read(from: Compiled, facts: Facts, object: string, type: string): Condition | undefined {
  return conditions(from, facts).find((it) => `${it.kind} ${it.name}` === object && it.type === type);
}

const facts = (
  session: Partial<ObservedBfdSession> | undefined,
  state: PeerFacts['state'] = 'Established',
  daemon: BfdFacts['daemon'] = bfdRuns,
): Facts => ({
  bgp: bgpFacts([peerFacts('tor-a', { state })]),
  bfd: {
    daemon,
    sessions: session === undefined ? [] : [bfdSession('tor-a', { state: 'Down', remoteState: 'Down', ...session })],
  },
});

describe('what a user reads of BFD', () => {
  const absent: BfdFacts['daemon'] = { state: 'absent', problem: 'No process answers.' };
  const rows: readonly (readonly [string, Facts, string, RegExp])[] = [
    ['nothing was reported', {}, 'Unknown Pending info', /not reported/],
    ['no session yet', facts(undefined), 'Unknown Pending info', /not reported/],
    ['up', facts({ state: 'Up' }), 'True BFDUp info', /fails is noticed after 150 ms/],
    ['not up, nor is BGP', facts({}, 'Active'), 'Unknown Pending info', /192\.0\.2\.1 is Down/],
    ['not up while BGP is', facts({ state: 'Init' }), 'False BFDNotUp warning', /single hop BFD \(UDP port 3784\)/],
    [
      'multi hop, not up while BGP is',
      facts({ hops: 'multi' }),
      'False BFDNotUp warning',
      /UDP port 4784\).*time-to-live of at least 254/,
    ],
    [
      'failed',
      facts({ failed: true, diagnostic: 1 }, 'Active'),
      'False BFDFailed error',
      /no packet came for the detection time\. The BGP session was ended for it/,
    ],
    [
      'failed, and BGP is up again',
      facts({ failed: true, diagnostic: 3 }),
      'False BFDFailed error',
      /signalled .* The BGP session came up again without it/,
    ],
    [
      'switched off by the peer',
      facts({ remoteState: 'AdminDown' }),
      'False BFDPeerAdminDown warning',
      /switched BFD off on purpose/,
    ],
    [
      'a port is taken',
      facts({ problem: 'UDP port 3784: in use' }),
      'False BFDUnavailable error',
      /^UDP port 3784: in use\. Until/,
    ],
    [
      'no process',
      facts(undefined, 'Established', absent),
      'False BFDUnavailable error',
      /^No process answers\. Until then/,
    ],
  ];
  const from = compiled(external('bfd: {}'));
  for (const [name, given, wanted, message] of rows) {
    test(`of a peer: ${name}`, () => {
      const condition = read(from, given, 'BGPPeer tor-a', 'BFDUp');
      assert.ok(condition);
      assert.equal(`${condition.status} ${condition.reason} ${severityOf(condition)}`, wanted);
      assert.match(condition.message, message);
    });
  }

  test('of a peer that is held down, or without BFD: nothing', () => {
    for (const spec of ['', 'bfd: {}, adminState: Down']) {
      const without = compiled(external(spec));
      assert.equal(read(without, facts({}), 'BGPPeer tor-a', 'BFDUp'), undefined);
      assert.equal(read(without, facts({}), 'Node node-1', 'BFDReady'), undefined);
    }
  });

  test('of the process', () => {
    const of = (daemon: BfdFacts['daemon']): string => {
      const condition = read(from, facts(undefined, 'Established', daemon), 'Node node-1', 'BFDReady');
      return condition === undefined ? '' : `${condition.reason} ${severityOf(condition)}`;
    };
    assert.equal(of({ state: 'seeking' }), 'Pending info');
    assert.equal(of(bfdRuns), 'BFDReady info');
    assert.equal(of({ state: 'running', pid: 7, program: '1', notRealTime: 'EPERM' }), 'BFDNotRealTime warning');
    assert.equal(of(absent), 'BFDUnavailable error');
  });
});
