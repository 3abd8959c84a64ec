/** Objects that are wrong: the API server refuses them with our sentence. */
import assert from 'node:assert/strict';
import type { Cluster } from '#lab/kubernetes/cluster.ts';
import { print } from './world.ts';

interface Refused {
  readonly kind: string;
  readonly name?: string;
  readonly spec: object;
  readonly says: RegExp;
}

const peer = { asNumber: 65100 };

const refused: readonly Refused[] = [
  { kind: 'BGPPeer', spec: { ...peer, peerIP: '192.0.2.300' }, says: /is not an address; write 192\.0\.2\.1/ },
  { kind: 'BGPPeer', spec: { ...peer, peerIP: '224.0.0.5' }, says: /is no unicast address/ },
  {
    kind: 'BGPPeer',
    spec: { ...peer, peerIP: 'fe80::1' },
    says: /link-local, which says nothing without an interface/,
  },
  { kind: 'BGPPeer', spec: { peerIP: '192.0.2.1', asNumber: 0 }, says: /is not an AS number/ },
  { kind: 'BGPPeer', spec: { peerIP: '192.0.2.1', asNumber: 23456 }, says: /AS_TRANS/ },
  { kind: 'BGPPeer', spec: { ...peer }, says: /peerIP/ },
  { kind: 'BGPPeer', spec: { ...peer, peerIP: '192.0.2.1', nodeSelector: "rack = 'a'" }, says: /is not a selector/ },
  { kind: 'BGPPeer', spec: { ...peer, peerIP: '192.0.2.1', holdTime: '2s' }, says: /holdTime/ },
  { kind: 'BGPPeer', spec: { ...peer, peerIP: '192.0.2.1', families: [] }, says: /families/ },
  { kind: 'BGPPeer', spec: { ...peer, interface: 'an interface' }, says: /cannot be the name of an interface/ },
  {
    kind: 'BGPConfiguration',
    name: 'main',
    spec: { asNumber: 65001 },
    says: /is named default, or node\. and the name of a node/,
  },
  { kind: 'BGPConfiguration', name: 'default', spec: { routerID: '192.0.2.1' }, says: /same BGP identifier/ },
  { kind: 'BGPConfiguration', name: 'default', spec: { addressSource: 'Pools' }, says: /addressSource/ },
  {
    kind: 'BGPConfiguration',
    name: 'default',
    spec: { gracefulRestart: { restartTime: '90' } },
    says: /is not a duration; write a number and its unit/,
  },
  { kind: 'IPPool', spec: { cidr: '10.60.1.0/16', blockSize: 26 }, says: /has host bits set; write 10\.60\.0\.0\/16/ },
  { kind: 'IPPool', spec: { cidr: '10.70.0.0/24', blockSize: 20 }, says: /blockSize/ },
  {
    kind: 'IPBlock',
    name: 'mine',
    spec: { cidr: '10.60.128.0/26', node: 'node-1' },
    says: /name/,
  },
  { kind: 'IPReservation', spec: { reservedCIDRs: ['10.60'] }, says: /is not a prefix/ },
  {
    kind: 'BGPFilter',
    spec: { importV4: [{ action: 'Accept', matchOperator: 'In', cidr: 'fd60::/48' }] },
    says: /is not an IPv4 prefix/,
  },
  { kind: 'BFDProfile', spec: { receiveInterval: 1 }, says: /receiveInterval/ },
];

/** Each one, in a table with what the API server answers. */
export async function wrongObjectsAreRefused(cluster: Cluster): Promise<void> {
  const wrong: string[] = [];
  for (const { kind, name, spec, says } of refused) {
    const manifest = { apiVersion: 'flatroute.io/v1alpha1', kind, metadata: { name: name ?? 'wrong' }, spec };
    const { code, stdout, stderr } = await cluster.plane.kubectl(
      ['create', '--dry-run=server', '-f', '-'],
      JSON.stringify(manifest),
    );
    const sentence = (stderr || stdout)
      .trim()
      .replace(/^The \w+ "\S+" is invalid: ?/, '')
      .replaceAll(/\s+/g, ' ');
    const right = code !== 0 && says.test(sentence);
    print(`${right ? 'ok   ' : 'WRONG'} ${kind} ${JSON.stringify(spec)}: ${sentence.slice(0, 160)}`);
    if (!right) wrong.push(`${kind} ${JSON.stringify(spec)}: ${sentence}`);
  }
  assert.deepEqual(wrong, []);
}
