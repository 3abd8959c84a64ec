// Dynamic neighbours: routers that the node does not name connect from a prefix, with and without TCP MD5.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { Lab } from '#lab/lab.ts';
import type { PeerView } from '#lab/node-agent.ts';
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
            { deadline: seconds(60) },
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
            { deadline: seconds(60) },
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
          { deadline: seconds(60) },
        );
      });
  });

describe('two routers with BFD that come from one range (bird)', { skip: cannotRun('bird') }, () => {
  test('keep sessions, BFD and routes over the death of the agent; one that freezes goes alone; a drain takes all', async (t) => {
    const lab = await Lab.create('interop-range');
    t.after(async () => await lab.dispose());
    const twin = { ...other, asn: right.asn };
    const [a, b, c] = await Promise.all([
      addRouterHost(lab, 'left', left),
      addRouterHost(lab, 'right', right),
      addRouterHost(lab, 'other', twin),
    ]);
    await linkHosts(lab, 1, a, b);
    await linkHosts(lab, 2, a, c);
    const session = { password: 'range-key', bfd: {} };
    const [listenRange] = prefixes('172.16.0.0/16');
    assert.ok(listenRange !== undefined);
    const range = peerOf(9, 2, 'rack', right.asn, { ...session, listenRange });
    const node = new FlatrouteRouter(a, description(left, [range]), askByAdminApi);
    const first = makeRouter('bird', b, description(right, [peerOf(1, 1, 'node', left.asn, session)]));
    const second = makeRouter('bird', c, description(twin, [peerOf(2, 1, 'node', left.asn, session)]));
    await node.start();
    await Promise.all([first.start(), second.start()]);

    const names = [`rack/${linkAddress(1, 2)}`, `rack/${linkAddress(2, 2)}`];
    const children = async (
      what: string,
      fits: (peers: readonly PeerView[]) => boolean,
    ): Promise<readonly PeerView[]> =>
      await waitFor(
        what,
        async () => {
          const peers = (await node.agent.questions.peers()).filter(({ name }) => name.startsWith('rack/'));
          return fits(peers) ? found(peers) : notYet(JSON.stringify(peers));
        },
        { deadline: seconds(60) },
      );
    const up = ({ state, bfd }: PeerView): boolean => state === 'Established' && bfd?.state === 'Up';
    const bothUp = async (what: string): Promise<readonly PeerView[]> =>
      await children(
        what,
        (peers) =>
          peers
            .filter(up)
            .map(({ name }) => name)
            .join() === names.join(),
      );
    const kernel = {
      '10.2.0.0/24': [linkAddress(1, 2)],
      '10.3.0.0/24': [linkAddress(2, 2)],
    };
    const settled = await children(
      'both with BFD, each with conditions of its own',
      (peers) =>
        peers.filter(up).length === names.length &&
        peers.every(({ conditions }) => conditions.some(({ reason }) => reason === 'RoutesAccepted')),
    );
    await expectKernel(node, 'ipv4', kernel);

    const pid = await node.agent.bfdPid();
    await node.stop('SIGKILL');
    await expectKernel(node, 'ipv4', kernel);
    const nodesRoutes = { '10.1.0.0/24': [linkAddress(1, 1)], '10.2.0.0/24': ['local'] };
    await expectTable(first, 'ipv4', nodesRoutes);
    await node.start();
    const back = await bothUp('both again');
    const failures = (peers: readonly PeerView[]): unknown => peers.map(({ bfd }) => bfd?.failures);
    assert.deepEqual([await node.agent.bfdPid(), failures(back)], [pid, failures(settled)]);
    await expectTable(first, 'ipv4', nodesRoutes);
    await expectKernel(node, 'ipv4', kernel);

    await second.signal('SIGSTOP');
    await children('the frozen one to fail', (peers) => peers.filter(up).length === 1);
    await expectKernel(node, 'ipv4', { '10.2.0.0/24': [linkAddress(1, 2)] });
    await second.signal('SIGCONT');
    await bothUp('the frozen one to be back');

    await node.agent.text(['drain', 'rack', '--wait', '0.3']);
    for (const router of [first, second])
      await waitFor(
        `${router.host.name} to have lost its session`,
        async () => {
          const [row] = await router.sessions();
          return row?.established === false ? found(undefined) : notYet(JSON.stringify(row));
        },
        { deadline: seconds(60) },
      );
    await expectTable(first, 'ipv4', { '10.2.0.0/24': ['local'] });
    await node.agent.text(['undrain', 'rack']);
    await bothUp('both after the drain');
    await expectTable(first, 'ipv4', nodesRoutes);
  });
});
