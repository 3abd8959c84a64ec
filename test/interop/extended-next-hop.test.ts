// A link with IPv6 addresses alone carries IPv4 routes both ways, by IPv6 next hops (RFC 8950).
import { describe, test } from 'node:test';
import { families } from '#lib/ip.ts';
import { Lab } from '#lab/lab.ts';
import type { RouterKind } from '#lab/routers/router.ts';
import {
  addRouterHost,
  cannotRun,
  description,
  established,
  expectKernel,
  expectTable,
  left,
  linkAddress,
  makeRouter,
  right,
} from './two-routers.ts';

const [a, b] = [linkAddress(1, 1, 'ipv6'), linkAddress(1, 2, 'ipv6')];

for (const kind of ['bird', 'frr', 'gobgp'] as const satisfies RouterKind[]) {
  describe(`flatroute and ${kind} on a link without IPv4`, { skip: cannotRun(kind) }, () => {
    test('IPv4 routes go both ways by IPv6 next hops, and into the kernel', async (t) => {
      const lab = await Lab.create('ipv6-only');
      t.after(async () => await lab.dispose());
      const [near, far] = await Promise.all([addRouterHost(lab, 'left', left), addRouterHost(lab, 'right', right)]);
      await lab.link({ a: near, b: far, addresses: [[`${a}/64`, `${b}/64`]] });
      const ours = makeRouter(
        'flatroute',
        near,
        description(left, [{ name: 'right', address: b, asn: right.asn, families }]),
      );
      const theirs = makeRouter(
        kind,
        far,
        description(right, [{ name: 'left', address: a, asn: left.asn, families, extendedNextHop: true }]),
      );
      await Promise.all([ours.start(), theirs.start()]);
      await established(ours, theirs);
      await expectTable(ours, 'ipv4', { '10.2.0.0/24': [b], '10.1.0.0/24': ['local'] });
      await expectTable(theirs, 'ipv4', { '10.1.0.0/24': [a], '10.2.0.0/24': ['local'] });
      await expectKernel(ours, 'ipv4', { '10.2.0.0/24': [b] });
      await expectKernel(ours, 'ipv6', { 'fd02::/64': [b] });
    });
  });
}
