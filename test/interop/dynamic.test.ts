// Dynamic neighbours: routers that the node does not name connect from a prefix, with and without TCP MD5.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { Lab } from '#lab/lab.ts';
import { FlatrouteRouter } from '#lab/routers/flatroute.ts';
import type { RouterKind } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { askByAdminApi } from '#cli/demo/ask.ts';
import {
  addRouterHost,
  address,
  asn,
  cannotRun,
  description,
  left,
  linkAddress,
  linkHosts,
  makeRouter,
  peerOf,
  prefixes,
  right,
} from './two-routers.ts';

const other = { asn: asn(65003), routerId: address('10.255.0.3'), announce: prefixes('10.3.0.0/24', 'fd03::/64') };

for (const kind of ['bird', 'frr'] as const satisfies readonly RouterKind[])
  describe(`beside ${kind}`, { skip: cannotRun(kind) }, () => {
    for (const password of [undefined, 'range-key'])
      test(`two routers connect from one range, ${password === undefined ? 'without a password' : 'with its password, and not with another'}`, async (t) => {
        const lab = await Lab.create('interop-dynamic');
        t.after(async () => await lab.dispose());
        const [a, b, c] = await Promise.all([
          addRouterHost(lab, 'left', left),
          addRouterHost(lab, 'right', right),
          addRouterHost(lab, 'other', other),
        ]);
        await linkHosts(lab, 1, a, b);
        await linkHosts(lab, 2, a, c);
        const key = password === undefined ? {} : { password };
        const node = new FlatrouteRouter(a, description(left, [peerOf(9, 2, 'rack', right.asn, key)]), askByAdminApi);
        await node.start();
        const file = node.configuration()['peer-rack.yaml'] ?? '';
        const insecure = password === undefined ? ', insecure: true' : '';
        const range = file
          .replace(/ {2}peerIP: .*/, `  listenRange: { cidr: 172.16.0.0/16, limit: 2${insecure} }`)
          .replace(/asNumber: .*/, 'dynamicASN: External');
        await node.agent.write({ 'peer-rack.yaml': range });

        const first = makeRouter(kind, b, description(right, [peerOf(1, 1, 'node', left.asn, key)]));
        const wrong = password === undefined ? {} : { password: 'another' };
        const second = makeRouter(kind, c, description(other, [peerOf(2, 1, 'node', left.asn, wrong)]));
        await Promise.all([first.start(), second.start()]);
        const names = [`rack/${linkAddress(1, 2)}`, `rack/${linkAddress(2, 2)}`];
        const sessions = async (wanted: readonly string[]): Promise<void> => {
          await waitFor(
            `sessions ${wanted.join(' ')}`,
            async () => {
              const peers = await node.agent.questions.peers();
              const up = peers.filter(({ state }) => state === 'Established').map(({ name }) => name);
              return up.join() === wanted.join() ? found(up) : notYet(JSON.stringify(peers));
            },
            { deadline: seconds(30) },
          );
        };
        if (password !== undefined) {
          await sessions(names.slice(0, 1));
          const refused = await waitFor(
            'the drops to be told',
            async () => {
              const peers = await node.agent.questions.peers();
              assert.ok(!peers.some(({ name }) => name === names[1]), 'a router with another password is no peer');
              return peers.length === 2 ? found(peers) : notYet(JSON.stringify(peers));
            },
            { deadline: seconds(10) },
          );
          assert.deepEqual(
            refused.map(({ state }) => state),
            ['Listening', 'Established'],
          );
          await second.reconfigure(description(other, [peerOf(2, 1, 'node', left.asn, key)]));
        }
        await sessions(names);
        // Gone for good: routes and peer go.
        await second.stop('SIGTERM');
        await sessions(names.slice(0, 1));
        await first.stop('SIGTERM');
        await waitFor(
          'the range alone',
          async () => {
            const peers = await node.agent.questions.peers();
            return peers.length === 1 ? found(peers) : notYet(JSON.stringify(peers));
          },
          { deadline: seconds(10) },
        );
      });
  });
