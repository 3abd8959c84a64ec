// Roles (RFC 9234) with BIRD and FRR: who is told what, a leak that a router without roles passes on, roles that do not fit.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { askByAdminApi } from '#cli/demo/ask.ts';
import { Lab } from '#lab/lab.ts';
import type { LabRouter, PeeringRole, RouterKind, RouterPeer } from '#lab/routers/router.ts';
import { FlatrouteRouter } from '#lab/routers/flatroute.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import type { Side } from './two-routers.ts';
import {
  addRouterHost,
  address,
  asn,
  cannotRun,
  description,
  established,
  expectTable,
  linkAddress,
  linkHosts,
  makeRouter,
  peerOf,
  prefixes,
} from './two-routers.ts';

const side = (n: number): Side => ({
  asn: asn(65000 + n),
  routerId: address(`10.255.0.${n}`),
  announce: prefixes(`10.${n}.0.0/24`, `fd0${n}::/64`),
});
const [upSide, middleSide, ourSide, besideSide] = [side(1), side(2), side(3), side(4)];

const as = (ours: PeeringRole): Partial<RouterPeer> => ({ role: { ours, required: false } });

const orders: readonly (readonly [RouterKind, RouterKind])[] = [
  ['bird', 'frr'],
  ['frr', 'bird'],
];

describe('roles', { timeout: 600_000, concurrency: 2 }, () => {
  for (const [outer, inner] of orders)
    test(`a leak by ${inner} is not used, and ${outer} as a peer hears of our customers only`, {
      skip: cannotRun('frr'),
    }, async (t) => {
      const lab = await Lab.create('roles');
      t.after(async () => await lab.dispose());
      const [a, b, c, d] = await Promise.all([
        addRouterHost(lab, 'up', upSide),
        addRouterHost(lab, 'middle', middleSide),
        addRouterHost(lab, 'ours', ourSide),
        addRouterHost(lab, 'beside', besideSide),
      ]);
      await Promise.all([linkHosts(lab, 1, a, b), linkHosts(lab, 2, b, c), linkHosts(lab, 3, c, d)]);
      const up = makeRouter(outer, a, description(upSide, [peerOf(1, 2, 'middle', middleSide.asn, as('Provider'))]));
      // It knows no roles: what its provider marked goes on to us.
      const middle = makeRouter(
        inner,
        b,
        description(middleSide, [peerOf(1, 1, 'up', upSide.asn), peerOf(2, 2, 'ours', ourSide.asn)]),
      );
      const beside = makeRouter(outer, d, description(besideSide, [peerOf(3, 1, 'ours', ourSide.asn, as('Peer'))]));
      const our = (role: 'Peer' | 'Customer') =>
        description(ourSide, [
          peerOf(2, 1, 'middle', middleSide.asn, as('Provider')),
          peerOf(3, 2, 'beside', besideSide.asn, as(role)),
        ]);
      const ours = new FlatrouteRouter(c, our('Peer'), askByAdminApi);
      await Promise.all([up, middle, ours, beside].map((router) => router.start()));
      await established(up, middle, ours, beside);

      await expectTable(beside, 'ipv4', {
        '10.2.0.0/24': [linkAddress(3, 1)],
        '10.3.0.0/24': [linkAddress(3, 1)],
        '10.4.0.0/24': ['local'],
      });
      await expectTable(middle, 'ipv4', {
        '10.1.0.0/24': [linkAddress(1, 1)],
        '10.2.0.0/24': ['local'],
        '10.3.0.0/24': [linkAddress(2, 2)],
        '10.4.0.0/24': [linkAddress(2, 2)],
      });
      await expectTable(ours, 'ipv6', {
        'fd02::/64': [linkAddress(2, 1, 'ipv6')],
        'fd03::/64': ['local'],
        'fd04::/64': [linkAddress(3, 2, 'ipv6')],
      });
      const routes = await waitFor(
        'all routes to be received',
        async () => {
          const received = JSON.parse(await ours.agent.text(['routes', '--received', '-o', 'json'])) as {
            readonly routes: readonly {
              readonly prefix: string;
              readonly reason: string;
              readonly onlyToCustomer?: number;
            }[];
          };
          const has = (prefix: string): boolean => received.routes.some((it) => it.prefix === prefix);
          return ['10.1.0.0/24', '10.2.0.0/24', '10.4.0.0/24'].every(has)
            ? found(received.routes)
            : notYet(JSON.stringify(received));
        },
        { deadline: seconds(60) },
      );
      const row = (prefix: string) => routes.find((it) => it.prefix === prefix);
      assert.equal(row('10.1.0.0/24')?.reason, 'refused: route leak: OTC 65001 came from a customer');
      assert.equal(row('10.4.0.0/24')?.onlyToCustomer, 65004, 'marked by our peer');
      assert.equal(row('10.2.0.0/24')?.onlyToCustomer, undefined);

      await ours.reconfigure(our('Customer'));
      assert.match(await mismatch(ours), /Role Mismatch|peer's role is Peer, ours Customer needs Provider/);
    });
});

/** What the session with `beside` says while roles do not fit. */
async function mismatch(router: LabRouter): Promise<string> {
  return await waitFor(
    'the session to be refused',
    async () => {
      const row = (await router.sessions()).find(({ peer }) => peer === linkAddress(3, 2));
      return row?.established === false && /ole/.test(row.state) ? found(row.state) : notYet(JSON.stringify(row));
    },
    { deadline: seconds(60) },
  );
}
