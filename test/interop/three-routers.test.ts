// Two routers above one node, and two speakers of one AS beside another's: what a rack with two top-of-rack routers does.
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { Lab } from '#lab/lab.ts';
import { forwardingKinds } from '#lab/routers/make.ts';
import type { LabRouter, RouterKind } from '#lab/routers/router.ts';
import {
  addRouterHost,
  address,
  asn,
  cannotRun,
  description,
  established,
  expectKernel,
  expectTable,
  left,
  linkAddress,
  linkHosts,
  makeRouter,
  peerOf,
  prefixes,
  right,
} from './two-routers.ts';
import type { ExpectedTable, Side } from './two-routers.ts';

const other: Side = { ...right, asn: asn(65003), routerId: address('10.255.0.3') };

/** A node with a link to each of two routers, which announce the same prefixes from different ASes. */
async function nodeUnderTwoRouters(
  t: TestContext,
  kind: RouterKind,
): Promise<{ lab: Lab; node: LabRouter; first: LabRouter; second: LabRouter }> {
  const lab = await Lab.create('ecmp');
  t.after(async () => await lab.dispose());
  const [a, b, c] = await Promise.all([
    addRouterHost(lab, 'node', left),
    addRouterHost(lab, 'first', right),
    addRouterHost(lab, 'second', other),
  ]);
  await Promise.all([linkHosts(lab, 1, a, b), linkHosts(lab, 2, a, c)]);
  const made = {
    lab,
    node: makeRouter(
      'flatroute',
      a,
      description(left, [peerOf(1, 2, 'first', right.asn), peerOf(2, 2, 'second', other.asn)]),
    ),
    first: makeRouter(kind, b, description(right, [peerOf(1, 1, 'node', left.asn)])),
    second: makeRouter(kind, c, description(other, [peerOf(2, 1, 'node', left.asn)])),
  };
  await Promise.all([made.node.start(), made.first.start(), made.second.start()]);
  await established(made.node, made.first, made.second);
  return made;
}

/** Kernel routes over these links, in both families. */
async function expectOver(node: LabRouter, links: readonly number[]): Promise<void> {
  const hops = (family: 'ipv4' | 'ipv6'): readonly string[] => links.map((n) => linkAddress(n, 2, family)).sort();
  const expected = (family: 'ipv4' | 'ipv6', prefix: string): ExpectedTable =>
    links.length === 0 ? {} : { [prefix]: hops(family) };
  await expectKernel(node, 'ipv4', expected('ipv4', '10.2.0.0/24'));
  await expectKernel(node, 'ipv6', expected('ipv6', 'fd02::/64'));
}

for (const kind of forwardingKinds) {
  describe(`flatroute under two routers (${kind})`, { skip: cannotRun(kind), concurrency: 2 }, () => {
    test('equal paths go into the kernel together, and leave and come back one by one', async (t) => {
      const { node, first, second } = await nodeUnderTwoRouters(t, kind);
      await expectOver(node, [1, 2]);
      await first.reconfigure({ ...first.description, announce: [] });
      await expectOver(node, [2]);
      await first.reconfigure({ ...first.description, announce: right.announce });
      await expectOver(node, [1, 2]);
      await second.reconfigure({ ...second.description, announce: [] });
      await first.reconfigure({ ...first.description, announce: [] });
      await expectOver(node, []);
    });

    test('a router that loses power is no next hop any more, and is one again when it is back', async (t) => {
      const { lab, node, second } = await nodeUnderTwoRouters(t, kind);
      await expectOver(node, [1, 2]);
      await second.host.powerOff();
      await expectOver(node, [1]);
      await second.host.powerOn(lab.endsOf(second.host));
      await second.start();
      await established(node, second);
      await expectOver(node, [1, 2]);
    });

    const sides: readonly (readonly [RouterKind, RouterKind])[] =
      kind === 'flatroute'
        ? [[kind, kind]]
        : [
            ['flatroute', kind],
            [kind, 'flatroute'],
          ];
    for (const [ends, middle] of sides) {
      test(`${ends} of one AS beside ${middle} hears of its like only where its own AS is allowed`, async (t) => {
        const { near, far } = await twoOfOneAs(t, ends, middle);
        await expectTable(far, 'ipv4', {
          '10.2.0.0/24': [linkAddress(2, 1)],
          '10.1.0.0/24': [linkAddress(2, 1)],
          '10.3.0.0/24': ['local'],
        });
        await expectTable(near, 'ipv4', { '10.2.0.0/24': [linkAddress(1, 2)], '10.1.0.0/24': ['local'] });
        await near.reconfigure(description(left, [peerOf(1, 2, 'middle', right.asn, { allowedOwnAsns: 1 })]));
        await expectTable(near, 'ipv4', {
          '10.2.0.0/24': [linkAddress(1, 2)],
          '10.3.0.0/24': [linkAddress(1, 2)],
          '10.1.0.0/24': ['local'],
        });
        await expectTable(near, 'ipv6', {
          'fd02::/64': [linkAddress(1, 2, 'ipv6')],
          'fd03::/64': [linkAddress(1, 2, 'ipv6')],
          'fd01::/64': ['local'],
        });
      });
    }
  });
}

/** Two speakers of one AS on either side of another's; only the far one lets its own AS pass. */
async function twoOfOneAs(
  t: TestContext,
  ends: RouterKind,
  middleKind: RouterKind,
): Promise<{ near: LabRouter; far: LabRouter }> {
  const lab = await Lab.create('one-as');
  t.after(async () => await lab.dispose());
  const farSide: Side = { asn: left.asn, routerId: other.routerId, announce: prefixes('10.3.0.0/24', 'fd03::/64') };
  const [a, b, c] = await Promise.all([
    addRouterHost(lab, 'near', left),
    addRouterHost(lab, 'middle', right),
    addRouterHost(lab, 'far', farSide),
  ]);
  await Promise.all([linkHosts(lab, 1, a, b), linkHosts(lab, 2, b, c)]);
  const near = makeRouter(ends, a, description(left, [peerOf(1, 2, 'middle', right.asn)]));
  const peers = [peerOf(1, 1, 'near', left.asn), peerOf(2, 2, 'far', left.asn)];
  const middle = makeRouter(middleKind, b, description(right, peers));
  const far = makeRouter(ends, c, description(farSide, [peerOf(2, 1, 'middle', right.asn, { allowedOwnAsns: 1 })]));
  await Promise.all([near.start(), middle.start(), far.start()]);
  await established(near, middle, far);
  return { near, far };
}
