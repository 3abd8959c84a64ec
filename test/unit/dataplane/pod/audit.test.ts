import assert from 'node:assert/strict';
import { test } from 'node:test';
import { auditKernel, auditRuntime, type Books } from '#dataplane/pod/audit.ts';
import { hostInterfaceName } from '#dataplane/pod/attachment.ts';
import type { PodSurvey } from '#dataplane/pod/io/survey.ts';
import type { PodRecord } from '#dataplane/pod/registry.ts';
import type { IpAddress } from '#lib/ip.ts';

const a = '10.0.0.1' as IpAddress;
const b = '10.0.0.2' as IpAddress;
const nothing: PodSurvey = { links: [], routes: [], neighbours: [], podEnds: new Map() };

function record(containerId: string, index: number, ...addresses: IpAddress[]): PodRecord {
  const key = { networkHash: '0123456789ab', containerId, interfaceName: 'eth0' };
  return {
    attachment: {
      ...key,
      addresses,
      bootMilliseconds: 0,
      mac: undefined,
      mtu: undefined,
      namespace: 'ns',
      pod: containerId,
    },
    hostInterface: hostInterfaceName(key),
    hostIndex: index,
    alias: containerId,
    mac: '02:00:00:00:00:01',
    state: 'building',
  };
}
const books = (taken: readonly IpAddress[], ...records: readonly PodRecord[]): Books => ({
  records,
  foreign: [],
  taken: new Set(taken),
  node: { ipv4: undefined, ipv6: undefined },
});
const told = (given: Books): string[] => auditKernel(given, nothing).map(({ code, subject }) => `${code} ${subject}`);

const cases: readonly { readonly name: string; readonly books: Books; readonly told: readonly string[] }[] = [
  { name: 'nothing', books: books([]), told: [] },
  { name: 'a pod that is being built', books: books([a], record('p', 2, a)), told: [] },
  { name: 'an address that no interface has', books: books([a, b], record('p', 2, a)), told: [`AddressHeld ${b}`] },
  {
    name: 'an address that could be given again',
    books: books([], record('p', 2, a)),
    told: [`AddressNotHeld ${record('p', 2).hostInterface}`],
  },
  {
    name: 'an address that two pods have',
    books: books([a], record('p', 2, a), record('q', 3, a)),
    told: [`AddressTwice ${a}`],
  },
  {
    name: 'an address that a pod and an unreadable interface have',
    books: { ...books([a], record('p', 2, a)), foreign: [{ name: 'fr0', index: 9, addresses: [a] }] },
    told: [`AddressTwice ${a}`],
  },
];
for (const { name, books: given, told: wanted } of cases)
  test(`${name}: ${wanted.join(', ') || 'no disagreement'}`, () => assert.deepEqual(told(given), wanted));

test('results that are left of pods of an earlier boot are nobody to miss', () => {
  const key = { networkHash: '0123456789ab', network: 'net', containerId: 'old', interfaceName: 'eth0' };
  const judgement = { bornBefore: 1, processesVisible: true };
  const audit = (exists: boolean): number =>
    auditRuntime(
      books([]),
      nothing,
      { namespaces: [], results: [{ ...key, netns: '/run/netns/old', namespace: undefined, exists, ours: true }] },
      judgement,
    ).length;
  assert.deepEqual([audit(false), audit(true)], [0, 1]);
});
